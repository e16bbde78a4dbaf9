"""A function app as the worker runs it: Microsoft's runtime, its web server and the function, with no host in front.

A control connection replaces the host's gRPC: the worker sends its address there when it has started, and each line that it
receives is the id of an invocation, whose HTTP request is sent to that address.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path

from local.settings import APP_DIR
from local.worker import HttpFunction, Worker


class _Control(asyncio.Protocol):
    def __init__(self, worker: Worker, function: HttpFunction) -> None:
        self._worker = worker
        self._function = function
        self._rest = b""
        self._invocations: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._worker.address.encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        *ids, self._rest = (self._rest + data).split(b"\n")
        for invocation_id in ids:
            self._start(self._worker.invoke(self._function, invocation_id.decode(), {}))

    def _start(self, invocation: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(invocation)
        self._invocations.add(task)
        task.add_done_callback(self._invocations.discard)


async def _serve(control_port: int, model_port: int, name: str, app_dir: Path) -> None:
    os.environ.update(OPENAI_BASE_URL=f"http://127.0.0.1:{model_port}/v1", OPENAI_MODEL="gpt-5.4-mini")
    worker = await Worker.start(app_dir)
    function = next(function for function in worker.functions if function.name == name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Control(worker, function), "127.0.0.1", control_port)
    await server.serve_forever()


if __name__ == "__main__":
    _control_port, _model_port, _name, *_app_dir = sys.argv[1:]
    asyncio.run(_serve(int(_control_port), int(_model_port), _name, APP_DIR.joinpath(*_app_dir)))
