"""A worker without Microsoft's runtime, behind the local host."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress

from local.host import Host
from local.settings import HostSection
from local.worker import HttpFunction, Worker

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeWorker(Worker):
    """Records the invocations, and serves each connection with a function."""

    def __init__(self, functions: list[HttpFunction], serve: Serve) -> None:
        super().__init__("", functions, set())
        self.invocations: list[tuple[str, str, Mapping[str, str], str]] = []
        self.connections = 0
        self._serve = serve

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, until the function has returned or the host disconnects."""
        self.connections += 1
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._serve(reader, writer)

    async def invoke(
        self, function: HttpFunction, invocation_id: str, route_params: Mapping[str, str], trace_parent: str = ""
    ) -> None:
        self.invocations.append((function.name, invocation_id, route_params, trace_parent))


@asynccontextmanager
async def hosting(
    serve: Serve,
    *functions: HttpFunction,
    homepage: str | None = None,
    **settings: object,
) -> AsyncGenerator[tuple[int, FakeWorker]]:
    """A host in front of a fake worker; yields its port and the worker."""
    worker = FakeWorker(list(functions) or [function("any", "{*path}")], serve)
    server = await asyncio.start_server(worker.connected, "127.0.0.1", 0)
    worker.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    host = Host(worker, "api", HostSection.model_validate(settings), homepage=homepage)
    url = await host.start(0)
    try:
        yield int(url.rpartition(":")[2]), worker
    finally:
        await host.stop()
        server.close()
        server.close_clients()
        await server.wait_closed()


def function(name: str, route: str, *methods: str) -> HttpFunction:
    """A function with an HTTP trigger."""
    return HttpFunction(name, name, route, methods, "req")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Responds with the request as it was received."""
    head = await reader.readuntil(b"\r\n\r\n")
    body = b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            body = await reader.readexactly(int(line.partition(b":")[2]))
    content = head + body
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))
    await writer.drain()


@asynccontextmanager
async def connection(port: int) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        yield reader, writer


async def exchange(port: int, request: bytes) -> bytes:
    """Sends a request, with a Host header, on a connection of its own, and returns everything that comes back."""
    line, _, rest = request.partition(b"\r\n")
    async with connection(port) as (reader, writer), asyncio.timeout(10):
        writer.write(line + b"\r\nHost: localhost\r\nConnection: close\r\n" + rest)
        return await reader.read()
