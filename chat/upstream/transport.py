"""The HTTP transport to the model server: httpx2's interface, aiohttp's connections.

The server is not trusted: nothing that arrives between two responses reaches a client, no cookie is stored, only a few
headers are passed on, and a body is read in bounded pieces. `docs/performance.md` compares it with other transports.
"""

import asyncio
import re
import select
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import cast, override

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection

from chat.errors import InvalidResponse

_MAX_ERROR_BYTES = 64 * 1024
"""A larger body of an error response is not read to its end, and counts as empty."""

_MAX_HEAD_BYTES = 256 * 1024
"""How much may arrive before a response has begun: aiohttp would read interim responses without end."""

_READ_BUFFER_BYTES = 32 * 1024
"""aiohttp stops reading from the socket when twice that much is unread."""

_SOCKET_BUFFER_BYTES = 64 * 1024
"""The kernel's buffer of a connection: as small as it can be without more CPU time for chunks in a burst."""

_MAX_PIECE_BYTES = 256 * 1024
"""How much of a request's body is written at once: other requests wait while it is encrypted."""

_TCP_KEEP_ALIVE_SECONDS = 60

_CONTENT_CODING = re.compile(r"[a-z-]{1,20}(?:, [a-z-]{1,20})?")

# All that the OpenAI SDK, this service and its clients read: no cookies, redirects or charset, for example.
_PASSED_ON_HEADERS = re.compile(rb"retry-after|retry-after-ms|x-request-id|x-ratelimit-.*", re.IGNORECASE)


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests, through the proxy with this URL if one is given; keeps idle connections for `keep_alive` seconds.

    A response with a status from 200 to 299 has an extension `read`: awaited, it returns the next bytes of the body, `b""`
    at its end, or raises `httpx2.ReadError`, or `InvalidResponse` if the body is encoded. Any other response has been read.
    """

    def __init__(self, *, proxy: str | None, connect_timeout: float, keep_alive: float) -> None:
        self._proxy = proxy
        self._connect_timeout = connect_timeout
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request and returns its response.

        Raises `httpx2.ConnectError` if the connection was refused, so that nothing has been sent, and `httpx2.ReadError` if
        it timed out, if there is no response, or if the body of an error response breaks off.
        """
        response = await self._send(request)
        body = _Body(response)
        headers = [(name, value) for name, value in response.raw_headers if _PASSED_ON_HEADERS.fullmatch(name)]
        if 200 <= response.status < 300:
            return httpx2.Response(
                response.status, headers=headers, stream=body, request=request, extensions={"read": body.read}
            )
        try:
            content = await _read_error(body) if response.status >= 300 else b""  # a status below 200 has no body
        finally:
            await body.aclose()
        return httpx2.Response(response.status, headers=headers, content=content, request=request)

    async def _send(self, request: httpx2.Request) -> "_Response":
        self._session = session = self._session or self._make_session()
        content = request.content
        while True:
            try:
                response = await session.request(
                    request.method,
                    str(request.url),
                    headers=request.headers,
                    data=content if len(content) <= _MAX_PIECE_BYTES else _pieces(content),
                    allow_redirects=False,
                )
                return cast("_Response", response)
            except _StaleConnection:
                continue  # nothing has been sent, and the pool has one connection fewer
            except aiohttp.ClientConnectorError as error:
                raise httpx2.ConnectError(type(error).__name__) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise httpx2.ReadError(type(error).__name__) from error

    @override
    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session:
            await self._session.close()

    def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # how many requests an instance serves at once is decided by the platform
                keepalive_timeout=self._keep_alive,
                ssl=httpx2.create_ssl_context(),
                socket_factory=_make_socket,
            ),
            request_class=_Request,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            proxy=self._proxy,
        )


class _StaleConnection(aiohttp.ClientConnectionError):
    """Data, or the end, has arrived on a connection after its last response: it does not belong to any request."""


