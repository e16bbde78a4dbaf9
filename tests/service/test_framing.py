"""The framing of a streamed response: lines by default, server-sent events for clients that prefer them."""

import pytest

from chat.formats.framing import EVENT_STREAM, lines_or_events
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import OPENAI, event
from testing.client import DONE, QUESTION, Service
from testing.model_server import ModelServer


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream",
        "text/event-stream, */*",
        "application/x-ndjson;q=0.1, text/event-stream",
        "text/*, application/*;q=0",
    ],
)
async def test_events_are_sent_to_who_prefers_them(service: Service, model: ModelServer, accept: str) -> None:
    model.respond_with(streams(OPENAI))
    async with service.post(headers={"accept": accept}) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["Vary"] == "Accept"
        assert await service.read(response) == (200, [*OPENAI, DONE])


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "", "application/x-ndjson, text/event-stream;q=0.5", "%$;;q=x"]
)
async def test_lines_are_the_default(service: Service, model: ModelServer, accept: str) -> None:
    model.respond_with(streams(OPENAI))
    async with service.post(headers={"accept": accept}) as response:
        assert response.content_type == "application/x-ndjson"
        assert response.headers["Vary"] == "Accept"
        assert await service.read(response) == (200, OPENAI)


async def test_error_mid_stream_is_the_last_event(service: Service, model: ModelServer) -> None:
    model.respond_with(streams_bytes(*map(event, OPENAI[:2])))
    async with service.post(headers={"accept": "text/event-stream"}) as response:
        _, events = await service.read(response)
    assert events[:2] == OPENAI[:2]
    assert events[2]["error"]["type"] == "upstream_error"
    assert len(events) == 3


async def test_chat_protocol_as_events(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    async with service.post(path="/api/chat-protocol/stream", headers={"accept": "text/event-stream"}) as response:
        assert response.headers["Vary"] == "Accept"
        _, events = await service.read(response)
    assert events == [
        {"delta": {"role": "assistant"}},
        {"delta": {"content": "The capital"}},
        {"delta": {"content": " is Paris – 巴黎 🗼."}},
        DONE,
    ]


async def test_complete_response_does_not_depend_on_accept(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(200, {"choices": []}))
    async with service.post({**QUESTION, "stream": False}, headers={"accept": "text/event-stream"}) as response:
        assert response.content_type == "application/json"


def test_only_the_beginning_of_an_accept_header_is_read() -> None:
    assert lines_or_events("text/event-stream", "application/jsonl") is EVENT_STREAM
    assert lines_or_events("a/b," * 256 + "text/event-stream", "application/jsonl").media_type == "application/jsonl"
