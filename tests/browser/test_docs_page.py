"""The documentation, as a person with a browser meets it."""

import re
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser.stand_in import StandIn


async def open_chat(page: Page, site: str) -> None:
    await page.goto(f"{site}/docs")
    await page.get_by_role("button", name="POST /api/chat Answer a chat", exact=True).click()
    await expect(page.get_by_role("textbox", name="Request body")).to_be_visible()


async def test_try_it_out_shows_the_lines(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.streams("One, ", "two.")
    await open_chat(page, site)
    await page.get_by_role("button", name="Execute").click()
    shown = page.locator(".live-responses-table .response .response-col_description")
    await expect(shown).to_contain_text('"content": "One, "')
    await expect(shown).to_contain_text('"finish_reason": "stop"')
    await expect(shown).not_to_contain_text("parse JSON")
    assert stand_in.asked[-1]["messages"][-1]["content"] == "What is the capital of France?"


async def test_the_key_goes_in_the_header(page: Page, site: str) -> None:
    await open_chat(page, site)
    await page.get_by_role("button", name="Authorize").click()
    await page.get_by_label("functionKey-apiKey-value").or_(page.locator("#api_key_value")).first.fill("a-key")
    await page.get_by_role("button", name=re.compile("Apply credentials|Authorize")).nth(1).click()
    await page.get_by_role("button", name="Close").last.click()
    async with page.expect_request(f"{site}/chat") as asked:
        await page.get_by_role("button", name="Execute").click()
    assert (await asked.value).headers["x-functions-key"] == "a-key"


async def test_nothing_comes_from_elsewhere(page: Page, site: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{site}/docs", wait_until="networkidle")
    await expect(page.get_by_text("/api/chat", exact=True)).to_be_visible()
    assert [url for url in asked if not url.startswith((site, "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(browser: Browser, site: str, scheme: Literal["light", "dark"]) -> None:
    page = await browser.new_page(color_scheme=scheme)
    await open_chat(page, site)
    results = await Axe().run(page)
    # Swagger UI skips a heading's level, which axe calls moderate.
    assert [found["id"] for found in results.response["violations"] if found["impact"] in {"serious", "critical"}] == []
    await page.close()
