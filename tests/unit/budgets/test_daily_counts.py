"""The counts of a day, and admission: any requests, at any times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.budgets import daily_counts
from chat.budgets.daily_counts import DailyCounts, check_budgets
from chat.errors import BudgetUsedUp

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
BUDGETS = st.one_of(st.none(), st.integers(1, 200))
REQUESTS = st.lists(st.tuples(st.sampled_from(["alice", "bob", "service"]), st.integers(0, 50)), max_size=40)


def use(counts: DailyCounts, client: str, tokens: int, now: datetime = NOON) -> None:
    check_budgets(counts.of(client, now), now)
    for count in counts.of(client, now):
        count.unstored += tokens


@given(BUDGETS, BUDGETS, REQUESTS)
def test_request_is_admitted_exactly_while_no_budget_is_used_up(
    service: int | None, per_client: int | None, requests: list[tuple[str, int]]
) -> None:
    counts = DailyCounts(service, per_client)
    used: dict[str, int] = {}
    for client, tokens in requests:
        is_free = (service is None or sum(used.values()) < service) and (
            per_client is None or used.get(client, 0) < per_client
        )
        if is_free:
            use(counts, client, tokens)
            used[client] = used.get(client, 0) + tokens
        else:
            with pytest.raises(BudgetUsedUp):
                check_budgets(counts.of(client, NOON), NOON)
    if requests and service is not None:
        # One after another, only the last request exceeds the budget.
        assert sum(used.values()) < service + max(tokens for _, tokens in requests)


def test_tokens_of_other_workers_count() -> None:
    counts = DailyCounts(100, None)
    (count,) = counts.of("alice", NOON)
    count.stored = 100
    with pytest.raises(BudgetUsedUp):
        check_budgets(counts.of("bob", NOON), NOON)


@pytest.mark.parametrize(
    ("budgets", "whose", "setting"),
    [((1, None), "The service's", "CHAT_DAILY_TOKENS"), ((None, 1), "Your", "CHAT_DAILY_TOKENS_PER_CLIENT")],
)
def test_error_names_the_budget_and_when_it_is_renewed(
    budgets: tuple[int | None, int | None], whose: str, setting: str
) -> None:
    counts = DailyCounts(*budgets)
    use(counts, "alice", 1)
    later = NOON + timedelta(hours=10, milliseconds=1)
    with pytest.raises(BudgetUsedUp) as error:
        check_budgets(counts.of("alice", later), later)
    assert error.value.message == (
        f"{whose} budget of tokens for today is used up. It is renewed at midnight UTC, 2026-11-28T00:00:00Z."
    )
    assert (error.value.status, error.value.type, error.value.code) == (429, "rate_limit_error", "insufficient_quota")
    assert error.value.retry_after == 2 * 60 * 60
    assert error.value.reason == f"budget used up: {setting}"


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(-12, 14))
def test_budget_is_renewed_at_midnight_utc_and_not_before(time: datetime, offset: int) -> None:
    now = time.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=offset)))
    counts = DailyCounts(1, 1)
    use(counts, "alice", 1, now)
    with pytest.raises(BudgetUsedUp) as error:
        check_budgets(counts.of("alice", now), now)
    assert error.value.retry_after
    renewed = now + timedelta(seconds=error.value.retry_after)
    assert renewed.astimezone(UTC).date() == now.astimezone(UTC).date() + timedelta(days=1)
    before = renewed - timedelta(seconds=1, microseconds=renewed.microsecond)
    with pytest.raises(BudgetUsedUp):
        check_budgets(counts.of("alice", before), before)
    check_budgets(counts.of("alice", renewed), renewed)


def test_many_clients_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_counts, "_MAX_CLIENTS", 3)
    counts = DailyCounts(10_000, 1)
    use(counts, "alice", 1)
    for number in range(10):
        use(counts, f"client {number}", 1)
        with pytest.raises(BudgetUsedUp):
            check_budgets(counts.of(f"client {number}", NOON), NOON)
    use(counts, "alice", 1)  # forgotten, as the one that was unused for longest
    assert counts.of("alice", NOON)[0].used == 12
