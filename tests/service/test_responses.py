"""`POST /api/v1/responses` in front of a model server that implements the Responses API: relayed, without stored state."""

import asyncio
import json
from typing import Any

import pytest

from testing.behaviours import never_responds, responds, stalls_after, streams_bytes
from testing.client import Configure, Logged, Service
from testing.model_server import Behaviour, Exchange, ModelServer
from testing.responses_api import REASONING, REFUSAL, TEXT, TOOL_CALLS, completed, event, failed, failed_with_error
from testing.responses_api import incomplete as incomplete_response
from testing.responses_api import response as response_object

PATH = "/api/v1/responses"
STREAMED = {"input": "What is the capital of France?", "stream": True}
COMPLETE = {"input": "What is the capital of France?"}
EVENTS = completed(*TEXT)


@pytest.fixture(autouse=True)
def relayed(model: ModelServer, configure: Configure) -> None:
    configure(OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_MODEL="the-model", OPENAI_RESPONSES_API="true")


def streams_events(events: list[Any]) -> Behaviour:
    return streams_bytes(*map(event, events))


def breaks_off_after(events: list[Any]) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk(b"".join(map(event, events)))
        exchange.close()

    return behave


@pytest.mark.parametrize(
    "events",
    [
        EVENTS,
        completed(*REFUSAL),
        completed(*TOOL_CALLS),
        completed(*REASONING),
        incomplete_response("max_output_tokens", *TEXT),
        incomplete_response("content_filter", *TEXT),
    ],
    ids=["text", "refusal", "two calls", "reasoning", "length", "content filter"],
)
async def test_every_event_is_relayed_as_received(service: Service, model: ModelServer, events: list[Any]) -> None:
    model.respond_with(streams_events(events))
    async with service.post(STREAMED, path=PATH) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert await response.read() == b"".join(map(event, events))


async def test_complete_response_is_relayed_as_received(service: Service, model: ModelServer, logged: Logged) -> None:
    model.respond_with(responds(200, response_object(*TEXT)))
    assert await service.send(COMPLETE, path=PATH) == (200, response_object(*TEXT))
    (line,) = await logged()
    assert line["openai.api.type"] == "responses"
    assert line["function"] == "responses"
    assert line["gen_ai.response.finish_reasons"] == ["completed"]
    assert (line["gen_ai.usage.input_tokens"], line["gen_ai.usage.output_tokens"]) == (25, 3)
    assert (line["gen_ai.usage.cache_read.input_tokens"], line["gen_ai.usage.reasoning.output_tokens"]) == (20, 1)


async def test_log_of_a_stream_has_usage_and_reason(service: Service, model: ModelServer, logged: Logged) -> None:
    events = incomplete_response("max_output_tokens", *TEXT)
    model.respond_with(streams_events(events))
    await service.send(STREAMED, path=PATH)
    (line,) = await logged()
    assert line["gen_ai.response.finish_reasons"] == ["max_output_tokens"]
    assert line["gen_ai.usage.output_tokens"] == 3
    assert line["chunks"] == len(events)


async def test_request_upstream_stores_nothing_and_begins_with_the_system_prompt(
    service: Service, model: ModelServer, configure: Configure
) -> None:
    configure(
        OPENAI_BASE_URL=model.url,
        OPENAI_RESPONSES_API="true",
        OPENAI_MODEL="m",
        CHAT_SYSTEM_PROMPT="Be brief.",
        CHAT_MAX_COMPLETION_TOKENS="99",
        CHAT_REASONING_EFFORT="low",
    )
    model.respond_with(responds(200, response_object(*TEXT)))
    await service.send({**COMPLETE, "instructions": "In French.", "model": "other", "top_k": 4}, path=PATH)
    assert model.requests[0].path == "/responses"
    assert model.requests[0].json == {
        "model": "m",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": COMPLETE["input"]}],
        "instructions": "In French.",
        "stream": False,
        "store": False,
        "reasoning": {"effort": "low"},
        "max_output_tokens": 99,
    }


FORWARDED: dict[str, Any] = {
    "instructions": "Be kind.",
    "max_output_tokens": 20,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_logprobs": 2,
    "text": {"verbosity": "low"},
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False,
    "max_tool_calls": 1,
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "truncation": "auto",
    "metadata": {"a": "b"},
    "user": "u",
    "safety_identifier": "s",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "stream_options": {"include_obfuscation": False},
}


