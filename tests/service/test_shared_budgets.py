"""Budgets that several workers share, each a process of its own: in Azurite's tables."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from typing import Any, Self

import aiohttp
import pytest
from azure.core.exceptions import ResourceModifiedError
from azure.data.tables.aio import TableClient

from chat.budgets.table_storage import TABLE, TableStorage, account_key
from chat.settings import Settings
from local.settings import APP_DIR
from testing.azurite import KEY, azurite
from testing.behaviours import streams
from testing.budget_worker import ANSWER
from testing.chat_completions import USAGE, chunk, text_chunks
from testing.client import QUESTION
from testing.model_server import ModelServer
from testing.tcp_proxy import TcpProxy

TOKENS = 1000
COMPLETION = [*text_chunks("Paris."), chunk(choices=[], usage=USAGE | {"prompt_tokens": 900, "completion_tokens": 100})]
INTERVAL = 0.5
MANY_SECONDS = 1000.0
FAILS = "Budgets of tokens: storage fails"
WORKS = "Budgets of tokens: storage works again."


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[str]:
    async with azurite(TABLE) as endpoint:
        yield endpoint


@pytest.fixture
async def endpoint(emulator: str) -> AsyncIterator[str]:
    """Azurite, with an empty table, through a proxy."""
    yield emulator
    async with TableClient(emulator, TABLE, credential=account_key(emulator, KEY)) as table:
        async for row in table.list_entities():
            await table.delete_entity(row)


@pytest.fixture
async def storage(endpoint: str) -> AsyncIterator[TableStorage]:
    storage = TableStorage(endpoint, account_key(endpoint, KEY))
    yield storage
    await storage.close()


type StartWorker = Callable[..., Awaitable[BudgetWorker]]


class BudgetWorker:
    """A worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.url = ""
        self.lines: list[str] = []
        self._process = process

    @classmethod
    async def start(cls, interval: float, **settings: str) -> Self:
        names = {name.upper() for name in Settings.model_fields}
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        worker = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "testing.budget_worker", str(interval)),
                cwd=APP_DIR,
                env=inherited | settings,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
        worker.url = await worker._read()
        return worker

    async def command(self, command: str) -> str:
        """What it writes after a command."""
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n".encode())
        return await self._read()

    async def stop(self) -> None:
        """Ends it with time to stop, in which it writes the rest of its log."""
        rest, _ = await self._process.communicate()
        self.lines += rest.decode().splitlines()

    async def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    async def logged(self, begin: str) -> None:
        """Waits for a line of the log that begins like this."""
        while not any(line.startswith(begin) for line in self.lines):
            await self._read_line()

    async def _read(self) -> str:
        while not (line := await self._read_line()).startswith(ANSWER):
            pass
        return line.removeprefix(ANSWER).strip()

    async def _read_line(self) -> str:
        assert self._process.stdout
        async with asyncio.timeout(30):
            line = (await self._process.stdout.readline()).decode()
        assert line, "the worker has ended"
        self.lines.append(line.strip())
        return self.lines[-1]


@pytest.fixture
async def start(model: ModelServer) -> AsyncIterator[StartWorker]:
    """Starts a worker that uses the fake model server, and ends it after the test."""
    workers: list[BudgetWorker] = []

    async def start(interval: float, **settings: str) -> BudgetWorker:
        workers.append(await BudgetWorker.start(interval, OPENAI_BASE_URL=f"{model.url}/v1", **settings))
        return workers[-1]

    model.respond_with(streams(COMPLETION))
    yield start
    for worker in workers:
        await worker.kill()


class Clients:
    """Clients of several workers, and what they have used."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.completed = 0
        self.used_up_at: float | None = None
        self.late: list[float] = []

    async def send(self, worker: BudgetWorker) -> int:
        """Sends a request and returns the status."""
        async with self.session.post(f"{worker.url}/api/chat", json=QUESTION) as response:
            await response.read()
            self.completed += response.status == 200
            return response.status

    async def send_until_rejected(self, workers: list[BudgetWorker], budget: int) -> None:
        """Sends one request after another, to each worker in turn, and notes which were admitted after the budget's end."""
        loop = asyncio.get_running_loop()
        for worker in cycle(workers):
            sent_at = loop.time()
            if await self.send(worker) == 429:
                return
            if self.used_up_at is None and self.completed * TOKENS >= budget:
                self.used_up_at = loop.time()
            elif self.used_up_at and sent_at > self.used_up_at:
                self.late.append(sent_at - self.used_up_at)


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Clients(session)


