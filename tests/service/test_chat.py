"""`POST /api/chat` through the whole stack: what a caller sends, what the model's server gets, what the caller gets."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI
from syrupy.assertion import SnapshotAssertion

from tests.client import QUESTION, Service
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import AZURE, OPENAI, TOOL_CALL, USAGE, WHOLE, Steps, responds, streams


@pytest.mark.parametrize("chunks", [OPENAI, AZURE, TOOL_CALL], ids=["openai", "azure", "tool_call"])
async def test_streams_every_chunk_as_it_was_sent(
    service: Service, model: ModelServer, chunks: list[Any], snapshot: SnapshotAssertion
) -> None:
    model.answers(streams(chunks))
    async with service.post() as response:
        body = await response.read()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert body.endswith(b"\n")
    assert [json.loads(line) for line in body.splitlines()] == chunks
    assert body.decode() == snapshot


async def test_answers_whole(service: Service, model: ModelServer) -> None:
    model.answers(responds(200, WHOLE))
    async with service.post({**QUESTION, "stream": False}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.json() == WHOLE


async def test_asks_with_the_system_prompt_and_for_usage(
    service: Service, model: ModelServer, configure: Callable[..., None]
) -> None:
    configure(OPENAI_BASE_URL=model.url, OPENAI_MODEL="m", CHAT_SYSTEM_PROMPT="Be brief.", CHAT_MAX_COMPLETION_TOKENS="99")
    model.answers(streams(OPENAI))
    conversation = [{"content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Go – 走"}]
    await service.ask({"messages": conversation, "temperature": 2, "model": "another"})
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
        "max_completion_tokens": 99,
    }


async def test_asks_for_a_whole_answer_without_stream_options(service: Service, model: ModelServer) -> None:
    model.answers(responds(200, WHOLE))
    await service.ask({**QUESTION, "stream": False})
    request = model.requests[0].json
    assert request["stream"] is False
    assert "stream_options" not in request
    assert "max_completion_tokens" not in request


async def test_a_chunk_is_delivered_before_the_next_is_sent(service: Service, model: ModelServer) -> None:
    steps = Steps(OPENAI)
    model.answers(steps)
    steps.step()
    async with service.post() as response:
        for sent in OPENAI:
            assert json.loads(await response.content.readline()) == sent
            steps.step()
        steps.step()
        assert await response.read() == b""


async def test_one_client_and_one_connection_for_many_invocations(
    service: Service, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AsyncOpenAI] = []

    class Counted(AsyncOpenAI):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr("chat.client.AsyncOpenAI", Counted)
    for behaviour, stream in [(streams(OPENAI), True), (responds(200, WHOLE), False), (streams(AZURE), True)] * 3:
        model.answers(behaviour)
        await service.ask({**QUESTION, "stream": stream})
        await model.idle()
    assert len(model.requests) == 9
    assert len(made) == 1
    assert model.connections == 1


async def test_logs_one_line_for_each_chat(
    service: Service, model: ModelServer, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    model.answers(streams(OPENAI))
    await service.ask()
    await model.idle()
    (line,) = logged()
    assert line.pop("first_chunk_ms") <= line.pop("total_ms")
    assert len(line.pop("chat")) == 36
    assert line == {
        "provider": "compatible",
        "model": "the-model",
        "outcome": "finished",
        "status": 200,
        "chunks": len(OPENAI),
        **USAGE,
    }
