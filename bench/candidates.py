"""What is measured: each a process of its own, started anew in every round."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from local.settings import APP_DIR
from testing.ports import free_port

_START_SECONDS = 60.0
_LITELLM = APP_DIR / ".venv-litellm"
_LITELLM_CONFIG = """\
model_list:
  - model_name: gpt-5.4-mini
    litellm_params: {{model: openai/gpt-5.4-mini, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
"""


@dataclass(frozen=True)
class Candidate:
    """One to be measured; `command` contains `{port}` and `{model_port}`."""

    name: str
    command: tuple[str, ...]
    path: str
    worker: bool = False
    """Whether its port is a worker's control connection."""
    optional: bool = False
    """Whether it is left out if it does not start."""
    rounds: int = 99
    """The most rounds that it takes part in."""
    cpu_only: bool = False
    """Whether it takes part only in the loads for the CPU time of a chunk."""
    tools: bool = False
    """Whether each request offers a tool, which the fake model server accepts only in the Responses API."""
    env: tuple[tuple[str, str], ...] = ()


DIRECT = Candidate("no service", (), "/v1/chat/completions", rounds=1)
RELAY = Candidate("bare byte relay", (sys.executable, "-m", "bench.relay", "{port}", "{model_port}"), "/v1/chat/completions")
_SERVICE = (sys.executable, "-m", "bench.service", "{port}", "{model_port}")
SERVICE = Candidate("this service", (*_SERVICE, "chat"), "/api/chat", worker=True)
SERVICE_V1 = Candidate(
    "this service, v1", (*_SERVICE, "chat_completions"), "/api/v1/chat/completions", worker=True, cpu_only=True
)
_RESPONSES = Candidate("", (*_SERVICE, "responses"), "/api/v1/responses", worker=True, cpu_only=True)
SERVICE_RESPONSES = replace(_RESPONSES, name="this service, Responses relayed", env=(("OPENAI_RESPONSES_API", "true"),))
SERVICE_TRANSLATED = replace(_RESPONSES, name="this service, Responses translated")
SERVICE_TOOLS = replace(SERVICE_V1, name="this service, tools translated", tools=True)
FUNCTIONS_SDK = Candidate(
    "Functions + OpenAI SDK", (*_SERVICE, "chat", "bench/functions_sdk"), "/api/chat", worker=True, cpu_only=True, rounds=1
)
FASTAPI_SDK = Candidate(
    "FastAPI + OpenAI SDK", (sys.executable, "-m", "bench.fastapi_sdk", "{port}", "{model_port}"), "/chat"
)


def litellm(uv: str, model_port: int, seconds: float) -> Candidate | str:
    """LiteLLM's proxy in an environment of its own, or the reason why it is left out."""
    try:
        if not (_LITELLM / "ready").exists():
            deadline = time.monotonic() + seconds
            for command in (
                (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(_LITELLM)),
                (uv, "pip", "install", "--quiet", "--python", str(_LITELLM / "bin/python"), "litellm[proxy]"),
            ):
                subprocess.run(command, check=True, timeout=deadline - time.monotonic(), capture_output=True)
            (_LITELLM / "ready").touch()
    except (OSError, subprocess.SubprocessError) as error:
        return f"it could not be installed ({type(error).__name__})"
    config = _LITELLM / "config.yaml"
    config.write_text(_LITELLM_CONFIG.format(port=model_port))
    command = (str(_LITELLM / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", "{port}")
    env = (
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),  # the prices from its own file, not from the network
        ("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true"),  # it listens on localhost only
    )
    # One round: its chunks cost so much that the time does not allow more.
    return Candidate("LiteLLM's proxy", command, "/v1/chat/completions", optional=True, cpu_only=True, rounds=1, env=env)


class Process:
    """A process that listens on a port."""

    def __init__(self, command: tuple[str, ...], model_port: int = 0, env: tuple[tuple[str, str], ...] = ()) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [part.format(port=self.port, model_port=model_port) for part in command],
            cwd=APP_DIR,
            env=os.environ | dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def until_listening(self) -> None:
        """Waits until it listens; raises `RuntimeError` if it ends before."""
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.005)
        raise RuntimeError(f"{self._process.args!r} does not listen")

    def cpu_seconds(self) -> float:
        """The CPU time of all its threads so far, in the kernel too."""
        # What clock_getcpuclockid(3) returns; /proc/PID/stat counts in steps of 10 ms.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def memory(self) -> int:
        """Its resident memory in bytes."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """Kills it."""
        self._process.kill()
        self._process.wait()
