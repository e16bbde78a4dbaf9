"""The transport on sockets: what arrives after a response reaches no other, and what arrives before an end is not lost.

The faults test the same through the whole stack; here the order in which packets arrive is known.
"""

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2
import pytest

from chat.errors import InvalidResponse
from chat.upstream.transport import AiohttpTransport
from testing.certificate import write_certificate
from testing.client import KEY

type Read = Callable[[], Awaitable[bytes]]

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
        self.head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
        self._numbers = count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while await reader.readuntil(b"{}"):
                writer.write(self.head + b"%d" % next(self._numbers))
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

    async def begin(self, content: bytes = b"{}") -> httpx2.Response:
        """Returns a response of which the first byte has been sent."""
        return await self._transport.handle_async_request(httpx2.Request("POST", self._url, content=content))

    async def request(self, stray: bytes = b"", content: bytes = b"{}") -> bytes:
        """Returns the response's body; the server sends `stray` in one packet with its end."""
        response = await self.begin(content=content)
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
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**25)
    host, port = listener.sockets[0].getsockname()
    transport = AiohttpTransport(proxy=None, connect_timeout=5, keep_alive=60)
    yield Client(server, transport, f"http://{host}:{port}/")
    await transport.aclose()
    listener.close()


async def test_connection_is_reused(server: Server, client: Client) -> None:
    assert [await client.request() for _ in range(3)] == [b"1.", b"2.", b"3."]
    assert len(server.writers) == 1


async def test_interim_responses_count_for_one_response_only(server: Server, client: Client) -> None:
    server.head = b"HTTP/1.1 100 Continue\r\n\r\n" * 4000 + server.head
    assert [await client.request() for _ in range(4)] == [b"1.", b"2.", b"3.", b"4."]
    assert len(server.writers) == 1


async def test_one_read_returns_little_of_much_data_that_has_arrived(server: Server, client: Client) -> None:
    """What one read returns is handled at once, while other requests wait."""
    server.head = b"HTTP/1.1 200 OK\r\ncontent-length: 16777218\r\n\r\n"
    response = await client.begin()
    read = response.extensions["read"]
    sizes = [len(await read())]
    server.writers[-1].write(b"." + bytes(16 * 1024 * 1024))
    while data := await read():
        sizes.append(len(data))
    assert sum(sizes) == 16 * 1024 * 1024 + 2
    assert max(sizes) <= 160 * 1024
    await response.aclose()


@pytest.mark.parametrize(
    ("coding", "shown"),
    [("gzip", "gzip"), ("GZIP, br", "gzip, br"), (KEY, "unknown"), ("x" * 99, "unknown"), ("host.example", "unknown")],
)
async def test_encoded_body_is_rejected(server: Server, client: Client, coding: str, shown: str) -> None:
    server.head = f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: {coding}\r\n\r\n".encode()
    response = await client.begin()
    with pytest.raises(InvalidResponse) as raised:
        await response.extensions["read"]()
    assert raised.value.reason == f"invalid response: a content coding although none was requested: {shown}"
    await response.aclose()


async def test_response_during_the_upload_is_received(server: Server, client: Client) -> None:
    assert await client.request() == b"1."
    assert await client.request(content=b"{}" + bytes(16 * 1024 * 1024)) == b"2."
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


@pytest.mark.parametrize("status", ["101 Switching Protocols", "099 Whatever"])
async def test_connection_is_not_reused_after_a_status_below_200(server: Server, client: Client, status: str) -> None:
    server.head = f"HTTP/1.1 {status}\r\n\r\n".encode()
    with suppress(httpx2.HTTPError):
        assert (await client.begin()).status_code == int(status[:3])
    server.head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    assert await client.request() == b"2."
    assert len(server.writers) == 2


async def test_closed_connection_is_not_reused(server: Server, client: Client) -> None:
    assert await client.request() == b"1."
    server.writers[0].write_eof()
    assert await client.request() == b"2."
    assert len(server.writers) == 2


