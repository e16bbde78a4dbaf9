"""Whatever an error of the model server is made of, it becomes one error of the service, without a secret in it."""

import json
from time import process_time

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import ChatError, UpstreamErrorObject
from chat.formats.chat import ChatFormat
from chat.formats.chat_protocol import ProtocolFormat
from chat.upstream.errors import retry_after, to_chat_error
from testing.client import KEY

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([KEY, "tokens", "content_filter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
errors = st.dictionaries(st.sampled_from(["message", "type", "code", "param", "error", "status"]), json_values)
waits = st.text("0123456789 .-eEGMTinfa", max_size=30)
dates = st.sampled_from(["Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 -0000", "1 Jan 0001"])


def check(error: ChatError) -> None:
    assert 400 <= error.status <= 599
    body = json.loads(ChatFormat("").encode_error(error))["error"]
    assert isinstance(body["message"], str)
    assert len(body["message"]) <= 2048
    assert isinstance(body["type"], str)
    assert body["code"] is None or (isinstance(body["code"], str) and len(body["code"]) <= 64)
    assert KEY not in f"{body} {error.reason}"
    assert len(error.reason) < 300
    assert error.retry_after is None or type(error.retry_after) is int
    assert json.loads(ProtocolFormat("", stream=True).encode_error(error)).keys() == {"error"}


def status_error(status: int, body: bytes, wait: str = "") -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://model.example/")
    response = httpx2.Response(status, content=body, headers={"retry-after": wait}, request=request)
    return openai.APIStatusError("", response=response, body=None)


@given(json_values | errors)
def test_any_error_event(error: object) -> None:
    check(to_chat_error(UpstreamErrorObject(error), [KEY]))


@given(st.integers(300, 599), json_values | errors | st.fixed_dictionaries({"error": errors}), waits)
def test_any_status_body_and_wait_becomes_an_error(status: int, body: object, wait: str) -> None:
    check(to_chat_error(status_error(status, json.dumps(body).encode(), wait), [KEY]))


@given(st.text() | st.floats().map(str) | dates | st.just("9" * 8000))
def test_any_retry_after(value: str) -> None:
    seconds = retry_after({"retry-after": value})
    assert seconds is None or 0 <= seconds <= 86400


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "2.1"}, 3),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "inf"}, 86400),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 2),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": KEY}, None),
        ({}, None),
    ],
)
def test_retry_after_is_an_integer(headers: dict[str, str], seconds: int | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("unit", ["eyJ-", "sk-a-", "a", "[", '{"a":', '"', "\\u0041", "1", " ", "é"])
def test_time_grows_linearly_with_the_body(unit: str) -> None:
    """For everything that touches the model server's text: four times the text takes four times as long, not sixteen."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit.encode()))
        bodies = [text.encode(), json.dumps({"error": {"message": text, "code": text, "type": text}}).encode()]
        started = process_time()
        for body in bodies:
            to_chat_error(status_error(400, body), [KEY])
        to_chat_error(UpstreamErrorObject({"message": text, "code": text}), [KEY])
        return process_time() - started

    seconds(1000)
    small = min(seconds(1 << 18) for _ in range(5))
    large = min(seconds(1 << 20) for _ in range(5))
    assert large < 8 * small + 0.01


def test_bug_is_reported_without_its_text() -> None:
    error = to_chat_error(KeyError("a secret of the code"))
    assert (error.status, error.type, error.message) == (500, "server_error", "Internal server error.")
    assert "secret" not in error.message + error.reason
