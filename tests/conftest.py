"""The whole stack in this process: the local host, Microsoft's worker runtime with the app in it, and a model's server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from chat.client import get_client
from chat.settings import Settings, get_settings
from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker
from tests.client import Service
from tests.fakes.model_server import ModelServer


@pytest.fixture(scope="session")
async def host_url() -> AsyncIterator[str]:
    worker = await Worker.start(APP_DIR)
    host = Host(worker, "api", HostSection(CORS="https://good.example"))
    yield await host.start(0)
    await host.stop()
    await worker.stop()


@pytest.fixture
async def service(
    host_url: str, model: ModelServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Service]:
    """The service with a model behind it; what a test leaves of it is nothing."""
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        service = Service(host_url, model.url, session)
        yield service
    async with asyncio.timeout(5):
        await model.idle()
        while left := [task for task in asyncio.all_tasks() - before if "chat" in str(task.get_coro())]:
            await asyncio.wait(left)
    service.look_for_secrets(caplog.text + capfd.readouterr().err)


@pytest.fixture
async def model(configure: Callable[..., None]) -> AsyncIterator[ModelServer]:
    """A model's server, and the service configured to ask it."""
    server = await ModelServer.start()
    configure(OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_MODEL="the-model")
    yield server
    await server.stop()


@pytest.fixture
async def configure(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., None]]:
    """Sets the settings anew: these and no others, as in a worker that has just started."""

    clients = []

    def forget() -> None:
        if get_client.cache_info().currsize:
            clients.append(get_client())
        get_client.cache_clear()
        get_settings.cache_clear()

    def set_anew(**environment: str) -> None:
        forget()
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    set_anew()
    yield set_anew
    forget()
    for client in clients:
        await client.close()


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Reads the log lines of the chats since the last call."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith('{"chat"')]

    return read
