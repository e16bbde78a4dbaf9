"""`/api/v1` with OpenAI's own clients, for Python and for JavaScript, and on the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BaseModel

from chat.formats.chat_completions import IGNORED_PARAMETERS, UNSUPPORTED_PARAMETERS, ChatCompletionsRequest
from testing import npm
from testing.behaviours import never_responds, responds, stalls_after, streams, streams_bytes
from testing.chat_completions import AZURE, COMPLETION, OPENAI, TOOL_CALL, USAGE, chunk, event
from testing.client import DONE, Configure, Logged, Service
from testing.model_server import Behaviour, ModelServer

NPM_CLIENT = "openai@7"
PATH = "/api/v1/chat/completions"
MESSAGES: list[Any] = [{"role": "user", "content": "What is the capital of Japan?"}]
BODY = {"model": "any", "messages": MESSAGES}
KEYS = {"alice": "a-key-of-twenty-characters", "bob.2": "another-key-of-thirty-characters"}


@pytest.fixture
async def client(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{service.url}/api/v1", api_key="anything", max_retries=0) as client:
        yield client


def with_choices(chunks: list[Any]) -> list[Any]:
    return [chunk for chunk in chunks if chunk["choices"]]


def dumped(received: BaseModel) -> dict[str, Any]:
    return received.model_dump(exclude_unset=True)


async def test_python_client_receives_a_stream(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
    assert [dumped(chunk) async for chunk in stream] == with_choices(OPENAI)


async def test_python_client_receives_requested_usage(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    stream = await client.chat.completions.create(
        model="any", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert [dumped(chunk) for chunk in chunks] == OPENAI
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens == USAGE["prompt_tokens"]


async def test_python_client_receives_a_completion(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(responds(200, COMPLETION))
    completion = await client.chat.completions.create(model="any", messages=MESSAGES)
    assert dumped(completion) == COMPLETION


async def test_synchronous_python_client_receives_a_stream_and_a_completion(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI), responds(200, COMPLETION))

    def use() -> tuple[list[str | None], str | None]:
        with OpenAI(base_url=f"{service.url}/api/v1", api_key="anything") as client:
            stream = client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
            contents = [chunk.choices[0].delta.content for chunk in stream]
            completion = client.chat.completions.create(model="any", messages=MESSAGES)
            return contents, completion.choices[0].message.content

    assert await asyncio.to_thread(use) == (["", "The capital", " is Paris – 巴黎 🗼.", None], "Paris – 巴黎.")


TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


async def test_python_client_calls_tools(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(streams(TOOL_CALL))
    called: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    stream = await client.chat.completions.create(
        model="any", messages=messages, tools=[TOOL], tool_choice="auto", parallel_tool_calls=False, stream=True
    )
    assert [dumped(chunk) async for chunk in stream] == TOOL_CALL
    request = model.requests[0].json
    assert request["messages"][1:] == messages
    assert (request["tools"], request["tool_choice"], request["parallel_tool_calls"]) == ([TOOL], "auto", False)


class City(BaseModel):
    name: str
    population: int


async def test_python_client_parses_structured_output(client: AsyncOpenAI, model: ModelServer) -> None:
    message = {"role": "assistant", "content": '{"name": "Paris", "population": 2000000}', "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    model.respond_with(responds(200, {**COMPLETION, "choices": [choice]}))
    completion = await client.chat.completions.parse(model="any", messages=MESSAGES, response_format=City)
    assert completion.choices[0].message.parsed == City(name="Paris", population=2_000_000)
    assert model.requests[0].json["response_format"]["json_schema"]["name"] == "City"


async def test_python_client_has_the_request_id(client: AsyncOpenAI, model: ModelServer, logged: Logged) -> None:
    model.respond_with(responds(200, COMPLETION))
    completion = await client.chat.completions.create(model="any", messages=MESSAGES)
    (line,) = await logged()
    assert completion._request_id == line["invocation_id"]


async def test_python_client_lists_the_model(client: AsyncOpenAI) -> None:
    assert [dumped(listed) async for listed in client.models.list()] == [
        {"id": "the-model", "object": "model", "created": 0, "owned_by": "compatible"}
    ]


ERRORS: dict[str, tuple[Behaviour, type[openai.APIError], int | None]] = {
    "rejected content": (
        responds(400, {"error": {"message": "No.", "code": "content_filter"}}),
        openai.BadRequestError,
        400,
    ),
    "422": (responds(422, {"error": {"message": "No."}}), openai.UnprocessableEntityError, 422),
    "rate limit": (responds(429, {}, retry_after="60"), openai.RateLimitError, 429),
    "rejected service": (responds(401, {}), openai.InternalServerError, 502),
    "overloaded": (responds(503, {}, retry_after="60"), openai.InternalServerError, 503),
    "timeout": (never_responds, openai.InternalServerError, 504),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("stream", [False, True])
async def test_python_client_raises_the_class_of_an_error(
    service: Service, client: AsyncOpenAI, model: ModelServer, configure: Configure, name: str, stream: bool
) -> None:
    behaviour, kind, status = ERRORS[name]
    configure(OPENAI_BASE_URL=model.url, CHAT_TIMEOUT="0.3" if name == "timeout" else "60")
    model.respond_with(behaviour)
    with pytest.raises(kind) as raised:
        await client.chat.completions.create(model="any", messages=MESSAGES, stream=stream)
    assert isinstance(raised.value, openai.APIStatusError)
    assert raised.value.status_code == status
    service.check_no_secrets(str(raised.value))


async def test_python_client_raises_an_error_mid_stream(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(streams_bytes(*map(event, OPENAI[:2])))
    stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
    assert dumped(await anext(stream)) == OPENAI[0]
    assert dumped(await anext(stream)) == OPENAI[1]
    with pytest.raises(openai.APIError, match="ended early") as raised:
        await anext(stream)
    assert raised.value.type == "upstream_error"


async def test_python_client_closing_a_stream_closes_upstream(client: AsyncOpenAI, model: ModelServer) -> None:
    model.respond_with(stalls_after(*map(event, OPENAI[:2])))
    stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
    await anext(stream)
    await stream.close()
    async with asyncio.timeout(1):
        await model.exchanges[0].closed.wait()


@pytest.fixture(scope="session")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with OpenAI's client for JavaScript installed."""
    return npm.install(NPM_CLIENT, tmp_path_factory.mktemp("openai"))


