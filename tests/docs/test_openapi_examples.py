"""The examples of the OpenAPI document against what the small model really sends."""

import json
from typing import Any

import aiohttp

from local.settings import APP_DIR
from testing.client import QUESTION
from testing.command import python_m_local

DOCUMENT = json.loads((APP_DIR / "web" / "static" / "openapi.json").read_text())
EXAMPLES = {
    media_type: content["example"]
    for media_type, content in DOCUMENT["paths"]["/api/chat"]["post"]["responses"]["200"]["content"].items()
}

# What differs from one completion to the next, or is llama.cpp's own.
CHANGING = {"id", "created", "timings", "usage"}


def lasting(received: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in received.items() if name not in CHANGING}


async def test_examples_are_what_a_model_sends() -> None:
    async with python_m_local(APP_DIR) as command, aiohttp.ClientSession() as session:
        url = f"http://localhost:{await command.ready()}/api/chat"
        async with session.post(url, json=QUESTION) as response:
            lines = (await response.text()).splitlines()
        async with session.post(url, json=QUESTION | {"stream": False}) as response:
            completion = await response.json()
    examples = EXAMPLES["application/x-ndjson"].splitlines()
    assert [lasting(json.loads(line)) for line in lines] == [lasting(json.loads(line)) for line in examples]
    assert lasting(completion) == lasting(EXAMPLES["application/json"])
