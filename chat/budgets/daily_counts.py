"""Counts the tokens of a day, and checks whether a budget is used up: pure, the time is passed in."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil

from chat.errors import BudgetUsedUp

SERVICE = "service"
"""The name of the service's own count."""

_MAX_CLIENTS = 50_000


@dataclass(eq=False, slots=True)
class Count:
    """The tokens of one day that count against a budget: of the service, or of the client of that name.

    `stored` is what storage had for all workers when it was last read, `unstored` what this worker has counted since it
    last wrote.
    """

    name: str
    budget: int
    day: date
    stored: int = 0
    unstored: int = 0

    @property
    def used(self) -> int:
        """What is known to be used."""
        return self.stored + self.unstored


class DailyCounts:
    """The counts of the day, UTC, for each budget that is set. Those of the day before are dropped.

    A count takes 300 bytes. Of more than 50,000 clients in one day, the one that was unused for longest is forgotten.
    """

    def __init__(self, service_budget: int | None, client_budget: int | None) -> None:
        self._service_budget = service_budget
        self._client_budget = client_budget
        self._day = date.min
        self._counts: dict[str, Count] = {}

    def of(self, client: str, now: datetime) -> list[Count]:
        """The counts to which the tokens of a client are added."""
        day = now.astimezone(UTC).date()
        if day != self._day:
            self._day = day
            self._counts.clear()
        budgets = {SERVICE: self._service_budget, f"client {client}": self._client_budget}
        return [self._count(name, budget) for name, budget in budgets.items() if budget is not None]

    def _count(self, name: str, budget: int) -> Count:
        count = self._counts.pop(name, None) or Count(name, budget, self._day)
        self._counts[name] = count  # as the last one: the first is the one that was unused for longest
        if len(self._counts) > _MAX_CLIENTS:
            del self._counts[next(iter(self._counts))]
        return count


def check_budgets(counts: list[Count], now: datetime) -> None:
    """Raises `BudgetUsedUp` if the budget of one of the counts is used up."""
    for count in counts:
        if count.used >= count.budget:
            raise _used_up(count, now)


def _used_up(count: Count, now: datetime) -> BudgetUsedUp:
    midnight = datetime.combine(count.day + timedelta(days=1), time(), UTC)
    whose, setting = (
        ("The service's", "CHAT_DAILY_TOKENS") if count.name == SERVICE else ("Your", "CHAT_DAILY_TOKENS_PER_CLIENT")
    )
    return BudgetUsedUp(
        f"{whose} budget of tokens for today is used up. It is renewed at midnight UTC, {midnight:%Y-%m-%dT%H:%M:%SZ}.",
        retry_after=ceil((midnight - now).total_seconds()),
        reason=f"budget used up: {setting}",
    )