async def npm_client(folder: Path, service: Service, *arguments: str) -> list[Any]:
    """What the client prints."""
    return await npm.run_client(folder, Path(__file__).with_name("openai_client.mjs"), f"{service.url}/api/v1", *arguments)


async def test_npm_client_receives_a_stream(service: Service, model: ModelServer, npm_folder: Path) -> None:
    model.respond_with(streams(AZURE))
    assert await npm_client(npm_folder, service, "stream") == with_choices(AZURE)


async def test_npm_client_receives_a_completion(service: Service, model: ModelServer, npm_folder: Path) -> None:
    model.respond_with(responds(200, COMPLETION))
    (completion,) = await npm_client(npm_folder, service, "complete")
    assert completion.items() >= COMPLETION.items()


async def test_npm_client_lists_the_model(service: Service, npm_folder: Path) -> None:
    (listed,) = await npm_client(npm_folder, service, "models")
    assert listed["id"] == "the-model"


async def test_npm_client_throws_errors(service: Service, model: ModelServer, npm_folder: Path) -> None:
    model.respond_with(responds(429, {"error": {"code": "rate_limit_exceeded"}}, retry_after="60"))
    (thrown,) = await npm_client(npm_folder, service, "stream")
    assert (thrown["thrown"], thrown["status"], thrown["code"]) == ("RateLimitError", 429, "rate_limit_exceeded")
    model.respond_with(streams_bytes(*map(event, OPENAI[:2])))
    *chunks, thrown = await npm_client(npm_folder, service, "stream")
    assert chunks == OPENAI[:2]
    assert "ended early" in thrown["message"]


async def test_npm_client_abort_closes_upstream(service: Service, model: ModelServer, npm_folder: Path) -> None:
    model.respond_with(stalls_after(*map(event, OPENAI[:2])))
    await npm_client(npm_folder, service, "abort")
    async with asyncio.timeout(1):
        await model.exchanges[0].closed.wait()


async def test_stream_on_the_wire(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(TOOL_CALL))
    async with service.post({**BODY, "stream": True}, path=PATH) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.read() == b"".join(map(event, TOOL_CALL)) + b"data: [DONE]\n\n"


