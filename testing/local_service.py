"""The service in this process: the local host and Microsoft's worker runtime with the app."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker


@asynccontextmanager
async def local_service(section: HostSection) -> AsyncGenerator[str]:
    """Serves on any free port; yields the address, without a path."""
    worker = await Worker.start(APP_DIR)
    host = Host(worker, "api", section)
    try:
        yield await host.start(0)
    finally:
        await host.stop()
        await worker.stop()
