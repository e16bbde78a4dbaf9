"""Whatever an error of the model server is made of, it becomes one error of the service, without a secret in it."""

import json
from time import process_time

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chat.errors import ChatError, UpstreamErrorObject
from chat.formats.chat_protocol import ProtocolFormat
from chat.formats.ndjson import NdjsonFormat
from chat.settings import Settings
from chat.upstream.errors import retry_after, to_chat_error
from testing.client import KEY

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([KEY, "tokens", "content_filter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
errors = st.dictionaries(st.sampled_from(["message", "type", "code", "param", "error", "status"]), json_values)
wrapped_errors = st.recursive(
    errors | st.fixed_dictionaries({"loc": st.lists(st.just("body") | json_values), "msg": json_values}),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["error", "message", "detail"]), inner, max_size=2)
    ),
)
waits = st.text("0123456789 .-eEGMTinfa", max_size=30)
settings = Settings.model_construct(openai_api_key=SecretStr(KEY))
local_settings = Settings.model_construct(openai_api_key=SecretStr(KEY), azure_functions_environment="Development")
dates = st.sampled_from(["Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 -0000", "1 Jan 0001"])


def check(error: ChatError) -> None:
    assert 400 <= error.status <= 599
    body = json.loads(NdjsonFormat("").encode_error(error))["error"]
    assert isinstance(body["message"], str)
    assert len(body["message"]) <= 2048 + 150
    assert isinstance(body["type"], str)
    assert body["code"] is None or (isinstance(body["code"], str) and len(body["code"]) <= 64)
    assert KEY not in f"{body} {error.reason}"
    assert body["param"] is None or (isinstance(body["param"], str) and len(body["param"]) <= 128)
    assert error.retry_after is None or type(error.retry_after) is int
    assert json.loads(ProtocolFormat("", stream=True).encode_error(error)).keys() == {"error"}


def status_error(status: int, body: bytes, wait: str = "") -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://model.example/")
    response = httpx2.Response(status, content=body, headers={"retry-after": wait}, request=request)
    return openai.APIStatusError("", response=response, body=None)


@given(json_values | errors)
def test_any_error_event(error: object) -> None:
    chat_error = to_chat_error(UpstreamErrorObject(error), settings)
    check(chat_error)
    assert len(chat_error.reason) < 300
    check(to_chat_error(UpstreamErrorObject(error), local_settings))


@given(st.integers(300, 599), json_values | errors | st.fixed_dictionaries({"error": errors}) | wrapped_errors, waits)
def test_any_status_body_and_wait_becomes_an_error(status: int, body: object, wait: str) -> None:
    check(to_chat_error(status_error(status, json.dumps(body).encode(), wait), settings))
    check(to_chat_error(status_error(status, json.dumps(body).encode(), wait), local_settings))


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
            to_chat_error(status_error(400, body), settings)
        to_chat_error(UpstreamErrorObject({"message": text, "code": text}), settings)
        return process_time() - started

    seconds(1000)
    small = min(seconds(1 << 18) for _ in range(5))
    large = min(seconds(1 << 20) for _ in range(5))
    assert large < 8 * small + 0.01


