"""A fake model server that behaves as each test specifies: like OpenAI and Azure, and with every fault."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, override

from testing.http_connection import LAST_HTTP_CHUNK, Connection, Received, http_chunk

type Behaviour = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request and the response to it. `closed` is set when the client has closed the connection."""

    def __init__(self, request: Received, connection: Connection) -> None:
        self.request = request
        self.closed = connection.closed
        self.finished = False
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Sends these bytes as they are; raises `ConnectionResetError` if the connection is closed."""
        self._connection.transport.write(data)
        await self._connection.drain()

    async def begin(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        """Sends the head of a response whose body is chunked."""
        fields = {"content-type": content_type, "transfer-encoding": "chunked"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """Sends a piece of the body, as one packet if the network allows it."""
        await self.send(http_chunk(data))

    async def end(self) -> None:
        """Ends the body as HTTP specifies, so that the connection can be reused."""
        self.finished = True
        await self.send(LAST_HTTP_CHUNK)

    async def respond(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        """Sends a complete response."""
        await self.begin(status, content_type, **headers)
        if body:
            await self.chunk(body)
        await self.end()

    def close(self) -> None:
        """Closes the connection with a FIN."""
        self._connection.transport.close()

    def reset(self) -> None:
        """Closes the connection with a RST."""
        sock = self._connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.transport.abort()

    async def wait_closed(self) -> None:
        """Sends nothing until the client closes the connection."""
        await self.closed.wait()


class _Connection(Connection):
    """Responds to one request after another."""

    def __init__(self, server: "ModelServer") -> None:
        super().__init__()
        self._server = server
        self._turn = asyncio.Lock()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections += 1

    @override
    def request_received(self, request: Received) -> None:
        self._server.start_task(self._respond(Exchange(request, self)))

    async def _respond(self, exchange: Exchange) -> None:
        try:
            async with self._turn:
                await self._server.respond(exchange)
        except ConnectionError:
            exchange.close()


class ModelServer:
    """Listens on a port of this machine; each request takes the next behaviour, the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.open_exchanges = 0
        self._behaviours: list[Behaviour] = []
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._arrived = asyncio.Condition()

    @classmethod
    async def start(cls, port: int = 0) -> Self:
        """A server that listens on a port, by default on any free one."""
        server = cls()
        loop = asyncio.get_running_loop()
        server._server = await loop.create_server(lambda: _Connection(server), "127.0.0.1", port)
        return server

    @property
    def url(self) -> str:
        """Its address, without a path."""
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    def respond_with(self, *behaviours: Behaviour) -> None:
        """Sets the behaviours for the requests that follow."""
        self._behaviours = list(behaviours)

    async def stop(self) -> None:
        """Closes the port and every connection."""
        self._server.close()
        self._server.close_clients()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def arrived(self, count: int = 1) -> Exchange:
        """Waits until that many requests have arrived, and returns the last exchange."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.exchanges) >= count)
        return self.exchanges[-1]

    async def idle(self) -> None:
        """Waits until no response is under way."""
        await self._idle.wait()

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts a task that ends with the server."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def respond(self, exchange: Exchange) -> None:
        """Responds to a request with the next behaviour."""
        self.requests.append(exchange.request)
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        self.open_exchanges += 1
        self._idle.clear()
        try:
            async with self._arrived:
                self.exchanges.append(exchange)
                self._arrived.notify_all()
            await behaviour(exchange)
            if not exchange.finished:  # this connection cannot carry another response
                exchange.close()
                await exchange.closed.wait()
        finally:
            self.open_exchanges -= 1
            if not self.open_exchanges:
                self._idle.set()
