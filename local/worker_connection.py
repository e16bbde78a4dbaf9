"""A connection to the worker's web server, for one request and its response."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import h11

_READ_BYTES = 65536
_MAX_HEADER_BYTES = 65536  # of a response; SocketsHttpHandler's default


class WorkerConnection:
    """One request and its response over a connection of its own, so that no response can reach another client.

    It uses a plain socket. An asyncio transport discards what it has received when a write fails, and a worker that responds
    before it has read the request's body makes writes fail.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEADER_BYTES)
        self._sending: asyncio.Task[None] | None = None
        self.body_error: Exception | None = None

    async def send_head(self, address: str, method: str, target: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Connects to the address and sends the head of a request.

        Raises `OSError` if that fails, and `h11.LocalProtocolError` if HTTP does not allow the head.
        """
        url = urlsplit(address)
        head = self._http.send(h11.Request(method=method, target=target, headers=[(b"Host", url.netloc.encode()), *headers]))
        await self._loop.sock_connect(self._socket, (url.hostname, url.port))
        await self._send(head)

    def send_body(self, parts: AsyncIterator[bytes]) -> None:
        """Starts sending the request's body, for as long as the worker takes it.

        If the parts end with an exception, it becomes `body_error`, and the connection is shut down.
        """
        self._sending = asyncio.create_task(self._send_parts(parts))

    async def response(self) -> h11.Response | h11.InformationalResponse:
        """Receives the head of a response; raises `OSError`, and `h11.RemoteProtocolError` if there is none."""
        while not isinstance(event := self._http.next_event(), h11.Response | h11.InformationalResponse):
            await self._receive()
        return event

    async def body(self) -> AsyncIterator[bytes]:
        """The response's body in parts as they are received; raises `OSError`, and `h11.RemoteProtocolError` if cut off."""
        while True:
            parts = []
            while isinstance(event := self._http.next_event(), h11.Data):
                parts.append(event.data)
            if parts:
                yield b"".join(parts)
            if isinstance(event, h11.EndOfMessage):
                return
            await self._receive()

    async def close(self) -> None:
        """Closes the connection when the request's body is no longer being sent, even if it is cancelled while it waits."""
        if not self._sending:
            self._socket.close()
            return
        # Not before: the event loop would still watch the socket's file descriptor.
        self._sending.add_done_callback(lambda _: self._socket.close())
        self._sending.cancel()
        await asyncio.wait({self._sending})

    async def _send_parts(self, parts: AsyncIterator[bytes]) -> None:
        try:
            async for part in parts:
                await self._send(self._http.send(h11.Data(data=part)))
            await self._send(self._http.send(h11.EndOfMessage()))
        except OSError:
            pass  # the worker has closed the connection; its response may still have to be read
        except Exception as error:
            self.body_error = error
            with suppress(OSError):  # not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _send(self, data: bytes | None) -> None:
        await self._loop.sock_sendall(self._socket, data or b"")

    async def _receive(self) -> None:
        self._http.receive_data(await self._loop.sock_recv(self._socket, _READ_BYTES))
