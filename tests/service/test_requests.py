"""Invalid requests: each receives the contract's error, and the model server receives nothing."""

import asyncio
import gc
import io
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.settings import APP_DIR
from testing.behaviours import never_responds, responds, streams
from testing.chat_completions import COMPLETION, OPENAI
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import Exchange, ModelServer

Rejection = tuple[int, str | None]
MESSAGE = {"content": "Hi"}

INVALID_FIELDS: list[tuple[Any, str | None]] = [
    ({}, "messages"),
    ([], None),
    ("messages", None),
    (7, None),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [None]}, "messages[0]"),
    ({"messages": [{}]}, "messages[0].content"),
    ({"messages": [{"content": ""}]}, "messages[0].content"),
    ({"messages": [{"content": None}]}, "messages[0].content"),
    ({"messages": [{"content": 5}]}, "messages[0].content"),
    ({"messages": [{"content": ["Hi"]}]}, "messages[0].content"),
    ({"messages": [MESSAGE, {"content": {"text": "Hi"}}]}, "messages[1].content"),
    ({"messages": [{**MESSAGE, "role": "system"}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": "developer"}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": "tool"}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": "function"}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": "User"}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": ""}]}, "messages[0].role"),
    ({"messages": [{**MESSAGE, "role": None}]}, "messages[0].role"),
    ({"messages": [MESSAGE], "stream": "true"}, "stream"),
    ({"messages": [MESSAGE], "stream": 1}, "stream"),
    ({"messages": [MESSAGE], "stream": None}, "stream"),
    ({"messages": [MESSAGE] * 1001}, "messages"),
    ({"messages": [1] * 1001}, "messages"),
    ({"messages": [1] * 1000}, "messages[0]"),
]

