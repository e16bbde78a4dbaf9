"""The chat page as its tests use it."""

from playwright.async_api import Locator, Page, expect

from testing.model_server import Exchange, ModelServer


async def send(page: Page, text: str) -> None:
    """Types a message and sends it."""
    await page.locator("#send:enabled").wait_for(state="attached")
    await page.get_by_label("Your message").fill(text)
    await page.get_by_label("Your message").press("Enter")


def responses(page: Page) -> Locator:
    """The content of each response."""
    return page.locator("article.assistant > .content")


def questions(page: Page) -> Locator:
    """The content of each question."""
    return page.locator("article.user > .content")


def button(page: Page, name: str) -> Locator:
    """The button with this name."""
    return page.get_by_role("button", name=name, exact=True)


async def completed(page: Page) -> None:
    """Waits until no response is arriving."""
    await expect(button(page, "Send")).to_be_visible()


def sent(model_server: ModelServer) -> list[tuple[str, str]]:
    """Role and content of the messages of the last request, without the system prompt."""
    return [(message["role"], message["content"]) for message in model_server.requests[-1].json["messages"][1:]]


async def closed(model_server: ModelServer) -> Exchange:
    """Waits until the service has closed the request that it sent."""
    exchange = await model_server.arrived()
    await exchange.closed.wait()
    return exchange


async def open_module_page(page: Page, site: str, name: str) -> str:
    """Opens the chat page, and returns the address of one of its modules, for a script that imports it."""
    await page.goto(f"{site}/chat")
    return f"{site}/assets/{name}"
