"""The README's examples, run as they stand: they print the completion, and report errors."""

import asyncio
import re
import sys

import pytest

from local.settings import APP_DIR
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import AZURE, OPENAI, chunk, event
from testing.client import Service
from testing.model_server import Behaviour, ModelServer

README = (APP_DIR / "README.md").read_text()
EXAMPLES = {
    "Python": ([sys.executable, "-c"], re.findall(r"```python\n(import json.*?)```", README, re.DOTALL)),
    "OpenAI's client": ([sys.executable, "-c"], re.findall(r"```python\n(from openai.*?)```", README, re.DOTALL)),
    "JavaScript": (["node", "--input-type=module", "-e"], re.findall(r"```js\n(.*?)```", README, re.DOTALL)),
}
NO_DELTA = chunk(choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {}}])


async def run(name: str, url: str) -> tuple[int | None, str, str]:
    """The status and the output of an example."""
    command, (code,) = EXAMPLES[name]
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
    assert output.rstrip("\n") == "The capital is Paris – 巴黎 🗼."


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
