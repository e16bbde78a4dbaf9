"""Real clients, unchanged but for base URL and key, through the service, with each kind of model server: `make clients`."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from local.settings import APP_DIR
from testing.client import Service
from testing.model_server import ModelServer
from testing.scripted_model import BREAKS_OFF, FAILS, REJECTED, REJECTION, RESULT, STALLS, STREAMS, Kind, ScriptedModel
from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS

KEY = "the-key-of-the-clients-in-the-tests"
FOLDER = APP_DIR / "tests" / "clients"
PYTHON = APP_DIR / ".venv-clients" / "bin" / "python"

# The name in the table, the script, and its last argument.
CLIENTS = {
    "openai, Python: Responses": ("openai_sdk.py", "responses"),
    "openai, Python: Chat Completions": ("openai_sdk.py", "chat"),
    "openai, JavaScript: Responses": ("openai_sdk.mjs", "responses"),
    "openai, JavaScript: Chat Completions": ("openai_sdk.mjs", "chat"),
    "Agents SDK, Python": ("openai_agents.py", "responses"),
    "Agents SDK, Python: Chat Completions": ("openai_agents.py", "chat"),
    "Agents SDK, JavaScript": ("openai_agents.mjs", "responses"),
    "Agents SDK, JavaScript: Chat Completions": ("openai_agents.mjs", "chat"),
    "pydantic-ai: Responses": ("pydantic_ai_agent.py", "responses"),
    "pydantic-ai: Chat Completions": ("pydantic_ai_agent.py", "chat"),
    "Agent Framework": ("agent_framework_agent.py", "responses"),
    "Agent Framework: Chat Completions": ("agent_framework_agent.py", "chat"),
    "AI SDK, @ai-sdk/openai": ("ai_sdk.mjs", "responses"),
    "AI SDK, @ai-sdk/openai-compatible": ("ai_sdk.mjs", "chat"),
    "LangChain: use_responses_api": ("langchain_openai_model.py", "responses"),
    "LangChain": ("langchain_openai_model.py", "chat"),
    "LiteLLM: Responses": ("litellm_completion.py", "responses"),
    "LiteLLM": ("litellm_completion.py", "chat"),
    "instructor: Responses": ("instructor_client.py", "responses"),
    "instructor": ("instructor_client.py", "chat"),
    "llm: Responses": ("llm_library.py", "responses"),
    "llm": ("llm_library.py", "chat"),
    "codex": ("codex.py", "the-model"),
    "codex, with a model that has all tools in one item": ("codex.py", "gpt-5.6-sol"),
}

QUESTIONS = {
    "model": MODEL,
    "first": FIRST,
    "second": SECOND,
    "tools": TOOLS,
    "rejected": REJECTED,
    "fails": FAILS,
    "breaks_off": BREAKS_OFF,
    "streams": STREAMS,
    "stalls": STALLS,
}

# What every client does.
SCENARIOS = {"streamed", "structured", "cancelled mid-stream", "rejected, streamed", "fails mid-stream", "breaks off"}
# What the result of a scenario contains, by the first words of its name, or else its error: regular expressions.
RESULTS = {
    "complete": "Tokyo",
    "streamed": "Tokyo",
    "two turns": "Paris, after 1",
    "tools": f"{RESULT}.*; ",  # and another result
    "structured": '"Tokyo"',
}
ERRORS = {"rejected": REJECTION, "fails mid-stream": "", "breaks off": ""}
# The setting that a client needs which by default refers to what is stored.
SETTINGS = {"Agent Framework": "store=False", "AI SDK, @ai-sdk/openai": "store: false"}


@pytest.fixture
def scripted_model(kind: Kind, model: ModelServer, configure: Callable[..., None]) -> ScriptedModel:
    """The behaviour of a kind of model server, and the service configured to use it."""
    settings = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": MODEL}
    if kind == "responses":
        settings["OPENAI_RESPONSES_API"] = "true"
    elif kind == "tools-through-responses":
        settings = {"AZURE_OPENAI_ENDPOINT": model.url, "AZURE_OPENAI_CHAT_DEPLOYMENT": MODEL, "AZURE_OPENAI_API_KEY": "k"}
    configure(**settings, CHAT_API_KEYS=f"clients={KEY}")
    behaviour = ScriptedModel(kind)
    model.respond_with(behaviour)
    return behaviour


@pytest.mark.clients
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["chat", "responses", "tools-through-responses"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_client(
    service: Service,
    model: ModelServer,
    scripted_model: ScriptedModel,
    client: str,
    kind: Kind,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    record_property("client", client)
    record_property("kind", kind)
    outcomes = await run(*CLIENTS[client], f"{service.url}/api/v1", tmp_path)
    async with asyncio.timeout(5):
        await model.idle()
    assert {outcome["scenario"] for outcome in outcomes} >= SCENARIOS
    closed = iter(scripted_model.closed)
    failures = [outcome for outcome in outcomes if not is_expected(outcome, client, closed)]
    assert not failures, "\n".join(map(str, failures))
    assert not list(closed), "a request was not closed by a cancellation"


async def run(script: str, argument: str, base_url: str, home: Path) -> list[dict[str, Any]]:
    """Runs a client and returns what it reports of each scenario."""
    if script.endswith(".mjs"):
        command = ["node", str(FOLDER / script), base_url, KEY, argument, json.dumps(QUESTIONS)]
    else:
        command = [str(PYTHON), "-m", f"tests.clients.{script.removesuffix('.py')}", base_url, KEY, argument]
    # None of the settings of this process: some clients read those of the service, too. LiteLLM would download a list.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "true"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=APP_DIR, stdout=pipe, stderr=pipe, env=environment)
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert not process.returncode, errors.decode()
    return [json.loads(line) for line in output.splitlines() if line.startswith(b'{"scenario"')]


def is_expected(outcome: dict[str, Any], client: str, closed: Iterator[float]) -> bool:
    """Whether a scenario ended as it should. `closed` is when the service closed each request that never ends."""
    name, _, variant = outcome["scenario"].partition(", ")
    if name.startswith("cancelled"):
        return "result" in outcome and abs(next(closed, inf) - outcome["result"]) < 1
    if variant == "store by default":
        return SETTINGS[client] in outcome.get("error", "")
    expected, text = (ERRORS[name], outcome.get("error")) if name in ERRORS else (RESULTS[name], outcome.get("result"))
    return text is not None and re.search(expected, text, re.DOTALL) is not None