async def settled(storage: TableStorage, day: date, tokens: int) -> None:
    """Waits until the workers have written that many tokens; fails if they write more."""
    async with asyncio.timeout(20):
        while (total := await storage.add("service", day, 0)) < tokens:
            pass
    assert total == tokens


def today() -> date:
    return datetime.now(UTC).date()


async def test_50_writers_at_once_lose_no_token(endpoint: str, storage: TableStorage) -> None:
    writers = [TableStorage(endpoint, account_key(endpoint, KEY)) for _ in range(50)]

    async def write(writer: TableStorage) -> None:
        for tokens in (1, 10**10, 0, 3):
            while True:
                with suppress(ResourceModifiedError):
                    await writer.add("service", today(), tokens)
                    break

    await asyncio.gather(*map(write, writers))
    assert await storage.add("service", today(), 0) == 50 * (1 + 10**10 + 3)
    for writer in writers:
        await writer.close()


async def test_counts_are_apart_and_their_names_may_be_any_text(storage: TableStorage) -> None:
    names = ["service", "client key:alice", "client user:a/b\\c#d?e%f'g\n", "client " + "ü" * 2000]
    for tokens, name in enumerate(names, start=1):
        assert await storage.add(name, today(), tokens) == tokens
    assert [await storage.add(name, today(), 0) for name in names] == [1, 2, 3, 4]


