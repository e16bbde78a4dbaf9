"""The local stack in front of a model that the tests control, the same in front of a real one, and a browser's page."""

from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page

from local.model import default_model
from tests.browser.stack import chromium, find_chromium, local_stack
from tests.browser.stand_in import StandIn


@pytest.fixture(scope="session")
async def _stand_in() -> AsyncGenerator[StandIn]:
    stand_in = StandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def stand_in(_stand_in: StandIn) -> StandIn:
    """The model's server behind `site`, as if nobody had spoken to it."""
    _stand_in.reset()
    return _stand_in


@pytest.fixture(scope="session")
async def site(_stand_in: StandIn) -> AsyncGenerator[str]:
    """The address of the functions."""
    async with local_stack(OPENAI_BASE_URL=_stand_in.base_url, OPENAI_MODEL="stand-in") as address:
        yield address


@pytest.fixture(scope="session")
async def real_site() -> AsyncGenerator[str]:
    """The address of the functions in front of the small model."""
    async with local_stack("--model", str(default_model())) as address:
        yield address


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    path = find_chromium()
    if not path:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    async with chromium(path) as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> AsyncGenerator[Page]:
    """A page of a browser that has never been here. Whatever the browser complains about fails the test."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # An answer that is an error, and a connection that broke, are what some tests are about.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert complaints == []
