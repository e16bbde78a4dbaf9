"""The worker, driven as the Functions host drives it."""

from typing import Any

import azure_functions_runtime as runtime
import pytest
from azure_functions_runtime.bindings.context import get_context

from local.worker import Worker
from tests.local.fake_worker import function


async def test_an_invocation_carries_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(message: Any) -> None:
        messages.append(message)

    messages: list[Any] = []
    monkeypatch.setattr(runtime, "invocation_request", keep)
    await Worker("", [], set()).invoke(function("f", "f"), "an-id", {}, "00-a-b-01")
    context = get_context(messages[0].request.invocation_request, "f", "folder")
    assert (context.invocation_id, context.function_name) == ("an-id", "f")
    assert context.trace_context.trace_parent == "00-a-b-01"
