"""This service as the worker runs it: Microsoft's runtime, its web server and the function, with no host in front.

What the real host says over gRPC comes over a control connection: the worker says its address there when it is up, and each
line that comes is the id of an invocation, whose HTTP request goes to that address.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine

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


async def _serve(control_port: int, model_port: int) -> None:
    os.environ.update(OPENAI_BASE_URL=f"http://127.0.0.1:{model_port}/v1", OPENAI_MODEL="gpt-5.4-mini")
    worker = await Worker.start(APP_DIR)
    chat = next(function for function in worker.functions if function.name == "chat")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Control(worker, chat), "127.0.0.1", control_port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
