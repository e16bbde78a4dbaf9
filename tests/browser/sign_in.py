"""App Service authentication, as a proxy in front of the functions."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

import aiohttp
from aiohttp import web
from yarl import URL


class Person(NamedTuple):
    """Somebody who can sign in, with an object id and a name in Microsoft Entra ID."""

    id: str
    name: str


ALICE = Person("00000000-0000-0000-0000-00000000000a", "alice@contoso.example")
BOB = Person("00000000-0000-0000-0000-00000000000b", "bob@contoso.example")


class SignInProxy:
    """Forwards requests with a session cookie, and redirects others to a sign-in page on another origin.

    With `redirects=False` only navigations are redirected, and other requests get 401. The sign-in page signs in `person`.
    """

    def __init__(self, upstream: str, http: aiohttp.ClientSession, *, redirects: bool) -> None:
        self.url = ""
        self.person = ALICE
        self._upstream = upstream
        self._http = http
        self._redirects = redirects
        self._sessions: dict[str, Person] = {}

    def expire(self) -> None:
        """Ends all sessions."""
        self._sessions.clear()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The proxy; the sign-in page and the address that it comes back to are `/login` and `/callback`."""
        if request.path == "/login":  # signs `person` in at once
            raise web.HTTPFound(URL(self.url) / "callback" % request.query)
        if request.path == "/callback":
            session = str(uuid4())
            self._sessions[session] = self.person
            response = web.HTTPFound(request.query["then"])
            response.set_cookie("session", session)
            raise response
        if request.path == "/.auth/logout":
            response = web.HTTPFound(request.query["post_logout_redirect_uri"])
            response.del_cookie("session")
            raise response
        if person := self._sessions.get(request.cookies.get("session", "")):
            if request.method == "POST" and not request.headers.get("Referer", "").startswith(f"{self.url}/"):
                return web.Response(status=403)  # protects the session from requests of other sites
            return await self._forward(request, person)
        if self._redirects or request.headers.get("Sec-Fetch-Mode") == "navigate":
            raise web.HTTPFound(request.url.with_host("localhost").with_path("/login") % {"then": request.path})
        return web.Response(status=401, text="You do not have permission to view this directory or page.")

    async def _forward(self, request: web.BaseRequest, person: Person) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in {"Host", "Content-Length"} and not name.lower().startswith("x-ms-client-principal")
        }
        headers |= {"x-ms-client-principal-id": person.id, "x-ms-client-principal-name": person.name}
        url = f"{self._upstream}{request.raw_path}"
        async with self._http.request(request.method, url, headers=headers, data=await request.read()) as upstream:
            body = await upstream.read()
            headers = {
                name: value
                for name, value in upstream.headers.items()
                if name not in {"Content-Length", "Transfer-Encoding"}
            }
            return web.Response(status=upstream.status, headers=headers, body=body)


@asynccontextmanager
async def sign_in_proxy(upstream: str, *, redirects: bool = True) -> AsyncGenerator[SignInProxy]:
    """The proxy, on a free port of this machine."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        proxy = SignInProxy(upstream, http, redirects=redirects)
        runner = web.ServerRunner(web.Server(proxy.handle), shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield proxy
        await runner.cleanup()
