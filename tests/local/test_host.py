"""The local host: what a client notices of it, and what the worker receives."""

import asyncio
import gzip
import logging
import re
from contextlib import closing, suppress

import pytest

from local import host as host_module
from testing.behaviours import streams
from testing.chat_completions import OPENAI
from testing.client import QUESTION, Service
from testing.model_server import ModelServer
from tests.local.fake_worker import connection, echo, exchange, function, hosting

GET = b"GET /api/f HTTP/1.1\r\n"
CRLF = b"\r\n"


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def headers(message: bytes) -> dict[str, str]:
    """The headers of a request or response, with lower-case names; the last one of each."""
    lines = message.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def echoed(response: bytes) -> bytes:
    """The request that the worker has received."""
    assert status(response) == 200, response
    return response.partition(b"\r\n\r\n")[2]


async def reads_head(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def test_routes_by_path_and_method() -> None:
    functions = [
        function("get", "things", "GET"),
        function("post", "things", "POST"),
        function("one", "things/{id}", "GET"),
        function("rest", "files/{*path}"),
    ]
    async with hosting(echo, *functions) as (port, worker):
        for method, path, name, params in [
            ("GET", "/api/things?a=%20b", "get", {}),
            ("POST", "/api/things", "post", {}),
            ("POST", "/API/Things/", "post", {}),
            ("GET", "/api/things/7", "one", {"id": "7"}),
            ("GET", "/api/things/a%2Fb%20%C3%A9", "one", {"id": "a%2Fb é"}),
            ("GET", "/api/things/x%2e", "one", {"id": "x."}),
            ("PATCH", "/api/files/a//b.txt", "rest", {"path": "a//b.txt"}),
            ("HEAD", "/api/files", "rest", {}),
        ]:
            assert status(await exchange(port, f"{method} {path} HTTP/1.1\r\n\r\n".encode())) == 200, path
            assert worker.invocations[-1][0] == name
            assert worker.invocations[-1][2] == params
        for method, path in [
            ("PUT", "/api/things"),
            ("HEAD", "/api/things"),
            ("OPTIONS", "/api/things"),
            ("GET", "/things"),
            ("GET", "/api//things"),
            ("GET", "//api/things"),
            ("GET", "/api/things//"),
            ("GET", "/api/things/7/8"),
            ("GET", "/api%2Fthings"),
            ("GET", "/"),
        ]:
            assert status(await exchange(port, f"{method} {path} HTTP/1.1\r\n\r\n".encode())) == 404, path


async def test_forwards_the_path_as_yarp_encodes_it() -> None:
    async with hosting(echo) as (port, _):
        request = echoed(await exchange(port, b"GET /api/a%2Fb/%C3%A9/x%2Dy?c=%20d&e=/ HTTP/1.1\r\n\r\n"))
    assert request.startswith(b"GET /api/a%252Fb/%C3%A9/x-y?c=%20d&e=/ HTTP/1.1\r\n")


async def test_a_wrong_method_of_the_app_is_a_route_not_found(service: Service) -> None:
    for method, path in [("PUT", "/api/chat"), ("DELETE", "/api/chat"), ("POST", "/chat"), ("POST", "/api/nothing")]:
        async with service.session.request(method, service.url + path) as response:
            assert response.status == 404


@pytest.mark.parametrize("path", [b"/", b"/api/chat/"])
async def test_redirects_to_the_homepage(path: bytes) -> None:
    async with hosting(echo, homepage="/api/chat") as (port, worker):
        response = await exchange(port, b"GET " + path + b"?code=a%20b HTTP/1.1\r\n\r\n")
    assert (status(response), headers(response)["location"]) == (307, "/api/chat?code=a%20b")
    assert worker.connections == 0


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"Host: localhost", True),
        (b"Host: localhost:7071", True),
        (b"Host: LOCALHOST", True),
        (b"Host: 127.0.0.1:7071", True),
        (b"Host: [::1]", True),
        (b"Host: [::1]:7071", True),
        (b"Host: attacker.example", False),
        (b"Host: attacker.example:7071", False),
        (b"Host: localhost.attacker.example", False),
        (b"Host: attacker.example/localhost", False),
        (b"Host: localhost:7071@attacker.example", False),
        (b"Host: 0.0.0.0:7071", False),
        (b"Host:", False),
        (b"X-Forwarded-Host: localhost", False),
    ],
)
async def test_serves_only_requests_that_name_this_machine(host: bytes, allowed: bool) -> None:
    # HTTP/1.0, because HTTP/1.1 requires a Host header anyway.
    async with hosting(echo) as (port, worker), connection(port) as (reader, writer):
        writer.write(b"GET /api/f HTTP/1.0\r\n" + host + b"\r\n\r\n")
        assert status(await reader.read()) == (200 if allowed else 403)
    assert worker.connections == (1 if allowed else 0)


