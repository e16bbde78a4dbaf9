"""The OpenAPI document's example answers against those of a real model."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from tests.client import QUESTION
from tests.service.test_openapi import CHAT, validator

ANSWERS = CHAT["responses"]["200"]["content"]

# Each answer's own: when it was made, how fast, and what the model's server remembered.
CHANGING = {"id", "created", "timings", "usage"}


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in CHANGING} | {"has": sorted(answer)}


async def test_the_streamed_one_is_real(http: aiohttp.ClientSession, real_site: str) -> None:
    async with http.post(f"{real_site}/chat", json=QUESTION) as response:
        assert response.content_type == "application/x-ndjson"
        chunks = [json.loads(line) for line in (await response.text()).splitlines()]
    example = [json.loads(line) for line in ANSWERS["application/x-ndjson"]["example"].splitlines()]
    assert [lasting(chunk) for chunk in chunks] == [lasting(chunk) for chunk in example]
    for chunk in chunks:
        validator("ChatCompletionChunk").validate(chunk)


async def test_the_whole_one_is_real(http: aiohttp.ClientSession, real_site: str) -> None:
    async with http.post(f"{real_site}/chat", json=QUESTION | {"stream": False}) as response:
        answer = await response.json()
    assert lasting(answer) == lasting(ANSWERS["application/json"]["example"])
    validator("ChatCompletion").validate(answer)
