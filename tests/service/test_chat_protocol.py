"""Microsoft's AI Chat Protocol: with its own npm client, and line by line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from testing import npm
from testing.behaviours import responds, stalls_after, streams, streams_bytes
from testing.chat_completions import AZURE, COMPLETION, OPENAI, TOOL_CALL, chunk, event
from testing.client import QUESTION, Service
from testing.model_server import ModelServer

CLIENT = "@microsoft/ai-chat-protocol@1.0.0-beta.20240814.1"
SESSION = {"turn": 3, "who": [None, "ünï"]}
ROLE = {"delta": {"role": "assistant"}, "sessionState": SESSION}
PATHS = ["/api/chat-protocol", "/api/chat-protocol/stream"]


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client installed."""
    return npm.install(CLIENT, tmp_path_factory.mktemp("client"))


async def client(folder: Path, service: Service, mode: str) -> list[Any]:
    """What the client prints."""
    return await npm.run_client(
        folder, Path(__file__).with_name("chat_protocol_client.mjs"), f"{service.url}/api/chat-protocol", mode
    )


async def test_client_receives_a_complete_response(service: Service, model: ModelServer, client_folder: Path) -> None:
    model.respond_with(responds(200, COMPLETION))
    message = {"role": "assistant", "content": "Paris – 巴黎."}
    assert await client(client_folder, service, "complete") == [{"message": message, "sessionState": SESSION}]
    assert model.requests[0].json["stream"] is False


async def test_client_receives_a_stream(service: Service, model: ModelServer, client_folder: Path) -> None:
    model.respond_with(streams(OPENAI))
    assert await client(client_folder, service, "streamed") == [
        ROLE,
        {"delta": {"content": "The capital"}},
        {"delta": {"content": " is Paris – 巴黎 🗼."}},
    ]
    assert model.requests[0].json["stream"] is True


@pytest.mark.parametrize("mode", ["complete", "streamed"])
async def test_client_receives_an_error(service: Service, model: ModelServer, client_folder: Path, mode: str) -> None:
    rejection = {"error": {"message": "Too long.", "code": "context_length_exceeded"}}
    model.respond_with(responds(400, rejection))
    (thrown,) = await client(client_folder, service, mode)
    assert (thrown["code"], thrown["message"]) == ("context_length_exceeded", "Too long.")


async def test_client_receives_an_error_mid_stream(service: Service, model: ModelServer, client_folder: Path) -> None:
    model.respond_with(streams_bytes(*map(event, OPENAI[:2])))
    *deltas, thrown = await client(client_folder, service, "streamed")
    assert deltas == [ROLE, {"delta": {"content": "The capital"}}]
    assert thrown["code"] == "upstream_error"
    assert thrown["message"] == "The model server's response ended early."


async def test_client_abort_closes_upstream(service: Service, model: ModelServer, client_folder: Path) -> None:
    model.respond_with(stalls_after(*map(event, OPENAI[:2])))
    *deltas, _ = await client(client_folder, service, "abort")
    assert deltas == [ROLE, {"delta": {"content": "The capital"}}]
    async with asyncio.timeout(1):
        await model.exchanges[0].closed.wait()


async def test_stream_on_the_wire(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(AZURE), streams(TOOL_CALL))
    async with service.post(path=PATHS[1]) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/jsonl"
        assert await response.text() == '{"delta":{"role":"assistant"}}\n{"delta":{"content":"Paris."}}\n'
    async with service.post({**QUESTION, "sessionState": None}, path=PATHS[1]) as response:
        assert await response.text() == '{"delta":{"role":"assistant"},"sessionState":null}\n'


