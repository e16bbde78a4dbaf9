"""The counts of all workers in Azure Table Storage: each as several rows, so that workers seldom write the same one."""

import asyncio
import logging
from datetime import date
from hashlib import sha256
from secrets import randbelow
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError
from azure.data.tables import EdmType, EntityProperty, TableEntity, UpdateMode
from azure.data.tables.aio import TableClient

TABLE = "chatbudgets"

_ROWS = 8
_MAX_ATTEMPTS = 10
_WAIT_SECONDS = 0.02


class TableStorage:
    """Counts in a table: `PartitionKey` is a hash of the count's name, `RowKey` the number of a row of it.

    A row has the tokens of one day. The next day begins at zero in the same rows, so there are no old ones to delete.
    """

    def __init__(self, endpoint: str, credential: AzureNamedKeyCredential | AsyncTokenCredential) -> None:
        # Microsoft's worker logs what is at least INFO, and each request would be several lines.
        logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
        # `Synchronization` repeats what fails.
        self._table = TableClient(endpoint, TABLE, credential=credential, retry_total=0)

    async def add(self, name: str, day: date, tokens: int) -> int:
        """Adds tokens, which may be 0, to a count; returns what all workers have added on that day.

        Raises `azure.core.exceptions.AzureError`. If it does, or is cancelled, while it waits for the response to a write,
        the tokens may have been added.
        """
        key = sha256(name.encode()).hexdigest()
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            found = self._table.query_entities("PartitionKey eq @key", parameters={"key": key})
            rows: dict[str, TableEntity] = {row["RowKey"]: row async for row in found}
            total: int = sum(row["tokens"].value for row in rows.values() if row["day"] == day.isoformat())
            row_key = str(randbelow(_ROWS))
            if not tokens or await self._add(key, row_key, rows.get(row_key), day.isoformat(), tokens):
                return total + tokens
            await asyncio.sleep(attempt * _WAIT_SECONDS)
        raise ResourceModifiedError(f"other workers wrote at the same time, {_MAX_ATTEMPTS} times")

    async def close(self) -> None:
        """Closes the connections."""
        await self._table.close()

    async def _add(self, key: str, row_key: str, row: TableEntity | None, day: str, tokens: int) -> bool:
        """Adds tokens to one row; returns whether no other worker has written it since it was read."""
        entity = {"PartitionKey": key, "RowKey": row_key, "day": day, "tokens": EntityProperty(tokens, EdmType.INT64)}
        try:
            if row is None:
                await self._table.create_entity(entity)
                return True
            if row["day"] > day:
                return True  # this worker's clock is behind; the day is over, and its count with it
            if row["day"] == day:
                entity["tokens"] = EntityProperty(row["tokens"].value + tokens, EdmType.INT64)
            await self._table.update_entity(
                entity,
                UpdateMode.REPLACE,
                etag=row.metadata["etag"],
                match_condition=MatchConditions.IfNotModified,
            )
        except (ResourceExistsError, ResourceModifiedError):
            return False
        return True


def account_key(endpoint: str, key: str) -> AzureNamedKeyCredential:
    """The credential for a key of the storage account, which is named in the host or, by an emulator, in the path."""
    url = urlsplit(endpoint)
    return AzureNamedKeyCredential(url.path.strip("/") or (url.hostname or "").partition(".")[0], key)
