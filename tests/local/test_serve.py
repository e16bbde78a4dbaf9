"""The process that serves, without the supervisor that starts it."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from local.service_process import ServiceOptions
from local.upstream_choice import Upstream
from testing.model_server import ModelServer


@pytest.mark.parametrize("listens", [False, True], ids=["before it is ready", "before that has been read"])
async def test_ends_without_a_traceback_when_the_supervisor_ends(app_dir: Path, model: ModelServer, listens: bool) -> None:
    upstream = Upstream(model="the-model", url=model.url, local=False, reason="Set by the test.")
    control, standard_input = socket.socketpair()
    with control, standard_input, socket.create_server(("127.0.0.1", 0)) as listener:
        options = ServiceOptions(listener=listener.fileno(), upstream=upstream, restarted=False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local.serve", options.model_dump_json()),
            cwd=app_dir,
            env={**os.environ, "OPENAI_BASE_URL": model.url},
            stdin=standard_input.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=[listener.fileno()],
        )
        assert process.stdout
        async with asyncio.timeout(30):
            if listens:
                await asyncio.to_thread(control.recv, 1, socket.MSG_PEEK)
            else:
                control.shutdown(socket.SHUT_RD)
                await process.stdout.readuntil(b"Try it:")
            control.close()
            output, _ = await process.communicate()
    assert b"Traceback" not in output
    assert process.returncode == 0
