"""The transport on sockets: a connection on which anything arrived after its response carries no other response.

The faults test the same through the whole stack; here the order in which packets arrive is known.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import httpx2
import pytest

from chat.transport import AiohttpTransport

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray"
STRAYS = {
    "a response": RESPONSE,
    "three responses": RESPONSE * 3,
    "the head of a response": RESPONSE.removesuffix(b"stray"),
    "half a head": RESPONSE[:25],
    "101 without Upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a line break": b"\r\n",
}
each_stray = pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)


class Server:
    """Sends the first byte of each response, which is its number; the test sends the second one and what follows."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.closed = asyncio.Event()
        self._numbers = count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while await reader.readuntil(b"{}"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n%d" % next(self._numbers))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


class Client:
    """Sends requests through one transport."""

    def __init__(self, server: Server, transport: AiohttpTransport, url: str) -> None:
        self._server = server
        self._transport = transport
        self._url = url

    async def request(self, stray: bytes = b"") -> bytes:
        """Returns the response's body; the server sends `stray` in one packet with its end."""
        response = await self._transport.handle_async_request(httpx2.Request("POST", self._url, content=b"{}"))
        read = response.extensions["read"]
        received: bytes = await read()
        self._server.writers[-1].write(b"." + stray)
        while data := await read():
            received += data
        await response.aclose()
        return received


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    transport = AiohttpTransport(proxy=None, connect_timeout=5, keep_alive=60)
    yield Client(server, transport, f"http://{host}:{port}/")
    await transport.aclose()
    listener.close()


async def test_connection_is_reused(server: Server, client: Client) -> None:
    assert [await client.request() for _ in range(3)] == [b"1.", b"2.", b"3."]
    assert len(server.writers) == 1


@each_stray
async def test_bytes_in_one_packet_with_a_response_reach_no_other(client: Client, stray: bytes) -> None:
    assert [await client.request(stray), await client.request()] == [b"1.", b"2."]


@each_stray
async def test_bytes_on_an_idle_connection_close_it(server: Server, client: Client, stray: bytes) -> None:
    assert await client.request() == b"1."
    server.writers[0].write(stray)
    async with asyncio.timeout(5):
        await server.closed.wait()
    assert await client.request() == b"2."


@each_stray
async def test_connection_with_bytes_still_in_the_kernel_is_not_reused(server: Server, client: Client, stray: bytes) -> None:
    assert await client.request() == b"1."
    server.writers[0].write(stray)  # at once; the event loop does not read before the next request
    assert await client.request() == b"2."
    assert len(server.writers) == 2


async def test_closed_connection_is_not_reused(server: Server, client: Client) -> None:
    assert await client.request() == b"1."
    server.writers[0].write_eof()
    assert await client.request() == b"2."
    assert len(server.writers) == 2
