"""Every fault of the model server, through the whole stack: each has one defined outcome."""

import asyncio
from time import monotonic
from typing import Any

import pytest

from testing.chat_completions import COMPLETION, OPENAI
from testing.client import DONE, KEY, QUESTION, Configure, Logged, Service
from testing.faults import FAULTS, TIMED_OUT, Fault
from testing.model_server import ModelServer

TIMEOUT = 0.3
MAX_SECONDS = 10.0
"""A request with two retries takes 2 seconds; on a busy machine, some more."""

ONE_REQUEST = [fault for fault in FAULTS if not fault.previous]
TWO_CLIENTS = [fault for fault in FAULTS if fault.previous]


PATHS = ["/api/chat", "/api/v1/chat/completions"]
CASES = [(fault, path) for fault in ONE_REQUEST for path in PATHS if path == PATHS[0] or len(fault.behaviours) == 1]
"""Where the service recovers by repeating the request, clients of `/api/v1` would do so themselves."""


async def check_outcome(service: Service, model: ModelServer, logged: Logged, fault: Fault, path: str = PATHS[0]) -> None:
    """Sends a request, and checks what the client receives, what the model server receives, and what is logged."""
    model.respond_with(*fault.behaviours)
    requests_before = len(model.requests)
    started = monotonic()
    async with service.post(question(path, stream=not fault.complete), path=path) as response:
        retry_after = response.headers.get("Retry-After")
        status, body = await service.read(response)
    assert monotonic() - started < MAX_SECONDS

    outcome = fault.outcome
    assert status == outcome.status, body
    if status == 200 and not fault.complete:
        expected = (fault.chunks or OPENAI)[: outcome.chunks]
        if path == "/api/v1/chat/completions":
            expected = [chunk for chunk in expected if chunk["choices"]]
            assert (body[-1] == DONE) == (not outcome.error)
            body = [event for event in body if event != DONE]
        error = body.pop()["error"] if outcome.error else None
        assert body == expected
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
    assert len(model.requests) == requests_before + (fault.requests if path == PATHS[0] else 1)
    assert all("cookie" not in request.headers for request in model.requests)

    async with asyncio.timeout(2):
        await model.idle()  # whatever happened, the request to the model server is closed
    (line,) = await logged()
    assert line["outcome"] == ("failed" if outcome.error else "completed")
    assert line.get("error.type") == outcome.error
    assert line["status"] == outcome.status
    assert line.get("chunks") == (outcome.chunks or None)
    assert ("reason" in line) == bool(outcome.error)


def question(path: str, *, stream: bool) -> dict[str, Any]:
    """The same question in the format of the route."""
    (message,) = QUESTION["messages"]
    return {"messages": [{**message, "role": "user"}] if "v1" in path else [message], "stream": stream}


@pytest.mark.parametrize(("fault", "path"), CASES, ids=str)
async def test_fault_has_its_outcome(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, fault: Fault, path: str
) -> None:
    timeout = TIMEOUT if fault.outcome.error == TIMED_OUT.error else MAX_SECONDS
    configure(OPENAI_BASE_URL=model.url, OPENAI_API_KEY=KEY, CHAT_TIMEOUT=str(timeout))
    await check_outcome(service, model, logged, fault, path)


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
