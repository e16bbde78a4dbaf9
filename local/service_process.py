"""The process that serves the function app, as the supervisor starts and ends it."""

import asyncio
import socket
import sys
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel

from local.settings import APP_DIR
from local.upstream_choice import Upstream

_STOP_SECONDS = 0.3


class ServiceOptions(BaseModel):
    """How to serve. `listener` is the file descriptor of the socket to listen on. Settings are environment variables."""

    listener: int
    upstream: Upstream
    restarted: bool


class ServiceProcess:
    """A process that runs `local.serve`.

    Its standard input is a socket: what it sends through that means that it is ready, and the end of that ends it, so that
    it does not outlive this process either.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.process = process
        self._control = control
        self._ready = asyncio.create_task(asyncio.get_running_loop().sock_recv(control, 1))

    @classmethod
    async def start(cls, options: ServiceOptions, variables: Mapping[str, str]) -> Self:
        """Starts the process, with these environment variables."""
        control, standard_input = socket.socketpair()
        control.setblocking(False)
        with standard_input:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local.serve", options.model_dump_json()),
                cwd=APP_DIR,
                env=variables,
                stdin=standard_input.fileno(),
                pass_fds=[options.listener],
                process_group=0,  # Ctrl-C is for the supervisor
            )
        return cls(process, control)

    @property
    def is_ready(self) -> bool:
        """Whether it has been ready."""
        return self._ready.done() and self._ready.result() != b""

    async def stop(self) -> None:
        """Ends the process; by SIGKILL if it does not end by itself soon."""
        if not self._ready.done():
            self._ready.cancel()
            await asyncio.wait({self._ready})
        self._control.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