async def test_large_chunk_is_sent_with_those_before_it(service: Service, model: ModelServer) -> None:
    contents = ["small", "large" * 400_000]
    events = [event(chunk({"content": content})) for content in contents]
    model.respond_with(streams_bytes(b"".join([*events, event(chunk(finish_reason="stop"))])))
    async with service.post(path=PATHS[1]) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert [line["delta"]["content"] for line in lines[1:]] == contents


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "JSON"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "system", "content": "Obey."}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None}]}, 400, "messages[0].content"),
        ({**QUESTION, "context": 5}, 400, "context"),
        (b'{"messages": [{"content": "Hi"}], "sessionState": 1e999}', 400, "sessionState"),
        (b" " * ((8 << 20) + 1), 413, "8388608"),
    ],
    ids=[
        "not JSON",
        "no messages",
        "a system message",
        "an empty question",
        "null",
        "a context that is a number",
        "infinity",
        "too large",
    ],
)
async def test_invalid_request_has_the_protocols_error(
    service: Service, model: ModelServer, path: str, body: Any, status: int, message: str
) -> None:
    async with service.post(body, path=path) as response:
        assert response.status == status
        error = (await response.json())["error"]
    assert error.keys() == {"code", "message"}
    assert error["code"] == "invalid_request_error"
    assert message in error["message"]
    assert model.requests == []


@pytest.mark.parametrize("path", PATHS)
async def test_response_is_accepted_in_the_next_request(service: Service, model: ModelServer, path: str) -> None:
    """Whatever the model server sent: nothing, after a content filter, or half an emoji, at the length limit."""
    for content in [None, "", "\ud83d"]:
        message = {"role": "assistant", "content": content}
        chunks = [chunk(message, "content_filter")]
        complete = responds(200, {"choices": [{"message": message}]})
        stream = streams_bytes(b"data: %b\n\n" % json.dumps(chunks[0]).encode())
        model.respond_with(stream if path.endswith("stream") else complete)
        async with service.post(path=path) as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        reply = {"role": "assistant", "content": "".join(line.get("delta", {}).get("content", "") for line in lines)}
        messages = [*QUESTION["messages"], lines[0].get("message") or reply, *QUESTION["messages"]]
        async with service.post(json.dumps({"messages": messages}).encode(), path=path) as response:
            assert response.status == 200
        assert len(model.requests[-1].json["messages"]) == 4


PARTS = [{"type": "text", "text": "Par"}, {"type": "thinking", "thinking": []}, None, {"type": "text", "text": "is"}]
TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "parts": ({"content": PARTS}, "Paris"),
    "a refusal": ({"content": None, "refusal": "No."}, "No."),
    "a refusal in a part": ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
    "a refusal beside an empty content": ({"content": "", "refusal": "No."}, "No."),
    "a content beside an empty refusal": ({"content": "Paris", "refusal": ""}, "Paris"),
    "parts of other types": ({"content": [{"type": "text", "text": 5}], "refusal": 5}, ""),
    "a refusal with a lone surrogate": ({"content": None, "refusal": "No \ud83d"}, "No \ud83d"),
}


@pytest.mark.parametrize(("message", "text"), TEXTS.values(), ids=TEXTS)
async def test_text_of_any_kind_is_sent(service: Service, model: ModelServer, message: Any, text: str) -> None:
    model.respond_with(responds(200, {"choices": [{"message": message}]}))
    async with service.post(path=PATHS[0]) as response:
        assert await response.json() == {"message": {"role": "assistant", "content": text}}
    events = [b"data: %b\n\n" % json.dumps(value).encode() for value in (chunk(message), chunk({}, "stop"))]
    model.respond_with(streams_bytes(*events))
    async with service.post(path=PATHS[1]) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert "".join(line["delta"].get("content", "") for line in lines) == text


@pytest.mark.parametrize("choices", [[], [1], [{"message": None}], [{"message": {"content": None}}]], ids=json.dumps)
async def test_completion_without_content(service: Service, model: ModelServer, choices: list[Any]) -> None:
    model.respond_with(responds(200, {"choices": choices}))
    async with service.post(path=PATHS[0]) as response:
        assert await response.json() == {"message": {"role": "assistant", "content": ""}}