INVALID_BYTES = {
    "nothing": b"",
    "white space": b"  \n",
    "truncated": b'{"messages": [{"content": "Hi"',
    "null": b"null",
    "a word": b"Hi",
    "single quotes": b"{'messages': [{'content': 'Hi'}]}",
    "two objects": json.dumps(QUESTION).encode() * 2,
    "a comma too many": b'{"messages": [{"content": "Hi"},]}',
    "a comment": b'{"messages": [{"content": "Hi"}]} // hello',
    "NaN": b'{"messages": [{"content": "Hi"}], "temperature": NaN}',
    "Infinity": b'{"messages": [{"content": "Hi"}], "temperature": -Infinity}',
    "not UTF-8": b'{"messages": [{"content": "\xff\xfe"}]}',
    "Latin-1": '{"messages": [{"content": "café"}]}'.encode("latin-1"),
    "UTF-16": json.dumps(QUESTION).encode("utf-16"),
    "UTF-32": json.dumps(QUESTION).encode("utf-32"),
    "two BOMs": b"\xef\xbb\xbf" * 2 + json.dumps(QUESTION).encode(),
    "half an escape": b'{"messages": [{"content": "\\ud83"}]}',
    "a surrogate as bytes": b'{"messages": [{"content": "\xed\xa0\xbd"}]}',
    "a NUL": b'{"messages": [{"content": "\x00"}]}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep lists in a field": b'{"messages": [{"content": "Hi"}], "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep and not closed": b"[" * 500_000,
    "a multipart form": b"--x\r\ncontent-disposition: form-data\r\n\r\nHi\r\n--x--\r\n",
}


async def rejected(service: Service, body: Any, **options: Any) -> Rejection:
    """Sends a request that is to be rejected, and returns the status and the field that the error names."""
    status, response = await service.send(body, **options)
    assert status >= 400, response
    assert response.keys() == {"error"}
    assert response["error"].keys() == {"message", "type", "code", "param"}
    assert response["error"]["type"] == "invalid_request_error"
    assert response["error"]["message"]
    return status, response["error"]["param"]


@pytest.fixture
async def nothing_upstream(model: ModelServer) -> AsyncIterator[None]:
    yield
    assert model.requests == []


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize(("body", "param"), INVALID_FIELDS, ids=lambda value: json.dumps(value)[:60])
async def test_invalid_field_is_named(service: Service, body: Any, param: str | None) -> None:
    assert await rejected(service, body) == (400, param)


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize("body", INVALID_BYTES.values(), ids=INVALID_BYTES)
async def test_body_that_is_not_json_is_rejected(service: Service, body: bytes) -> None:
    assert await rejected(service, body) == (400, None)


async def test_byte_order_mark_is_accepted(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    assert await service.send(b"\xef\xbb\xbf" + json.dumps(QUESTION).encode()) == (200, OPENAI)


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\uDE00 \ud83d\ude00 \uD83D", "\ufffd \U0001f600 \ufffd"),
        (r"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        (r"\\ud83d \\\ud83d", "\\ud83d \\\ufffd"),
    ],
    ids=["one", "beside a pair", "in a row", "after backslashes"],
)
@pytest.mark.parametrize("path", ["/api/chat", "/api/chat-protocol/stream"])
async def test_lone_surrogate_is_replaced(service: Service, model: ModelServer, path: str, content: str, sent: str) -> None:
    """A response that ended in the middle of an emoji is a part of the next request."""
    model.respond_with(streams(OPENAI))
    body = b'{"messages": [{"content": "%b"}]}' % content.encode()
    async with service.post(body, path=path) as response:
        assert response.status == 200
    assert model.requests[0].json["messages"][1]["content"] == sent


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP", "gzip, gzip"])
async def test_encoded_body_is_rejected(service: Service, coding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    status, response = await service.send(b"\x1f\x8b", headers=headers)
    assert (status, response["error"]["message"]) == (415, "The body must not have a content encoding.")


async def test_identity_is_not_a_content_encoding(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    headers = {"content-type": "application/json", "content-encoding": "identity"}
    assert await service.send(json.dumps(QUESTION).encode(), headers=headers) == (200, OPENAI)


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonl", "json"],
)
async def test_other_content_type_is_rejected(service: Service, content_type: str) -> None:
    options = {"headers": {"content-type": content_type} if content_type else {}, "skip_auto_headers": ["content-type"]}
    assert await rejected(service, json.dumps(QUESTION).encode(), **options) == (415, None)


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize("size", [8 * 1024 * 1024 + 1, 20_000_000], ids=["a byte too many", "20 MB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
async def test_body_that_is_too_large_is_rejected(service: Service, size: int, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 65536):
            yield b" " * min(65536, size - start)

    options = {"data": pieces() if chunked else io.BytesIO(b" " * size)}
    assert await rejected(service, b"", **options) == (413, None)


@pytest.mark.usefixtures("nothing_upstream")
async def test_body_that_never_ends_is_not_read_on(service: Service) -> None:
    """A client that goes on sending receives the error and is disconnected."""
    async with sending(service, "transfer-encoding: chunked") as (reader, writer):
        status = asyncio.create_task(reader.readuntil(b"\r\n"))
        sent = 0
        piece = b"%x\r\n%b\r\n" % (65536, b" " * 65536)
        with suppress(ConnectionError):
            while sent < 1 << 30:
                writer.write(piece)
                await writer.drain()
                sent += 65536
        assert sent < 200 << 20, "the body was read on and on"
        assert b" 413 " in await status


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize("head", ["content-length: 100", "transfer-encoding: chunked"])
async def test_body_that_does_not_arrive_in_time_is_rejected(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, head: str
) -> None:
    configure(OPENAI_BASE_URL=model.url, CHAT_TIMEOUT="0.3")
    async with sending(service, head) as (reader, writer):
        writer.write(b"1\r\n{\r\n" if "chunked" in head else b"{")
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.readuntil(b"\r\n")
            response = await reader.read()  # to the end: the connection is closed
    error = json.loads(response[response.index(b"{") : response.rindex(b"}") + 1])["error"]
    assert error == {
        "message": "The body did not arrive within 0.3 seconds.",
        "type": "invalid_request_error",
        "code": None,
        "param": None,
    }
    (line,) = await logged()
    assert (line["status"], line["error.type"]) == (408, "invalid_request_error")


@asynccontextmanager
async def sending(service: Service, head: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has sent the head of a request."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/chat", {}, "messages: Field required."),
        ("/api/chat", {"messages": {}}, "messages: Input should be an array."),
        ("/api/chat", {"messages": []}, "messages: Input should have at least 1 item."),
        ("/api/chat", {"messages": ["Hi"]}, "messages[0]: Input should be an object."),
        ("/api/chat", {"messages": [{"content": 5}]}, "messages[0].content: Input should be a valid string."),
        ("/api/chat", {"messages": [MESSAGE] * 1001}, "messages: Input should have at most 1000 items."),
        ("/api/chat-protocol", {"messages": [MESSAGE], "context": []}, "context: Input should be an object."),
        ("/api/v1/chat/completions", {"messages": [1]}, "messages[0]: Input should be an object."),
        (
            "/api/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Hi"}], "stop": 1},
            "stop: Input should be a string or an array of strings.",
        ),
    ],
)
async def test_error_message_uses_the_terms_of_json(service: Service, path: str, body: Any, message: str) -> None:
    _, response = await service.send(body, path=path)
    assert response["error"]["message"] == message