PREFLIGHT = (
    b"OPTIONS /api/f HTTP/1.1\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
)
ALLOW_ORIGIN, ALLOW_HEADERS = "access-control-allow-origin", "access-control-allow-headers"


@pytest.mark.parametrize(("origin", "allowed"), [("https://good.example", True), ("https://evil.example", False)])
async def test_cors_allows_the_origins_of_the_settings(origin: str, allowed: bool) -> None:
    line = f"Origin: {origin}\r\n\r\n".encode()
    async with hosting(echo, CORS="https://other.example, https://good.example") as (port, worker):
        preflight = await exchange(port, PREFLIGHT + line)
        assert status(preflight) == 204
        assert worker.connections == 0
        response = await exchange(port, GET + line)
        missing = await exchange(port, b"GET /nothing HTTP/1.1\r\n" + line)
    for message in (preflight, response, missing):
        assert headers(message).get(ALLOW_ORIGIN) == (origin if allowed else None)
    assert headers(preflight).get(ALLOW_HEADERS) == ("content-type" if allowed else None)


async def test_cors_allows_no_origin_by_default() -> None:
    async with hosting(echo, function("f", "f", "GET")) as (port, _):
        assert status(await exchange(port, PREFLIGHT + b"Origin: http://localhost:7071\r\n\r\n")) == 404
        assert ALLOW_ORIGIN not in headers(await exchange(port, GET + b"Origin: http://localhost:7071\r\n\r\n"))


