"""Every fault of the model's server, through the whole stack: one defined outcome each."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from tests.client import KEY, QUESTION, Service
from tests.fakes.faults import FAULTS, Fault
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import OPENAI, WHOLE

SILENCE = 0.3
LONGEST_RETRIES = 3.0


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_outcome(
    service: Service,
    model: ModelServer,
    configure: Callable[..., None],
    logged: Callable[[], list[dict[str, Any]]],
    fault: Fault,
) -> None:
    configure(OPENAI_BASE_URL=model.url, OPENAI_API_KEY=KEY, CHAT_TIMEOUT=str(SILENCE if "silent" in fault.kind else 10))
    model.answers(*fault.behaviours)
    began = monotonic()
    async with service.post({**QUESTION, "stream": not fault.whole}) as response:
        retry_after = response.headers.get("Retry-After")
        status, body = await service.read(response)
    assert monotonic() - began < SILENCE + LONGEST_RETRIES

    outcome = fault.outcome
    assert status == outcome.status, body
    if status == 200 and not fault.whole:
        error = body.pop()["error"] if outcome.error else None
        assert body == (fault.chunks or OPENAI)[: outcome.chunks]
    elif status == 200:
        error = None
        assert body == WHOLE
    else:
        error = body["error"]
    assert (error and error["type"]) == outcome.error
    if error:
        assert error.keys() == {"message", "type", "code", "param"}
        assert error["message"] == (fault.message or error["message"])
        assert error["code"] == (fault.code or error["code"])
    assert (retry_after is not None) == outcome.retry_after
    assert len(model.requests) == fault.requests

    async with asyncio.timeout(2):
        await model.idle()  # whatever happened, the request to the model's server is closed
    (line,) = logged()
    service.look_for_secrets(str(line))
    assert line["outcome"] == ("failed" if outcome.error else "finished")
    assert line["status"] == outcome.status
    assert line.get("chunks") == (outcome.chunks or None)
    assert ("why" in line) == bool(outcome.error)
