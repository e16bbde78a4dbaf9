"""The budgets of a worker: admits requests, and counts their tokens here and, with storage, for all workers."""

from collections.abc import Callable
from datetime import datetime

from chat.budgets.daily_counts import DailyCounts
from chat.budgets.synchronization import Synchronization


class Budgets:
    """Admits requests while the budgets are not used up. Without a synchronization, a worker counts by itself."""

    def __init__(self, counts: DailyCounts, synchronization: Synchronization | None, now: Callable[[], datetime]) -> None:
        self._counts = counts
        self._synchronization = synchronization
        self._now = now

    def admit(self, client: str) -> None:
        """Raises `BudgetUsedUp` if the service's budget or the client's is used up."""
        self._counts.admit(client, self._now())
        self.add(client, 0)

    def add(self, client: str, tokens: int) -> None:
        """Counts the tokens of a request that was admitted."""
        for count in self._counts.of(client, self._now()):
            count.unstored += tokens
            if self._synchronization:
                self._synchronization.use(count)

    async def stop(self) -> None:
        """Writes what is not stored yet, for at most two seconds."""
        if self._synchronization:
            await self._synchronization.stop()
