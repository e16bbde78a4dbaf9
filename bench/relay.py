"""The lower bound: relays bytes between a client and the model server without parsing them."""

import asyncio
import sys


class _Side(asyncio.Protocol):
    """One of a relay's two connections: what it receives, the other sends."""

    def __init__(self, other: "_Side | None" = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other:
            transport.write(self.other.early)
        else:
            self.other = other = _Side(self)
            loop = asyncio.get_running_loop()
            self.opening = loop.create_task(loop.create_connection(lambda: other, "127.0.0.1", int(sys.argv[2])))

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self.early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.other and self.other.transport:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Side, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