REASONS: dict[str, tuple[str, str, str | None, str | None]] = {
    "FastAPI": ('{"detail": "Not allowed"}', "Not allowed", None, None),
    "FastAPI's fields": (
        '{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}',
        "seed: Extra inputs are not permitted",
        None,
        "seed",
    ),
    "a field in an array": (
        '{"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "Field required"}]}',
        "messages[0].content: Field required",
        None,
        "messages[0].content",
    ),
    "Mistral": (
        '{"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "No"}]}, "code": null}',
        "n: No",
        None,
        "n",
    ),
    "Google": (
        '[{"error": {"code": 400, "message": "Invalid value", "status": "INVALID_ARGUMENT"}}]',
        "Invalid value",
        "INVALID_ARGUMENT",
        None,
    ),
    "OpenAI": (
        '{"error": {"message": "No", "type": "t", "param": "messages[0].role", "code": "c"}}',
        "No",
        "c",
        "messages[0].role",
    ),
    "a list of messages": (
        '{"statusCode": 400, "message": ["seed is wrong"], "error": "Bad Request"}',
        "seed is wrong",
        None,
        None,
    ),
    "text": ("  Prompt too long\n", "Prompt too long", None, None),
    "a JSON string": ('"Prompt too long"', "Prompt too long", None, None),
    "a key in the param": (json.dumps({"message": "No", "param": KEY}), "No", None, None),
    "a key in the text": (f"Bad key {KEY}", "Bad key ***", None, None),
    "HTML": ("<html>Bad</html>", "The model server rejected the request.", None, None),
    "half an object": ('{"detail": "Not', "The model server rejected the request.", None, None),
}


@pytest.mark.parametrize(("body", "message", "code", "param"), REASONS.values(), ids=REASONS)
def test_reason_of_a_rejection_reaches_the_client(body: str, message: str, code: str | None, param: str | None) -> None:
    error = to_chat_error(status_error(422, body.encode()), settings)
    assert (error.status, error.message, error.code, error.param) == (422, message, code, param)


def test_reason_of_a_rate_limit_reaches_the_client() -> None:
    error = to_chat_error(status_error(429, b'{"error": {"message": "60 requests per minute"}}'), settings)
    assert error.message == "60 requests per minute"
    assert to_chat_error(status_error(429, b""), settings).message == "Rate limit exceeded."


@pytest.mark.parametrize(
    ("status", "body", "message", "reason"),
    [
        (
            404,
            b'{"error": {"message": "model \'llama3\' not found", "type": "not_found_error"}}',
            "The model server rejected this service.",
            "the model server responded with 404: model 'llama3' not found; "
            "check the deployment's or model's name and the endpoint: OPENAI_BASE_URL usually ends in /v1",
        ),
        (
            404,
            b"404 page not found",
            "The model server rejected this service.",
            "the model server responded with 404: 404 page not found; "
            "check the deployment's or model's name and the endpoint: OPENAI_BASE_URL usually ends in /v1",
        ),
        (
            405,
            b"<html>Method Not Allowed</html>",
            "The model server rejected this service.",
            "the model server responded with 405; check the endpoint: OPENAI_BASE_URL usually ends in /v1",
        ),
        (
            500,
            f'{{"error": {{"code": 500, "message": "image input is not supported with {KEY}"}}}}'.encode(),
            "The model server failed.",
            "the model server responded with 500: image input is not supported with ***",
        ),
    ],
    ids=["a model that does not exist", "no /v1, text", "no /v1, HTML", "an image for a text model"],
)
def test_reason_is_sent_only_on_a_developers_own_machine(status: int, body: bytes, message: str, reason: str) -> None:
    error = to_chat_error(status_error(status, body), settings)
    assert (error.status, error.message) == (502, message)
    text = json.loads(body)["error"]["message"] if body.startswith(b"{") else "page not found"
    assert text not in error.reason
    error = to_chat_error(status_error(status, body), local_settings)
    assert (error.status, error.message, error.reason) == (502, f"{message} Reason: {reason}.", reason)


def test_lost_connection_has_its_reason_on_a_developers_own_machine() -> None:
    refused = openai.APIConnectionError(request=httpx2.Request("POST", "http://model.example/"))
    refused.__cause__ = ConnectionRefusedError("http://model.example/")
    assert to_chat_error(refused, settings).message == "Could not connect to the model server."
    expected = "Could not connect to the model server. Reason: could not connect: ConnectionRefusedError."
    assert to_chat_error(refused, local_settings).message == expected


def test_bug_is_reported_without_its_text() -> None:
    error = to_chat_error(KeyError("a secret of the code"), local_settings)
    assert (error.status, error.type, error.message) == (500, "server_error", "Internal server error.")
    assert "secret" not in error.message + error.reason
