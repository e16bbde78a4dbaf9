"""A Functions host for HTTP triggers: serves a worker's functions over HTTP, streaming both ways.

It follows azure-functions-host (`GrpcWorkerChannel`, `DefaultHttpProxyService`), the forwarder that this uses (YARP), and
Kestrel, in what the app and its clients depend on. What is different:

- Function keys are not checked, as with `func start`. A request must name this machine in its Host header.
- `/` redirects to the given homepage; on Azure it is the platform's.
- Triggers other than HTTP, the admin API, optional parameters and constraints in routes, HTTP/2, and the limits on a body's
  size and on a request's time are missing.
- A response without a media type gets `application/octet-stream`.
- A worker that cannot be reached is a 502 at once, not after ten attempts.
- An invocation that has not ended 5 seconds after its response is cancelled.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from secrets import token_hex
from socket import create_server, socket
from uuid import uuid4

import h11
from aiohttp import web

from local.routes import decode_path, encode_path, pattern
from local.settings import HostSection
from local.worker import HttpFunction, Worker
from local.worker_connection import WorkerConnection

_ABANDONED_SECONDS = 5
_DRAIN_SECONDS = 5  # Kestrel's RequestBodyDrainTimeout
_STOP_SECONDS = 0.05
_MAX_HEADER_BYTES = 32768  # cookies for localhost add up, since all ports share them

_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d*)?", re.IGNORECASE)

# What belongs to one connection, so that YARP does not copy it; and what a request gets instead of the client's values.
_CONNECTION_HEADERS = frozenset(
    b"alpn alt-svc close connection http2-settings keep-alive proxy-authenticate proxy-authentication-info "
    b"proxy-authorization proxy-connection proxy-features proxy-instruction security-scheme te upgrade "
    b"upgrade-insecure-requests".split()
)
_REPLACED_HEADERS = frozenset(
    b"host traceparent x-forwarded-for x-forwarded-host x-forwarded-prefix x-forwarded-proto x-ms-invocation-id".split()
)

_logger = logging.getLogger(__name__)


class Host:
    """Serves a worker's functions below a route prefix. `homepage` is the path that `/` redirects to.

    It logs each request below the prefix that no function handles.
    """

    def __init__(self, worker: Worker, prefix: str, settings: HostSection, *, homepage: str | None = None) -> None:
        self._worker = worker
        self._prefix = prefix
        self._origins = {origin.strip() for origin in settings.CORS.split(",") if origin.strip()}
        self._homepage = homepage
        self._routes = [(pattern(prefix, function.route), function) for function in worker.functions]
        self._invocations: set[asyncio.Task[None]] = set()
        self._runner: web.ServerRunner

    async def start(self, port: int | socket) -> str:
        """Listens on a port of this machine (any free one for 0), or on a bound socket, and returns the base address."""
        listener = port if isinstance(port, socket) else create_server(("127.0.0.1", port))
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            lingering_time=0,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        """Stops listening and closes all connections."""
        await self._runner.cleanup()
        for invocation in self._invocations:
            invocation.cancel()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Responds to a request, and closes the connection unless the request has been received to its end."""
        response = await self._respond(request)
        unread = not request.content.is_eof()
        with suppress(ConnectionError):
            if not response.prepared:
                if unread:
                    response.force_close()
                response.headers.extend(self._cors_headers(request))
                await response.prepare(request)
            await response.write_eof()
            if unread:
                await _discard_body(request)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """The host's own response, not sent yet, or the worker's, which has been sent."""
        if not _THIS_MACHINE.fullmatch(request.headers.get("Host", "")):
            return web.Response(status=403, text="The Host header must be localhost, 127.0.0.1 or [::1].\n")
        if self._is_preflight(request):
            return web.Response(status=204)
        path, mark, query = request.raw_path.partition("?")
        path = decode_path(path)
        if self._homepage and request.method == "GET" and path in {"/", f"{self._homepage}/"}:
            return web.Response(status=307, headers={"Location": self._homepage + mark + query})
        for route, function in self._routes:
            match = route.fullmatch(path)
            if match and (not function.methods or request.method in function.methods):
                params = {name: value for name, value in match.groupdict().items() if value is not None}
                return await self._forward(request, function, params, encode_path(path) + mark + query)
        if path.startswith(f"/{self._prefix}/"):
            _logger.info("404  no function for %s %s", request.method, encode_path(path))
        return web.Response(status=404)  # for a wrong method, too: it is part of the route

    async def _forward(
        self, request: web.BaseRequest, function: HttpFunction, params: dict[str, str], target: str
    ) -> web.StreamResponse:
        """Starts an invocation, forwards the request to the worker, and sends the worker's response."""
        invocation_id = str(uuid4())
        trace_parent = request.headers.get("traceparent") or f"00-{token_hex(16)}-{token_hex(8)}-00"
        connection = WorkerConnection()
        invocation = response = None
        try:
            headers = _request_headers(request, invocation_id, trace_parent)
            await connection.send_head(self._worker.address, request.method, target, headers)
            invocation = self._invoke(function, invocation_id, params, trace_parent)
            connection.send_body(_body(request))
            while isinstance(head := await connection.response(), h11.InformationalResponse):
                if head.status_code == 100 and request.transport:
                    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            response = web.StreamResponse(status=head.status_code, reason=head.reason.decode("latin-1"))
            response.headers.extend(_response_headers(head))
            response.headers.extend(self._cors_headers(request))
            if not request.content.is_eof():
                response.force_close()
            await response.prepare(request)
            async for part in connection.body():
                await response.write(part)
            await response.write_eof()
            return response
        except h11.LocalProtocolError:
            return _failed(request, response, 400)
        except (OSError, h11.RemoteProtocolError):
            return _failed(request, response, 400 if connection.body_error else 502)
        finally:
            if invocation:
                # If the worker rejected the request, the runtime would wait for it forever.
                asyncio.get_running_loop().call_later(_ABANDONED_SECONDS, invocation.cancel)
            await connection.close()

    def _invoke(
        self, function: HttpFunction, invocation_id: str, params: dict[str, str], trace_parent: str
    ) -> asyncio.Task[None]:
        invocation = asyncio.create_task(self._worker.invoke(function, invocation_id, params, trace_parent))
        self._invocations.add(invocation)
        invocation.add_done_callback(self._invocations.discard)
        return invocation

    def _is_preflight(self, request: web.BaseRequest) -> bool:
        return bool(
            self._origins
            and request.method == "OPTIONS"
            and "Origin" in request.headers
            and "Access-Control-Request-Method" in request.headers
        )

    def _cors_headers(self, request: web.BaseRequest) -> dict[str, str]:
        """What allows a page of the request's origin to read the response."""
        origin = request.headers.get("Origin")
        if not origin or not self._origins & {origin, "*"}:
            return {}
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self._is_preflight(request):
            headers["Access-Control-Allow-Methods"] = request.headers["Access-Control-Request-Method"]
            headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
        return headers


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The request's body as it is received; raises `web.RequestPayloadError` if it is malformed."""
    while part := await request.content.readany():
        yield part


