"""Simon Willison's llm, with an entry for each API in `extra-openai-models.yaml`."""

import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import llm
import yaml
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()


class City(BaseModel):
    """A city."""

    name: str
    population: int


folder = Path(tempfile.mkdtemp())
entry: dict[str, Any] = {"model_id": MODEL, "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "service"}
entry |= {"supports_tools": True, "supports_schema": True, "responses": API == "responses"}
(folder / "extra-openai-models.yaml").write_text(yaml.safe_dump([entry]))
(folder / "keys.json").write_text(json.dumps({"service": KEY}))
os.environ["LLM_USER_PATH"] = str(folder)
model = llm.get_async_model(MODEL)


async def complete(question: str) -> str:
    return await model.prompt(question, stream=False).text()


async def stream(question: str) -> AsyncIterator[str]:
    async for text in model.prompt(question):
        yield text


async def two_turns() -> str:
    conversation = model.conversation()
    await conversation.prompt(FIRST).text()
    return await conversation.prompt(SECOND).text()


async def tools() -> str:
    return await model.chain(TOOLS, tools=[temperature, local_time]).text()


async def structured() -> str:
    return await model.prompt("Describe Tokyo.", schema=City).text()


run(Client(complete, stream, {"two turns": two_turns, "tools": tools, "structured": structured}))
