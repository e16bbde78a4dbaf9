"""The documentation page."""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from itertools import product

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from local.settings import APP_DIR
from testing.behaviours import responds, streams
from testing.chat_completions import text_chunks
from testing.model_server import ModelServer
from tests.browser import axe
from tests.browser.chat_page import button, responses, send


def operation(page: Page, path: str, method: str = "post") -> Locator:
    """The part of the page about an operation."""
    return page.locator(f".opblock-{method}", has=page.locator(f"[data-path='{path}']"))


async def open_operation(page: Page, site: str, path: str = "/api/chat", query: str = "", method: str = "post") -> Locator:
    await page.goto(f"{site}/docs{query}")
    found = operation(page, path, method)
    await found.locator(".opblock-summary-control").click()
    await expect(found.locator(".opblock-body")).to_be_visible()
    return found


async def execute(page: Page, chat: Locator) -> dict[str, str]:
    """Executes a request and returns its headers."""
    async with page.expect_request(lambda request: request.method == "POST") as waiting:
        await chat.get_by_role("button", name="Execute").click()
    return await (await waiting.value).all_headers()


async def test_a_streamed_response_is_shown_as_lines(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks("One, ", "two.")))
    chat = await open_operation(page, site)
    await expect(chat.get_by_role("textbox", name="Request body")).to_be_visible()
    await execute(page, chat)
    shown = chat.locator(".live-responses-table .response-col_description pre").first
    await expect(shown).to_contain_text('"content":"One, "')
    lines = (await shown.inner_text()).strip().split("\n")
    assert [line[0] + line[-1] for line in lines] == ["{}"] * 3
    assert model_server.requests[-1].json["messages"][-1]["content"] == "What is the capital of Japan?"


def documented() -> Iterator[tuple[str, str, str]]:
    """Path and method of each operation in the OpenAPI document, with each example of its request, or an empty string."""
    document = json.loads((APP_DIR / "web" / "static" / "openapi.json").read_text())
    for path, item in document["paths"].items():
        for method, details in item.items():
            body = details.get("requestBody", {"content": {"application/json": {}}})["content"]["application/json"]
            for example in body.get("examples", {"": None}):
                yield path, method, example


def without_format(text: str) -> str:
    """Text without white space, and with numbers as JavaScript prints them."""
    return re.sub(r"\b(\d+)\.0\b", r"\1", "".join(text.split()))


@pytest.mark.parametrize(("path", "method", "example"), list(documented()))
async def test_every_operation_can_be_executed(page: Page, site: str, path: str, method: str, example: str) -> None:
    found = await open_operation(page, site, path, method=method)
    for field in await found.locator("[data-param-in='path'] input").all():
        await field.fill("the-model")
    if example:
        await found.locator(".opblock-section-request-body .examples-select-element").select_option(example)
    async with page.expect_response(lambda response: response.request.resource_type == "fetch") as waiting:
        await found.get_by_role("button", name="Execute").click()
    *_, last_line = (await (await waiting.value).text()).strip().split("\n")
    row = found.locator(".live-responses-table tbody tr").first
    await expect(row.locator(".response-col_status")).to_have_text("200")
    shown = await row.locator("pre").first.inner_text()
    assert without_format(last_line) in without_format(shown)


@pytest.mark.parametrize(
    ("path", "start"),
    [("/api/chat", '{"choices"'), ("/api/chat-protocol/stream", '{"delta"'), ("/api/v1/chat/completions", "data: {")],
)
async def test_the_example_of_a_stream_is_shown_as_lines(page: Page, site: str, path: str, start: str) -> None:
    chat = await open_operation(page, site, path)
    example = chat.locator(".response[data-code='200'] .example.microlight")
    await expect(example).to_contain_text("Tokyo")
    lines = [line for line in (await example.inner_text()).split("\n") if line]
    assert len(lines) > 5
    assert lines[0].startswith(start)
    await expect(example).to_have_css("white-space", "pre")


async def test_beside_a_streaming_route_is_the_command_that_shows_the_stream(page: Page, site: str) -> None:
    chat = await open_operation(page, site)
    await expect(chat).to_contain_text("This page shows a response when it is complete.")
    command = f"curl -N '{site}/chat' -H 'content-type: application/json' -d '{{\"messages\":[{{\"content\":\"What is"
    await expect(chat.locator(".opblock-description")).to_contain_text(command)
    complete = await open_operation(page, site, "/api/chat-protocol")
    await expect(complete).not_to_contain_text("curl -N")


async def test_authorize_offers_headers_and_says_where_a_function_key_comes_from(page: Page, site: str) -> None:
    await page.goto(f"{site}/docs")
    await page.get_by_role("button", name="Authorize", exact=True).click()
    dialog = page.get_by_role("dialog", name="Authorize")
    await expect(dialog.locator("h4")).to_have_text([re.compile("functionKey"), re.compile("apiKey")])
    await expect(dialog).to_contain_text("az functionapp keys list")
    await expect(dialog).not_to_contain_text("In: query")
    await expect(dialog.locator("#api_key_value")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("button", name="Authorize", exact=True)).to_be_focused()


