"""What model servers do in their own way, and how often a request is sent."""

import json
import socket
from typing import Any

import pytest

from chat.upstream.completion import _CONNECT_RETRY_SECONDS
from testing.behaviours import responds, streams
from testing.chat_completions import COMPLETION, OPENAI
from testing.client import DONE, QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer

V1 = "/api/v1/chat/completions"
V1_QUESTION = {"messages": [{"role": "user", "content": "Hi"}]}
REJECTED: dict[str, Any] = {
    "vLLM": {"object": "error", "message": "[{'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]"},
    "FastAPI": {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("body", REJECTED.values(), ids=REJECTED)
async def test_rejected_stream_options_are_left_out_from_then_on(
    service: Service, model: ModelServer, status: int, body: Any
) -> None:
    model.respond_with(responds(status, body), streams(OPENAI))
    assert await service.send() == (200, OPENAI)
    assert await service.send() == (200, OPENAI)
    sent = [request.json for request in model.requests]
    assert ["stream_options" in each for each in sent] == [True, False, False]
    assert all({**each, "stream_options": 0} == {**sent[0], "stream_options": 0} for each in sent)


async def test_another_rejection_teaches_nothing(service: Service, model: ModelServer) -> None:
    """The rejection quotes what the client sent."""
    model.respond_with(responds(400, {"error": {"message": "stream_options!"}}))
    assert (await service.send())[0] == 400
    model.respond_with(streams(OPENAI))
    await service.send()
    assert ["stream_options" in request.json for request in model.requests] == [True, False, True]


async def test_complete_completion_is_sent_as_a_stream(service: Service, model: ModelServer, logged: Logged) -> None:
    model.respond_with(responds(200, COMPLETION))
    status, (chunk,) = await service.send()
    assert status == 200
    assert chunk["choices"][0]["delta"]["content"] == "Paris – 巴黎."
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert (chunk["object"], chunk["usage"]) == ("chat.completion.chunk", COMPLETION["usage"])
    (line,) = await logged()
    assert (line["outcome"], line["gen_ai.usage.output_tokens"]) == ("completed", 3)


async def test_tool_calls_of_a_complete_completion_have_indexes(service: Service, model: ModelServer) -> None:
    calls = [{"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for number in (1, 2)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    model.respond_with(
        responds(200, {**COMPLETION, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    )
    _, (chunk, done) = await service.send({**V1_QUESTION, "stream": True}, path=V1)
    assert [call["index"] for call in chunk["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert done == DONE


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "context_length_exceeded", "message": "Too long."}, 400),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": 503}, 502),
        ({"message": "?"}, 502),
    ],
)
async def test_error_in_answer_to_a_stream_has_the_status_of_a_complete_one(
    service: Service, model: ModelServer, error: Any, status: int
) -> None:
    model.respond_with(responds(200, {"error": error}))
    received = [await service.send({**QUESTION, "stream": stream}) for stream in (True, False)]
    assert received[0] == received[1]
    assert received[0][0] == status


LIMITS = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-tokens": "149984"}


@pytest.mark.parametrize("path", ["/api/chat", V1])
@pytest.mark.parametrize("stream", [False, True])
async def test_rate_limits_reach_the_client(service: Service, model: ModelServer, path: str, stream: bool) -> None:
    completion = json.dumps(COMPLETION).encode()
    model.respond_with(responds(200, completion, set_cookie="a=b", x_other="1", **LIMITS), responds(400, {}, **LIMITS))
    for _ in range(2):
        async with service.post({**V1_QUESTION, "stream": stream}, path=path) as response:
            assert {name: response.headers[name] for name in LIMITS} == LIMITS
            assert not {"set-cookie", "x-other"} & {name.lower() for name in response.headers}


@pytest.mark.parametrize(
    ("path", "body", "requests"),
    [("/api/chat", QUESTION, 3), (V1, V1_QUESTION, 1), ("/api/v1/responses", {"input": "Hi"}, 1)],
)
@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_failed_request_is_repeated_only_where_the_client_does_not(
    service: Service, model: ModelServer, path: str, body: Any, requests: int, status: int
) -> None:
    model.respond_with(responds(status, {}, retry_after_ms="1"))
    await service.send(body, path=path)
    assert len(model.requests) == requests


async def test_connection_that_cannot_be_made_is_retried(service: Service, configure: Configure, logged: Logged) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    configure(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    status, body = await service.send(V1_QUESTION, path=V1)
    assert (status, body["error"]["message"]) == (502, "Could not connect to the model server.")
    (line,) = await logged()
    assert line["duration"] >= 2 * _CONNECT_RETRY_SECONDS
