"""The chat page behind App Service authentication: who is signed in, the sign-out, and an expired session."""

from collections.abc import AsyncGenerator
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from testing.behaviours import echoes, streams
from testing.chat_completions import text_chunks
from testing.client import Configure, Logged, Service
from testing.model_server import ModelServer
from tests.browser import axe
from tests.browser.chat_page import button, completed, questions, responses, send, sent
from tests.browser.sign_in import ALICE, BOB, SignInProxy, sign_in_proxy

STORES_NOTHING = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("denied", "SecurityError") }
})"""


@pytest.fixture
def upstream(service: Service, model: ModelServer, configure: Configure) -> str:
    """The address of the functions, which know that App Service authentication is on, in front of an echo."""
    configure(OPENAI_BASE_URL=f"{model.url}/v1", CHAT_AUTH_LEVEL="anonymous", WEBSITE_AUTH_ENABLED="True")
    model.respond_with(echoes)
    return service.url


@pytest.fixture
async def proxy(upstream: str) -> AsyncGenerator[SignInProxy]:
    """App Service authentication in front of the functions."""
    async with sign_in_proxy(upstream) as proxy:
        yield proxy


async def test_the_page_shows_who_is_signed_in(page: Page, proxy: SignInProxy, logged: Logged) -> None:
    await page.goto(f"{proxy.url}/api/chat")
    await expect(page.locator("#account")).to_have_text(f"{ALICE.name} Sign out")
    await send(page, "Hello")
    await expect(responses(page)).to_have_text("Hello")
    (line,) = await logged()
    assert line["enduser.id"] == ALICE.id


async def test_whoever_signs_in_finds_only_their_own_conversation(page: Page, proxy: SignInProxy) -> None:
    await page.goto(f"{proxy.url}/api/chat")
    await send(page, "From Alice")
    await completed(page)
    await page.get_by_label("Your message").fill("A draft")
    for person, shown in ((BOB, []), (ALICE, ["From Alice"])):
        proxy.person = person
        await page.get_by_role("link", name="Sign out").click()
        await expect(page.locator("#person")).to_have_text(person.name)
        await expect(button(page, "Send")).to_be_visible()
        await expect(page.get_by_label("Your message")).to_have_value("A draft" if shown else "")
        await expect(questions(page)).to_have_text(shown)


async def test_a_name_is_not_markup_and_does_not_widen_the_page(page: Page, proxy: SignInProxy) -> None:
    name = "<img src=x onerror='window.pwned = 1'>\u202e" + "x" * 150
    proxy.person = ALICE._replace(name=name)
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(f"{proxy.url}/api/chat")
    await expect(page.locator("#person")).to_have_text(name)
    await expect(page.locator("#person > *")).to_have_count(0)
    await expect(page.get_by_role("link", name="Sign out")).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("redirects", [True, False])
async def test_an_expired_session_leads_to_signing_in_again(
    page: Page, upstream: str, model: ModelServer, *, redirects: bool
) -> None:
    async with sign_in_proxy(upstream, redirects=redirects) as proxy:
        await page.goto(f"{proxy.url}/api/chat")
        await send(page, "First")
        await completed(page)
        proxy.expire()
        await send(page, "Second")
        await expect(page.get_by_role("alert")).to_contain_text("Your session has expired.")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await button(page, "Sign in").click()
        await expect(responses(page)).to_have_text(["First", "Second"])
        assert sent(model) == [("user", "First"), ("assistant", "First"), ("user", "Second")]
        await page.reload()
        await expect(responses(page)).to_have_text(["First", "Second"])
        assert len(model.requests) == 2


@pytest.mark.parametrize("stored", [True, False])
async def test_a_response_continues_after_an_expired_session(
    page: Page, proxy: SignInProxy, model: ModelServer, *, stored: bool
) -> None:
    if not stored:
        await page.add_init_script(STORES_NOTHING)
    model.respond_with(streams(text_chunks("One, ", finish_reason="length")), streams(text_chunks("two.")))
    await page.goto(f"{proxy.url}/api/chat")
    await send(page, "Count.")
    await expect(button(page, "Continue")).to_be_visible()
    proxy.expire()
    await button(page, "Continue").click()
    if stored:
        await button(page, "Sign in").click()
    else:
        async with page.context.expect_page() as opened:
            await button(page, "Sign in").click()
        await expect((await opened.value).locator("#person")).to_have_text(ALICE.name)
        await button(page, "Continue").click()
    await expect(responses(page)).to_have_text("One, two.")


async def test_an_expired_session_does_not_lose_a_conversation_that_is_not_stored(page: Page, proxy: SignInProxy) -> None:
    await page.add_init_script(STORES_NOTHING)
    await page.goto(f"{proxy.url}/api/chat")
    await send(page, "First")
    await completed(page)
    proxy.expire()
    await send(page, "Second")
    async with page.context.expect_page() as opened:
        await button(page, "Sign in").click()
    tab = await opened.value
    await expect(tab.locator("#person")).to_have_text(ALICE.name)
    await tab.close()
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text(["First", "Second"])


async def test_somebody_else_who_signs_in_does_not_send_the_question(
    page: Page, proxy: SignInProxy, model: ModelServer
) -> None:
    await page.goto(f"{proxy.url}/api/chat")
    await send(page, "First")
    await completed(page)
    proxy.expire()
    await send(page, "Second")
    proxy.person = BOB
    await button(page, "Sign in").click()
    await expect(page.locator("#person")).to_have_text(BOB.name)
    await send(page, "From Bob")
    await completed(page)
    assert sent(model) == [("user", "From Bob")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced_colors", ["none", "active"])
async def test_axe_finds_nothing(
    browser: Browser,
    proxy: SignInProxy,
    scheme: Literal["light", "dark"],
    forced_colors: Literal["none", "active"],
) -> None:
    page = await browser.new_page(color_scheme=scheme, forced_colors=forced_colors)
    await page.goto(f"{proxy.url}/api/chat")
    await expect(page.locator("#person")).to_be_visible()
    await axe.check(page, "signed in")
    proxy.expire()
    await send(page, "Hello")
    await expect(button(page, "Sign in")).to_be_visible()
    await axe.check(page, "an expired session")
    await page.close()
