"""Microsoft's runtime keeps nothing of an invocation whose response has ended."""

import asyncio
import gc
import itertools
import logging
import sys
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from azure_functions_runtime import http_v2

from chat.api.worker_memory import release_invocations
from local.worker import HttpFunction, Worker
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import COMPLETION, OPENAI
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import Behaviour, ModelServer

REQUESTS = 5_000  # 20,000 take 43 seconds on a busy machine, and show no more: one entry that remains is an error
CONNECTIONS = 20
FUNCTIONS = ["chat", "models", "health", "chat_page"]  # `chat` responds with 400


@pytest.mark.timeout(180)
async def test_invocations_of_any_function_leave_nothing(
    worker: Worker, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    # Without the local host, which would take most of the time.
    configure(OPENAI_BASE_URL="http://localhost:1/v1")
    functions = [function for function in worker.functions if function.name in FUNCTIONS]
    await send(worker, functions, 400)
    caplog.set_level(logging.CRITICAL, "chat.requests")  # pytest keeps each record, as soon as it knows the logger
    before = kept()
    await send(worker, functions, REQUESTS)
    after = kept()
    assert after.entries <= before.entries
    assert after.references <= before.references
    assert after.blocks - before.blocks < REQUESTS / 2  # the runtime would keep eight of each invocation


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [(streams(OPENAI), True), (streams_bytes(b""), True), (responds(200, COMPLETION), False), (responds(400, {}), False)],
    ids=["streamed", "failed", "complete", "rejected"],
)
async def test_completions_leave_nothing(
    service: Service, model: ModelServer, logged: Logged, behaviour: Behaviour, stream: bool
) -> None:
    model.respond_with(behaviour)
    await logged()
    before = len(http_v2.http_coordinator._context_references)
    await asyncio.gather(*[service.send({**QUESTION, "stream": stream}) for _ in range(100)])
    await logged()
    assert len(http_v2.http_coordinator._context_references) <= before


async def send(worker: Worker, functions: list[HttpFunction], count: int) -> None:
    """Sends requests to the functions in turn, over a few connections at once."""
    url = urlsplit(worker.address)
    turns = itertools.islice(itertools.cycle(functions), count)

    async def send_turns() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for function in turns:
            invocation_id = str(uuid4())
            head = f"POST / HTTP/1.1\r\nhost: localhost\r\nx-ms-invocation-id: {invocation_id}\r\n"
            writer.write(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode())
            await worker.invoke(function, invocation_id, {})
            response = await reader.readuntil(b"\r\n\r\n")
            _, _, length = response.partition(b"content-length: ")
            await reader.readexactly(int(length.partition(b"\r\n")[0]))
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(send_turns())


class Kept(NamedTuple):
    """The runtime's entries, the objects that it makes for them, and all blocks of memory that Python has allocated."""

    entries: int
    references: int
    blocks: int


def kept() -> Kept:
    gc.collect()
    references = sum(type(value) is http_v2.AsyncContextReference for value in gc.get_objects())
    return Kept(len(http_v2.http_coordinator._context_references), references, sys.getallocatedblocks())


class UnknownCoordinator:
    """A coordinator that keeps its entries elsewhere."""

    def _pop_http_response(self, invocation_id: str) -> None: ...


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("version.VERSION", "99.0.0"),
        ("http_v2.http_coordinator", UnknownCoordinator()),
        ("http_v2.http_coordinator._context_references", ()),
        ("http_v2.http_coordinator._pop_http_response", None),
    ],
    ids=["version", "coordinator", "entries", "method"],
)
def test_unknown_runtime_is_not_changed(monkeypatch: pytest.MonkeyPatch, target: str, value: object) -> None:
    monkeypatch.setattr(f"azure_functions_runtime.{target}", value)
    coordinator = http_v2.http_coordinator
    method = coordinator._pop_http_response
    release_invocations()
    assert coordinator._pop_http_response == method


def test_missing_runtime_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("version", "http_v2"):
        monkeypatch.delitem(sys.modules, f"azure_functions_runtime.{name}")
    release_invocations()
    assert "azure_functions_runtime.http_v2" not in sys.modules
