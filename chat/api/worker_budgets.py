"""The budgets of this worker, with their storage: imported only where a budget is set, and the storage's client later."""

import asyncio
from datetime import UTC, datetime

from chat.budgets.budgets import Budgets
from chat.budgets.daily_counts import DailyCounts
from chat.budgets.synchronization import Storage, Synchronization
from chat.settings import Settings, get_settings
from chat.telemetry.log_writer import write_line

_DELAY_SECONDS = 1.0


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def make_budgets(settings: Settings) -> Budgets:
    """The budgets that are set, which nobody has used."""
    counts = DailyCounts(settings.chat_daily_tokens, settings.chat_daily_tokens_per_client)
    if settings.chat_budget_storage_endpoint:
        return Budgets(counts, Synchronization(_open_storage, write_line), utc_now)
    write_line("Budgets of tokens: without CHAT_BUDGET_STORAGE_ENDPOINT, this worker counts by itself.")
    return Budgets(counts, None, utc_now)


async def _open_storage() -> Storage:
    # The imports take some tenths of a second: not while the first request is sent, and in a thread for those that follow.
    await asyncio.sleep(_DELAY_SECONDS)
    return await asyncio.to_thread(_connect, get_settings())


def _connect(settings: Settings) -> Storage:
    from chat.budgets.table_storage import TableStorage, account_key  # noqa: PLC0415

    endpoint = str(settings.chat_budget_storage_endpoint)
    if key := settings.chat_budget_storage_key:
        return TableStorage(endpoint, account_key(endpoint, key.get_secret_value()))

    from chat.upstream.credentials import make_credential  # noqa: PLC0415

    return TableStorage(endpoint, make_credential(settings))
