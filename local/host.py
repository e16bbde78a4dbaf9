"""A Functions host for HTTP triggers: routes, and forwards to the worker what the real host would, streaming both ways.

Left out: function keys (as `func start` leaves them out), bindings other than HTTP triggers, route constraints, scaling,
the admin API and the homepage.
"""

import asyncio
import re
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from local.settings import HostSection
from local.worker import HttpFunction, Worker

INVOCATION_ID = "x-ms-invocation-id"

_ABANDONED_SECONDS = 5

# Headers that belong to one connection, and not to what goes through it.
_HOP_BY_HOP = {"connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


class Host:
    """Serves a worker's functions over HTTP."""

    def __init__(self, worker: Worker, prefix: str, settings: HostSection) -> None:
        self._worker = worker
        self._settings = settings
        self._invocations: set[asyncio.Task[None]] = set()
        self._app = web.Application(middlewares=[self._cors, _not_found], client_max_size=0)
        for function in worker.functions:
            path = "/".join(part for part in (prefix, function.route) if part)
            for method in function.methods or ("*",):
                self._app.router.add_route(method, _pattern(path), self._handler(function))
        self._runner = web.AppRunner(self._app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        self._session: aiohttp.ClientSession

    async def start(self, port: int) -> str:
        """Listens on a port of this machine (any free one for 0) and returns the base address."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stops listening and drops what is under way."""
        await self._runner.cleanup()
        await self._session.close()

    def _handler(self, function: HttpFunction) -> Any:  # noqa: ANN401 - aiohttp's handler type
        async def forward(request: web.Request) -> web.StreamResponse:
            invocation_id = str(uuid4())
            invocation = asyncio.create_task(self._worker.invoke(function, invocation_id, request.match_info))
            self._invocations.add(invocation)
            invocation.add_done_callback(self._invocations.discard)
            headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP)
            headers[INVOCATION_ID] = invocation_id
            try:
                # Leaving this block, as the caller's leaving makes it, closes the connection to the worker.
                async with self._session.request(
                    request.method,
                    self._worker.address + request.raw_path,
                    headers=headers,
                    data=request.content if request.can_read_body else None,
                    allow_redirects=False,
                ) as answer:
                    response = web.StreamResponse(status=answer.status, reason=answer.reason)
                    response.headers.extend((k, v) for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP)
                    self._add_cors_headers(request, response)
                    await response.prepare(request)
                    async for data in answer.content.iter_any():
                        await response.write(data)
                    await response.write_eof()
                    return response
            finally:
                # If the caller left before the request was sent on, the runtime would wait for it for ever.
                asyncio.get_running_loop().call_later(_ABANDONED_SECONDS, invocation.cancel)

        return forward

    @web.middleware
    async def _cors(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            preflight = web.Response(status=204)
            if self._add_cors_headers(request, preflight):
                preflight.headers["Access-Control-Allow-Methods"] = request.headers["Access-Control-Request-Method"]
                preflight.headers["Access-Control-Allow-Headers"] = request.headers.get(
                    "Access-Control-Request-Headers", "*"
                )
                return preflight
        response: web.StreamResponse = await handler(request)
        return response

    def _add_cors_headers(self, request: web.Request, response: web.StreamResponse) -> bool:
        origin = request.headers.get("Origin")
        allowed = [entry.strip() for entry in self._settings.CORS.split(",") if entry.strip()]
        if not origin or not ("*" in allowed or origin in allowed):
            return False
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        if "*" not in allowed:
            response.headers["Vary"] = "Origin"
        if self._settings.CORSCredentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"
        return True


@web.middleware
async def _not_found(request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
    """To the real host the method is part of the route: a wrong one is a route not found."""
    try:
        response: web.StreamResponse = await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return web.Response(status=404)
    except aiohttp.ClientError:
        return web.Response(status=502)  # as the real host's forwarder says of a worker that went away
    return response


def _pattern(route: str) -> str:
    """A route template in aiohttp's form: `{name:int}` without its constraint, `{*rest}` as the rest of the path."""
    route = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route)
    return "/" + re.sub(r"\{\*+(\w+)\}", r"{\1:.*}", route)