async def test_parameters_are_forwarded(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(200, response_object(*TEXT)))
    await service.send({**COMPLETE, **FORWARDED, "store": False, "background": False}, path=PATH)
    sent = model.requests[0].json
    assert {name: sent[name] for name in FORWARDED} == FORWARDED
    assert sent.keys() == {*FORWARDED, "model", "input", "stream", "store"}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"conversation": "conv_1"}, "conversation", None),
        ({"prompt": {"id": "p"}}, "prompt", None),
        ({"background": True}, "background", None),
        ({"store": True}, "store", None),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", None),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0].type", None),
        ({"input": [{"role": "critic", "content": "Hm."}]}, "input[0].role", None),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content", None),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
            "input[0].content[0].file_id",
            None,
        ),
        ({"input": ["a"]}, "input[0]", None),
        ({"input": []}, "input", None),
        ({"input": [{"role": "user", "content": "a"}] * 1001}, "input", None),
        ({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice", None),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice", None),
        ({"tools": 5}, "tools", None),
        ({"stream": "yes"}, "stream", None),
    ],
)
async def test_request_for_what_is_not_here_is_rejected(
    service: Service, model: ModelServer, body: dict[str, Any], param: str, code: str | None
) -> None:
    status, received = await service.send({**COMPLETE, **body}, path=PATH)
    assert (status, received["error"]["param"], received["error"]["code"]) == (400, param, code)
    assert received["error"]["type"] == "invalid_request_error"
    assert not model.requests


@pytest.mark.parametrize(
    "body", [{"previous_response_id": "resp_1"}, {"input": [{"type": "item_reference", "id": "msg_1"}]}]
)
async def test_error_names_the_setting_of_clients_that_refer_to_stored_state(service: Service, body: dict[str, Any]) -> None:
    _, received = await service.send({**COMPLETE, **body}, path=PATH)
    assert "`store=False`" in received["error"]["message"]
    assert "`providerOptions.openai.store: false`" in received["error"]["message"]


async def test_only_tools_that_the_client_executes_are_offered(service: Service, model: ModelServer) -> None:
    function = {"type": "function", "name": "f", "parameters": {}}
    custom = {"type": "custom", "name": "patch"}
    namespace = {"type": "namespace", "name": "n", "tools": [function, {"type": "web_search"}]}
    hosted = [{"type": kind} for kind in ("web_search", "file_search", "code_interpreter", "image_generation", "mcp")]
    additional = {"type": "additional_tools", "role": "developer", "tools": [custom, *hosted]}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]}
    model.respond_with(responds(200, response_object(*TEXT)))
    body = {
        "input": [additional, {"role": "user", "content": "Hi"}],
        "tools": [function, custom, namespace, *hosted],
        "tool_choice": choice,
    }
    assert (await service.send(body, path=PATH))[0] == 200
    sent = model.requests[0].json
    assert sent["tools"] == [function, custom, {**namespace, "tools": [function]}]
    assert sent["input"][1] == {**additional, "tools": [custom]}
    assert sent["tool_choice"] == {**choice, "tools": [{"type": "function", "name": "f"}]}


async def test_reasoning_that_only_its_server_could_have_stored_is_left_out(service: Service, model: ModelServer) -> None:
    """Clients send it back with the rest of the output; OpenAI would respond that there is no such item."""
    model.respond_with(responds(200, response_object(*TEXT)))
    stored = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    kept = [{**stored, "encrypted_content": "abc"}, {**stored, "content": [{"type": "reasoning_text", "text": "Hm."}]}]
    await service.send({"input": [{"role": "user", "content": "Hi"}, stored, *kept]}, path=PATH)
    assert model.requests[0].json["input"][2:] == kept


async def test_choice_without_a_tool_is_left_out(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(200, response_object(*TEXT)))
    await service.send({**COMPLETE, "tools": [{"type": "web_search"}], "tool_choice": "auto"}, path=PATH)
    assert not {"tools", "tool_choice"} & model.requests[0].json.keys()


async def test_event_has_no_line_break_of_any_kind(service: Service, model: ModelServer) -> None:
    text = "a\u2028b\u2029c\u0085d"
    value = {"type": "response.output_text.delta", "sequence_number": 0, "delta": text}
    encoded = json.dumps(value, ensure_ascii=False).encode()
    model.respond_with(streams_bytes(b"data: %b\n\n" % encoded, *map(event, completed(*TEXT))))
    async with service.post(STREAMED, path=PATH) as response:
        body = await response.text()
    line = next(line for line in body.splitlines() if line.startswith("data: "))
    assert json.loads(line.removeprefix("data: ")) == value


ERROR_BODY = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (responds(400, ERROR_BODY), 400, "context_length_exceeded"),
        (responds(429, {"error": {"code": "rate_limit_exceeded"}}), 429, "rate_limit_exceeded"),
        (responds(500, {}), 502, None),
        (responds(200, response_object(status="failed", error={"code": "server_error", "message": "x"})), 502, None),
        (responds(200, ERROR_BODY), 400, "context_length_exceeded"),
        (streams_events([{"type": "error", "sequence_number": 0, **ERROR_BODY}]), 400, "context_length_exceeded"),
        (
            streams_events([{"type": "error", "code": "context_length_exceeded", "message": "Too long."}]),
            400,
            "context_length_exceeded",
        ),
        (streams_bytes(b'data: {"type":"ping"}\n\n'), 502, None),
        (streams_bytes(b'data: {"object":"chat.completion.chunk","choices":[]}\n\n'), 502, None),
        (streams_bytes(b"data: 5\n\n"), 502, None),
        (responds(200, response_object(*TEXT)), 502, None),
    ],
)
async def test_error_before_the_first_event_has_its_status(
    service: Service, model: ModelServer, behaviour: Behaviour, status: int, code: str | None
) -> None:
    model.respond_with(behaviour)
    received_status, received = await service.send(STREAMED, path=PATH)
    assert (received_status, received["error"]["code"]) == (status, code)
    assert len(model.requests) == 1, "the client retries, so the service does not"


