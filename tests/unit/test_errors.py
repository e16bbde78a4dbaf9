"""One answer for every fault, by property: whatever an error is made of, it becomes one, and nothing secret is in it."""

import json
import math

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import ChatError, ErrorEvent, redact, retry_after_seconds, to_chat_error
from chat.formats import OpenAIForm, ProtocolForm
from tests.client import KEY

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([KEY, "tokens", "content_filter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
errors = st.dictionaries(st.sampled_from(["message", "type", "code", "param", "error", "status"]), json_values)


waits = st.text("0123456789 .-eEGMTinfa", max_size=30)
dates = st.sampled_from(["Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 -0000", "1 Jan 0001"])


def check(answer: ChatError) -> None:
    assert 400 <= answer.status <= 599
    body = json.loads(OpenAIForm().error(answer))["error"]
    assert isinstance(body["message"], str)
    assert isinstance(body["type"], str)
    assert body["code"] is None or isinstance(body["code"], str)
    assert KEY not in f"{body} {answer.why}"
    assert json.loads(ProtocolForm(stream=True).error(answer)).keys() == {"error"}


@given(json_values | errors)
def test_any_error_event(payload: object) -> None:
    check(to_chat_error(ErrorEvent(payload), [KEY]))


@given(st.integers(300, 599), json_values | errors | st.fixed_dictionaries({"error": errors}), waits)
def test_any_status_body_and_wait(status: int, body: object, wait: str) -> None:
    headers = {"retry-after": wait}
    request = httpx2.Request("POST", "http://model.example/")
    response = httpx2.Response(status, content=json.dumps(body).encode(), headers=headers, request=request)
    check(to_chat_error(openai.APIStatusError("", response=response, body=body), [KEY]))


@given(st.text() | st.floats().map(str) | dates)
def test_any_retry_after(value: str) -> None:
    seconds = retry_after_seconds({"retry-after": value})
    assert seconds is None or not math.isnan(seconds)


@pytest.mark.parametrize("secret", [KEY, "eyJhbGciOi.eyJzdWIiOiIx.sig-nature", "0123456789abcdef0123456789abcdef"])
def test_what_is_shaped_like_a_key_is_not_repeated(secret: str) -> None:
    assert redact(f"Incorrect key {secret} given", []) == "Incorrect key *** given"


def test_a_bug_is_told_without_its_words() -> None:
    answer = to_chat_error(KeyError("a secret of the code"))
    assert (answer.status, answer.type) == (500, "server_error")
    assert "secret" not in answer.message + answer.why
