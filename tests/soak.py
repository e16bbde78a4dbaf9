"""Minutes of good chats, faults and callers who leave, and then a look at what is left of them: `make soak`.

Ends with 1 if a chat had another outcome than it should, or if after it all there are more sockets or tasks than after the
warm-up, or more than `BOUND` bytes more that the service's own code holds.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import os
import random
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import aiohttp

from chat.client import get_client
from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker
from tests.fakes.faults import FAULTS, Fault
from tests.fakes.model_server import Behaviour, Exchange, ModelServer
from tests.fakes.responses import OPENAI, WHOLE, responds, stalls_after, streams
from tests.fakes.responses import event as sse

BOUND = 64 * 1024
CALLERS = 20
WARM_UP_SECONDS = 20
SILENCE = 2.0

# Quick enough to come round often: without those that take megabytes, or the SDK's waits between retries.
QUICK = [
    fault
    for fault in FAULTS
    if not (fault.requests > 1 or "20,000" in fault.name or "1 MiB" in fault.name or "too large" in fault.name)
]
GOOD = Fault("good", "streamed", (streams(OPENAI),), outcome=FAULTS[-1].outcome)
GOOD_WHOLE = Fault("good", "whole", (responds(200, WHOLE),), outcome=FAULTS[-1].outcome, whole=True)
CUT_SHORT = stalls_after(sse(OPENAI[0]), sse(OPENAI[1]))


class Soak:
    """The load, and the counts of what it did."""

    def __init__(self, url: str, model: ModelServer, session: aiohttp.ClientSession) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url = f"{url}/api/chat"
        self._session = session
        self._plans: dict[str, Behaviour] = {}
        self._asked = 0
        model.answers(self._behave)

    async def run(self, seconds: float) -> None:
        """Keeps `CALLERS` callers busy for so long."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._call_until(until))

    async def _behave(self, exchange: Exchange) -> None:
        question = exchange.request.json["messages"][1]["content"]
        await self._plans.get(question, CUT_SHORT)(exchange)  # who asked may have left already

    async def _call_until(self, until: float) -> None:
        while time.monotonic() < until:
            self._asked += 1
            question = str(self._asked)
            match random.choices(["good", "whole", "fault", "left"], [6, 2, 4, 2])[0]:
                case "good":
                    await self._ask(question, GOOD)
                case "whole":
                    await self._ask(question, GOOD_WHOLE)
                case "fault":
                    await self._ask(question, random.choice(QUICK))
                case "left":
                    await self._leave(question)
            del self._plans[question]

    async def _ask(self, question: str, fault: Fault) -> None:
        self._plans[question] = fault.behaviours[0]
        body = {"messages": [{"content": question}], "stream": not fault.whole}
        async with self._session.post(self._url, json=body) as response:
            await response.read()
        self.counts["good" if fault.kind == "good" else "fault"] += 1
        if response.status != (200 if fault.kind == "good" else fault.outcome.status):
            self.wrong.append(f"{fault}: {response.status}")

    async def _leave(self, question: str) -> None:
        self._plans[question] = CUT_SHORT
        body = {"messages": [{"content": question}]}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, 0.05)), self._session.post(self._url, json=body) as response:
                await response.read()
        self.counts["caller left"] += 1


class State:
    """What the process holds when it is at rest."""

    def __init__(self) -> None:
        gc.collect()
        self.sockets = open_sockets()
        self.tasks = Counter(str(task.get_coro()).split(" at 0x", maxsplit=1)[0] for task in asyncio.all_tasks())
        self.bytes = held_bytes()


def open_sockets() -> int:
    """The sockets that are open in this process."""
    return sum(link.is_symlink() and str(link.readlink()).startswith("socket:") for link in Path("/proc/self/fd").iterdir())


def held_bytes() -> dict[str, int]:
    """The bytes that Python holds, by whose lines asked for them."""
    owners = {
        f"{APP_DIR / 'chat'}{os.sep}": "this service",
        f"{os.sep}azure_functions_runtime{os.sep}": "Microsoft's runtime",
        f"{os.sep}asyncio{os.sep}locks.py": "Microsoft's runtime",  # the two events that it keeps of each invocation
        f"{APP_DIR / 'tests'}{os.sep}": "the soak",
        f"{APP_DIR / 'local'}{os.sep}": "the local host",
    }
    held: dict[str, int] = defaultdict(int)
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        file = statistic.traceback[0].filename
        held[next((owner for part, owner in owners.items() if part in file), "others")] += statistic.size
    return held


async def at_rest(model: ModelServer) -> State:
    """Waits until nothing is under way and no connection is kept, and looks."""
    await model.idle()
    model.requests.clear()
    model.exchanges.clear()
    await get_client().close()
    get_client.cache_clear()
    sockets = -1
    while sockets != (now := open_sockets()):  # what is idle, or was abandoned, is given up after 5 seconds
        sockets = now
        await asyncio.sleep(6)
    return State()


async def soak(minutes: float) -> bool:
    """Runs it all and prints the figures; whether all was well."""
    os.environ.update(CHAT_TIMEOUT=str(SILENCE))
    model = await ModelServer.start()
    os.environ["OPENAI_BASE_URL"] = model.url
    tracemalloc.start()
    worker = await Worker.start(APP_DIR)
    host = Host(worker, "api", HostSection())
    url = await host.start(0)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1)) as session:
        load = Soak(url, model, session)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            await load.run(WARM_UP_SECONDS)
            said.truncate(0)
            before = await at_rest(model)
            load.counts.clear()
            await load.run(minutes * 60)
            said.seek(0)
            said.truncate(0)
            after = await at_rest(model)
    await host.stop()
    await worker.stop()
    await model.stop()
    return report(load, before, after)


def report(load: Soak, before: State, after: State) -> bool:
    """Prints the figures; whether all was well."""
    chats = load.counts.total()
    print(f"{chats} chats: {dict(load.counts)}, {len(load.wrong)} with another outcome than they should {load.wrong[:5]}")
    print(f"sockets: {before.sockets} after the warm-up, {after.sockets} at the end")
    left = after.tasks - before.tasks
    print(f"tasks:   {before.tasks.total()} after the warm-up, {after.tasks.total()} at the end {dict(left) or ''}")
    for owner in sorted({*before.bytes, *after.bytes}):
        growth = after.bytes[owner] - before.bytes[owner]
        print(f"bytes:   {owner}: {after.bytes[owner]:,}; {growth:+,} since the warm-up, {growth / chats:+.1f} a chat")
    growth = after.bytes["this service"] - before.bytes["this service"]
    return not load.wrong and after.sockets <= before.sockets and not left and growth <= BOUND


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3)
    sys.exit(not asyncio.run(soak(parser.parse_args().minutes)))
