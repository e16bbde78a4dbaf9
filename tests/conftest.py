"""The whole stack in this process: the local host, Microsoft's worker runtime with the app, and a fake model server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from chat.api.token_count import get_budgets
from chat.settings import Settings, get_settings
from chat.telemetry.log_writer import flush
from chat.upstream.capabilities import capabilities
from chat.upstream.client import get_client
from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker
from testing.client import Logged, Service
from testing.model_server import ModelServer

# How long an example takes says nothing on a machine that does other work too.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


@pytest.fixture(scope="session")
async def worker() -> AsyncIterator[Worker]:
    worker = await Worker.start(APP_DIR)
    yield worker
    await worker.stop()


@pytest.fixture(scope="session")
async def host_url(worker: Worker) -> AsyncIterator[str]:
    host = Host(worker, "api", HostSection(CORS="https://good.example"))
    yield await host.start(0)
    await host.stop()


@pytest.fixture
async def service(
    host_url: str, model: ModelServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Service]:
    """The service in front of a fake model server; nothing remains of it after a test."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        service = Service(host_url, model.url, session)
        yield service
    await model.idle()
    await finished()
    service.check_no_secrets(caplog.text + capfd.readouterr().err)


@pytest.fixture
async def model(configure: Callable[..., None]) -> AsyncIterator[ModelServer]:
    """A fake model server, and the service configured to use it."""
    server = await ModelServer.start()
    configure(OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_MODEL="the-model")
    yield server
    await server.stop()


@pytest.fixture
async def configure(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., None]]:
    """Sets these settings and no others, as in a worker that has just started."""

    clients = []

    def forget() -> None:
        if get_client.cache_info().currsize:
            clients.append(get_client())
        get_client.cache_clear()
        get_settings.cache_clear()
        capabilities.cache_clear()
        get_budgets.cache_clear()

    def configure(**environment: str) -> None:
        forget()
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    configure()
    yield configure
    forget()
    for client in clients:
        await client.close()


async def finished() -> None:
    """Waits until the service has finished all requests and has written their lines to the log."""
    async with asyncio.timeout(5):
        while tasks := [task for task in asyncio.all_tasks() if task.get_name().startswith("chat:")]:
            await asyncio.wait(tasks)
    flush()


@pytest.fixture
def logged(service: Service, capfd: pytest.CaptureFixture[str]) -> Logged:
    """Waits until all requests have finished and returns their lines in the log since the last call."""

    async def read() -> list[dict[str, Any]]:
        await finished()
        output = capfd.readouterr().out
        service.check_no_secrets(output)
        return [json.loads(line) for line in output.splitlines() if line.startswith('{"')]

    return read