NOT_SENT: dict[str, Any] = {
    "no choices": chunk(choices=[]),
    "choices that are null": chunk(choices=None),
    "no key": {"object": "chat.completion.chunk"},
    "usage": chunk(choices=[], usage=USAGE),
    "choices below another key": chunk(choices=[], other={"choices": [{"delta": {}}]}),
}


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("other", NOT_SENT.values(), ids=NOT_SENT)
async def test_chunk_that_clients_do_not_expect_is_not_sent(
    service: Service, model: ModelServer, other: Any, spaced: bool
) -> None:
    stream = [other, *OPENAI[:2], other, *OPENAI[2:4], other]
    events = [b"data: " + json.dumps(value, separators=(", ", " : ") if spaced else None).encode() for value in stream]
    model.respond_with(streams_bytes(b"\n\n".join([*events, b"data: [DONE]\n\n"])))
    assert await service.send({**BODY, "stream": True}, path=PATH) == (200, [*OPENAI[:4], DONE])


async def test_choice_without_a_delta_is_sent_with_an_empty_one(service: Service, model: ModelServer) -> None:
    last = {"index": 0, "finish_reason": "stop"}
    model.respond_with(streams([*OPENAI[:2], chunk(choices=[last])]))
    expected = [*OPENAI[:2], chunk(choices=[{**last, "delta": {}}]), DONE]
    assert await service.send({**BODY, "stream": True}, path=PATH) == (200, expected)


FORWARDED: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 1,
    "frequency_penalty": -2,
    "presence_penalty": 0.1,
    "stop": ["a", "b"],
    "seed": 10**20,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "ünï", "parameters": {"maximum": 1e300}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "verbosity": "high",
    "user": "u",
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "prediction": {"type": "content", "content": "Paris"},
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
}
IGNORED: dict[str, Any] = {
    "model": "x",
    "models": ["x"],
    "fallbacks": ["x"],
    "moderation": {},
    "prompt_cache_options": {},
    "n": 1,
    "store": False,
}
OF_COMPATIBLE_SERVERS: dict[str, Any] = {
    "top_k": 5,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "chat_template_kwargs": {"enable_thinking": False},
    "ünknown": [None, 1.0],
}
AZURE_SETTINGS = {"AZURE_OPENAI_CHAT_DEPLOYMENT": "the-model", "AZURE_OPENAI_API_KEY": "k"}


@pytest.fixture(params=["compatible", "azure"])
def provider(request: pytest.FixtureRequest, model: ModelServer, configure: Configure) -> str:
    """The provider for which the service is configured."""
    if request.param == "azure":
        configure(AZURE_OPENAI_ENDPOINT=model.url, **AZURE_SETTINGS)
    return str(request.param)


async def upstream_request(service: Service, server: ModelServer, **body: Any) -> dict[str, Any]:
    """Sends a request and returns what the model server received."""
    server.respond_with(responds(200, COMPLETION))
    assert await service.send({"messages": MESSAGES} | body, path=PATH) == (200, COMPLETION)
    return dict(server.requests[-1].json)


async def test_parameters_are_forwarded_or_ignored(service: Service, model: ModelServer, provider: str) -> None:
    request = await upstream_request(service, model, **FORWARDED, **IGNORED, **OF_COMPATIBLE_SERVERS)
    assert request.pop("messages")[1:] == MESSAGES
    others = OF_COMPATIBLE_SERVERS if provider == "compatible" else {}
    assert request == {"model": "the-model", "stream": False, **FORWARDED, **others}


def test_each_parameter_of_openai_is_known() -> None:
    """A parameter that OpenAI adds to its API would otherwise be forwarded to compatible servers unchecked."""
    known = {*ChatCompletionsRequest.model_fields, *UNSUPPORTED_PARAMETERS, *IGNORED_PARAMETERS}
    assert CompletionCreateParamsNonStreaming.__annotations__.keys() <= known


async def test_null_counts_as_absent(service: Service, model: ModelServer) -> None:
    nulls = dict.fromkeys([*FORWARDED, *REJECTED, *OF_COMPATIBLE_SERVERS, *LIMITS, "stream", "stream_options"])
    request = await upstream_request(service, model, **nulls)
    assert request.keys() == {"model", "messages", "stream"}


