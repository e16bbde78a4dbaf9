"""A fake model server over raw sockets that behaves as each test specifies: like OpenAI and Azure, and with every fault."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

type Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """A request as received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Exchange:
    """One request and the response to it. `closed` is set when the client has closed the connection."""

    def __init__(self, request: Received, writer: asyncio.StreamWriter, closed: asyncio.Event) -> None:
        self.request = request
        self.closed = closed
        self.finished = False
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Sends these bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def begin(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        """Sends the head of a response whose body is chunked."""
        fields = {"content-type": content_type, "transfer-encoding": "chunked"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """Sends a piece of the body, as one packet if the network allows it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """Ends the body as HTTP specifies, so that the connection can be reused."""
        self.finished = True
        await self.send(b"0\r\n\r\n")

    async def respond(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        """Sends a complete response."""
        await self.begin(status, content_type, **headers)
        if body:
            await self.chunk(body)
        await self.end()

    def close(self) -> None:
        """Closes the connection with a FIN."""
        self._writer.close()

    def reset(self) -> None:
        """Closes the connection with a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Sends nothing until the client closes the connection."""
        await self.closed.wait()


class _Reader(asyncio.StreamReader):
    """Sets `closed` at the end of the connection, whether or not anything reads from it."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    def feed_eof(self) -> None:
        self.closed.set()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self.closed.set()
        super().set_exception(exc)


class ModelServer:
    """Listens on a free port of this machine; each request takes the next behaviour, the last one again and again."""

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
        server._server = await loop.create_server(
            lambda: asyncio.StreamReaderProtocol(_Reader(), server._serve), "127.0.0.1", port
        )
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        assert isinstance(reader, _Reader)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while request := await _read_request(reader):
                await self._respond(Exchange(request, writer, reader.closed))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _respond(self, exchange: Exchange) -> None:
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


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)
