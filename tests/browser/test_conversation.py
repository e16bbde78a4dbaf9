"""Conversations on the chat page: sending, stopping, storing, changing, copying and downloading."""

import asyncio
import re

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from testing.behaviours import Steps, echoes, responds, streams
from testing.chat_completions import USAGE, chunk, text_chunks
from testing.model_server import Behaviour, ModelServer
from tests.browser.chat_page import button, closed, completed, questions, responses, send, sent


async def test_response_of_a_real_model(page: Page, real_site: str) -> None:
    await page.goto(f"{real_site}/chat")
    await send(page, "What is the capital of Japan?")
    await expect(responses(page)).to_contain_text("Tokyo", timeout=30_000)
    await completed(page)
    await expect(page.locator(".note")).to_have_count(0)
    await expect(page.locator(".actions span")).to_have_text(re.compile(r"^SmolLM2.* · \d+ tokens · \d+\.\d s$"))


async def test_response_is_shown_while_it_arrives(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("One, ", "two", ", three."))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    steps.step()
    steps.step()
    await expect(responses(page)).to_have_text("One, two")
    await expect(page.locator(".unsent")).to_have_count(0)
    await expect(button(page, "Stop")).to_be_visible()
    for _ in range(3):
        steps.step()
    await expect(responses(page)).to_have_text("One, two, three.")
    await completed(page)


@pytest.mark.parametrize("way", ["button", "escape"])
async def test_stop_closes_the_request(page: Page, site: str, model_server: ModelServer, way: str) -> None:
    steps = Steps(text_chunks("A long story"))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Tell a story.")
    steps.step()
    await expect(responses(page)).to_have_text("A long story")
    if way == "button":
        await button(page, "Stop").click()
    else:
        await page.keyboard.press("Escape")
    await expect(page.locator(".note")).to_contain_text("Stopped.")
    await closed(model_server)
    await expect(responses(page)).to_have_text("A long story")