async def _discard_body(request: web.BaseRequest) -> None:
    """Reads what the client is still sending, for a limited time.

    Closing the connection at once would reset it, and the client could lose the response.
    """
    if request.transport and request.transport.can_write_eof():
        request.transport.write_eof()
    with suppress(TimeoutError, web.RequestPayloadError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await request.content.readany():
                pass


def _failed(request: web.BaseRequest, response: web.StreamResponse | None, status: int) -> web.StreamResponse:
    """The error response; a response that has begun is cut off instead."""
    if not response:
        return web.Response(status=status)
    if request.transport:
        request.transport.abort()
    return response


def _request_headers(request: web.BaseRequest, invocation_id: str, trace_parent: str) -> list[tuple[bytes, bytes]]:
    removed = _CONNECTION_HEADERS | _REPLACED_HEADERS
    return [
        *((name, value) for name, value in request.raw_headers if name.lower() not in removed),
        (b"traceparent", trace_parent.encode()),
        (b"X-Forwarded-For", (request.remote or "").encode()),
        (b"X-Forwarded-Host", request.headers["Host"].encode()),
        (b"X-Forwarded-Proto", b"http"),
        (b"x-ms-invocation-id", invocation_id.encode()),
    ]


def _response_headers(head: h11.Response) -> list[tuple[str, str]]:
    removed = _CONNECTION_HEADERS | {b"transfer-encoding"}  # aiohttp sets its own
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers if name not in removed]
