"""The whole stack in this process: the local host, Microsoft's worker runtime with the app in it, and a model's server."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from chat.client import get_client
from chat.settings import Settings, get_settings
from local.host import Host
from local.settings import APP_DIR, HostSection
from local.worker import Worker
from tests.model_server import ModelServer

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
SECRETS = [KEY]
QUESTION = {"messages": [{"content": "What is the capital of France?"}]}


class Service:
    """The service as its callers see it, at `url`."""

    def __init__(self, url: str, model_url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.model_url = model_url
        self.session = session

    def post(
        self, body: Any = QUESTION, path: str = "/api/chat", **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Posts JSON, or bytes as they are."""
        if isinstance(body, bytes):
            options = {"data": io.BytesIO(body), "headers": {"content-type": "application/json"}} | options
        else:
            options = {"json": body} | options
        return self.session.post(self.url + path, **options)

    async def ask(self, body: Any = QUESTION, **options: Any) -> tuple[int, Any]:
        """The status and the body: JSON, or a list of the lines' JSON where it is NDJSON."""
        async with self.post(body, **options) as response:
            return await self.read(response)

    async def read(self, response: aiohttp.ClientResponse) -> tuple[int, Any]:
        """The same for a response; every one of them is looked at for secrets."""
        text = await response.text()
        self.look_for_secrets(f"{response.headers}\n{text}")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.content_type == "application/json":
            return response.status, json.loads(text)
        assert response.content_type == "application/x-ndjson", (response.status, response.headers, text)
        assert text.endswith("\n")
        lines = text.removesuffix("\n").split("\n")
        assert lines == text.splitlines(), "a line that some readers of lines would break"
        return response.status, [json.loads(line) for line in lines]

    def look_for_secrets(self, said: str) -> None:
        """Fails if a key, the endpoint or a stack trace is in what the service said, in a response or a log."""
        for secret in [*SECRETS, urlsplit(self.model_url).netloc, "Traceback", 'File "', "site-packages"]:
            assert secret not in said


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
