"""The OpenAPI document, held against the models of the requests, the table of errors, and real responses."""

import asyncio
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic.json_schema import models_json_schema

from chat import errors
from chat.formats.chat import ChatRequest
from chat.formats.chat_completions import UNSUPPORTED_PARAMETERS, ChatCompletionsRequest
from chat.formats.chat_protocol import ProtocolRequest
from local.settings import APP_DIR
from testing.behaviours import responds, streams
from testing.chat_completions import AZURE, COMPLETION, OPENAI
from testing.client import DONE, QUESTION, Service
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
        "/api/v1/models",
        "/api/chat-protocol",
        "/api/chat-protocol/stream",
    ]


def raised(kind: type[errors.ChatError]) -> set[int]:
    return {kind.status} if "status" in vars(kind) else set()


def classes(kind: type[errors.ChatError]) -> list[type[errors.ChatError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in classes(child))]


@pytest.mark.parametrize("path", [path for path, operations in DOCUMENT["paths"].items() if "post" in operations])
def test_document_has_each_status(path: str) -> None:
    statuses = set().union(*map(raised, classes(errors.ChatError)))
    as_upstream = {422, 503}  # passed on from the model server
    expected = sorted(map(str, {200} | statuses | as_upstream))
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
            case [{"type": str(kind)}, {"type": "null"}]:
                return {"type": [kind, "null"], **{k: v for k, v in schema.items() if k != "anyOf"}}
        return {key: nullable(value) for key, value in schema.items() if key != "additionalProperties"}
    return schema


@pytest.mark.parametrize("model", [ChatRequest, ProtocolRequest])
def test_schemas_of_requests_are_those_of_the_models(model: type[ChatRequest] | type[ProtocolRequest]) -> None:
    _, schemas = models_json_schema([(model, "validation")], ref_template="#/components/schemas/{model}")
    for name, schema in schemas["$defs"].items():
        assert without_titles(SCHEMAS[name]) == nullable(without_titles(schema))


def test_schema_of_openai_requests_has_the_fields_of_the_model() -> None:
    schema = SCHEMAS["ChatCompletionsRequest"]
    assert schema["properties"].keys() == ChatCompletionsRequest.model_fields.keys()
    assert schema["required"] == ["messages"]
    description = operation("/api/v1/chat/completions")["description"]
    assert all(f"`{name}" in description for name in UNSUPPORTED_PARAMETERS)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_each_example_matches_its_schema(path: str) -> None:
    for status in operation(path)["responses"]:
        for content in response(path, status).get("content", {}).values():
            lines = content.get("x-itemSchema")
            text = [line.removeprefix("data: ") for line in content["example"].split("\n")] if lines else []
            values = [json.loads(line) for line in text if line not in {"", DONE}] if lines else [content["example"]]
            for value in values:
                validator(lines or content["schema"]).validate(value)


def test_schemas_match_what_model_servers_send() -> None:
    for chunk in [*OPENAI, *AZURE]:
        validator("ChatCompletionChunk").validate(chunk)
    validator("ChatCompletion").validate(COMPLETION)


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


async def test_schemathesis_finds_no_difference(service: Service, model: ModelServer, tmp_path: Path) -> None:
    async def complete(exchange: Exchange) -> None:
        await (streams(OPENAI) if exchange.request.json["stream"] else responds(200, COMPLETION))(exchange)

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