@pytest.mark.parametrize(
    ("body", "limit", "sent"),
    [
        ({"max_tokens": 7}, "", 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, "", 5),
        ({"max_completion_tokens": 50}, "10", 10),
        ({"max_tokens": 5}, "10", 5),
        ({}, "10", 10),
        ({"max_tokens": 0}, "", 0),
        ({"max_completion_tokens": -1}, "", -1),
        ({"max_tokens": 0}, "10", 10),
        ({"max_tokens": -1}, "10", 10),
        ({"max_completion_tokens": -1, "max_tokens": 5}, "10", 10),
        ({"n_predict": 50, "num_predict": 50, "max_length": 50, "max_new_tokens": 50}, "10", 10),
    ],
)
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"OPENAI_BASE_URL": ""}, "max_tokens"),
        ({"AZURE_OPENAI_ENDPOINT": "", **AZURE_SETTINGS}, "max_completion_tokens"),
    ],
    ids=["compatible", "azure"],
)
async def test_length_of_a_completion_is_limited(
    service: Service,
    model: ModelServer,
    configure: Configure,
    settings: dict[str, str],
    name: str,
    body: dict[str, int],
    limit: str,
    sent: int,
) -> None:
    addressed = {setting: value or model.url for setting, value in settings.items()}
    configure(**addressed, CHAT_MAX_COMPLETION_TOKENS=limit)
    request = await upstream_request(service, model, **body)
    assert {limit: request[limit] for limit in LIMITS if limit in request} == {name: sent}


