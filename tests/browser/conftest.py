"""The local stack in front of a fake model server, the same in front of a real model, and a page in a browser."""

from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from local.model import default_model
from testing.behaviours import echoes
from testing.model_server import ModelServer
from tests.browser.stack import chromium, local_stack


@pytest.fixture(scope="session")
async def _model_server() -> AsyncGenerator[ModelServer]:
    server = await ModelServer.start()
    yield server
    await server.stop()


@pytest.fixture
def model_server(_model_server: ModelServer) -> ModelServer:
    """The model server behind `site`, as if it had just started; it echoes unless a test changes that."""
    _model_server.requests.clear()
    _model_server.exchanges.clear()
    _model_server.respond_with(echoes)
    return _model_server


@pytest.fixture(scope="session")
async def local_site(_model_server: ModelServer) -> AsyncGenerator[str]:
    """The address of the functions, for tests that send no requests to the model server."""
    settings = {
        "OPENAI_BASE_URL": f"{_model_server.url}/v1",
        "OPENAI_MODEL": "the-model",
        "CHAT_MAX_REQUEST_BYTES": "1048576",
    }
    async with local_stack(**settings) as address:
        yield address


@pytest.fixture
def site(local_site: str, model_server: ModelServer) -> str:  # noqa: ARG001 - requested so that each test starts with an echo
    """The address of the functions."""
    return local_site


@pytest.fixture(scope="session")
async def real_site() -> AsyncGenerator[str]:
    """The address of the functions in front of the small model."""
    async with local_stack("--model", str(default_model())) as address:
        yield address


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def context(browser: Browser) -> AsyncGenerator[BrowserContext]:
    """A browser without stored data. Whatever a page reports to its console fails the test."""
    context = await browser.new_context()
    context.set_default_timeout(10_000)
    reports: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # Responses with an error status, and lost connections, are what some tests are about.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            reports.append(message.text)

    context.on("console", on_console)
    context.on("weberror", lambda error: reports.append(str(error.error)))
    yield context
    await context.close()
    assert reports == []


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """A page of that browser."""
    return await context.new_page()
