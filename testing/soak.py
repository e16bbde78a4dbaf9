"""Minutes of completions, faults and clients that disconnect, and then a check of what remains: `make soak`.

Exits with 1 if a request had another outcome than it should, or if there are more sockets or tasks at the end than after the
warm-up, or if the service's own code holds more than `MAX_GROWTH` bytes more.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import random
import re
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from chat.settings import get_settings
from chat.upstream.client import get_client
from local.settings import APP_DIR, HostSection
from testing import responses_api
from testing.behaviours import responds, stalls_after, streams, streams_bytes
from testing.chat_completions import COMPLETION, OPENAI
from testing.chat_completions import event as sse
from testing.faults import FAULTS, SIZE_LIMIT, Fault
from testing.local_service import local_service
from testing.model_server import Behaviour, Exchange, ModelServer

MAX_GROWTH = 64 * 1024
CLIENTS = 20
WARM_UP_SECONDS = 20
TIMEOUT = 2.0

# Without the faults that take megabytes, or the SDK's waits between retries.
QUICK = [
    fault
    for fault in FAULTS
    if not (fault.requests > 1 or fault.previous or fault.kind == SIZE_LIMIT or re.search(r"20,000|MiB", str(fault)))
]
EVENTS = [responses_api.event(event) for event in responses_api.completed(*responses_api.TEXT)]
RESPONSE = responses_api.response(*responses_api.TEXT)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
REJECTS_TOOLS = responds(400, {"error": {"message": "Function tools with reasoning_effort are not supported."}})
WITH_TOOLS = "v1/chat/completions, with tools"
ROUTES = ["chat", "chat-protocol", "v1/chat/completions", WITH_TOOLS, "v1/responses"]


def request(route: str, question: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "stream": stream}
    match route:
        case "chat-protocol" if stream:
            return "chat-protocol/stream", body
        case "v1/responses":
            return route, {"input": question, "stream": stream}
        case _ if route == WITH_TOOLS:
            return "v1/chat/completions", body | {"tools": TOOLS}
    return route, body


async def complete(exchange: Exchange) -> None:
    """Responds in the API of the request; only the Responses API accepts tools."""
    body = exchange.request.json
    if "input" in body:
        await (streams_bytes(*EVENTS) if body["stream"] else responds(200, RESPONSE))(exchange)
    elif "tools" in body:
        await REJECTS_TOOLS(exchange)
    else:
        await (streams(OPENAI) if body["stream"] else responds(200, COMPLETION))(exchange)


async def stall(exchange: Exchange) -> None:
    """Begins a stream in the API of the request, and does not end it."""
    begin = EVENTS[:2] if "input" in exchange.request.json else [sse(chunk) for chunk in OPENAI[:2]]
    await stalls_after(*begin)(exchange)


class Soak:
    """The load, and the counts of what it did."""

    def __init__(self, url: str, model: ModelServer, session: aiohttp.ClientSession) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url = url
        self._session = session
        self._behaviours: dict[str, Behaviour] = {}
        self._sent = 0
        model.respond_with(self._respond)

    async def run(self, seconds: float) -> None:
        """Keeps `CLIENTS` clients busy for so long: half of it without the Responses API, which is then translated."""
        for has_responses_api in ("false", "true"):
            os.environ["OPENAI_RESPONSES_API"] = has_responses_api
            get_settings.cache_clear()
            until = time.monotonic() + seconds / 2
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(self._send_until(until))

    async def _respond(self, exchange: Exchange) -> None:
        body = exchange.request.json
        question = body.get("messages", body.get("input"))[-1]["content"]
        # A client may have disconnected before its request arrives.
        await self._behaviours.get(question, stall)(exchange)

    async def _send_until(self, until: float) -> None:
        while time.monotonic() < until:
            self._sent += 1
            question = str(self._sent)
            match random.choices(["good", "fault", "disconnect"], [8, 4, 2])[0]:
                case "good":
                    await self._complete(question, random.choice(ROUTES))
                case "fault":
                    await self._fail(question, random.choice(QUICK))
                case "disconnect":
                    await self._disconnect(question, random.choice(ROUTES))
            self._behaviours.pop(question, None)

    async def _complete(self, question: str, route: str) -> None:
        self._behaviours[question] = complete
        stream = random.random() < 0.75
        status, body = await self._send(*request(route, question, stream=stream))
        self.counts[route] += 1
        if status != 200 or b"upstream_error" in body:
            self.wrong.append(f"{route}, {'streamed' if stream else 'complete'}: {status}")

    async def _fail(self, question: str, fault: Fault) -> None:
        self._behaviours[question] = fault.behaviours[0]
        route = random.choice(["chat", "v1/chat/completions"])
        status, _ = await self._send(*request(route, question, stream=not fault.complete))
        self.counts["fault"] += 1
        if status != fault.outcome.status:
            self.wrong.append(f"{route}, {fault}: {status}")

    async def _disconnect(self, question: str, route: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, 0.05)):
                await self._send(*request(route, question, stream=True))
        self.counts["disconnect"] += 1

    async def _send(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        async with self._session.post(f"{self._url}/api/{path}", json=body) as response:
            return response.status, await response.read()


@contextlib.contextmanager
def discarded_stdout() -> Iterator[None]:
    """Discards standard output, to which the log writes."""
    saved = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


class State:
    """What the process holds when it is idle."""

    def __init__(self) -> None:
        gc.collect()
        self.sockets = open_sockets()
        self.tasks = Counter(str(task.get_coro()).split(" at 0x", maxsplit=1)[0] for task in asyncio.all_tasks())
        self.bytes = held_bytes()


def open_sockets() -> int:
    """The sockets that are open in this process."""
    return sum(link.is_symlink() and str(link.readlink()).startswith("socket:") for link in Path("/proc/self/fd").iterdir())


def held_bytes() -> dict[str, int]:
    """The bytes that Python holds, by whose code allocated them."""
    owners = {
        f"{APP_DIR / 'chat'}{os.sep}": "this service",
        f"{os.sep}azure_functions_runtime{os.sep}": "Microsoft's runtime",
        # Of each invocation under way, the runtime holds two events and the id.
        f"{os.sep}asyncio{os.sep}locks.py": "Microsoft's runtime",
        f"{os.sep}uuid.py": "Microsoft's runtime",
        f"{APP_DIR / 'testing'}{os.sep}": "the soak",
        f"{APP_DIR / 'local'}{os.sep}": "the local host",
    }
    held: dict[str, int] = defaultdict(int)
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        file = statistic.traceback[0].filename
        held[next((owner for part, owner in owners.items() if part in file), "others")] += statistic.size
    return held


async def when_idle(model: ModelServer) -> State:
    """Waits until nothing is under way and no connection is open, and returns what the process holds."""
    await model.idle()
    model.requests.clear()
    model.exchanges.clear()
    await get_client().close()
    get_client.cache_clear()
    sockets = -1
    while sockets != (now := open_sockets()):  # idle connections are closed after 5 seconds
        sockets = now
        await asyncio.sleep(6)
    return State()


async def soak(minutes: float) -> bool:
    """Runs everything, prints the figures, and returns whether nothing failed or remained."""
    os.environ.update(CHAT_TIMEOUT=str(TIMEOUT))
    model = await ModelServer.start()
    os.environ["OPENAI_BASE_URL"] = model.url
    tracemalloc.start()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
    async with local_service(HostSection()) as url, aiohttp.ClientSession(connector=connector) as session:
        load = Soak(url, model, session)
        with discarded_stdout():
            await load.run(WARM_UP_SECONDS)
            before = await when_idle(model)
            load.counts.clear()
            await load.run(minutes * 60)
            after = await when_idle(model)
    await model.stop()
    return report(load, before, after)


def report(load: Soak, before: State, after: State) -> bool:
    """Prints the figures and returns whether nothing failed or remained."""
    requests = load.counts.total()
    print(
        f"{requests} requests: {dict(load.counts)}, {len(load.wrong)} with another outcome than they should {load.wrong[:5]}"
    )
    print(f"sockets: {before.sockets} after the warm-up, {after.sockets} at the end")
    left = after.tasks - before.tasks
    print(f"tasks:   {before.tasks.total()} after the warm-up, {after.tasks.total()} at the end {dict(left) or ''}")
    for owner in sorted({*before.bytes, *after.bytes}):
        growth = after.bytes[owner] - before.bytes[owner]
        print(f"bytes:   {owner}: {after.bytes[owner]:,}; {growth:+,} since the warm-up, {growth / requests:+.1f} a request")
    growth = after.bytes["this service"] - before.bytes["this service"]
    return not load.wrong and after.sockets <= before.sockets and not left and growth <= MAX_GROWTH


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m testing.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3)
    sys.exit(not asyncio.run(soak(parser.parse_args().minutes)))
