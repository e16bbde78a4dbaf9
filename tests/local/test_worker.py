"""The worker, driven as the Functions host drives it."""

from typing import Any

import azure_functions_runtime as runtime
import pytest
from azure_functions_runtime.bindings.context import get_context

from local.worker import TraceContext, Worker
from tests.local.fake_worker import function


@pytest.mark.parametrize("trace", [TraceContext("00-a-b-01", "c=1"), None])
async def test_an_invocation_carries_its_trace(trace: TraceContext | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(message: Any) -> None:
        messages.append(message)

    messages: list[Any] = []
    monkeypatch.setattr(runtime, "invocation_request", keep)
    await Worker("", "0", [], set()).invoke(function("f", "f"), "an-id", {}, trace)
    context = get_context(messages[0].request.invocation_request, "f", "folder")
    assert (context.invocation_id, context.function_name) == ("an-id", "f")
    assert (context.trace_context.trace_parent, context.trace_context.trace_state) == (trace or ("", ""))
