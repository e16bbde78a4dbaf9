"""Azurite, Microsoft's emulator of Azure Storage: its tables, in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables.aio import TableClient

from testing.ports import free_port

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has, and its key, which is no secret."""

_PROGRAM = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "table" / "main.js"


@asynccontextmanager
async def azurite(table: str) -> AsyncGenerator[str]:
    """Serves tables on any free port, and creates one; yields the endpoint."""
    assert _PROGRAM.exists(), "`make .venv/azurite` installs it"
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("node", _PROGRAM, "--silent", "--inMemoryPersistence", "--disableTelemetry", "--tablePort", str(port)),
        stdout=asyncio.subprocess.PIPE,
    )
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    try:
        assert process.stdout
        async with asyncio.timeout(30):
            while b"successfully started" not in await process.stdout.readline():
                assert process.returncode is None
        async with TableClient(endpoint, table, credential=AzureNamedKeyCredential(ACCOUNT, KEY)) as client:
            await client.create_table()
        yield endpoint
    finally:
        process.kill()
        await process.communicate()
