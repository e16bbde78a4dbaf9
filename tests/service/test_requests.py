"""What callers send that is no good: the contract's error, and the model's server is never asked."""

import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client import QUESTION, Service
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import OPENAI, WHOLE, responds, streams

Refusal = tuple[int, str | None]
MESSAGE = {"content": "Hi"}

BAD_FIELDS: list[tuple[Any, str | None]] = [
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
]

BAD_BYTES = {
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
    "a BOM": b"\xef\xbb\xbf" + json.dumps(QUESTION).encode(),
    "half a surrogate": b'{"messages": [{"content": "\\ud83d"}]}',
    "a NUL": b'{"messages": [{"content": "\x00"}]}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep lists in a field": b'{"messages": [{"content": "Hi"}], "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep and open": b"[" * 500_000,
    "a multipart form": b"--x\r\ncontent-disposition: form-data\r\n\r\nHi\r\n--x--\r\n",
}


async def refused(service: Service, body: Any, **options: Any) -> Refusal:
    status, answer = await service.ask(body, **options)
    assert status >= 400, answer
    assert answer.keys() == {"error"}
    assert answer["error"].keys() == {"message", "type", "code", "param"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"]
    return status, answer["error"]["param"]


@pytest.fixture
async def never_asked(model: ModelServer) -> AsyncIterator[None]:
    yield
    assert model.requests == []


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize(("body", "param"), BAD_FIELDS, ids=lambda value: json.dumps(value)[:60])
async def test_a_wrong_field_is_named(service: Service, body: Any, param: str | None) -> None:
    assert await refused(service, body) == (400, param)


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize("body", BAD_BYTES.values(), ids=BAD_BYTES)
async def test_what_is_no_json(service: Service, body: bytes) -> None:
    assert await refused(service, body) == (400, None)


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonl", "json"],
)
async def test_another_content_type(service: Service, content_type: str) -> None:
    options = {"headers": {"content-type": content_type} if content_type else {}, "skip_auto_headers": ["content-type"]}
    assert await refused(service, json.dumps(QUESTION).encode(), **options) == (415, None)


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize("size", [1024 * 1024 + 1, 10_000_000], ids=["a byte too many", "10 MB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
async def test_too_large(service: Service, size: int, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 65536):
            yield b" " * min(65536, size - at)

    options = {"data": pieces() if chunked else io.BytesIO(b" " * size)}
    assert await refused(service, b"", **options) == (413, None)


@pytest.mark.usefixtures("never_asked")
async def test_limits_are_settings(service: Service, model: ModelServer, configure: Callable[..., None]) -> None:
    configure(OPENAI_BASE_URL=model.url, CHAT_MAX_MESSAGES="2", CHAT_MAX_REQUEST_BYTES="100")
    assert await refused(service, {"messages": [MESSAGE] * 3}) == (400, "messages")
    assert await refused(service, {"messages": [{"content": "x" * 100}]}) == (413, None)


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=any_json | st.binary(max_size=100))
async def test_anything_at_all(service: Service, model: ModelServer, body: bytes) -> None:
    """Whatever comes is refused with 400 and never reaches the model, or is what the contract allows."""
    asked = len(model.requests)
    if is_valid(body):
        wants_stream = json.loads(body).get("stream", True)
        model.answers(streams(OPENAI) if wants_stream else responds(200, WHOLE))
        assert (await service.ask(body))[0] == 200
    else:
        assert (await refused(service, body))[0] == 400
        assert len(model.requests) == asked


def is_valid(body: bytes) -> bool:
    """The contract's table, said once more and in other words."""
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
