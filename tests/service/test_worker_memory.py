"""Microsoft's runtime keeps nothing of an invocation whose response has ended."""

import asyncio

import pytest
from azure_functions_runtime.http_v2 import http_coordinator

from chat.api import worker_memory
from testing.behaviours import responds, streams, streams_bytes
from testing.chat_completions import COMPLETION, OPENAI
from testing.client import QUESTION, Logged, Service
from testing.model_server import Behaviour, ModelServer


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [(streams(OPENAI), True), (streams_bytes(b""), True), (responds(200, COMPLETION), False), (responds(400, {}), False)],
    ids=["streamed", "failed", "complete", "rejected"],
)
async def test_ended_invocations_are_released(
    service: Service, model: ModelServer, logged: Logged, behaviour: Behaviour, stream: bool
) -> None:
    model.respond_with(behaviour)
    await service.send()
    await logged()
    kept = len(http_coordinator._context_references)
    await asyncio.gather(*[service.send({**QUESTION, "stream": stream}) for _ in range(100)])
    await logged()
    assert len(http_coordinator._context_references) <= kept


def release_from_unknown_runtime() -> None:
    worker_memory._kept_invocations.cache_clear()
    try:
        worker_memory.release_invocation("an-id")
        assert worker_memory._kept_invocations() is None
    finally:
        worker_memory._kept_invocations.cache_clear()


def test_runtime_of_another_version_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_memory, "version", lambda _: "99.0")
    release_from_unknown_runtime()


def test_runtime_of_another_structure_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_functions_runtime.http_v2.http_coordinator", object())
    release_from_unknown_runtime()