def check_failed(events: list[Any], code: str, message: str) -> None:
    error, end = events[-2:]
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    assert (error["type"], error["message"], error["error"]["message"]) == ("error", message, message)
    assert error["code"] == error["error"]["code"]
    assert end["type"] == "response.failed"
    assert end["response"]["status"] == "failed"
    assert end["response"]["id"] == "resp_1"
    assert end["response"]["error"] == {"code": code, "message": message}


@pytest.mark.parametrize(
    "behaviour",
    [breaks_off_after(EVENTS[:6]), streams_events(EVENTS[:6]), streams_bytes(*map(event, EVENTS[:6]), b"data: [DONE]\n\n")],
    ids=["connection lost", "ended", "DONE"],
)
async def test_stream_that_breaks_off_ends_as_failed(service: Service, model: ModelServer, behaviour: Behaviour) -> None:
    model.respond_with(behaviour)
    status, events = await service.send(STREAMED, path=PATH)
    assert status == 200
    assert events[:-2] == EVENTS[:6]
    check_failed(events, "server_error", "The model server's response ended early.")


@pytest.mark.parametrize("make", [failed, failed_with_error])
async def test_failure_of_the_model_server_ends_as_failed(service: Service, model: ModelServer, make: Any) -> None:
    sent = make("server_error", "The server had an error.", *TEXT)
    model.respond_with(streams_events(sent))
    _, events = await service.send(STREAMED, path=PATH)
    begun = [one for one in sent if one["type"] not in {"error", "response.failed"}]
    assert events[:-2] == begun
    check_failed(events, "server_error", "The model server failed.")


async def test_stall_ends_as_failed(service: Service, model: ModelServer, configure: Configure) -> None:
    configure(OPENAI_BASE_URL=model.url, OPENAI_RESPONSES_API="true", CHAT_TIMEOUT="0.3")
    model.respond_with(stalls_after(*map(event, EVENTS[:3])))
    _, events = await service.send(STREAMED, path=PATH)
    assert events[:-2] == EVENTS[:3]
    check_failed(events, "server_error", "The model server sent no data for 0.3 seconds.")


async def test_events_that_clients_do_not_know_are_dropped(service: Service, model: ModelServer) -> None:
    ping = b'event: ping\ndata: {"type":"ping"}\n\ndata: {}\n\n: hold on\n\n'
    model.respond_with(streams_bytes(event(EVENTS[0]), ping, *map(event, EVENTS[1:])))
    assert await service.send(STREAMED, path=PATH) == (200, EVENTS)


async def test_created_event_arrives_before_the_text(service: Service, model: ModelServer) -> None:
    model.respond_with(stalls_after(*map(event, EVENTS[:2])))
    async with service.post(STREAMED, path=PATH) as response:
        assert await response.content.readexactly(len(event(EVENTS[0]))) == event(EVENTS[0])


@pytest.mark.parametrize("behaviour", [never_responds, stalls_after(), stalls_after(*map(event, EVENTS[:3]))])
async def test_disconnect_closes_upstream(
    service: Service, model: ModelServer, logged: Logged, behaviour: Behaviour
) -> None:
    model.respond_with(behaviour)

    async def read() -> None:
        async with service.post(STREAMED, path=PATH) as response:
            await response.read()

    client = asyncio.create_task(read())
    exchange = await model.arrived()
    client.cancel()
    async with asyncio.timeout(1):
        await exchange.closed.wait()
    assert [line["outcome"] for line in await logged()] == ["disconnected"]


async def test_response_does_not_show_the_system_prompt(service: Service, model: ModelServer, configure: Configure) -> None:
    """The fake repeats the instructions, as OpenAI does."""
    configure(OPENAI_BASE_URL=model.url, OPENAI_RESPONSES_API="true", CHAT_SYSTEM_PROMPT="The operator's words.")

    async def repeats_instructions(exchange: Exchange) -> None:
        sent = exchange.request.json
        await responds(200, response_object(*TEXT, instructions=sent.get("instructions")))(exchange)

    model.respond_with(repeats_instructions)
    _, received = await service.send({**COMPLETE, "instructions": "Be brief."}, path=PATH)
    assert received["instructions"] == "Be brief."
    assert "operator" in json.dumps(model.requests[0].json)
    assert "operator" not in json.dumps(received)
