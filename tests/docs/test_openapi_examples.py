"""The examples of the OpenAPI document against what the small model really sends."""

import json
from typing import Any

import aiohttp
import pytest

from local.settings import APP_DIR
from testing.client import QUESTION
from testing.command import python_m_local

DOCUMENT = json.loads((APP_DIR / "web" / "static" / "openapi.json").read_text())


def examples(path: str) -> dict[str, Any]:
    content = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
    return {media_type: content[media_type]["example"] for media_type in content}


EXAMPLES = examples("/api/chat")
RESPONSES = examples("/api/v1/responses")

# What differs from one completion to the next, or is llama.cpp's own.
CHANGING = {"id", "created", "timings", "usage"} | {"created_at", "completed_at", "item_id"}


def lasting(received: Any) -> Any:
    if isinstance(received, list):
        return [lasting(value) for value in received]
    if not isinstance(received, dict):
        return received
    return {name: lasting(value) for name, value in received.items() if name not in CHANGING}


def events(stream: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]


@pytest.mark.timeout(180)  # a real model responds
async def test_examples_are_what_a_model_sends() -> None:
    async with python_m_local(APP_DIR) as command, aiohttp.ClientSession() as session:
        url = f"http://localhost:{await command.ready()}/api/chat"
        async with session.post(url, json=QUESTION) as response:
            lines = (await response.text()).splitlines()
        async with session.post(url, json=QUESTION | {"stream": False}) as response:
            completion = await response.json()
        url = url.replace("chat", "v1/responses")
        question = {"model": "any", "input": QUESTION["messages"][0]["content"]}
        async with session.post(url, json=question | {"stream": True}) as response:
            stream = await response.text()
        async with session.post(url, json=question) as response:
            complete_response = await response.json()
    examples = EXAMPLES["application/x-ndjson"].splitlines()
    assert [lasting(json.loads(line)) for line in lines] == [lasting(json.loads(line)) for line in examples]
    assert lasting(completion) == lasting(EXAMPLES["application/json"])
    assert lasting(events(stream)) == lasting(events(RESPONSES["text/event-stream"]))
    assert lasting(complete_response) == lasting(RESPONSES["application/json"])
