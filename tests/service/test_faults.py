"""Every fault of the model server, through the whole stack: each has one defined outcome."""

import asyncio
from time import monotonic

import pytest

from tests.client import KEY, QUESTION, Configure, Logged, Service
from tests.fakes.faults import FAULTS, Fault
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import COMPLETION, OPENAI

TIMEOUT = 0.3
MAX_RETRY_SECONDS = 3.0

ONE_REQUEST = [fault for fault in FAULTS if not fault.previous]
TWO_CLIENTS = [fault for fault in FAULTS if fault.previous]


async def check_outcome(service: Service, model: ModelServer, logged: Logged, fault: Fault) -> None:
    """Sends a request, and checks what the client receives, what the model server receives, and what is logged."""
    model.respond_with(*fault.behaviours)
    requests_before = len(model.requests)
    started = monotonic()
    async with service.post({**QUESTION, "stream": not fault.complete}) as response:
        retry_after = response.headers.get("Retry-After")
        status, body = await service.read(response)
    assert monotonic() - started < TIMEOUT + MAX_RETRY_SECONDS

    outcome = fault.outcome
    assert status == outcome.status, body
    if status == 200 and not fault.complete:
        error = body.pop()["error"] if outcome.error else None
        assert body == (fault.chunks or OPENAI)[: outcome.chunks]
    elif status == 200:
        error = None
        assert {**body, "error": None} == {**COMPLETION, "error": None}
    else:
        error = body["error"]
    assert (error and error["type"]) == outcome.error
    if error:
        assert error.keys() == {"message", "type", "code", "param"}
        assert error["message"] == (fault.message or error["message"])
        assert error["code"] == (fault.code if fault.message else fault.code or error["code"])
        assert len(error["message"]) <= 2048
    assert (retry_after is not None) == outcome.retry_after
    assert retry_after is None or retry_after.isdecimal()
    assert len(model.requests) == requests_before + fault.requests
    assert all("cookie" not in request.headers for request in model.requests)

    async with asyncio.timeout(2):
        await model.idle()  # whatever happened, the request to the model server is closed
    (line,) = await logged()
    assert line["outcome"] == ("failed" if outcome.error else "completed")
    assert line.get("error.type") == outcome.error
    assert line["status"] == outcome.status
    assert line.get("chunks") == (outcome.chunks or None)
    assert ("reason" in line) == bool(outcome.error)


@pytest.mark.parametrize("fault", ONE_REQUEST, ids=str)
async def test_fault_has_its_outcome(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, fault: Fault
) -> None:
    timeout = TIMEOUT if "in time" in fault.kind or "stops sending" in fault.kind else 10
    configure(OPENAI_BASE_URL=model.url, OPENAI_API_KEY=KEY, CHAT_TIMEOUT=str(timeout))
    await check_outcome(service, model, logged, fault)


@pytest.mark.parametrize("delivered", [False, True], ids=["in the kernel", "delivered"])
@pytest.mark.parametrize("fault", TWO_CLIENTS, ids=str)
async def test_nothing_of_one_response_reaches_the_next_client(
    service: Service, model: ModelServer, logged: Logged, fault: Fault, delivered: bool
) -> None:
    assert fault.previous
    model.respond_with(fault.previous)
    assert await service.send() == (200, OPENAI)
    await model.idle()
    await logged()
    if fault.stray:
        await model.exchanges[-1].send(fault.stray)
    if delivered:
        async with service.session.get(f"{service.url}/api/openapi.json") as response:  # a turn of the event loop
            await response.read()
    await check_outcome(service, model, logged, fault)