@pytest.mark.parametrize(
    ("path", "name"), [("/api/v1/chat/completions", "tools"), ("/api/chat-protocol/stream", "sessionState")]
)
async def test_memory_of_a_waiting_request_is_that_of_its_bytes(
    service: Service, model: ModelServer, path: str, name: str
) -> None:
    """A million bytes of empty objects are 20 MB of Python objects."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], name: [{"a": [{}] * 250_000}]}).encode()
    model.respond_with(never_responds)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        sending = asyncio.create_task(service.send(body, path=path))
        await model.arrived()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        sending.cancel()
        await asyncio.wait([sending])
    assert after - before < 8 * len(body)


@pytest.mark.parametrize("stream", [False, True])
async def test_large_body_is_kept_once_and_until_the_response_has_ended(
    service: Service, model: ModelServer, stream: bool
) -> None:
    """100 requests of 8 MiB each have to fit into an instance; nothing of them waits for the garbage collector."""
    body = json.dumps({"messages": [{"role": "user", "content": "x" * (4 << 20)}], "stream": stream}).encode()
    responding = asyncio.Event()

    async def responds_later(exchange: Exchange) -> None:
        await responding.wait()
        await (streams(OPENAI) if stream else responds(200, COMPLETION))(exchange)

    model.respond_with(responds_later)
    gc.disable()
    tracemalloc.start()
    try:
        sending = asyncio.create_task(service.send(body, path="/api/v1/chat/completions"))
        await model.arrived()
        while_waiting = allocated_by_the_service()
        responding.set()
        assert (await sending)[0] == 200
        afterwards = allocated_by_the_service()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert while_waiting < 1.1 * len(body)
    assert afterwards < 0.1 * len(body)


def allocated_by_the_service() -> int:
    own = tracemalloc.Filter(True, str(APP_DIR / "chat" / "*"))
    return sum(statistic.size for statistic in tracemalloc.take_snapshot().filter_traces([own]).statistics("filename"))


@pytest.mark.usefixtures("nothing_upstream")
async def test_limits_are_settings(service: Service, model: ModelServer, configure: Configure) -> None:
    configure(OPENAI_BASE_URL=model.url, CHAT_MAX_MESSAGES="2", CHAT_MAX_REQUEST_BYTES="100")
    assert await rejected(service, {"messages": [MESSAGE] * 3}) == (400, "messages")
    assert await rejected(service, {"messages": [{"content": "x" * 100}]}) == (413, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
messages = st.fixed_dictionaries(
    {"content": st.text() | json_values}, optional={"role": st.sampled_from(["user", "assistant", "system"]) | json_values}
)
almost_requests = st.fixed_dictionaries(
    {"messages": st.lists(messages | json_values, max_size=3) | json_values},
    optional={"stream": st.booleans() | json_values},
)
any_json = (almost_requests | json_values).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="replace"))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(body=any_json | st.binary(max_size=100))
async def test_any_body_is_valid_or_rejected(service: Service, model: ModelServer, body: bytes) -> None:
    """A body is what the contract allows, or is rejected with 400 and not sent upstream."""
    sent = len(model.requests)
    if is_valid(body):
        wants_stream = json.loads(body).get("stream", True)
        model.respond_with(streams(OPENAI) if wants_stream else responds(200, COMPLETION))
        assert (await service.send(body))[0] == 200
    else:
        assert (await rejected(service, body))[0] == 400
        assert len(model.requests) == sent


def is_valid(body: bytes) -> bool:
    """The contract's table, written independently."""
    try:
        request = json.loads(body.decode(), parse_constant=int)
        messages = request["messages"]
        assert isinstance(messages, list)
        assert messages
        for message in messages:
            assert isinstance(message["content"], str)
            assert message["content"]
            assert message.get("role", "user") in {"user", "assistant"}
        assert isinstance(request.get("stream", True), bool)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
        return False
    return True


async def test_invalid_request_leaves_nothing_to_the_garbage_collector(service: Service) -> None:
    """Until it runs, what was received would stay in memory."""
    body = {"messages": [{"content": "x"}] * 900 + [{"role": "nobody", "content": "x"}]}
    await service.send(body)
    gc.collect()
    gc.disable()
    try:
        statuses = [(await service.send(body))[0] for _ in range(5)]
        blocks = sys.getallocatedblocks()
        gc.collect()
        assert blocks - sys.getallocatedblocks() < 5 * 900
    finally:
        gc.enable()
    assert statuses == [400] * 5