async def test_an_entered_key_goes_into_the_header(page: Page, site: str) -> None:
    chat = await open_operation(page, site)
    await page.get_by_role("button", name="Authorize", exact=True).click()
    await page.keyboard.type("a-key")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Close").first.click()
    assert (await execute(page, chat))["x-functions-key"] == "a-key"


async def test_the_key_of_the_chat_page_is_used(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat?code=a-key")
    await expect(button(page, "Function key")).to_be_visible()
    chat = await open_operation(page, site)
    assert (await execute(page, chat))["x-functions-key"] == "a-key"


async def test_a_key_in_the_address_is_used_but_not_stored(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat?code=stored")
    await expect(button(page, "Function key")).to_be_visible()
    chat = await open_operation(page, site, query="?code=other")
    await expect(page).to_have_url(f"{site}/docs")
    assert (await execute(page, chat))["x-functions-key"] == "other"
    assert await page.evaluate("localStorage.getItem('chat.key')") == "stored"


async def test_without_a_key_none_is_sent(page: Page, site: str) -> None:
    assert "x-functions-key" not in await execute(page, await open_operation(page, site))


async def test_links_lead_to_the_chat_and_back(page: Page, site: str) -> None:
    await page.goto(f"{site}/docs")
    await page.get_by_role("link", name="Chat", exact=True).click()
    await expect(page).to_have_url(f"{site}/chat")
    await page.get_by_role("link", name="API documentation").click()
    await expect(page).to_have_url(f"{site}/docs")


async def test_both_pages_work_with_any_route_prefix(page: Page, site: str, model_server: ModelServer) -> None:
    other = site.removesuffix("/api") + "/some/where"

    async def forward(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("/some/where/", "/api/"))

    await page.route(f"{other}/**", forward)
    chat = await open_operation(page, other, "/some/where/chat")
    await execute(page, chat)
    await expect(chat.locator(".live-responses-table")).to_contain_text("What is the capital of Japan?")
    await page.get_by_role("link", name="Chat", exact=True).click()
    await send(page, "Hello")
    await expect(responses(page)).to_have_text("Hello")
    assert len(model_server.requests) == 2


async def test_nothing_is_loaded_from_elsewhere(page: Page, site: str) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(f"{site}/docs", wait_until="networkidle")
    await expect(operation(page, "/api/chat")).to_be_visible()
    assert [url for url in requested if not url.startswith((site, "data:"))] == []


@pytest.mark.parametrize("width", [390, 1100])
async def test_long_lines_scroll_in_their_example(browser: Browser, site: str, width: int) -> None:
    page = await browser.new_page(viewport={"width": width, "height": 800})
    for path in ("/api/chat", "/api/v1/chat/completions"):
        chat = await open_operation(page, site, path)
        await execute(page, chat)
        await expect(chat.locator(".live-responses-table")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width
    await page.close()


@pytest.fixture(params=product(["light", "dark"], ["none", "active"]), ids="-".join)
async def coloured_page(browser: Browser, request: pytest.FixtureRequest) -> AsyncGenerator[Page]:
    """A page in light or dark colours, its own or the system's."""
    scheme, forced_colors = request.param
    # A button that changes its colours gradually would have too little contrast for a moment.
    page = await browser.new_page(color_scheme=scheme, forced_colors=forced_colors, reduced_motion="reduce")
    yield page
    await page.close()


async def test_axe_finds_nothing_in_the_document(coloured_page: Page, site: str) -> None:
    page = coloured_page
    chat = await open_operation(page, site)
    await chat.get_by_role("tab", name="Schema").first.click()
    await axe.check(page, "the schema of a request")
    await page.reload()
    await expect(page.locator(".opblock").first).to_be_visible()
    await axe.check(page, "the routes")
    await page.get_by_role("button", name="Schemas").click()
    await page.get_by_role("button", name="Expand all").nth(1).click()
    await expect(page.get_by_text("≥ 1 items")).to_be_visible()
    await axe.check(page, "a schema")


async def test_axe_finds_nothing_in_a_request(coloured_page: Page, site: str, model_server: ModelServer) -> None:
    page = coloured_page
    chat = await open_operation(page, site)
    await operation(page, "/api/v1/chat/completions").locator(".opblock-summary-control").click()
    await axe.check(page, "two routes")
    await execute(page, chat)
    await expect(chat.locator(".live-responses-table")).to_be_visible()
    await axe.check(page, "a response")
    model_server.respond_with(responds(400, {"error": {"message": "No."}}))
    await execute(page, chat)
    await expect(chat.locator(".live-responses-table")).to_contain_text("No.")
    await axe.check(page, "an error")
    await page.get_by_role("button", name="Authorize", exact=True).click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await axe.check(page, "the dialog")
    await page.keyboard.type("a-key")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Remove authorization")).to_be_visible()
    await axe.check(page, "an entered key")
