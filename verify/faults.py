"""What only a fake model server behind the instance can show: that upstream is closed, and the outcome of every fault."""

import asyncio
import json
from collections import Counter, defaultdict
from time import monotonic

from testing.behaviours import ByLastMessage, never_responds, stalls_after
from testing.chat_completions import COMPLETION, DONE, chunk, event
from testing.faults import FAULTS, Fault
from testing.model_server import Exchange, ModelServer
from verify.checks import Check
from verify.instance import QUESTION, Instance, expect, question

_CLOSED_SECONDS = 1.0
_AT_ONCE = 8
_STORY = [chunk({"content": f"word {number} "}) for number in range(200)]
_CHUNK_SECONDS = 0.02


async def _respond_like_a_model(exchange: Exchange) -> None:
    request = exchange.request.json
    if request["stream"]:
        await _stream_like_a_model(exchange, words=5 if request["messages"][-1]["content"] == QUESTION else len(_STORY))
    else:
        await exchange.respond(200, json.dumps(COMPLETION).encode())


async def _stream_like_a_model(exchange: Exchange, words: int) -> None:
    await exchange.begin()
    for value in [*_STORY[:words], chunk({}, "stop")]:
        await exchange.chunk(event(value))
        await asyncio.sleep(_CHUNK_SECONDS)
    await exchange.chunk(DONE)
    await exchange.end()


async def fault_checks(port: int) -> dict[str, Check]:
    """Starts the fake model server on a port, and returns the checks that need it, by name."""
    behaviours = ByLastMessage(_respond_like_a_model)
    (await ModelServer.start(port)).respond_with(behaviours)

    async def before_first_chunk(instance: Instance) -> str:
        behaviours.set("before the first chunk", never_responds)
        sending = asyncio.create_task(instance.stream("chat", question("before the first chunk")))
        exchange = await behaviours.arrived("before the first chunk")
        sending.cancel()
        return await _closed(exchange)

    async def mid_stream(instance: Instance) -> str:
        behaviours.set("mid-stream", stalls_after(event(chunk({"content": "a"}))))
        async with instance.streaming("chat", question("mid-stream")) as (_, reads):
            async for _ in reads:
                break
        return await _closed(behaviours.exchanges["mid-stream"])

    checks: dict[str, Check] = {
        "a disconnect before the first chunk closes upstream": before_first_chunk,
        "a disconnect mid-stream closes upstream": mid_stream,
    }
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in FAULTS:
        kinds[fault.kind].append(fault)
    for kind, faults in kinds.items():
        checks[f"the model server {kind}"] = _outcomes(behaviours, faults)
    return checks


async def _closed(exchange: Exchange) -> str:
    started = monotonic()
    try:
        async with asyncio.timeout(_CLOSED_SECONDS):
            await exchange.closed.wait()
    except TimeoutError:
        expect(False, f"upstream is still open after {_CLOSED_SECONDS:g} s")
    return f"after {(monotonic() - started) * 1000:.0f} ms"


def _outcomes(behaviours: ByLastMessage, faults: list[Fault]) -> Check:
    async def check(instance: Instance) -> str:
        slots = asyncio.Semaphore(1 if faults[0].previous else _AT_ONCE)

        async def outcome(fault: Fault) -> str:
            async with slots:
                return await _outcome(behaviours, instance, fault)

        outcomes = Counter(await asyncio.gather(*map(outcome, faults)))
        return "; ".join(f"{count} × {outcome}" for outcome, count in outcomes.items())

    return check


async def _outcome(behaviours: ByLastMessage, instance: Instance, fault: Fault) -> str:
    if fault.previous:
        behaviours.set(f"before {fault}", fault.previous)
        before = await instance.stream("chat", question(f"before {fault}"))
        expect(before.status == 200, f"{fault}: {before.status} before the fault")
        if fault.stray:
            await behaviours.exchanges[f"before {fault}"].send(fault.stray)
    behaviours.set(str(fault), *fault.behaviours)
    body = question(str(fault), stream=not fault.complete)
    if fault.complete:
        response = await instance.post("chat", body)
        status, lines = response.status_code, [response.json()]
    else:
        stream = await instance.stream("chat", body)
        status, lines = stream.status, stream.lines
    error = lines[-1].get("error")
    received = (status, len(lines) - bool(error) if status == 200 and not fault.complete else 0, error and error["type"])
    outcome = fault.outcome
    expect(received == (outcome.status, outcome.chunks, outcome.error), f"{fault}: {received}, not {outcome}")
    return str(outcome)
