"""What only a fake model server behind the instance can show: that upstream is closed, and the outcome of every fault."""

import asyncio
import json
from collections import Counter, defaultdict
from time import monotonic

from testing.behaviours import never_responds, stalls_after
from testing.chat_completions import COMPLETION, DONE, chunk, event
from testing.faults import FAULTS, Fault
from testing.model_server import Behaviour, Exchange, ModelServer
from verify.checks import Check
from verify.instance import QUESTION, Instance, expect, question

_CLOSED_SECONDS = 1.0
_AT_ONCE = 8
_STORY = [chunk({"content": f"word {number} "}) for number in range(200)]
_CHUNK_SECONDS = 0.02


class FakeModel:
    """The fake model server: it responds like a model, or with the fault that the last message names."""

    def __init__(self, server: ModelServer) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self._server = server
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._arrived = asyncio.Condition()
        server.respond_with(self._behave)

    def respond_with(self, name: str, *behaviours: Behaviour) -> None:
        """Sets the behaviours for requests whose last message is `name`."""
        self._behaviours[name] = list(behaviours)

    async def arrived(self, name: str) -> Exchange:
        """Waits until a request whose last message is `name` has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: name in self.exchanges)
        return self.exchanges[name]

    async def _behave(self, exchange: Exchange) -> None:
        body = exchange.request.json
        name = body["messages"][-1]["content"]
        async with self._arrived:
            self.exchanges[name] = exchange
            self._arrived.notify_all()
        behaviours = self._behaviours.get(name)
        if behaviours:
            await (behaviours.pop(0) if len(behaviours) > 1 else behaviours[0])(exchange)
        elif body["stream"]:
            await _stream_like_a_model(exchange, words=5 if name == QUESTION else len(_STORY))
        else:
            await exchange.respond(200, json.dumps(COMPLETION).encode())


async def _stream_like_a_model(exchange: Exchange, words: int) -> None:
    await exchange.begin()
    for value in [*_STORY[:words], chunk({}, "stop")]:
        await exchange.chunk(event(value))
        await asyncio.sleep(_CHUNK_SECONDS)
    await exchange.chunk(DONE)
    await exchange.end()


def fault_checks(model: FakeModel) -> dict[str, Check]:
    """The checks, by name."""

    async def before_first_chunk(instance: Instance) -> str:
        model.respond_with("before the first chunk", never_responds)
        sending = asyncio.create_task(instance.stream("chat", question("before the first chunk")))
        exchange = await model.arrived("before the first chunk")
        sending.cancel()
        return await _closed(exchange)

    async def mid_stream(instance: Instance) -> str:
        model.respond_with("mid-stream", stalls_after(event(chunk({"content": "a"}))))
        async with instance.streaming("chat", question("mid-stream")) as (_, reads):
            async for _ in reads:
                break
        return await _closed(model.exchanges["mid-stream"])

    checks: dict[str, Check] = {
        "a disconnect before the first chunk closes upstream": before_first_chunk,
        "a disconnect mid-stream closes upstream": mid_stream,
    }
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in FAULTS:
        kinds[fault.kind].append(fault)
    for kind, faults in kinds.items():
        checks[f"the model server {kind}"] = _outcomes(model, faults)
    return checks


async def _closed(exchange: Exchange) -> str:
    started = monotonic()
    try:
        async with asyncio.timeout(_CLOSED_SECONDS):
            await exchange.closed.wait()
    except TimeoutError:
        expect(False, f"upstream is still open after {_CLOSED_SECONDS:g} s")
    return f"after {(monotonic() - started) * 1000:.0f} ms"


def _outcomes(model: FakeModel, faults: list[Fault]) -> Check:
    async def check(instance: Instance) -> str:
        slots = asyncio.Semaphore(1 if faults[0].previous else _AT_ONCE)

        async def outcome(fault: Fault) -> str:
            async with slots:
                return await _outcome(model, instance, fault)

        outcomes = Counter(await asyncio.gather(*map(outcome, faults)))
        return "; ".join(f"{count} × {outcome}" for outcome, count in outcomes.items())

    return check


async def _outcome(model: FakeModel, instance: Instance, fault: Fault) -> str:
    if fault.previous:
        model.respond_with(f"before {fault}", fault.previous)
        before = await instance.stream("chat", question(f"before {fault}"))
        expect(before.status == 200, f"{fault}: {before.status} before the fault")
        if fault.stray:
            await model.exchanges[f"before {fault}"].send(fault.stray)
    model.respond_with(str(fault), *fault.behaviours)
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
