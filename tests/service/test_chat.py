"""`POST /api/chat` through the whole stack: what the client sends, and what the model server and the client receive."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from syrupy.assertion import SnapshotAssertion

from testing.behaviours import Steps, responds, streams
from testing.chat_completions import AZURE, COMPLETION, OPENAI, TOOL_CALL
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer


@pytest.mark.parametrize("chunks", [OPENAI, AZURE, TOOL_CALL], ids=["openai", "azure", "tool_call"])
async def test_streams_every_chunk_as_received(
    service: Service, model: ModelServer, chunks: list[Any], snapshot: SnapshotAssertion
) -> None:
    model.respond_with(streams(chunks))
    async with service.post() as response:
        body = await response.read()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert body.endswith(b"\n")
    assert [json.loads(line) for line in body.splitlines()] == chunks
    assert body.decode() == snapshot


async def test_complete_response_is_the_completion_as_received(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(200, COMPLETION))
    async with service.post({**QUESTION, "stream": False}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.json() == COMPLETION


async def test_request_upstream_has_the_system_prompt_and_requests_usage(
    service: Service, model: ModelServer, configure: Configure
) -> None:
    configure(OPENAI_BASE_URL=model.url, OPENAI_MODEL="m", CHAT_SYSTEM_PROMPT="Be brief.", CHAT_MAX_COMPLETION_TOKENS="99")
    model.respond_with(streams(OPENAI))
    conversation = [{"content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Go – 走"}]
    await service.send({"messages": conversation, "temperature": 2, "model": "another"})
    assert model.requests[0].json == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Go – 走"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 99,
    }


async def test_complete_request_upstream_has_no_stream_options(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(200, COMPLETION))
    await service.send({**QUESTION, "stream": False})
    request = model.requests[0].json
    assert request["stream"] is False
    assert "stream_options" not in request
    assert not {"max_completion_tokens", "max_tokens"} & request.keys()


async def test_chunk_is_delivered_before_the_next_is_sent(service: Service, model: ModelServer) -> None:
    steps = Steps(OPENAI)
    model.respond_with(steps)
    steps.step()
    async with service.post() as response:
        for sent in OPENAI:
            assert json.loads(await response.content.readline()) == sent
            steps.step()
        steps.step()
        assert await response.read() == b""


async def test_many_invocations_share_one_client_and_one_connection(
    service: Service, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[AsyncOpenAI] = []

    class Counted(AsyncOpenAI):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            clients.append(self)

    monkeypatch.setattr("chat.upstream.client.AsyncOpenAI", Counted)
    for behaviour, stream in [(streams(OPENAI), True), (responds(200, COMPLETION), False), (streams(AZURE), True)] * 3:
        model.respond_with(behaviour)
        await service.send({**QUESTION, "stream": stream})
        await model.idle()
    assert len(model.requests) == 9
    assert len(clients) == 1
    assert model.connections == 1


USAGE_IN_LOG = {
    "gen_ai.usage.input_tokens": 25,
    "gen_ai.usage.cache_read.input_tokens": 20,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.usage.reasoning.output_tokens": 1,
}


@pytest.mark.parametrize("stream", [True, False])
async def test_log_has_one_line_per_request(service: Service, model: ModelServer, logged: Logged, stream: bool) -> None:
    model.respond_with(streams(OPENAI) if stream else responds(200, COMPLETION))
    trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await service.send({**QUESTION, "stream": stream}, headers={"traceparent": trace_parent})
    (line,) = await logged()
    assert len(line.pop("invocation_id")) == 36
    duration = line.pop("duration")
    assert 0 < line.pop("gen_ai.response.time_to_first_chunk", duration) <= duration < 5
    line.pop("trace_id", None)
    assert line == {
        "function": "chat",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "compatible",
        "gen_ai.request.model": "the-model",
        "gen_ai.request.stream": stream,
        "openai.api.type": "chat_completions",
        "gen_ai.response.id": "chatcmpl-1" if stream else "chatcmpl-2",
        "gen_ai.response.model": "gpt-6-luna-2026-09-22",
        "gen_ai.response.finish_reasons": ["stop"],
        **USAGE_IN_LOG,
        **({"chunks": len(OPENAI)} if stream else {}),
        "outcome": "completed",
        "status": 200,
    }
