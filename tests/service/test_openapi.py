"""The OpenAPI document against the service that it describes."""

import asyncio
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chat.web.openapi import document
from tests.client import QUESTION, Service
from tests.fakes.model_server import Behaviour, Exchange, ModelServer
from tests.fakes.responses import AZURE, OPENAI, WHOLE, responds, streams, streams_bytes

DOCUMENT = json.loads(document())
CHAT = DOCUMENT["paths"]["/api/chat"]["post"]
STATUSES = ["400", "401", "413", "415", "422", "429", "500", "502", "503", "504"]


def validator(schema: str | dict[str, Any]) -> Draft202012Validator:
    """Validates against a schema, or one of the document's by its name."""
    if isinstance(schema, str):
        schema = {"$ref": f"#/components/schemas/{schema}"}
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def error_example(status: str) -> Any:
    return CHAT["responses"][status]["content"]["application/json"]["example"]


def test_it_validates() -> None:
    validate(DOCUMENT)


def test_it_tells_of_each_route_that_programs_call() -> None:
    assert list(DOCUMENT["paths"]) == ["/api/chat", "/api/chat-protocol", "/api/chat-protocol/stream"]


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_it_tells_of_each_status(path: str) -> None:
    assert sorted(DOCUMENT["paths"][path]["post"]["responses"]) == ["200", *STATUSES]


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_each_example_is_as_its_schema_says(path: str) -> None:
    for response in DOCUMENT["paths"][path]["post"]["responses"].values():
        for content in response.get("content", {}).values():
            lines = content.get("x-itemSchema")
            values = map(json.loads, content["example"].splitlines()) if lines else [content["example"]]
            for value in values:
                validator(lines or content["schema"]).validate(value)


def test_its_schemas_hold_for_what_models_servers_send() -> None:
    for chunk in [*OPENAI, *AZURE]:
        validator("ChatCompletionChunk").validate(chunk)
    validator("ChatCompletion").validate(WHOLE)


async def test_it_is_what_the_service_serves(service: Service) -> None:
    async with service.session.get(f"{service.url}/api/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.read() == document()


def test_the_request_examples() -> None:
    examples = CHAT["requestBody"]["content"]["application/json"]["examples"]
    assert [example["value"] for example in examples.values()] == [QUESTION, QUESTION | {"stream": False}]


JSON = {"Content-Type": "application/json"}
REQUESTS: dict[str, dict[str, Any]] = {
    "400": {"data": '{"messages": [{"content": ""}]}', "headers": JSON},
    "413": {"data": BytesIO(b" " * (1024 * 1024 + 1)), "headers": JSON},
    "415": {"data": "{}", "headers": {"Content-Type": "text/plain"}},
}


@pytest.mark.parametrize("status", REQUESTS)
async def test_the_example_of_a_bad_request_is_real(service: Service, status: str) -> None:
    async with service.session.post(f"{service.url}/api/chat", **REQUESTS[status]) as response:
        assert await service.read(response) == (int(status), error_example(status))


ALTERNATE = {"error": {"message": "messages: Conversation roles must alternate."}}
FAULTS: dict[str, Behaviour] = {
    "422": responds(422, ALTERNATE),
    "429": responds(429, {}, retry_after="60"),
    "502": streams_bytes(b"data: Hello\n\n"),
    "503": responds(503, {}, retry_after="60"),
}


@pytest.mark.parametrize("status", FAULTS)
async def test_the_example_of_a_fault_is_real(service: Service, model: ModelServer, status: str) -> None:
    model.answers(FAULTS[status])
    assert await service.ask() == (int(status), error_example(status))


async def test_schemathesis_finds_no_difference(service: Service, model: ModelServer, tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        await (streams(OPENAI) if exchange.request.json.get("stream") else responds(200, WHOLE))(exchange)

    model.answers(answer)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/api/openapi.json", "--url", service.url),
        *("--generation-deterministic", "--max-examples", "50", "--no-color"),
        # A wrong method is a route not found, to the Functions host; and the local one wants no key.
        *("--exclude-checks", "unsupported_method,ignored_auth"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert model.requests
