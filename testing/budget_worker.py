"""A worker with the app and a host, in a process of its own, whose clock and interval of synchronization a test sets.

It writes its address and then obeys a command on each line of its standard input: `day` begins the next day, `modules`
writes which of the modules it has imported that only their storage needs. At the end of the input it stops as a worker does.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from chat.api import worker_budgets
from chat.budgets import synchronization
from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker

ANSWER = "budget_worker:"
"""How the lines begin that it writes, and no line of the log."""

_STORAGE_MODULES = ("azure.core", "azure.data.tables", "azure.identity")


async def _serve(interval: float) -> None:
    synchronization.INTERVAL_SECONDS = interval
    worker_budgets._DELAY_SECONDS = 0
    days = 0
    worker_budgets.utc_now = lambda: datetime.now(UTC) + timedelta(days=days)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    worker = await Worker.start(APP_DIR)
    host = Host(worker, "api", HostSection())
    _write(await host.start(0))
    while command := (await commands.readline()).decode().strip():
        match command:
            case "day":
                days += 1
                _write("day")
            case "modules":
                _write(" ".join(name for name in sys.modules if name in _STORAGE_MODULES))
    await host.stop()
    await worker.stop()


def _write(line: str) -> None:
    sys.stdout.write(f"{ANSWER} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
