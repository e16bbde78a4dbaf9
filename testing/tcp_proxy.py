"""A proxy for TCP connections that can be stopped, as if the server behind it were gone."""

import asyncio
from contextlib import suppress
from typing import Self


class TcpProxy:
    """Forwards connections to `target`, a host and a port."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._port = 0
        self._server: asyncio.Server
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, target: str) -> Self:
        """Listens on any free port of this machine."""
        proxy = cls(target)
        await proxy.restart()
        return proxy

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Refuses connections, and closes those that are open."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def restart(self) -> None:
        """Listens again, on the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.partition(":")
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        try:
            with suppress(ConnectionError):
                await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
        finally:
            writer.close()
            server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