class Connection:
    """A connection that the server has accepted; the test reads and writes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def received(self) -> int:
        """Reads until the client has closed the connection, and returns how many bytes it sent."""
        count = 0
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while data := await self.reader.read(65536):
                    count += len(data)
        return count


class Exchanges:
    """Requests through one transport, and the connections on which they arrive."""

    def __init__(self, transport: AiohttpTransport, url: str, accepted: asyncio.Queue[Connection]) -> None:
        self.responses: list[httpx2.Response] = []
        self._transport = transport
        self._url = url
        self._accepted = accepted

    async def accept(self, content: bytes) -> tuple[asyncio.Task[httpx2.Response], Connection]:
        """Starts a request and accepts its connection."""
        request = httpx2.Request("POST", self._url, content=content)
        return asyncio.create_task(self._transport.handle_async_request(request)), await self._accepted.get()

    async def begin(self) -> tuple[Read, Connection]:
        """Sends a request and the head of a chunked response, and returns what reads the body."""
        task, connection = await self.accept(b"{}")
        await connection.reader.readuntil(b"{}")
        connection.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        response = await task
        self.responses.append(response)
        return response.extensions["read"], connection


@pytest.fixture(params=["http", "https"])
async def exchanges(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Exchanges]:
    context = None
    if request.param == "https":
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        write_certificate(certificate, key)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        accepted.put_nowait(Connection(reader, writer))

    sock = socket.create_server(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel takes a whole request
    listener = await asyncio.start_server(accept, sock=sock, ssl=context)
    port = sock.getsockname()[1]
    transport = AiohttpTransport(proxy=None, connect_timeout=5, keep_alive=60)
    exchanges = Exchanges(transport, f"{request.param}://localhost:{port}/", accepted)
    yield exchanges
    for response in exchanges.responses:
        await response.aclose()
    await transport.aclose()
    for writer in writers:
        writer.transport.abort()
    listener.close()


PIECE = b"x" * 1000
ENCODED_PIECE = b"3e8\r\n%b\r\n" % PIECE

few_or_many = pytest.mark.parametrize("count", [3, 160])  # 160 are more than aiohttp reads in advance


async def read_slowly(read: Read) -> AsyncIterator[bytes]:
    """Reads to the end; between any two reads the connection goes on."""
    async with asyncio.timeout(5):
        while data := await read():
            yield data
            for _ in range(10):
                await asyncio.sleep(0)


@few_or_many
async def test_slow_reader_receives_all_of_a_response_whose_connection_is_closed(exchanges: Exchanges, count: int) -> None:
    read, connection = await exchanges.begin()
    connection.writer.write(ENCODED_PIECE * count + b"0\r\n\r\n")
    connection.writer.close()
    assert b"".join([data async for data in read_slowly(read)]) == PIECE * count


@few_or_many
async def test_slow_reader_receives_all_that_arrived_before_the_error(exchanges: Exchanges, count: int) -> None:
    read, connection = await exchanges.begin()
    connection.writer.write(ENCODED_PIECE * count)
    connection.writer.close()
    if count == 3:
        await connection.received()
    reader = read_slowly(read)
    received = b""
    while len(received) < len(PIECE) * count:
        received += await anext(reader)
    assert received == PIECE * count
    with pytest.raises(httpx2.ReadError):
        await anext(reader)


async def test_closed_response_is_not_held(exchanges: Exchanges) -> None:
    read, connection = await exchanges.begin()
    connection.writer.write(ENCODED_PIECE)
    assert await read() == PIECE
    response = weakref.ref(read.__self__)  # type: ignore[attr-defined]
    del read
    await exchanges.responses.pop().aclose()
    await connection.received()
    gc.collect()
    assert response() is None


@pytest.mark.parametrize("waiting", [True, False])
async def test_malformed_chunk_ends_the_response(exchanges: Exchanges, waiting: bool) -> None:
    read, connection = await exchanges.begin()
    connection.writer.write(ENCODED_PIECE)
    assert await read() == PIECE
    reading = asyncio.ensure_future(read())
    if waiting:
        await asyncio.sleep(0)
    connection.writer.write(b"zz\r\n")
    await connection.received()
    async with asyncio.timeout(5):
        with pytest.raises(httpx2.ReadError):
            await reading


async def test_cancelled_upload_ends_at_once(exchanges: Exchanges) -> None:
    content = bytes(16 * 1024 * 1024)  # more than the kernel's buffers take
    task, connection = await exchanges.accept(content)
    assert await connection.reader.read(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await connection.received() < len(content)


async def test_only_headers_that_somebody_reads_are_passed_on(server: Server, client: Client) -> None:
    sent = b"X-RateLimit-Reset-Tokens: 6m0s\r\nretry-after: 5\r\nset-cookie: a=b\r\nlocation: /\r\nx-request-id: r\r\n"
    server.head = b"HTTP/1.1 429 Slow\r\ncontent-length: 1\r\n%b\r\n" % sent
    response = await client.begin()
    assert response.headers.items() >= {"x-ratelimit-reset-tokens": "6m0s", "retry-after": "5", "x-request-id": "r"}.items()
    assert not {"set-cookie", "location"} & response.headers.keys()