LIMITS = ["max_completion_tokens", "max_tokens", "n_predict", "num_predict", "max_length", "max_new_tokens"]
REJECTED: dict[str, list[Any]] = {
    "n": [2, 0, "1"],
    "modalities": [["audio"], ["text", "audio"], []],
    "audio": [{"voice": "alloy"}],
    "functions": [[]],
    "function_call": ["auto"],
    "web_search_options": [{}],
    "store": [True],
    "background": [True],
}
INVALID: list[tuple[dict[str, Any], str]] = [
    *(({name: value}, name) for name, values in REJECTED.items() for value in values),
    ({"temperature": "hot"}, "temperature"),
    ({"stop": [1]}, "stop"),
    ({"tools": [1] * 100_000}, "tools[0]"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"logit_bias": []}, "logit_bias"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_completion_tokens": "1"}, "max_completion_tokens"),
    ({"user": 1}, "user"),
    ({"metadata": []}, "metadata"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "function", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [*MESSAGES, {"role": "user", "content": 5}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages[0].content"),
    ({"messages": [1] * 100_000}, "messages"),
    ({"messages": MESSAGES * 1001}, "messages"),
]


@pytest.mark.parametrize(("body", "param"), INVALID, ids=lambda value: json.dumps(value)[:50])
async def test_invalid_parameter_is_rejected(service: Service, model: ModelServer, body: dict[str, Any], param: str) -> None:
    status, response = await service.send({"messages": MESSAGES} | body, path=PATH)
    assert (status, response["error"]["type"], response["error"]["param"]) == (400, "invalid_request_error", param)
    assert model.requests == []


async def test_number_that_is_too_large_is_rejected(service: Service, model: ModelServer) -> None:
    body = json.dumps({"messages": MESSAGES, "tools": [{"maximum": 0}]}).replace('"maximum": 0', '"maximum": 1e400')
    status, _ = await service.send(body.encode(), path=PATH)
    assert status == 400
    assert model.requests == []


@pytest.mark.parametrize(
    ("leading", "system", "rest"),
    [
        ([], "Be brief.", []),
        ([{"role": "system", "content": "Obey."}], "Be brief.\n\nObey.", []),
        (
            [{"role": "developer", "content": [{"type": "text", "text": "Obey"}, {"type": "text", "text": "!"}]}],
            "Be brief.\n\nObey!",
            [],
        ),
        (
            [{"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}],
            "Be brief.\n\nOne.\n\nTwo.",
            [],
        ),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}],
            "Be brief.",
            [{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": {}}]}],
            "Be brief.",
            [{"role": "system", "content": [{"type": "text", "text": {}}]}],
        ),
        ([{"role": "system", "content": None}], "Be brief.", [{"role": "system", "content": None}]),
    ],
    ids=["none", "system", "developer in parts", "both", "an image", "text that is an object", "null"],
)
async def test_client_instructions_are_appended_to_the_system_prompt(
    service: Service, model: ModelServer, configure: Configure, leading: list[Any], system: str, rest: list[Any]
) -> None:
    configure(OPENAI_BASE_URL=model.url, CHAT_SYSTEM_PROMPT="Be brief.")
    later: list[Any] = [*MESSAGES, {"role": "system", "content": "Later."}, {"role": "user", "content": "Hi", "name": "a"}]
    request = await upstream_request(service, model, messages=[*leading, *later])
    assert request["messages"] == [{"role": "system", "content": system}, *rest, *later]


async def test_other_fields_of_instructions_are_kept(service: Service, model: ModelServer, configure: Configure) -> None:
    configure(OPENAI_BASE_URL=model.url, CHAT_SYSTEM_PROMPT="Be brief.")
    cached = {"cache_control": {"type": "ephemeral"}}
    named = {"role": "system", "content": "Obey.", "name": "boss", **cached}
    request = await upstream_request(service, model, messages=[named, *MESSAGES])
    expected = {"role": "system", "content": "Be brief.\n\nObey.", "name": "boss", **cached}
    assert request["messages"] == [expected, *MESSAGES]
    part = {"type": "text", "text": "Three.", **cached}
    leading = [{"role": "system", "content": "Two."}, {"role": "developer", "content": [part], "name": "boss"}]
    request = await upstream_request(service, model, messages=[*leading, *MESSAGES])
    parts = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Two."}, part]
    assert request["messages"] == [{"role": "system", "content": parts, "name": "boss"}, *MESSAGES]


async def test_content_parts_are_forwarded_as_received(service: Service, model: ModelServer) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:…"}, "extra": [1.0]},
    ]
    request = await upstream_request(service, model, messages=[{"role": "user", "content": parts}])
    assert request["messages"][1] == {"role": "user", "content": parts}


@pytest.fixture
def api_keys(model: ModelServer, configure: Configure) -> str:
    """The setting, with two keys."""
    setting = ", ".join(f"{name}={key}" for name, key in KEYS.items())
    configure(OPENAI_BASE_URL=model.url, CHAT_API_KEYS=setting)
    return setting


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-key-of-twenty-characters"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {KEYS['alice']}"},
        {"Authorization": KEYS["alice"]},
        {"Authorization": f"Bearer {KEYS['alice'].upper()}"},
        {"Authorization": f"Bearer alice={KEYS['alice']}"},
        {"api-key": ""},
        {"api-key": "wrong"},
        {"x-functions-key": KEYS["alice"]},
        {"Authorization": "Bearer sch\u00fcssel"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("api_keys")
async def test_missing_or_invalid_api_key_is_rejected(
    service: Service, model: ModelServer, logged: Logged, headers: dict[str, str]
) -> None:
    expected = {
        "error": {
            "message": "Missing or invalid API key.",
            "type": "authentication_error",
            "code": "invalid_api_key",
            "param": None,
        }
    }
    async with service.post(BODY, path=PATH, headers=headers) as response:
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert await service.read(response) == (401, expected)
    async with service.session.get(f"{service.url}/api/v1/models", headers=headers) as response:
        assert await service.read(response) == (401, expected)
    assert model.requests == []
    (line,) = await logged()
    assert (line["status"], line["error.type"]) == (401, "authentication_error")
    assert "api_key_name" not in line


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("header", ["Authorization", "api-key"])
async def test_api_key_is_accepted_and_its_name_logged(
    service: Service, model: ModelServer, logged: Logged, api_keys: str, name: str, header: str
) -> None:
    headers = {header: f"Bearer {KEYS[name]}" if header == "Authorization" else KEYS[name]}
    model.respond_with(responds(200, COMPLETION))
    assert await service.send(BODY, path=PATH, headers=headers) == (200, COMPLETION)
    async with service.session.get(f"{service.url}/api/v1/models", headers=headers) as response:
        assert response.status == 200
    lines = await logged()
    assert [line["api_key_name"] for line in lines] == [name]
    assert all(key not in str(lines) for key in [api_keys, *KEYS.values()])
    assert KEYS[name] not in str(model.requests)


@pytest.mark.usefixtures("api_keys")
async def test_python_client_with_a_wrong_api_key(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(model="any", messages=MESSAGES)


@pytest.mark.usefixtures("api_keys")
async def test_other_routes_take_no_api_key(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    assert await service.send() == (200, OPENAI)