class _Request(aiohttp.ClientRequest):
    """A request that is not sent on a reused connection on which data, or its end, has arrived since the last response."""

    @override
    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Called by aiohttp with a connection from its pool or a new one; raises `_StaleConnection`."""
        protocol, transport = conn.protocol, conn.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        guard = transport.get_protocol()
        if not isinstance(guard, _Guard):
            guard = _Guard(protocol, transport)
            transport.set_protocol(guard)
        elif protocol.should_close or _is_readable(transport):
            raise _StaleConnection
        guard.begin_request()
        conn.add_callback(guard.end_response)
        guard.response = response = cast("_Response", await super().send(conn))
        return response


class _Response(aiohttp.ClientResponse):
    """A response that can be read to the point where its connection ended."""

    _unread = b""

    @override
    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Receives the head, and aborts the connection after a status below 200: no request asks for another protocol."""
        transport = connection.transport
        await super().start(connection)
        if self.status < 200 and transport:
            transport.abort()
        return self

    @override
    def close(self) -> None:
        """Aborts the connection of an incomplete response: aiohttp would wait until the server has read the request."""
        if self.connection and self.connection.transport:
            self.connection.transport.abort()
        super().close()

    async def receive(self) -> bytes:
        """Returns the next bytes of the body, `b""` at its end; raises `httpx2.ReadError` if it breaks off."""
        if data := self._unread:
            self._unread = b""
            return data
        try:
            return await self.content.readany()
        except aiohttp.ClientError as error:
            raise httpx2.ReadError(type(error).__name__) from error

    def save_unread(self) -> None:
        """Saves what has not been read, before aiohttp handles the end of the connection and discards it."""
        if self.content.exception() is None:
            with suppress(RuntimeError):  # something is waiting for data: there is none
                while data := self.content.read_nowait():
                    self._unread += data

    def break_off(self) -> None:
        """Ends a pending read after that: aiohttp does not if it cannot parse the body."""
        if not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientPayloadError())


class _Guard(asyncio.BaseProtocol):
    """Wraps aiohttp's protocol, and aborts the connection if data arrives between two responses.

    aiohttp's pool ignores what arrives on an idle connection: if a server sends one response too many, the next client would
    receive it (https://github.com/aio-libs/aiohttp/issues/13656).
    """

    def __init__(self, protocol: ResponseHandler, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self._transport = transport
        self.response: _Response | None = None
        """The response to the last request."""
        self.data_received: Callable[[bytes], None]
        """What asyncio calls: an attribute, because a method that passes the data on would cost time for each chunk."""
        self._head_bytes = 0

    def begin_request(self) -> None:
        """Passes what arrives on to aiohttp, from before the request is sent."""
        self.response = None
        self._head_bytes = 0
        self.data_received = self._receive_head

    def end_response(self) -> None:
        """Passes nothing on; aiohttp calls this before the connection goes back to the pool or is closed."""
        self.data_received = self._abort

    def eof_received(self) -> None:
        self._protocol.eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        response = self.response
        if response and response.content:
            response.save_unread()
        self._protocol.connection_lost(exc)
        if response and response.content:
            response.break_off()

    @override
    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _receive_head(self, data: bytes) -> None:
        """Passes data on to aiohttp, and after the head, in all further calls, directly."""
        if self.response and self.response.content:
            self.data_received = self._protocol.data_received
        elif self._head_bytes > _MAX_HEAD_BYTES:
            self._transport.abort()
            return
        self._head_bytes += len(data)
        self._protocol.data_received(data)

    def _abort(self, _: bytes) -> None:
        self._transport.abort()


class _Body(httpx2.AsyncByteStream):
    """The body of a response."""

    def __init__(self, response: _Response) -> None:
        self._response = response
        self._content_coding = response.headers.get("Content-Encoding", "").strip().lower()
        self.read = self._reject if self._content_coding not in {"", "identity"} else response.receive

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    @override
    async def aclose(self) -> None:
        """Closes the connection if the body has not been received to its end."""
        self._response.close()

    async def _reject(self) -> bytes:
        coding = self._content_coding if _CONTENT_CODING.fullmatch(self._content_coding) else "unknown"
        raise InvalidResponse(f"a content coding although none was requested: {coding}")


async def _pieces(content: bytes) -> AsyncIterator[memoryview]:
    """The content in pieces, without a copy of it."""
    view = memoryview(content)
    for start in range(0, len(view), _MAX_PIECE_BYTES):
        yield view[start : start + _MAX_PIECE_BYTES]


async def _read_error(body: _Body) -> bytes:
    """The body of an error response; empty if it is too large or encoded."""
    received = b""
    try:
        while data := await body.read():
            received += data
            if len(received) > _MAX_ERROR_BYTES:
                return b""
    except InvalidResponse:
        return b""
    return received


def _is_readable(transport: asyncio.Transport) -> bool:
    sock = transport.get_extra_info("socket")
    if sys.platform == "win32":  # which has no poll; its select takes any socket
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _make_socket(address: AddrInfoType) -> socket.socket:
    """A socket whose idle connection is kept alive: Azure drops one after 4 minutes, and a proxy may sooner.

    One read returns what the kernel has: asyncio would read 256 KiB, a tenth of a second of tiny chunks.
    """
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _TCP_KEEP_ALIVE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _TCP_KEEP_ALIVE_SECONDS)
    return sock
