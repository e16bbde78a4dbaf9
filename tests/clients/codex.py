"""codex, with the service as a provider in its configuration; the third argument, the model, decides how it sends tools."""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from testing.scripted_model import BREAKS_OFF, FAILS, REJECTED, STALLS, STREAMS
from tests.clients.scenarios import FIRST, SECOND, Scenario, arguments, report

CODEX = Path(__file__).parent / "node_modules" / ".bin" / "codex"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name", "population"],
    "additionalProperties": False,
}
TOOLS = {
    "the-model": "Use `exec_command` and `get_goal`.",
    "gpt-5.6-sol": "Use `exec`, and `list_agents`.",
}

base_url, key, model = arguments()

CONFIG = f"""
model = "{model}"
model_provider = "service"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.service]
name = "The service"
base_url = "{base_url}"
wire_api = "responses"
env_key = "SERVICE_KEY"
"""


class Codex:
    """codex with a folder of its own for its configuration and its sessions."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "work"
        self.folder.mkdir()
        (home / "config.toml").write_text(CONFIG)
        (home / "schema.json").write_text(json.dumps(SCHEMA))

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts a turn that may execute commands without a sandbox, which not every machine has."""
        environment = {**os.environ, "HOME": str(self.home), "CODEX_HOME": str(self.home), "SERVICE_KEY": key}
        options = ["--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--cd", str(self.folder)]
        return await asyncio.create_subprocess_exec(
            CODEX, "exec", *options, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
        )

    async def ask(self, *arguments: str) -> Any:
        """Runs a turn, and returns the last message; raises `RuntimeError` with what codex reports if it fails."""
        process = await self.start(*arguments)
        output, _ = await process.communicate()
        events = [json.loads(line) for line in output.splitlines()]
        if process.returncode:
            raise RuntimeError(f"status {process.returncode}: {events[-1]}")
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        return [item["text"] for item in items if item["type"] == "agent_message"][-1]

    async def cancelled(self, question: str) -> float:
        """Interrupts a turn after two seconds, and returns the time."""
        process = await self.start(question)
        assert process.stdout
        while b'"turn.started"' not in await process.stdout.readline():
            pass
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 2)
        cancelled_at = time.time()
        process.send_signal(signal.SIGINT)
        await process.communicate()
        return cancelled_at


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        codex = Codex(Path(folder))
        scenarios: dict[str, Scenario] = {
            "streamed": lambda: codex.ask(FIRST),
            "two turns": lambda: codex.ask("resume", "--last", SECOND),
            "tools": lambda: codex.ask(TOOLS[model]),
            "structured": lambda: codex.ask("--output-schema", str(codex.home / "schema.json"), "Describe Tokyo."),
            "cancelled before the response": lambda: codex.cancelled(STALLS),
            "cancelled mid-stream": lambda: codex.cancelled(STREAMS),
            "rejected, streamed": lambda: codex.ask(REJECTED),
            "fails mid-stream": lambda: codex.ask(FAILS),
            "breaks off": lambda: codex.ask(BREAKS_OFF),
        }
        for name, scenario in scenarios.items():
            try:
                report(name, result=await scenario())
            except RuntimeError as error:
                report(name, error=str(error))


asyncio.run(main())
