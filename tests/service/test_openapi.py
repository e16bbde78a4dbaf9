"""The OpenAPI document, held against the models of the requests, the table of errors, and real responses."""

import asyncio
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chat import errors
from chat.formats import chat_completions, responses_request
from chat.formats.chat_protocol import ProtocolRequest
from chat.formats.ndjson import ChatRequest
from chat.settings import Provider
from local.settings import APP_DIR
from testing import responses_api
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import AZURE, COMPLETION, OPENAI
from testing.client import DONE, QUESTION, Configure, Service
from testing.model_server import Behaviour, Exchange, ModelServer

FILE = APP_DIR / "web" / "static" / "openapi.json"
DOCUMENT = json.loads(FILE.read_bytes())
SCHEMAS = DOCUMENT["components"]["schemas"]


def operation(path: str) -> dict[str, Any]:
    (operation,) = DOCUMENT["paths"][path].values()
    return dict(operation)


def response(path: str, status: str) -> dict[str, Any]:
    found = operation(path)["responses"][status]
    name = found.get("$ref", "").removeprefix("#/components/responses/")
    return dict(DOCUMENT["components"]["responses"][name] if name else found)


def validator(schema: str | dict[str, Any]) -> Draft202012Validator:
    """Validates against a schema, or one of the document's by its name."""
    if isinstance(schema, str):
        schema = {"$ref": f"#/components/schemas/{schema}"}
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def error_example(status: str) -> Any:
    return response("/api/chat", status)["content"]["application/json"]["example"]


def test_document_is_valid() -> None:
    validate(DOCUMENT)


def test_document_has_each_route_for_programs() -> None:
    assert list(DOCUMENT["paths"]) == [
        "/api/chat",
        "/api/v1/chat/completions",
        "/api/v1/responses",
        "/api/v1/models",
        "/api/v1/models/{id}",
        "/api/chat-protocol",
        "/api/chat-protocol/stream",
        "/api/health",
    ]


def raised(kind: type[errors.ChatError]) -> set[int]:
    return {kind.status} if "status" in vars(kind) else set()


def classes(kind: type[errors.ChatError]) -> list[type[errors.ChatError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in classes(child))]


@pytest.mark.parametrize("path", [path for path, operations in DOCUMENT["paths"].items() if "post" in operations])
def test_document_has_each_status(path: str) -> None:
    statuses = set().union(*map(raised, classes(errors.ChatError)))
    as_upstream = {422, 503}  # passed on from the model server
    expected = sorted(map(str, {200} | statuses - {errors.NotFound.status} | as_upstream))
    assert sorted(operation(path)["responses"]) == expected


def test_document_has_each_type_of_error() -> None:
    types = {kind.type for kind in classes(errors.ChatError)[1:]}
    assert set(SCHEMAS["Error"]["properties"]["error"]["properties"]["type"]["enum"]) == types


def without_titles(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: without_titles(value) for key, value in schema.items() if key not in {"title", "description"}}
    return [without_titles(item) for item in schema] if isinstance(schema, list) else schema


def nullable(schema: Any) -> Any:
    """Pydantic's `anyOf` with null, as the document writes it."""
    if isinstance(schema, dict):
        match schema.get("anyOf"):
            case [{"type": str(kind)} as present, {"type": "null"}]:
                others = {name: value for name, value in schema.items() if name != "anyOf"}
                return nullable(present) | {"type": [kind, "null"]} | others
        return {key: nullable(value) for key, value in schema.items() if key != "additionalProperties"}
    return schema


@pytest.mark.parametrize("model", [ChatRequest, ProtocolRequest])
def test_schemas_of_requests_are_those_of_the_models(model: type[ChatRequest] | type[ProtocolRequest]) -> None:
    _, schemas = models_json_schema([(model, "validation")], ref_template="#/components/schemas/{model}")
    for name, schema in schemas["$defs"].items():
        assert without_titles(SCHEMAS[name]) == nullable(without_titles(schema))


