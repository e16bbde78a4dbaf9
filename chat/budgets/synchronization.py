"""Synchronizes the counts of this worker with those of all workers, in the background: no request waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date
from typing import Protocol

from chat.budgets.daily_counts import Count

INTERVAL_SECONDS = 10.0
"""How often a count is written and read while it is used."""

# Longer than the 30 after which Table Storage gives up: a request that is cancelled may have been written, and is repeated.
_TIMEOUT_SECONDS = 35.0
_STOP_SECONDS = 2.0
_MAX_AT_ONCE = 8


class Storage(Protocol):
    """Where all workers add what they have counted."""

    async def add(self, name: str, day: date, tokens: int) -> int:
        """Adds tokens to a count, and returns what all workers have added to it on that day."""

    async def close(self) -> None:
        """Closes the connections."""


class Synchronization:
    """Reads and writes each count when it is first used, and then every ten seconds while it is used.

    While storage fails, what has been counted is kept and written later. `log` writes a line of text.
    """

    def __init__(self, open_storage: Callable[[], Awaitable[Storage]], log: Callable[[str], None]) -> None:
        self._open_storage = open_storage
        self._log = log
        self._storage: Storage | None = None
        self._opening = asyncio.Lock()
        self._at_once = asyncio.Semaphore(_MAX_AT_ONCE)
        self._stopping = asyncio.Event()
        self._used: set[Count] = set()
        self._tasks: dict[Count, asyncio.Task[None]] = {}
        self._failing: set[Count] = set()
        self._next_attempt = 0.0

    def use(self, count: Count) -> None:
        """Synchronizes the count, now or within the interval."""
        self._used.add(count)
        if count not in self._tasks:
            self._tasks[count] = asyncio.create_task(self._synchronize_while_used(count), name="budgets: synchronize")

    async def stop(self) -> None:
        """Writes what is not stored yet, for at most two seconds, and closes the storage."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_STOP_SECONDS)
        if self._storage:
            await self._storage.close()

    async def _synchronize_while_used(self, count: Count) -> None:
        try:
            while count in self._used or count.unstored:
                self._used.discard(count)
                await self._synchronize(count)
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL_SECONDS):
                        await self._stopping.wait()
                if self._stopping.is_set():
                    if count.unstored:
                        await self._synchronize(count)
                    break
        finally:
            self._used.discard(count)
            self._failing.discard(count)
            del self._tasks[count]

    async def _synchronize(self, count: Count) -> None:
        loop = asyncio.get_running_loop()
        async with self._at_once:
            if loop.time() < self._next_attempt:
                return
            tokens = count.unstored
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    storage = await self._opened_storage()
                    count.stored = await storage.add(count.name, count.day, tokens)
                    count.unstored -= tokens
            except Exception as error:  # azure-identity does not document what it raises
                if isinstance(error, TimeoutError):  # others fail at once, and do not occupy the few that run at once
                    self._next_attempt = loop.time() + INTERVAL_SECONDS / 2
                if not self._failing:
                    self._log(f"Budgets of tokens: storage fails ({_describe(error)}), and this worker goes on counting.")
                self._failing.add(count)
            else:
                if self._failing == {count}:
                    self._log("Budgets of tokens: storage works again.")
                self._failing.discard(count)

    async def _opened_storage(self) -> Storage:
        async with self._opening:
            if not self._storage:
                self._storage = await self._open_storage()
        return self._storage


def _describe(error: Exception) -> str:
    """The error's class and status: its text may contain the endpoint."""
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__}, status {status}" if status else type(error).__name__