async def test_stop_before_the_first_chunk(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(Steps([]), streams(text_chunks("There.")))
    await page.goto(f"{site}/chat")
    await send(page, "Think hard.")
    await expect(page.get_by_role("status")).to_have_text("Waiting for the response …")
    await button(page, "Stop").click()
    await expect(page.locator(".note")).to_contain_text("Stopped.")
    await expect(responses(page)).to_be_empty()
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text("There.")


async def test_reload_keeps_the_conversation_and_the_next_request_sends_it(
    page: Page, site: str, model_server: ModelServer
) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await page.reload()
    await expect(responses(page)).to_have_text("First")
    await send(page, "Second")
    await expect(responses(page)).to_have_text(["First", "Second"])
    assert sent(model_server) == [("user", "First"), ("assistant", "First"), ("user", "Second")]


async def test_reload_mid_stream_keeps_what_had_arrived(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Half a "))
    model_server.respond_with(steps, streams(text_chunks("A complete response.")))
    await page.goto(f"{site}/chat")
    await send(page, "Go on.")
    steps.step()
    await expect(responses(page)).to_have_text("Half a")
    await page.reload()
    await expect(responses(page)).to_have_text("Half a")
    await expect(page.locator(".note")).to_contain_text("The page was closed before the response was complete.")
    await closed(model_server)
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text("A complete response.")


async def test_reload_keeps_the_draft(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").fill("Not sent yet\nbut long")
    await page.reload()
    await expect(page.get_by_label("Your message")).to_have_value("Not sent yet\nbut long")
    await page.get_by_label("Your message").press("Enter")
    await completed(page)
    await page.reload()
    await expect(responses(page)).to_have_count(1)
    await expect(page.get_by_label("Your message")).to_have_value("")


async def test_a_message_typed_before_the_script_has_loaded_is_kept(page: Page, site: str) -> None:
    loading = asyncio.Event()

    async def load_slowly(route: Route) -> None:
        await loading.wait()
        await route.continue_()

    await page.route("**/assets/service.js", load_slowly)
    await page.goto(f"{site}/chat", wait_until="commit")
    await page.get_by_label("Your message").fill("Hello")
    await expect(button(page, "Send")).to_be_disabled()
    loading.set()
    await button(page, "Send").click()
    await expect(responses(page)).to_have_text("Hello")


async def test_a_message_sent_before_the_conversation_is_open_is_kept(page: Page, site: str) -> None:
    await page.add_init_script("""
        const request = navigator.locks.request.bind(navigator.locks);
        const free = new Promise((resolve) => (window.free = resolve));
        navigator.locks.request = (...args) => free.then(() => request(...args));
    """)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(questions(page)).to_have_count(0)
    await page.evaluate("free()")
    await expect(responses(page)).to_have_text("Hello")


async def test_new_chat_removes_the_conversation(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "Remember me.")
    await completed(page)
    await button(page, "New chat").click()
    await expect(page.locator("article")).to_have_count(0)
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await page.reload()
    await expect(page.locator("article")).to_have_count(0)
    await send(page, "Hello")
    await completed(page)
    assert sent(model_server) == [("user", "Hello")]


async def test_new_chat_says_that_the_conversation_will_be_gone(page: Page, site: str) -> None:
    text = "Your last one will be gone when you send a message or close this page."
    await page.goto(f"{site}/chat")
    await send(page, "Remember me.")
    await completed(page)
    await expect(button(page, "New chat")).to_have_accessible_description("Removes this conversation")
    await button(page, "New chat").click()
    await expect(page.locator("#welcome").get_by_text(text)).to_be_visible()
    await expect(page.get_by_role("status")).to_contain_text(text)
    await page.reload()
    await expect(page.locator("#welcome")).to_be_visible()
    await expect(page.get_by_text(text)).to_be_hidden()


async def test_what_earlier_versions_stored_is_removed(page: Page, site: str) -> None:
    await page.goto(f"{site}/docs")
    await page.evaluate("localStorage.setItem('chat.conversation', '[]')")
    await page.goto(f"{site}/chat")
    await expect(page.locator("#welcome")).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage)") == []


async def test_new_chat_closes_the_request(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Once"))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Tell a story.")
    steps.step()
    await expect(responses(page)).to_have_text("Once")
    await button(page, "New chat").click()
    await closed(model_server)
    await completed(page)
    await page.reload()
    await expect(page.locator("article")).to_have_count(0)


async def test_undo_brings_the_conversation_back(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "Remember me.")
    await completed(page)
    await button(page, "New chat").click()
    await button(page, "Undo").click()
    await expect(responses(page)).to_have_text("Remember me.")
    await expect(button(page, "Undo")).to_be_hidden()
    await page.reload()
    await expect(responses(page)).to_have_text("Remember me.")
    await button(page, "New chat").click()
    await send(page, "Something else")
    await completed(page)
    await expect(button(page, "Undo")).to_be_hidden()
    assert sent(model_server) == [("user", "Something else")]


async def test_undo_brings_a_response_back_that_was_arriving(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Once"))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Tell a story.")
    steps.step()
    await expect(responses(page)).to_have_text("Once")
    await button(page, "New chat").click()
    await button(page, "Undo").click()
    await expect(responses(page)).to_have_text("Once")
    await expect(page.locator(".note")).to_contain_text("Stopped.")


async def test_examples_are_sent(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    await expect(page.locator("#examples button")).to_have_count(3)
    await page.get_by_label("Your message").fill("a draft")
    await button(page, "What is the capital of Japan?").click()
    await expect(responses(page)).to_have_text("What is the capital of Japan?")
    await expect(page.locator("#examples")).to_be_hidden()
    await expect(page.get_by_label("Your message")).to_have_value("a draft")
    assert sent(model_server) == [("user", "What is the capital of Japan?")]


async def test_edit_replaces_the_last_question_and_keeps_the_draft(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await send(page, "Secnd")
    await completed(page)
    await page.get_by_label("Your message").fill("a draft")
    await button(page, "Edit").last.click()
    await expect(page.get_by_label("Your message")).to_be_focused()
    await expect(page.get_by_label("Your message")).to_have_value("Secnd")
    await send(page, "Second")
    await expect(responses(page)).to_have_text(["First", "Second"])
    await expect(questions(page)).to_have_text(["First", "Second"])
    assert sent(model_server) == [("user", "First"), ("assistant", "First"), ("user", "Second")]
    await expect(page.get_by_label("Your message")).to_have_value("a draft")


async def test_an_edited_earlier_question_replaces_what_follows_until_undo(
    page: Page, site: str, model_server: ModelServer
) -> None:
    await page.goto(f"{site}/chat")
    for text in ("First", "Secnd", "Third"):
        await send(page, text)
        await completed(page)
    await page.get_by_label("Your message").fill("a draft")
    await button(page, "Edit").nth(2).click()
    await button(page, "Edit").nth(1).click()
    await expect(page.get_by_label("Your message")).to_have_value("Secnd")
    await expect(page.locator(".edited .content")).to_have_text("Secnd")
    await expect(page.get_by_text("replaces it and all that follow")).to_be_visible()
    await send(page, "Second")
    await expect(responses(page)).to_have_text(["First", "Second"])
    await completed(page)
    assert sent(model_server) == [("user", "First"), ("assistant", "First"), ("user", "Second")]
    await expect(page.locator(".edited")).to_have_count(0)
    await expect(page.get_by_label("Your message")).to_have_value("a draft")
    await button(page, "Undo").click()
    await expect(responses(page)).to_have_text(["First", "Secnd", "Third"])
    await page.reload()
    await expect(questions(page)).to_have_text(["First", "Secnd", "Third"])


async def test_undo_of_an_edit_closes_the_request(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Once"))
    model_server.respond_with(echoes, steps, echoes)
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await button(page, "Edit").click()
    await send(page, "Tell a story.")
    steps.step()
    await expect(responses(page)).to_have_text("Once")
    await button(page, "Undo").click()
    await expect(responses(page)).to_have_text("First")
    await model_server.arrived(2)
    await closed(model_server)
    await send(page, "Sure?")
    await completed(page)
    assert sent(model_server) == [("user", "First"), ("assistant", "First"), ("user", "Sure?")]


async def test_new_chat_ends_an_edit(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await button(page, "Edit").click()
    await button(page, "New chat").click()
    await expect(page.get_by_label("Your message")).to_have_value("")
    await button(page, "Undo").click()
    await send(page, "Second")
    await expect(questions(page)).to_have_text(["First", "Second"])


@pytest.mark.parametrize("way", ["button", "escape", "reload"])
async def test_cancelled_edit_changes_nothing(page: Page, site: str, way: str) -> None:
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await page.get_by_label("Your message").fill("a draft")
    await button(page, "Edit").click()
    await page.get_by_label("Your message").fill("something else")
    match way:
        case "button":
            await button(page, "Cancel").click()
        case "escape":
            await page.keyboard.press("Escape")
        case "reload":
            await page.reload()
    await expect(page.get_by_label("Your message")).to_have_value("a draft")
    await expect(page.get_by_label("Your message")).to_be_focused()
    await expect(page.get_by_text("Editing a message")).to_be_hidden()
    await expect(questions(page)).to_have_text("First")


async def test_regenerate_replaces_the_last_response(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(*(streams(text_chunks(text)) for text in ("One", "Two", "Three")))
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await send(page, "Second")
    await completed(page)
    await expect(button(page, "Regenerate")).to_have_count(1)
    await button(page, "Regenerate").click()
    await expect(responses(page)).to_have_text(["One", "Three"])
    assert sent(model_server) == [("user", "First"), ("assistant", "One"), ("user", "Second")]


async def test_failed_regenerate_keeps_the_response(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(
        streams(text_chunks("One")), responds(400, {"error": {"message": "No."}}), streams(text_chunks("Two"))
    )
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await button(page, "Regenerate").click()
    await expect(page.get_by_role("alert")).to_contain_text("No.")
    await expect(responses(page)).to_have_text("One")
    await page.reload()
    await expect(responses(page)).to_have_text("One")
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text("Two")


async def test_reload_while_regenerating_keeps_the_response(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks("One")), Steps([]))
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await button(page, "Regenerate").click()
    await model_server.arrived(2)
    await page.reload()
    await expect(responses(page)).to_have_text("One")


async def test_a_response_is_copied_as_markdown(page: Page, site: str, model_server: ModelServer) -> None:
    text = "# Title\n\n- *one*\n- `two`\n\n```sh\nmake run\n```\n"
    model_server.respond_with(streams(text_chunks(text)))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{site}/chat")
    await send(page, "Everything")
    await completed(page)
    await page.locator(".actions").get_by_role("button", name="Copy").click()
    await expect(button(page, "Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == text


async def test_code_is_copied(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks("Run this:\n\n```sh\nmake run\n```\n")))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{site}/chat")
    await send(page, "How do I run it?")
    await completed(page)
    await page.locator(".bar").get_by_role("button", name="Copy").click()
    await expect(button(page, "Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "make run"


async def test_a_line_has_model_tokens_and_seconds(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(
        streams([*text_chunks("Paris."), chunk(choices=[], usage=USAGE | {"completion_tokens": 1234})])
    )
    await page.goto(f"{site}/chat")
    await send(page, "The capital of France?")
    line = re.compile(r"^gpt-6-luna-2026-09-22 · 1,234 tokens · \d+\.\d s$")
    await expect(page.locator(".actions span")).to_have_text(line)
    await page.reload()
    await expect(page.locator(".actions span")).to_have_text(line)


async def test_the_line_lacks_what_the_server_did_not_send(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(
        streams([chunk({"content": "Hi"}, model=None), chunk({}, "stop", model=7, usage={"total_tokens": 3})])
    )
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.locator(".actions span")).to_have_text(re.compile(r"^\d+\.\d s$"))


async def test_the_conversation_is_downloaded_as_markdown(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks("<think>Hm.</think>**Paris**")))
    await page.goto(f"{site}/chat")
    await send(page, "The capital of France?")
    await completed(page)
    async with page.expect_download() as waiting:
        await button(page, "Download").click()
    download = await waiting.value
    assert re.fullmatch(r"chat-\d{4}-\d\d-\d\d\.md", download.suggested_filename)
    assert (await download.path()).read_text() == "## You\n\nThe capital of France?\n\n## Assistant\n\n**Paris**\n"


async def test_tabs_do_not_overwrite_each_other(context: BrowserContext, site: str) -> None:
    first, second = await context.new_page(), await context.new_page()
    await first.goto(f"{site}/chat")
    await send(first, "In the first tab")
    await completed(first)
    await second.goto(f"{site}/chat")
    await expect(second.locator("#welcome")).to_be_visible()
    await send(second, "In the second tab")
    await completed(second)
    for page, text in ((first, "In the first tab"), (second, "In the second tab")):
        await page.reload()
        await expect(responses(page)).to_have_text(text)
        await send(page, "More")
        await expect(responses(page)).to_have_text([text, "More"])

    # A closed tab's conversation is there again, the newest first.
    await first.close()
    await second.close()
    for text in ("In the second tab", "In the first tab"):
        page = await context.new_page()
        await page.goto(f"{site}/chat")
        await expect(responses(page)).to_have_text([text, "More"])


async def test_a_duplicated_tab_has_a_conversation_of_its_own(context: BrowserContext, site: str) -> None:
    page = await context.new_page()
    await page.goto(f"{site}/chat")
    await send(page, "In the first tab")
    await completed(page)
    # A duplicate starts with a copy of the tab's session storage, as a window that the page opens does.
    async with context.expect_page() as opening:
        await page.evaluate("open(location.href) && null")
    copy = await opening.value
    assert await copy.evaluate("sessionStorage.length > 0")
    await expect(copy.locator("#welcome")).to_be_visible()
    await send(copy, "In the second tab")
    await completed(copy)
    await page.reload()
    await expect(responses(page)).to_have_text("In the first tab")


async def test_the_page_says_when_the_browser_cannot_store_the_conversation(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    await page.evaluate("localStorage.setItem('other', 'x'.repeat(5 * 1024 * 1024 - 100))")
    await send(page, "x" * 1000)
    await completed(page)
    await expect(page.get_by_text("This browser can't store the conversation")).to_be_visible()
    await page.evaluate("localStorage.removeItem('other')")
    await send(page, "Again")
    await completed(page)
    await expect(page.get_by_text("This browser can't store the conversation")).to_be_hidden()


async def test_the_page_works_in_a_browser_that_stores_nothing(page: Page, site: str) -> None:
    await page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"])
            Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError") } });
        LockManager.prototype.request = () => Promise.reject(new DOMException("denied", "SecurityError"));"""
    )
    await page.goto(f"{site}/chat?code=a-key")
    async with page.expect_request(lambda request: request.method == "POST") as waiting:
        await send(page, "Hello")
    assert (await waiting.value).headers["x-functions-key"] == "a-key"
    await expect(responses(page)).to_have_text("Hello")


async def test_send_is_disabled_without_a_message(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").fill("Hello")
    await expect(button(page, "Send")).to_be_enabled()
    color = await button(page, "Send").evaluate("(button) => getComputedStyle(button).backgroundColor")
    await page.get_by_label("Your message").fill(" \n")
    await expect(button(page, "Send")).to_be_disabled()
    await expect(button(page, "Send")).not_to_have_css("background-color", color)
    await page.get_by_label("Your message").fill("Hello")
    await button(page, "Send").click()
    await completed(page)
    await expect(button(page, "Send")).to_be_disabled()


async def test_half_an_emoji_is_replaced(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").fill("cut: 🎉")
    await page.get_by_label("Your message").evaluate("(field) => (field.value = field.value.slice(0, -1))")
    await page.get_by_label("Your message").press("Enter")
    await completed(page)
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert sent(model_server) == [("user", "cut: \ufffd")]


@pytest.mark.parametrize("keys", ["Enter", "Control+Enter"])
async def test_enter_sends_and_shift_enter_breaks_the_line(
    page: Page, site: str, model_server: ModelServer, keys: str
) -> None:
    await page.goto(f"{site}/chat")
    await expect(page.get_by_label("Your message")).to_have_attribute("enterkeyhint", "send")
    await page.get_by_label("Your message").press_sequentially("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press(keys)
    await expect(questions(page)).to_have_text("one\ntwo", use_inner_text=True)
    await completed(page)
    assert sent(model_server) == [("user", "one\ntwo")]


async def test_enter_that_ends_a_composition_does_not_send(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").fill("にほん")
    for keyboard_event in ("{ key: 'Enter', isComposing: true }", "{ key: 'Enter', keyCode: 229 }"):
        await page.get_by_label("Your message").evaluate(
            f"(field) => field.dispatchEvent(new KeyboardEvent('keydown', {keyboard_event}))"
        )
    await expect(page.locator("article")).to_have_count(0)


CONTINUE = ("user", "Continue exactly where your last message ends. Do not repeat any of it.")


async def test_continue_appends_to_a_response_that_ended_at_its_limit(
    page: Page, site: str, model_server: ModelServer
) -> None:
    start, end = "```py\none = 1\ntw", "o = 2\n```\n\nDone."
    model_server.respond_with(
        streams([*text_chunks(start, finish_reason="length"), chunk(choices=[], usage=USAGE | {"completion_tokens": 10})]),
        streams([*text_chunks(end), chunk(choices=[], usage=USAGE | {"completion_tokens": 5})]),
        echoes,
    )
    await page.goto(f"{site}/chat")
    await send(page, "Write code.")
    await expect(page.locator(".note")).to_contain_text("The response reached its length limit.")
    await expect(button(page, "Regenerate")).to_be_visible()
    await page.reload()
    await button(page, "Continue").click()
    await completed(page)
    for _ in range(2):
        await expect(page.locator("article")).to_have_count(2)
        await expect(page.locator("pre")).to_have_text("one = 1\ntwo = 2")
        await expect(responses(page).locator("p")).to_have_text("Done.")
        await expect(page.locator(".note")).to_have_count(0)
        await expect(page.locator(".actions span")).to_contain_text("15 tokens")
        await page.reload()
    assert sent(model_server) == [("user", "Write code."), ("assistant", start), CONTINUE]
    await send(page, "More")
    await expect(responses(page)).to_have_count(2)
    await completed(page)
    assert sent(model_server) == [("user", "Write code."), ("assistant", start + end), ("user", "More")]


async def test_continue_can_fail_stop_and_be_repeated(page: Page, site: str, model_server: ModelServer) -> None:
    stalled = Steps(text_chunks("two, "))
    model_server.respond_with(
        streams(text_chunks("One, ", finish_reason="length")),
        responds(400, {"error": {"message": "No."}}),
        stalled,
        streams(text_chunks("three.")),
    )
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await button(page, "Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("No.")
    await expect(responses(page)).to_have_text("One,")
    await button(page, "Continue").click()
    stalled.step()
    await expect(responses(page)).to_have_text("One, two,")
    await page.reload()
    await expect(page.locator(".note")).to_contain_text("The page was closed before the response was complete.")
    await button(page, "Continue").click()
    await expect(responses(page)).to_have_text("One, two, three.")
    assert sent(model_server) == [("user", "Count."), ("assistant", "One, two, "), CONTINUE]


async def test_a_response_that_is_too_long_to_continue_leads_to_its_question(
    page: Page, site: str, model_server: ModelServer
) -> None:
    model_server.respond_with(
        streams(text_chunks("One, ", finish_reason="length")),
        responds(400, {"error": {"message": "Too long", "code": "context_length_exceeded"}}),
    )
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await button(page, "Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.")
    await button(page, "Edit message").click()
    await expect(page.get_by_label("Your message")).to_have_value("Count.")


TOO_LONG = {"error": {"message": "Too long", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    "fails",
    [
        [streams(text_chunks("One, ", finish_reason="length")), responds(400, TOO_LONG)],
        [streams([*text_chunks("One, ")[:1], TOO_LONG])],
    ],
    ids=["when it continues", "mid-stream"],
)
async def test_a_response_continues_without_the_oldest_messages(
    page: Page, site: str, model_server: ModelServer, fails: list[Behaviour]
) -> None:
    model_server.respond_with(streams(text_chunks("Hello.")), *fails, streams(text_chunks("two.")))
    await page.goto(f"{site}/chat")
    await send(page, "Hi.")
    await completed(page)
    await send(page, "Count.")
    if len(fails) > 1:
        await button(page, "Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.")
    await page.reload()
    await button(page, "Continue without the oldest messages").click()
    await expect(responses(page).last).to_have_text("One, two.")
    assert sent(model_server) == [("user", "Count."), ("assistant", "One, "), CONTINUE]


async def test_a_failed_regenerate_is_repeated_without_the_oldest_messages(
    page: Page, site: str, model_server: ModelServer
) -> None:
    model_server.respond_with(echoes, echoes, responds(400, TOO_LONG), streams(text_chunks("Another.")))
    await page.goto(f"{site}/chat")
    for text in ("One", "Two"):
        await send(page, text)
        await completed(page)
    await button(page, "Regenerate").click()
    await button(page, "Continue without the oldest messages").click()
    await expect(responses(page).last).to_have_text("Another.")
    assert sent(model_server) == [("user", "Two")]


REASONING = {
    "tags": text_chunks("<thi", "nk>First, ", "second.</th", "ink>\n\nParis."),
    "reasoning_content": [
        chunk({"reasoning_content": "First, "}),
        chunk({"reasoning_content": "second."}),
        *text_chunks("Paris."),
    ],
    "reasoning": [chunk({"content": None, "reasoning": "First, second."}), *text_chunks("Paris.")],
    "thinking": [
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "First, second."}]}]}),
        *text_chunks("Paris."),
    ],
}


@pytest.mark.parametrize("field", REASONING)
async def test_reasoning_is_a_closed_disclosure_that_is_not_sent(
    page: Page, site: str, model_server: ModelServer, field: str
) -> None:
    model_server.respond_with(streams(REASONING[field]), echoes)
    await page.goto(f"{site}/chat")
    await send(page, "The capital of France?")
    await expect(responses(page)).to_have_text("Paris.")
    reasoning = page.get_by_text("First, second.")
    await expect(reasoning).to_be_hidden()
    await page.get_by_text("Thinking").click()
    await expect(reasoning).to_be_visible()
    await page.reload()
    await expect(reasoning).to_be_hidden()
    await send(page, "Sure?")
    await expect(responses(page)).to_have_count(2)
    await completed(page)
    assert sent(model_server)[1] == ("assistant", "Paris.")


async def test_reasoning_is_shown_while_it_arrives(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps([chunk({"reasoning_content": "First, "}), chunk({"reasoning_content": "second."}), *text_chunks("Paris.")])
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "The capital of France?")
    steps.step()
    await page.get_by_text("Thinking").click()
    await expect(page.get_by_text("First,")).to_be_visible()
    steps.step()
    await expect(page.get_by_text("First, second.")).to_be_visible()
    await expect(responses(page)).to_be_empty()
    for _ in range(3):
        steps.step()
    await expect(responses(page)).to_have_text("Paris.")
    await expect(page.get_by_text("First, second.")).to_be_visible()