@pytest.mark.parametrize(
    ("path", "model", "unsupported"),
    [
        (
            "/api/v1/chat/completions",
            chat_completions.ChatCompletionsRequest,
            chat_completions.UNSUPPORTED_PARAMETERS,
        ),
        ("/api/v1/responses", responses_request.ResponsesRequest, responses_request.UNSUPPORTED_PARAMETERS),
    ],
)
def test_schema_of_openai_requests_is_that_of_the_model(
    path: str, model: type[BaseModel], unsupported: dict[str, list[object]]
) -> None:
    schema = SCHEMAS[model.__name__]
    properties = without_titles(schema["properties"])
    assert properties.keys() == model.model_fields.keys()
    any_object = json.dumps({"$ref": "#/$defs/Object"})
    generated = json.loads(json.dumps(model.model_json_schema()).replace(any_object, '{"type": "object"}'))
    for name, expected in nullable(without_titles(generated["properties"])).items():
        if isinstance(expected.get("type"), list):  # of the others, a validator checks the type
            assert properties[name] == expected, name
    assert schema["required"] == [name for name, field in model.model_fields.items() if field.is_required()]
    description = operation(path)["description"]
    assert all(f"`{name}" in description for name in unsupported)


def test_model_is_of_one_of_the_providers() -> None:
    assert SCHEMAS["Model"]["properties"]["owned_by"]["enum"] == list(get_args(Provider))


def items(media_type: str, stream: str) -> list[Any]:
    """The items of a stream, as `itemSchema` describes them."""
    if media_type != "text/event-stream":
        return [json.loads(line) for line in stream.splitlines()]
    return [dict(line.split(": ", 1) for line in event.split("\n")) for event in stream.removesuffix("\n\n").split("\n\n")]


def check_items(media_type: str, content: dict[str, Any], stream: str) -> None:
    """Checks each item of a stream, and the JSON in the data of each event."""
    schema = content["itemSchema"]
    for item in items(media_type, stream):
        validator(schema).validate(item)
        if media_type == "text/event-stream" and item["data"] != DONE:
            validator(data_schema(schema)).validate(json.loads(item["data"]))


def data_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the JSON in an event's data."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    data = (SCHEMAS[name] if name else schema)["properties"]["data"]
    return dict((data["anyOf"][0] if "anyOf" in data else data)["contentSchema"])


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_each_example_matches_its_schema(path: str) -> None:
    for status in operation(path)["responses"]:
        for media_type, content in response(path, status).get("content", {}).items():
            if "itemSchema" in content:
                check_items(media_type, content, content["example"])
            else:
                validator(content["schema"]).validate(content["example"])


