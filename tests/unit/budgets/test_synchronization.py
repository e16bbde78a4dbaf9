"""The synchronization of counts with storage, which is a fake here: several workers, failures and the stop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import pytest

from chat.budgets import synchronization
from chat.budgets.daily_counts import Count
from chat.budgets.synchronization import Storage, Synchronization

DAY = date(2026, 11, 27)
INTERVAL = 0.05


class MemoryStorage:
    """Keeps the counts in memory; `error` is raised instead, `blocked` holds each call back."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, date], int] = {}
        self.calls = 0
        self.error: BaseException | None = None
        self.failing = {"service", "client alice"}
        self.blocked = asyncio.Event()
        self.blocked.set()
        self.closed = False

    async def add(self, name: str, day: date, tokens: int) -> int:
        self.calls += 1
        await self.blocked.wait()
        if self.error and name in self.failing:
            raise self.error
        self.counts[name, day] = self.counts.get((name, day), 0) + tokens
        return self.counts[name, day]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    monkeypatch.setattr(synchronization, "INTERVAL_SECONDS", INTERVAL)
    return MemoryStorage()


class Worker:
    """One worker's synchronization of a count, and of those that are given to it."""

    def __init__(self, storage: MemoryStorage, day: date = DAY) -> None:
        self.lines: list[str] = []
        self.count = Count("service", 100, day)

        async def open_storage() -> Storage:
            return storage

        self.synchronization = Synchronization(open_storage, self.lines.append)

    def use(self, tokens: int = 0) -> None:
        self.count.unstored += tokens
        self.synchronization.use(self.count)


@pytest.fixture
async def workers(storage: MemoryStorage) -> AsyncIterator[list[Worker]]:
    workers = [Worker(storage) for _ in range(3)]
    yield workers
    storage.blocked.set()
    for worker in workers:
        await worker.synchronization.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("budgets:")]


async def synchronized() -> None:
    """Waits until no count is in use and all are written."""
    async with asyncio.timeout(5):
        while tasks := [task for task in asyncio.all_tasks() if task.get_name().startswith("budgets:")]:
            await asyncio.wait(tasks)


async def test_first_use_reads_the_count_of_other_workers_at_once(storage: MemoryStorage, workers: list[Worker]) -> None:
    storage.counts["service", DAY] = 70
    workers[0].use()
    assert workers[0].count.used == 0, "nothing is read while a request waits"
    await synchronized()
    assert workers[0].count.used == 70
    assert storage.calls == 1


async def test_all_workers_know_the_sum_after_two_intervals(storage: MemoryStorage, workers: list[Worker]) -> None:
    for tokens in (10, 0):
        for worker in workers:
            worker.use(tokens)
        await synchronized()
    assert [(worker.count.stored, worker.count.unstored) for worker in workers] == [(30, 0)] * 3
    assert storage.counts["service", DAY] == 30


async def test_tokens_counted_during_a_write_are_written_by_the_next(storage: MemoryStorage, workers: list[Worker]) -> None:
    storage.blocked.clear()
    workers[0].use(10)
    await asyncio.sleep(0)
    workers[0].use(5)
    assert workers[0].count.used == 15
    storage.blocked.set()
    await synchronized()
    assert workers[0].count.used == storage.counts["service", DAY] == 15


async def test_nothing_is_called_while_no_request_arrives(storage: MemoryStorage, workers: list[Worker]) -> None:
    workers[0].use(10)
    await synchronized()
    assert storage.calls == 1


async def test_counting_goes_on_while_storage_fails_and_the_log_says_so_once(
    storage: MemoryStorage, workers: list[Worker]
) -> None:
    storage.error = ConnectionError("http://endpoint")
    worker = workers[0]
    for _ in range(3):
        calls = storage.calls
        worker.use(10)
        async with asyncio.timeout(5):
            while storage.calls == calls:
                await asyncio.sleep(0)
    assert worker.count.used == 30
    storage.error = None
    await synchronized()
    assert storage.counts["service", DAY] == worker.count.used == 30
    assert worker.lines == [
        "Budgets of tokens: storage fails (ConnectionError), and this worker goes on counting.",
        "Budgets of tokens: storage works again.",
    ]


async def test_count_that_cannot_be_written_does_not_stop_the_others(storage: MemoryStorage, workers: list[Worker]) -> None:
    worker = workers[0]
    storage.error, storage.failing = ValueError("no"), {"client alice"}
    counts = [Count(name, 100, DAY) for name in ("client alice", "service", "client bob")]
    for _ in range(3):
        calls = storage.calls
        for count in counts:
            count.unstored += 1
            worker.synchronization.use(count)
        async with asyncio.timeout(5):
            while storage.calls < calls + 3:
                await asyncio.sleep(0)
    assert [storage.counts.get((count.name, DAY)) for count in counts[1:]] == [3, 3]
    assert worker.lines == ["Budgets of tokens: storage fails (ValueError), and this worker goes on counting."]
    storage.error = None
    await synchronized()
    assert storage.counts["client alice", DAY] == 3
    assert worker.lines[1:] == ["Budgets of tokens: storage works again."]


async def test_task_that_is_cancelled_is_replaced(storage: MemoryStorage, workers: list[Worker]) -> None:
    storage.error = asyncio.CancelledError()
    workers[0].use(10)
    await synchronized()
    storage.error = None
    workers[0].use()
    await synchronized()
    assert storage.counts["service", DAY] == 10


async def test_storage_that_hangs_fails(
    storage: MemoryStorage, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronization, "_TIMEOUT_SECONDS", 0.01)
    storage.blocked.clear()
    workers[0].use(10)
    async with asyncio.timeout(5):
        while not workers[0].lines:
            await asyncio.sleep(0)
    assert "TimeoutError" in workers[0].lines[0]
    storage.blocked.set()
    await synchronized()
    assert storage.counts["service", DAY] == 10


async def test_stop_writes_what_has_been_counted(
    storage: MemoryStorage, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronization, "INTERVAL_SECONDS", 1000)
    workers[0].use()
    async with asyncio.timeout(5):
        while not storage.counts:
            await asyncio.sleep(0)
    workers[0].use(10)
    await workers[0].synchronization.stop()
    assert storage.counts["service", DAY] == 10
    assert storage.closed


async def test_stop_does_not_wait_for_storage_that_hangs(
    storage: MemoryStorage, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronization, "_STOP_SECONDS", 0.01)
    storage.blocked.clear()
    workers[0].use(10)
    async with asyncio.timeout(1):
        await workers[0].synchronization.stop()
    assert storage.closed
