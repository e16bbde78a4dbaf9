"""The examples, run as they stand: they print the completion, and report errors."""

import asyncio
import re
import sys
from typing import Any

import aiohttp
import pytest
import yaml

from local.settings import APP_DIR
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import AZURE, OPENAI, chunk, event
from testing.client import QUESTION, Service
from testing.command import python_m_local
from testing.model_server import Behaviour, ModelServer

FOLDER = APP_DIR / "examples"
COMMANDS = {".py": [sys.executable, "-c"], ".mjs": ["node", "--input-type=module", "-e"]}
EXAMPLES = {
    path.name: (COMMANDS[path.suffix], path.read_text()) for path in sorted(FOLDER.iterdir()) if path.suffix in COMMANDS
}
(README_CODE,) = re.findall(r"```python\n(.*?)```", (APP_DIR / "README.md").read_text(), re.DOTALL)
EXAMPLES["README.md"] = (COMMANDS[".py"], README_CODE)
NO_DELTA = chunk(choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {}}])


async def run(name: str, url: str) -> tuple[int | None, str, str]:
    """The status and the output of an example."""
    command, code = EXAMPLES[name]
    process = await asyncio.create_subprocess_exec(
        *command,
        code.replace("http://localhost:7071", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("chunks", [OPENAI, [AZURE[0], NO_DELTA, *OPENAI]], ids=["openai", "azure"])
async def test_example_prints_the_completion(service: Service, model: ModelServer, name: str, chunks: list[object]) -> None:
    model.respond_with(streams(chunks))
    status, output, errors = await run(name, service.url)
    assert status == 0, errors
    assert output == "The capital is Paris – 巴黎 🗼.\n"


FAULTS: dict[str, tuple[Behaviour, str]] = {
    "before the stream": (responds(400, {"error": {"message": "Too long."}}), "Too long."),
    "mid-stream": (streams_bytes(*map(event, OPENAI[:2])), "The model server's response ended early."),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("when", FAULTS)
async def test_example_reports_an_error(service: Service, model: ModelServer, name: str, when: str) -> None:
    behaviour, message = FAULTS[when]
    model.respond_with(behaviour)
    status, _, errors = await run(name, service.url)
    assert status != 0
    assert message in errors
    if when == "before the stream":
        assert "400" in errors


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("body", [b"", b"<h1>Sorry</h1>"], ids=["no body", "HTML"])
async def test_example_reports_a_status_of_the_platform(model: ModelServer, name: str, body: bytes) -> None:
    model.respond_with(responds(403, body, "text/html"))  # in place of the service
    status, _, errors = await run(name, model.url)
    assert status != 0
    assert "403" in errors


def open_webui() -> Any:
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    return service


async def test_open_webui_reaches_make_run() -> None:
    """With the address, the key and the requests of Open WebUI 0.12.4 (`routers/openai.py`), from this machine's network."""
    environment = open_webui()["environment"]
    assert open_webui()["network_mode"] == "host"
    headers = {"Authorization": f"Bearer {environment['OPENAI_API_KEY']}"}
    async with python_m_local(APP_DIR) as command, aiohttp.ClientSession(headers=headers) as session:
        url = environment["OPENAI_API_BASE_URL"].replace(":7071/", f":{await command.ready()}/")
        async with session.get(f"{url}/models") as response:
            (model,) = (await response.json())["data"]
        question = {"role": "user", **QUESTION["messages"][0]}
        body = {"model": model["id"], "messages": [question], "stream": True}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert (await response.text()).endswith("data: [DONE]\n\n")


def test_open_webui_without_sign_in_listens_on_this_machine_only() -> None:
    environment = open_webui()["environment"]
    assert environment["WEBUI_AUTH"] == "false"
    assert environment["HOST"] == "127.0.0.1"