async def test_requests_to_storage_are_not_logged(storage: TableStorage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # the level of Microsoft's worker
    await storage.add("service", today(), 1)
    assert caplog.records == []


async def test_next_day_begins_at_zero_in_the_same_rows(endpoint: str, storage: TableStorage) -> None:
    for day in range(5):
        total = 0
        for _ in range(20):
            total = await storage.add("service", today() + timedelta(days=day), 1)
        assert total == 20
    async with TableClient(endpoint, TABLE, credential=account_key(endpoint, KEY)) as table:
        assert len([row async for row in table.list_entities()]) <= 8


async def test_worker_whose_clock_is_behind_does_not_reset_the_day(storage: TableStorage) -> None:
    for _ in range(20):
        await storage.add("service", today(), 1)
    for _ in range(20):
        await storage.add("service", today() - timedelta(days=1), 1)
    assert await storage.add("service", today(), 0) == 20


@pytest.mark.timeout(120)
async def test_budget_of_50_clients_over_4_workers_holds(
    endpoint: str, storage: TableStorage, start: StartWorker, clients: Clients
) -> None:
    """It holds through a restart, an outage of storage, and a day's end: the bound is the one in docs/deploy/costs.md."""
    budget = 300 * TOKENS
    proxy = await TcpProxy.start(endpoint.split("/")[2])
    settings = {
        "CHAT_DAILY_TOKENS": str(budget),
        "CHAT_BUDGET_STORAGE_ENDPOINT": endpoint.replace(endpoint.split("/")[2], proxy.address),
        "CHAT_BUDGET_STORAGE_KEY": KEY,
    }
    workers = list(await asyncio.gather(*(start(INTERVAL, **settings) for _ in range(4))))
    turns = [workers[number % 4 :] + workers[: number % 4] for number in range(50)]

    await asyncio.gather(*(clients.send_until_rejected(turn, budget) for turn in turns))
    assert clients.completed * TOKENS >= budget, "rejected before the budget was used up"
    assert max(clients.late, default=0) < 2 * INTERVAL + 1, "admitted later than two intervals after the budget's end"
    await settled(storage, today(), clients.completed * TOKENS)
    assert [await clients.send(worker) for worker in workers] == [429] * 4

    await workers[0].kill()
    workers[0] = await start(INTERVAL, **settings)
    async with asyncio.timeout(2 * INTERVAL + 3):
        while await clients.send(workers[0]) != 429:
            pass  # admitted until it has read the others' count

    assert [await worker.command("day") for worker in workers] == ["day"] * 4
    clients.completed = 0
    assert [await clients.send(worker) for worker in workers] == [200] * 4
    await settled(storage, today() + timedelta(days=1), 4 * TOKENS)

    await proxy.stop()
    await asyncio.gather(*(clients.send_until_rejected([workers[0]], budget) for _ in range(10)))
    assert budget <= clients.completed * TOKENS <= budget + (4 + 10) * TOKENS, "the count of the worker itself"
    assert [await clients.send(worker) for worker in workers[1:]] == [200] * 3
    for worker in workers:
        await worker.logged(FAILS)
    await proxy.restart()
    await settled(storage, today() + timedelta(days=1), clients.completed * TOKENS)
    async with asyncio.timeout(2 * INTERVAL + 3):
        for worker in workers:
            while await clients.send(worker) != 429:
                pass

    await asyncio.gather(*(worker.stop() for worker in workers))
    for worker in workers:
        lines = [line for line in worker.lines if line.startswith("Budgets of tokens:")]
        assert lines == [f"{FAILS} (ServiceRequestError), and this worker goes on counting.", WORKS]
    await proxy.stop()


async def test_budget_of_a_client_is_that_of_all_workers_and_no_other_clients(
    endpoint: str, storage: TableStorage, start: StartWorker, clients: Clients
) -> None:
    keys = {"alice": "a-key-of-twenty-characters", "bob": "another-key-of-thirty-characters"}
    settings = {
        "CHAT_API_KEYS": ",".join(f"{name}={key}" for name, key in keys.items()),
        "CHAT_DAILY_TOKENS_PER_CLIENT": str(3 * TOKENS),
        "CHAT_BUDGET_STORAGE_ENDPOINT": endpoint,
        "CHAT_BUDGET_STORAGE_KEY": KEY,
    }
    workers = await asyncio.gather(*(start(INTERVAL, **settings) for _ in range(2)))

    async def send(worker: BudgetWorker, name: str) -> int:
        body = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
        async with clients.session.post(
            f"{worker.url}/api/v1/chat/completions", json=body, headers={"api-key": keys[name]}
        ) as response:
            await response.read()
            return response.status

    assert [await send(workers[0], "alice") for _ in range(4)] == [200, 200, 200, 429]
    async with asyncio.timeout(20):
        while await storage.add("client key:alice", today(), 0) < 3 * TOKENS:
            pass
        while await send(workers[1], "alice") != 429:
            pass
    assert await send(workers[1], "bob") == 200


async def test_worker_writes_what_it_has_counted_when_it_stops(
    endpoint: str, storage: TableStorage, start: StartWorker, clients: Clients
) -> None:
    worker = await start(
        MANY_SECONDS,
        CHAT_DAILY_TOKENS="100000",
        CHAT_BUDGET_STORAGE_ENDPOINT=endpoint,
        CHAT_BUDGET_STORAGE_KEY=KEY,
    )
    for _ in range(3):
        assert await clients.send(worker) == 200
    while "azure.data.tables" not in await worker.command("modules"):
        pass  # it is imported in the background
    await worker.stop()
    assert await storage.add("service", today(), 0) == 3 * TOKENS


def test_nothing_of_budgets_is_imported_at_the_start() -> None:
    script = (
        "import sys, function_app; print([name for name in sys.modules if name.startswith(('chat.budgets', 'azure.core'))])"
    )
    settings = {"OPENAI_API_KEY": "k", "CHAT_DAILY_TOKENS": "1", "CHAT_BUDGET_STORAGE_ENDPOINT": "https://a.example"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=APP_DIR, env=os.environ | settings, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("settings", [{}, {"CHAT_DAILY_TOKENS": "100000"}], ids=["no budget", "no storage"])
async def test_without_storage_nothing_of_azure_is_imported(
    start: StartWorker, clients: Clients, settings: dict[str, Any]
) -> None:
    worker = await start(INTERVAL, **settings)
    for _ in range(3):
        assert await clients.send(worker) == 200
    assert await worker.command("modules") == ""
    await worker.stop()
