"""The function key on the chat page: entered, stored, replaced and removed."""

import pytest
from playwright.async_api import Locator, Page, Route, expect

from testing.model_server import ModelServer
from tests.browser.chat_page import button, completed, responses, send


async def require_key(page: Page) -> None:
    """Rejects requests without the key as the Functions host does on Azure: with 401 and an empty body."""

    async def check(route: Route) -> None:
        if route.request.method == "POST" and route.request.headers.get("x-functions-key") != "right":
            await route.fulfill(status=401)
        else:
            await route.continue_()

    await page.route("**/api/chat*", check)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Function key")


async def test_the_key_is_entered_stored_and_removed(page: Page, site: str, model_server: ModelServer) -> None:
    await require_key(page)
    await page.goto(f"{site}/chat")
    await expect(button(page, "Function key")).to_be_hidden()
    await send(page, "Hello")
    await expect(dialog(page)).to_contain_text("The service requires a function key.")
    await dialog(page).get_by_label("Key", exact=True).fill("wrong")
    await page.keyboard.press("Enter")
    await expect(dialog(page)).to_contain_text("The function key is not valid.")
    await dialog(page).get_by_label("Key", exact=True).fill("right")
    await button(page, "Use this key").click()
    await expect(responses(page)).to_have_text("Hello")
    assert len(model_server.requests) == 1

    await page.reload()
    await send(page, "Again")
    await expect(responses(page)).to_have_text(["Hello", "Again"])
    await button(page, "Function key").click()
    await button(page, "Remove key").click()
    await expect(button(page, "Function key")).to_be_hidden()
    await expect(page.get_by_label("Your message")).to_be_focused()
    await send(page, "And now?")
    await expect(dialog(page)).to_contain_text("The service requires a function key.")
    assert len(model_server.requests) == 2


async def test_a_first_key_in_the_address_is_stored_and_removed_from_it(page: Page, site: str) -> None:
    await require_key(page)
    await page.goto(f"{site}/chat?code=right&theme=plain")
    await expect(page).to_have_url(f"{site}/chat?theme=plain")
    await expect(dialog(page)).to_be_hidden()
    await send(page, "Hello")
    await expect(responses(page)).to_have_text("Hello")
    await page.goto(f"{site}/chat?code=right")
    await expect(page).to_have_url(f"{site}/chat")
    await completed(page)
    await expect(dialog(page)).to_be_hidden()


@pytest.mark.parametrize("choice", ["Use this key", "Cancel"])
async def test_another_key_in_the_address_replaces_the_stored_one_only_if_confirmed(
    page: Page, site: str, choice: str
) -> None:
    await page.goto(f"{site}/chat?code=stored")
    await page.goto(f"{site}/chat?code=strange")
    await expect(page).to_have_url(f"{site}/chat")
    await expect(dialog(page)).to_contain_text("The link to this page has a different function key from the one stored")
    assert await page.evaluate("localStorage.getItem('chat.key')") == "stored"
    await button(page, choice).click()
    async with page.expect_request(lambda request: request.method == "POST") as waiting:
        await send(page, "Hello")
    key = (await waiting.value).headers["x-functions-key"]
    assert key == ("strange" if choice == "Use this key" else "stored")


async def test_a_reload_keeps_the_key_out_of_the_address(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat?code=stored")
    await page.reload()
    async with page.expect_request(lambda request: request.method == "POST") as waiting:
        await send(page, "Hello")
    request = await waiting.value
    assert request.headers["x-functions-key"] == "stored"
    assert "stored" not in request.url