async def test_cors_of_a_streamed_response(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    async with service.post(QUESTION, headers={"Origin": "https://good.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://good.example"
        assert await service.read(response) == (200, OPENAI)


async def test_forwards_the_headers_that_yarp_forwards() -> None:
    sent = (
        b"POST /api/f HTTP/1.1\r\nCookie: a=b\r\nX-One: 1\r\nX-One: 2\r\nX-Forwarded-For: 1.2.3.4\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: attacker.example\r\nX-Forwarded-Prefix: /x\r\n"
        b"x-ms-invocation-id: mine\r\nTE: trailers\r\n"
        b"Keep-Alive: timeout=5\r\nUpgrade: websocket\r\nProxy-Authorization: x\r\nContent-Length: 2\r\n\r\nHi"
    )
    async with hosting(echo) as (port, worker):
        request = echoed(await exchange(port, sent))
    assert request.endswith(b"\r\n\r\nHi")
    assert request.count(b"X-One: 1\r\nX-One: 2\r\n") == 1
    received = headers(request)
    del received["traceparent"]
    assert received == {
        "host": worker.address.removeprefix("http://"),
        "cookie": "a=b",
        "x-one": "2",
        "content-length": "2",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "localhost",
        "x-forwarded-proto": "http",
        "x-ms-invocation-id": worker.invocations[0][1],
    }


async def test_forwards_a_compressed_body_as_it_is() -> None:
    body = gzip.compress(b"Hi" * 1000)
    head = b"POST /api/f HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with hosting(echo) as (port, _):
        assert echoed(await exchange(port, head + body)).endswith(b"\r\n\r\n" + body)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("header", [f"traceparent: {TRACE}\r\n", ""], ids=["client's", "new"])
async def test_the_invocation_and_the_request_have_the_trace_of_the_client_or_a_new_one(header: str) -> None:
    async with hosting(echo) as (port, worker):
        requests = [echoed(await exchange(port, GET + f"{header}\r\n".encode())) for _ in range(2)]
    traces = [invocation[3] for invocation in worker.invocations]
    assert [headers(request)["traceparent"] for request in requests] == traces
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", trace) for trace in traces)
    assert traces == [TRACE, TRACE] if header else traces[0] != traces[1]


async def test_a_request_that_no_function_handles_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with hosting(echo, function("f", "f", "GET")) as (port, _):
        for line in [b"GET /api/nothing?code=key", b"PUT /api/f", b"GET /api/%1B]0;title%07", b"GET /favicon.ico"]:
            assert status(await exchange(port, line + b" HTTP/1.1\r\n\r\n")) == 404
    messages = [record.getMessage() for record in caplog.records if record.name == "local.host"]
    assert messages == [
        "404  no function for GET /api/nothing",
        "404  no function for PUT /api/f",
        "404  no function for GET /api/%1B%5D0;title%07",
    ]


async def test_bytes_on_an_idle_connection_never_reach_the_next_client() -> None:
    async def smuggles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await responded.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        smuggled.set()
        await reader.read(-1)

    responded, smuggled = asyncio.Event(), asyncio.Event()
    async with hosting(smuggles) as (port, _):
        assert (await exchange(port, GET + CRLF)).endswith(b"\r\n\r\nok")
        responded.set()
        await smuggled.wait()
        assert (await exchange(port, GET + CRLF)).endswith(b"\r\n\r\nok")


async def rejects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Responds before the body has been read, and closes the connection."""
    await reads_head(reader)
    writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large")


UPLOAD = b"POST /api/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n"


@pytest.mark.parametrize("reads_meanwhile", [True, False])
async def test_a_client_that_is_still_sending_receives_an_early_response(reads_meanwhile: bool) -> None:
    async with hosting(rejects) as (port, _), asyncio.timeout(30):
        for _ in range(10):  # a race if it fails
            async with connection(port) as (reader, writer):
                writer.write(UPLOAD)
                sending = asyncio.create_task(send(writer, 20_000_000))
                if not reads_meanwhile:
                    assert await sending == 20_000_000
                response = await reader.readuntil(b"too large")
                assert status(response) == 413
                assert headers(response)["connection"] == "close"
                assert await reader.read() == b""
                sending.cancel()


async def send(writer: asyncio.StreamWriter, size: int) -> int:
    """Sends so many bytes, or as many as are taken, and returns their number."""
    sent = 0
    try:
        while sent < size:
            writer.write(bytes(50_000))
            await writer.drain()
            sent += 50_000
    except ConnectionError:
        pass
    return sent


async def responds_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reads_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def test_what_is_read_after_an_early_response_is_limited_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_DRAIN_SECONDS", 0.1)
    async with hosting(responds_early) as (port, _), connection(port) as (reader, writer):
        writer.write(UPLOAD)
        assert (await reader.read()).endswith(b"\r\n\r\nok")
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await sends_forever(writer)


async def sends_forever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_connection_is_reused_after_a_request_that_is_read_to_its_end() -> None:
    async with hosting(echo) as (port, _), connection(port) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /api/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nHi")
            length = int(headers(await reader.readuntil(b"\r\n\r\n"))["content-length"])
            assert (await reader.readexactly(length)).endswith(b"Hi")


async def test_a_malformed_body_is_rejected() -> None:
    async def reads_all(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with hosting(reads_all) as (port, _):
        response = await exchange(port, b"POST /api/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    assert status(response) == 400


async def test_the_worker_decides_about_expect_100_continue() -> None:
    async def continues(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads_head(reader)
        continued.set()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(2) == b"Hi"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    continued = asyncio.Event()
    async with hosting(continues) as (port, _), connection(port) as (reader, writer):
        writer.write(b"POST /api/f HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert continued.is_set()
        writer.write(b"Hi")
        assert status(await reader.readuntil(b"ok")) == 200


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n"])
async def test_a_worker_that_does_not_respond_is_a_502(sent: bytes) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads_head(reader)
        writer.write(sent)

    async with hosting(breaks) as (port, _):
        assert status(await exchange(port, GET + CRLF)) == 502


async def test_a_worker_that_is_gone_is_a_502() -> None:
    async with hosting(echo) as (port, worker):
        worker.address = "http://127.0.0.1:9"
        assert status(await exchange(port, GET + CRLF)) == 502


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n"])
async def test_a_response_that_is_cut_off_is_not_completed(framing: bytes) -> None:
    async def cuts_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"part.")
        await writer.drain()

    async with hosting(cuts_off) as (port, _), connection(port) as (reader, writer):
        writer.write(b"GET /api/f HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        with suppress(ConnectionResetError):
            while data := await reader.read(100):
                received += data
        assert b"part." in received
        assert b"HTTP/1.1 502" not in received
        assert not received.endswith(b"0\r\n\r\n")


async def test_stop_closes_open_streams() -> None:
    async def never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await reader.read(-1)

    async with asyncio.timeout(1):
        async with hosting(never_ends) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/f HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"ok")
        with closing(writer), suppress(ConnectionResetError):
            assert await reader.read() == b"\r\n"