@pytest.mark.parametrize("path", ["/api/chat", "/api/v1/chat/completions", "/api/v1/responses", "/api/chat-protocol/stream"])
async def test_each_stream_matches_its_schema(service: Service, model: ModelServer, path: str) -> None:
    body = {"input": "Hello", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    for media_type, content in response(path, "200")["content"].items():
        if "itemSchema" not in content:
            continue
        for after in (b"data: [DONE]\n\n", b'data: {"error": {"message": "Failed."}}\n\n'):
            model.respond_with(streams(OPENAI, after))
            async with service.post(body, path=path, headers={"accept": media_type}) as received:
                assert received.status == 200
                assert received.content_type == media_type
                check_items(media_type, content, await received.text())


def test_schemas_match_what_model_servers_send() -> None:
    for chunk in [*OPENAI, *AZURE]:
        validator("ChatCompletionChunk").validate(chunk)
    validator("ChatCompletion").validate(COMPLETION)
    for output in (responses_api.TEXT, responses_api.TOOL_CALLS, responses_api.REASONING):
        validator("Response").validate(responses_api.response(*output))
        for event in [*responses_api.completed(*output), *responses_api.incomplete("content_filter", *output)]:
            validator("ResponseEvent").validate(event)
    for event in responses_api.failed_with_error("server_error", "Failed."):
        validator("ResponseEvent").validate(event)


async def test_document_is_served(service: Service) -> None:
    async with service.session.get(f"{service.url}/api/openapi.json") as served:
        assert served.content_type == "application/json"
        assert await served.json() == DOCUMENT


def test_request_examples() -> None:
    examples = operation("/api/chat")["requestBody"]["content"]["application/json"]["examples"]
    assert [example["value"] for example in examples.values()] == [QUESTION, QUESTION | {"stream": False}]


JSON = {"Content-Type": "application/json"}
REQUESTS: dict[str, dict[str, Any]] = {
    "400": {"data": '{"messages": [{"content": ""}]}', "headers": JSON},
    "413": {"data": BytesIO(b" " * (8 * 1024 * 1024 + 1)), "headers": JSON},
    "415": {"data": "{}", "headers": {"Content-Type": "text/plain"}},
}


@pytest.mark.parametrize("status", REQUESTS)
async def test_example_of_an_invalid_request_is_real(service: Service, status: str) -> None:
    async with service.session.post(f"{service.url}/api/chat", **REQUESTS[status]) as sent:
        assert await service.read(sent) == (int(status), error_example(status))


async def test_examples_of_the_routes_without_a_model_server_are_real(service: Service, configure: Configure) -> None:
    configure(OPENAI_API_KEY="k", OPENAI_MODEL="gpt-6-luna")
    for path, status in [
        ("/api/v1/models", "200"),
        ("/api/v1/models/gpt-6-luna", "200"),
        ("/api/v1/models/other", "404"),
        ("/api/health", "200"),
    ]:
        documented = "/api/v1/models/{id}" if path.startswith("/api/v1/models/") else path
        async with service.session.get(service.url + path) as received:
            assert received.status == int(status)
            assert await received.json() == response(documented, status)["content"]["application/json"]["example"]
    configure(AZURE_OPENAI_ENDPOINT="https://name.openai.azure.com")
    async with service.session.get(f"{service.url}/api/health") as received:
        assert received.status == 500
        assert await received.json() == response("/api/health", "500")["content"]["application/json"]["example"]


async def test_unknown_route_is_described(service: Service) -> None:
    (description,) = [tag["description"] for tag in DOCUMENT["tags"] if tag["name"] == "OpenAI API"]
    status, body = await service.send({}, path="/api/v1/embeddings")
    assert f"a {status} with the code `{body['error']['code']}`" in description


ALTERNATE = {"error": {"message": "messages: Conversation roles must alternate."}}
LIMIT = {"error": {"code": "rate_limit_exceeded"}}
FAULTS: dict[str, Behaviour] = {
    "422": responds(422, ALTERNATE),
    "429": responds(429, LIMIT, retry_after="60"),
    "503": responds(503, {}, retry_after="60"),
}


@pytest.mark.parametrize("status", FAULTS)
async def test_example_of_a_fault_is_real(service: Service, model: ModelServer, status: str) -> None:
    model.respond_with(FAULTS[status])
    assert await service.send() == (int(status), error_example(status))


@pytest.mark.timeout(240)  # it sends 1,400 requests
async def test_schemathesis_finds_no_difference(
    service: Service, model: ModelServer, configure: Configure, tmp_path: Path
) -> None:
    async def complete(exchange: Exchange) -> None:
        events = map(responses_api.event, responses_api.completed(*responses_api.TEXT))
        stream, completion = streams(OPENAI), COMPLETION
        if "input" in exchange.request.json:
            stream, completion = streams_bytes(*events), responses_api.response(*responses_api.TEXT)
        await (stream if exchange.request.json["stream"] else responds(200, completion))(exchange)

    # Relayed: what Chat Completions cannot express is not in the schema of a request.
    configure(OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_RESPONSES_API="true")

    model.respond_with(complete)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/api/openapi.json", "--url", service.url),
        *("--generation-deterministic", "--max-examples", "50", "--no-color"),
        # A wrong method is a route not found to the Functions host, and the local one requires no key.
        *("--exclude-checks", "unsupported_method,ignored_auth"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert model.requests
