"""Both of OpenAI's APIs, each in front of a model server that has only the other: translated."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from testing.behaviours import never_responds, responds, stalls_after, streams, streams_bytes
from testing.chat_completions import COMPLETION, OPENAI, TOOL_CALL, chunk, event
from testing.client import DONE, Configure, Logged, Service
from testing.model_server import Behaviour, Exchange, ModelServer
from testing.responses_api import TEXT, TOOL_CALLS, completed, failed_with_error
from testing.responses_api import event as response_event
from testing.responses_api import response as response_object

RESPONSES = "/api/v1/responses"
CHAT_COMPLETIONS = "/api/v1/chat/completions"
QUESTION = {"input": "What is the capital of France?"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CHAT_QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "What is the weather?"}], "tools": [TOOL]}
TOOLS_REJECTED = {
    "error": {
        "message": "Function tools with reasoning_effort are not supported for gpt-6-luna in /v1/chat/completions. "
        "To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
        "type": "invalid_request_error",
        "param": "reasoning_effort",
        "code": None,
    }
}


@pytest.fixture
async def client(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{service.url}/api/v1", api_key="anything", max_retries=0) as client:
        yield client


class TestResponsesInFrontOfChatCompletions:
    """The model server is a compatible one without the Responses API."""

    async def test_complete_response(self, client: AsyncOpenAI, model: ModelServer) -> None:
        model.respond_with(responds(200, COMPLETION))
        response = await client.responses.create(input="What is the capital of France?", instructions="Be kind.")
        assert response.output_text == "Paris – 巴黎."
        assert response.status == "completed"
        assert response.instructions == "Be kind."
        assert response.usage
        assert (response.usage.input_tokens, response.usage.output_tokens) == (25, 3)
        (request,) = model.requests
        assert request.path == "/v1/chat/completions"
        system, user = request.json["messages"]
        assert system == {"role": "system", "content": "You are a helpful assistant.\n\nBe kind."}
        assert user == {"role": "user", "content": "What is the capital of France?"}

    async def test_stream(self, client: AsyncOpenAI, model: ModelServer, logged: Logged) -> None:
        model.respond_with(streams(OPENAI))
        events = [each async for each in await client.responses.create(input="What?", stream=True)]
        assert [each.type for each in events[:2]] == ["response.created", "response.in_progress"]
        assert [each.sequence_number for each in events] == list(range(len(events)))
        text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
        assert text == "".join(value["choices"][0]["delta"].get("content") or "" for value in OPENAI if value["choices"])
        end = events[-1]
        assert end.type == "response.completed"
        assert end.response.output_text == text
        assert end.response.usage
        assert end.response.usage.output_tokens == 3
        (line,) = await logged()
        assert line["openai.api.type"] == "responses"
        assert line["gen_ai.usage.output_tokens"] == 3

    async def test_stream_helper_accumulates_a_tool_call(self, client: AsyncOpenAI, model: ModelServer) -> None:
        model.respond_with(streams(TOOL_CALL))
        async with client.responses.stream(model="any", input="Weather?") as stream:
            async for _ in stream:
                pass
            response = await stream.get_final_response()
        (call,) = [item for item in response.output if item.type == "function_call"]
        assert json.loads(call.arguments)
        assert call.call_id

    async def test_parsed_output(self, client: AsyncOpenAI, model: ModelServer) -> None:
        class Capital(BaseModel):
            city: str

        message = {"role": "assistant", "content": '{"city":"Tokyo"}'}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        model.respond_with(responds(200, {**COMPLETION, "choices": [choice]}))
        response = await client.responses.parse(model="any", input="What?", text_format=Capital)
        assert response.output_parsed == Capital(city="Tokyo")
        assert model.requests[0].json["response_format"]["json_schema"]["name"] == "Capital"

    async def test_reasoning_comes_back_as_encrypted_content_if_that_is_requested(
        self, service: Service, model: ModelServer
    ) -> None:
        thought = chunk({"reasoning_content": "Hm – 走."})
        model.respond_with(streams([thought, chunk({"content": "Hi"}), chunk({}, "stop")]), streams(OPENAI))
        body = {**QUESTION, "stream": True, "include": ["reasoning.encrypted_content"]}
        _, events = await service.send(body, path=RESPONSES)
        reasoning, message = events[-1]["response"]["output"]
        assert reasoning["encrypted_content"] == "Hm – 走."
        del reasoning["content"]  # as Agent Framework sends it back
        await service.send({"input": [reasoning, message], "stream": True}, path=RESPONSES)
        assert model.requests[1].json["messages"][1]["reasoning_content"] == "Hm – 走."

    async def test_failure_mid_stream_is_raised_by_the_client(self, client: AsyncOpenAI, model: ModelServer) -> None:
        model.respond_with(streams_bytes(*map(event, OPENAI[:3])))
        stream = await client.responses.create(input="What?", stream=True)
        with pytest.raises(openai.APIError, match="ended early"):
            [each async for each in stream]

    async def test_failure_mid_stream_ends_as_failed(self, service: Service, model: ModelServer) -> None:
        model.respond_with(streams_bytes(*map(event, OPENAI[:3])))
        status, events = await service.send({**QUESTION, "stream": True}, path=RESPONSES)
        assert status == 200
        assert [each["type"] for each in events[-2:]] == ["error", "response.failed"]
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        assert events[-1]["response"]["id"] == events[0]["response"]["id"]

    async def test_chunks_before_an_invalid_one_are_delivered(self, service: Service, model: ModelServer) -> None:
        received_at_once = b"".join(map(event, [OPENAI[0], chunk({"content": "Paris"}), chunk({"tool_calls": 5})]))
        model.respond_with(streams_bytes(received_at_once))
        _, events = await service.send({**QUESTION, "stream": True}, path=RESPONSES)
        assert [each["delta"] for each in events if each["type"] == "response.output_text.delta"] == ["Paris"]
        assert [each["type"] for each in events[-2:]] == ["error", "response.failed"]

    @pytest.mark.parametrize(
        ("behaviour", "status"),
        [(responds(429, {}), 429), (responds(400, {"error": {"message": "No."}}), 400), (streams_bytes(b""), 502)],
    )
    async def test_error_before_the_first_event_has_its_status(
        self, service: Service, model: ModelServer, behaviour: Behaviour, status: int
    ) -> None:
        model.respond_with(behaviour)
        assert (await service.send({**QUESTION, "stream": True}, path=RESPONSES))[0] == status

    async def test_response_does_not_show_the_system_prompt(
        self, service: Service, model: ModelServer, configure: Configure
    ) -> None:
        configure(OPENAI_BASE_URL=model.url, CHAT_SYSTEM_PROMPT="The operator's words.")
        model.respond_with(streams(OPENAI), responds(200, COMPLETION))
        received = [await service.send({**QUESTION, "stream": stream}, path=RESPONSES) for stream in (True, False)]
        assert "operator" in json.dumps(model.requests[1].json)
        assert "operator" not in json.dumps(received)

    @pytest.mark.parametrize("behaviour", [never_responds, stalls_after(), stalls_after(event(OPENAI[0]))])
    async def test_disconnect_closes_upstream(self, service: Service, model: ModelServer, behaviour: Behaviour) -> None:
        model.respond_with(behaviour)
        await check_disconnect(service, model, {**QUESTION, "stream": True}, RESPONSES)


async def check_disconnect(service: Service, model: ModelServer, body: dict[str, Any], path: str, requests: int = 1) -> None:
    """Disconnects when the model server has that many requests, and checks that the last of them is closed in a second."""

    async def read() -> None:
        async with service.post(body, path=path) as response:
            await response.read()

    client = asyncio.create_task(read())
    exchange = await model.arrived(requests)
    client.cancel()
    async with asyncio.timeout(1):
        await exchange.closed.wait()


@pytest.fixture
def tools_through_responses(model: ModelServer) -> list[str]:
    """A model server that accepts tools only in the Responses API; returns the paths of its requests."""
    paths: list[str] = []

    async def behave(exchange: Exchange) -> None:
        sent = exchange.request.json
        paths.append(exchange.request.path.removeprefix("/v1/"))
        if paths[-1] == "chat/completions" and "tools" in sent:
            await responds(400, TOOLS_REJECTED)(exchange)
        elif paths[-1] == "chat/completions":
            await (streams(OPENAI) if sent["stream"] else responds(200, COMPLETION))(exchange)
        elif sent["stream"]:
            await streams_bytes(*map(response_event, completed(*TOOL_CALLS)))(exchange)
        else:
            await responds(200, response_object(*TOOL_CALLS))(exchange)

    model.respond_with(behave)
    return paths


class TestToolsThroughResponses:
    """The model server rejects a request of Chat Completions for its tools."""

    async def test_request_is_sent_again_once_and_later_ones_go_there_directly(
        self, client: AsyncOpenAI, tools_through_responses: list[str]
    ) -> None:
        for _ in range(2):
            completion = await client.chat.completions.create(model="any", **CHAT_QUESTION)
            calls = completion.choices[0].message.tool_calls or []
            assert [call.id for call in calls] == ["call_1", "call_2"]
            assert completion.choices[0].finish_reason == "tool_calls"
            assert completion.usage
            assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (25, 3)
        assert tools_through_responses == ["chat/completions", "responses", "responses"]

    async def test_stream(self, client: AsyncOpenAI, tools_through_responses: list[str]) -> None:
        async with client.chat.completions.stream(model="any", **CHAT_QUESTION) as stream:
            async for _ in stream:
                pass
            completion = await stream.get_final_completion()
        calls = completion.choices[0].message.tool_calls or []
        assert [(call.id, call.function.arguments) for call in calls] == [
            (item["call_id"], item["arguments"]) for item in TOOL_CALLS
        ]
        assert tools_through_responses == ["chat/completions", "responses"]

    async def test_request_without_tools_still_goes_to_chat_completions(
        self, client: AsyncOpenAI, tools_through_responses: list[str]
    ) -> None:
        await client.chat.completions.create(model="any", **CHAT_QUESTION)
        await client.chat.completions.create(model="any", messages=CHAT_QUESTION["messages"])
        assert tools_through_responses == ["chat/completions", "responses", "chat/completions"]

    @pytest.mark.usefixtures("tools_through_responses")
    async def test_request_stores_nothing(self, service: Service, model: ModelServer) -> None:
        await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS)
        assert model.requests[1].json["store"] is False

    @pytest.mark.parametrize("parameters", [{"stop": ["x"]}, {"seed": 1}, {"logit_bias": {"5": 1}}, {"presence_penalty": 1}])
    async def test_parameter_without_counterpart_returns_the_rejection(
        self, service: Service, tools_through_responses: list[str], parameters: dict[str, Any]
    ) -> None:
        for _ in range(2):
            status, body = await service.send({**CHAT_QUESTION, **parameters}, path=CHAT_COMPLETIONS)
            assert status == 400
            assert body["error"]["message"] == TOOLS_REJECTED["error"]["message"]
        assert tools_through_responses == ["chat/completions"] * 2

    @pytest.mark.usefixtures("tools_through_responses")
    async def test_rejection_of_the_path_unlearns_it(self, service: Service, model: ModelServer) -> None:
        await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS)
        model.respond_with(responds(404, {}), responds(200, COMPLETION))
        assert await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS) == (200, COMPLETION)
        assert await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS) == (200, COMPLETION)
        paths = [request.path.removeprefix("/v1/") for request in model.requests]
        assert paths == ["chat/completions", "responses", "responses", "chat/completions", "chat/completions"]

    async def test_rejection_of_both_returns_the_first(self, service: Service, model: ModelServer) -> None:
        model.respond_with(responds(400, TOOLS_REJECTED), responds(404, {}), responds(200, COMPLETION))
        status, body = await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS)
        assert (status, body["error"]["message"]) == (400, TOOLS_REJECTED["error"]["message"])
        assert await service.send(CHAT_QUESTION, path=CHAT_COMPLETIONS) == (200, COMPLETION)
        assert model.requests[-1].path == "/v1/chat/completions"

    @pytest.mark.parametrize(
        ("error", "changes"),
        [
            ({"message": f"messages[0].content: unexpected {TOOLS_REJECTED['error']['message']!r}"}, {}),
            ({"message": "No.", "input": TOOLS_REJECTED["error"]["message"]}, {}),
            (TOOLS_REJECTED["error"], {"tools": []}),
        ],
        ids=["message quotes the client", "another key quotes the client", "request without tools"],
    )
    async def test_other_rejection_is_returned(
        self, service: Service, model: ModelServer, error: dict[str, Any], changes: dict[str, Any]
    ) -> None:
        model.respond_with(responds(400, {"error": error}), responds(200, response_object(*TEXT)))
        status, body = await service.send({**CHAT_QUESTION, **changes}, path=CHAT_COMPLETIONS)
        assert (status, body["error"]["message"]) == (400, error["message"])
        assert len(model.requests) == 1

    async def test_failure_mid_stream_is_the_last_event(self, service: Service, model: ModelServer) -> None:
        events = failed_with_error("server_error", "The server had an error.", *TEXT)
        model.respond_with(responds(400, TOOLS_REJECTED), streams_bytes(*map(response_event, events)))
        status, received = await service.send({**CHAT_QUESTION, "stream": True}, path=CHAT_COMPLETIONS)
        assert status == 200
        assert received[-1]["error"]["type"] == "upstream_error"
        assert DONE not in received

    @pytest.mark.parametrize("behaviour", [never_responds, stalls_after()])
    async def test_disconnect_closes_upstream(self, service: Service, model: ModelServer, behaviour: Behaviour) -> None:
        model.respond_with(responds(400, TOOLS_REJECTED), behaviour)
        await check_disconnect(service, model, {**CHAT_QUESTION, "stream": True}, CHAT_COMPLETIONS, requests=2)


async def test_streams_of_both_apis_at_once_mix_nothing(service: Service, model: ModelServer) -> None:
    async def echo(exchange: Exchange) -> None:
        text = exchange.request.json["messages"][-1]["content"]
        await streams([chunk({"content": text}), chunk({"content": text}), chunk(finish_reason="stop")])(exchange)

    async def ask(number: int) -> tuple[str, str]:
        text = f"number {number}"
        if number % 2:
            _, events = await service.send({"input": text, "stream": True}, path=RESPONSES)
            return text * 2, "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
        _, chunks = await service.send({"messages": [{"content": text}]})
        return text * 2, "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)

    model.respond_with(echo)
    for expected, received in await asyncio.gather(*map(ask, range(20))):
        assert received == expected
