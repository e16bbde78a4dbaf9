"""The budgets of a worker: admits requests, and counts their tokens here and, with storage, for all workers."""

from collections.abc import Callable
from datetime import datetime

from chat.budgets.daily_counts import Count, DailyCounts, check_budgets
from chat.budgets.synchronization import Synchronization


class Budgets:
    """Admits requests while the budgets are not used up. Without a synchronization, a worker counts by itself."""

    def __init__(self, counts: DailyCounts, synchronization: Synchronization | None, now: Callable[[], datetime]) -> None:
        self._counts = counts
        self._synchronization = synchronization
        self._now = now

    def admit(self, client: str, tokens: int) -> list[Count]:
        """Counts the tokens of a request's input, and returns the counts, to which the rest is to be added.

        Raises `BudgetUsedUp` if the service's budget or the client's is used up.
        """
        now = self._now()
        counts = self._counts.of(client, now)
        self.add(counts, 0)  # a count that is used up is read, too: other workers may have corrected it
        check_budgets(counts, now)
        self.add(counts, tokens)
        return counts

    def add(self, counts: list[Count], tokens: int) -> None:
        """Adds tokens, or takes away what was too much."""
        for count in counts:
            count.unstored += tokens
            if self._synchronization:
                self._synchronization.use(count)

    async def stop(self) -> None:
        """Writes what is not stored yet, for at most two seconds."""
        if self._synchronization:
            await self._synchronization.stop()
