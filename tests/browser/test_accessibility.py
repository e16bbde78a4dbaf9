"""The chat page with a screen reader, a keyboard, other colours, less motion, other languages, on a phone and on paper."""

import re
from collections.abc import AsyncGenerator
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from local.settings import APP_DIR
from testing.behaviours import Steps, echoes, responds, streams
from testing.chat_completions import TOOL_CALL, chunk, text_chunks
from testing.model_server import ModelServer
from tests.browser import axe
from tests.browser.chat_page import button, completed, responses, send

EVERYTHING = """\
<think>A *thought*.</think># A title

### Deeper

- [x] done
- [ ] to do
- a [link](https://example.test) and `code`
  1. nested

> a quote

```sh
ls
```

| a | b |
|---|---|
| 1 | `2` |

\\(x^2\\)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced_colors", ["none", "active"])
async def test_axe_finds_nothing(
    browser: Browser,
    site: str,
    model_server: ModelServer,
    scheme: Literal["light", "dark"],
    forced_colors: Literal["none", "active"],
) -> None:
    arriving = Steps(text_chunks("So far"))
    model_server.respond_with(
        streams(text_chunks(EVERYTHING)),
        arriving,
        responds(400, {"error": {"code": "context_length_exceeded"}}),
        streams([*TOOL_CALL[:-1], *text_chunks("*Yes*", finish_reason="length")]),
    )
    page = await browser.new_page(color_scheme=scheme, forced_colors=forced_colors)
    await page.goto(f"{site}/chat")
    await expect(page.locator("#welcome")).to_be_visible()
    await axe.check(page, "the empty page")
    await send(page, "Show me all.")
    await completed(page)
    await page.locator("summary").click()
    await axe.check(page, "a conversation")
    await send(page, "More")
    arriving.step()
    await expect(responses(page).last).to_have_text("So far")
    await page.mouse.move(400, 300)
    await page.mouse.wheel(0, -500)
    await expect(button(page, "Scroll to the end")).to_be_visible()
    await axe.check(page, "a response that arrives")
    await button(page, "Stop").click()
    await button(page, "Edit").first.click()
    await axe.check(page, "an edited question")
    await page.get_by_label("Your message").press("Escape")
    await button(page, "Try again").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await axe.check(page, "an error")
    await button(page, "Continue without the oldest messages").click()
    await completed(page)
    await expect(button(page, "Continue")).to_be_visible()
    await axe.check(page, "an incomplete response, without the oldest messages")
    await button(page, "Edit").last.click()
    await send(page, "And now?")
    await completed(page)
    await expect(button(page, "Undo")).to_be_visible()
    await axe.check(page, "a replaced question")
    await page.goto(f"{site}/chat?code=a-key")
    await button(page, "Function key").click()
    await axe.check(page, "the dialog")
    await button(page, "Cancel").click()
    await button(page, "New chat").click()
    await axe.check(page, "a removed conversation")
    await page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError') } }")
    await send(page, "And now?")
    await completed(page)
    await expect(page.get_by_text("This browser can't store the conversation")).to_be_visible()
    await axe.check(page, "a conversation that is not stored")
    await page.close()


async def test_a_screen_reader_gets_the_response_once(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("One, ", "two", ", three."))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    steps.step()
    steps.step()
    await expect(responses(page)).to_have_text("One, two")
    await expect(page.get_by_role("status")).to_have_text("Waiting for the response …")
    for _ in range(3):
        steps.step()
    await expect(page.get_by_role("status")).to_have_text("One, two, three.")


async def test_headings_leave_no_level_out(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks("### One\n\n##### Two\n\n# Three\n\n###### Four\n\n## Five\n\n> # Six\n")))
    await page.goto(f"{site}/chat")
    await send(page, "Structure")
    await completed(page)
    headings = await page.locator("article.assistant :is(h1, h2, h3, h4, h5, h6)").evaluate_all(
        "(headings) => headings.map((heading) => `${heading.tagName} ${heading.textContent}`)"
    )
    assert headings == ["H2 Assistant", "H3 One", "H4 Two", "H3 Three", "H4 Four", "H4 Five", "H3 Six"]


@pytest.mark.parametrize("way", ["Enter", "click", "example"])
async def test_sending_and_stopping_keep_the_focus(page: Page, site: str, model_server: ModelServer, way: str) -> None:
    model_server.respond_with(Steps([]))
    message = page.get_by_label("Your message")
    await page.goto(f"{site}/chat")
    await expect(message).to_be_focused()
    if way == "example":
        await page.locator("#examples button").first.click()
    else:
        await message.fill("Hello")
        await (message.press("Enter") if way == "Enter" else button(page, "Send").click())
    await expect(button(page, "Stop")).to_be_visible()
    await expect(message).to_be_focused()
    await button(page, "Stop").click()
    await expect(button(page, "Send")).to_be_visible()
    await expect(message).to_be_focused()


async def test_a_focused_stop_button_that_disappears_keeps_the_focus(
    page: Page, site: str, model_server: ModelServer
) -> None:
    steps = Steps(text_chunks("Hi"))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await button(page, "Stop").focus()
    for _ in range(3):
        steps.step()
    await completed(page)
    await expect(page.get_by_label("Your message")).to_be_focused()


async def test_buttons_that_disappear_keep_the_focus(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(responds(400, {}), echoes)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    for name in ("Try again", "Regenerate", "New chat", "Undo", "New chat"):
        await page.locator("body").evaluate("() => document.activeElement.blur()")
        await button(page, name).focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Your message")).to_be_focused()
        await completed(page)


async def test_the_focus_elsewhere_stays_when_a_response_ends(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Hi"))
    model_server.respond_with(echoes, steps)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await completed(page)
    await send(page, "Again")
    copy = page.locator(".actions").get_by_role("button", name="Copy")
    await copy.focus()
    for _ in range(3):
        steps.step()
    await completed(page)
    await expect(copy.first).to_be_focused()


async def test_everything_is_visible_in_forced_colors(browser: Browser, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Hi"))
    model_server.respond_with(steps)
    page = await browser.new_page(color_scheme="light", forced_colors="active")
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    steps.step()
    await expect(responses(page)).to_have_text("Hi")
    seen = await page.evaluate(
        """() => {
            const [canvas] = ["Canvas"].map((color) => {
                const sample = document.body.appendChild(document.createElement("p"));
                sample.style.backgroundColor = color;
                const found = getComputedStyle(sample).backgroundColor;
                sample.remove();
                return found;
            });
            const style = (selector, pseudo) => getComputedStyle(document.querySelector(selector), pseudo);
            return {
                canvas,
                header: style("header").backgroundColor,
                footer: style("footer").backgroundColor,
                question: style(".user .content").borderTopColor,
                dot: style(".assistant .content p", "::after").backgroundColor,
                stop: style("#stop").borderTopColor,
                focus: style("#composer").outlineColor,
            };
        }"""
    )
    assert seen["header"] == seen["footer"] == seen["canvas"]  # the conversation scrolls below them
    for name in ("question", "dot", "stop", "focus"):
        assert seen[name] not in {seen["canvas"], "rgba(0, 0, 0, 0)"}, name
    await page.close()


async def test_buttons_have_readable_text_in_forced_colors(browser: Browser, site: str) -> None:
    page = await browser.new_page(forced_colors="active")
    await page.goto(f"{site}/chat?code=a-key")
    await button(page, "Function key").click()
    # The browser paints the background of the page behind text.
    canvas = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    await expect(button(page, "Use this key")).not_to_have_css("color", canvas)
    await page.goto(f"{site}/docs")
    await page.locator(".opblock-summary-control").first.click()
    for selector in (".opblock-summary-method", ".execute", ".info small"):
        await expect(page.locator(f"#docs {selector}").first).not_to_have_css("color", canvas)
    await page.close()


async def test_reduced_motion_reaches_pseudo_elements(browser: Browser, site: str, model_server: ModelServer) -> None:
    steps = Steps(text_chunks("Hi"))
    model_server.respond_with(steps)
    for motion, animation in (("no-preference", "breathe"), ("reduce", "none")):
        page = await browser.new_page(reduced_motion=motion)  # type: ignore[arg-type]
        await page.goto(f"{site}/chat")
        await send(page, "Hello")
        await expect(page.locator("article.running")).to_be_visible()
        dot = "() => getComputedStyle(document.querySelector('.assistant .content'), '::after').animationName"
        assert await page.evaluate(dot) == animation
        await page.close()


RIGHT_TO_LEFT = """\
שלום, `a.b(c)` ו-*עוד*!

English, too.

- פריט

1. English

```js
let x = 1; // שלום
```

| כותרת | b |
|---|---|
| תא | c |
"""


async def test_right_to_left_text_and_code(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks(RIGHT_TO_LEFT)))
    await page.goto(f"{site}/chat")
    await send(page, "!שלום\nHello!")
    await completed(page)
    sides = await page.evaluate(
        """() => {
            const side = (selector, start, end) => {
                const text = document.querySelector(selector).firstChild;
                const range = document.createRange();
                const at = (index) => {
                    range.setStart(text, index);
                    range.setEnd(text, index + 1);
                    return range.getBoundingClientRect().x;
                };
                return at(start) < at(end < 0 ? text.length + end : end) ? "left to right" : "right to left";
            };
            const edge = (selector) => {
                const [outer, range] = [document.querySelector(selector).getBoundingClientRect(), document.createRange()];
                range.selectNodeContents(document.querySelector(selector));
                const inner = range.getBoundingClientRect();
                return Math.abs(inner.left - outer.left) < Math.abs(inner.right - outer.right) ? "left" : "right";
            };
            return {
                hebrew: edge(".assistant p"),
                english: edge(".assistant p + p"),
                code: side(".assistant p code", 0, -1),
                block: side("pre code", 0, 9),
                blockEdge: edge("pre"),
                hebrewList: getComputedStyle(document.querySelector(".assistant ul")).direction,
                englishList: getComputedStyle(document.querySelector(".assistant ol")).direction,
                table: getComputedStyle(document.querySelector("table")).direction,
            };
        }"""
    )
    assert sides == {
        "hebrew": "right",
        "english": "left",
        "code": "left to right",
        "block": "left to right",
        "blockEdge": "left",
        "hebrewList": "rtl",
        "englishList": "ltr",
        "table": "rtl",
    }


@pytest.fixture
async def phone(browser: Browser) -> AsyncGenerator[Page]:
    context = await browser.new_context(viewport={"width": 320, "height": 600}, has_touch=True, is_mobile=True)
    page = await context.new_page()
    yield page
    await context.close()


async def test_a_phone_needs_no_sideways_scrolling(phone: Page, site: str, model_server: ModelServer) -> None:
    table = f"| a | b |\n|---|---|\n| {'wide' * 9} | {'wide' * 9} |"
    wide = f"{'long' * 50}\n\n```\n{'wide ' * 50}\n```\n\n{table}\n\n\\({'x' * 99}\\)"
    model_server.respond_with(
        streams([*text_chunks(wide), chunk({}, model="m" * 99)]), responds(400, {"error": {"message": "e" * 99}})
    )
    await phone.goto(f"{site}/chat?code=a-key")
    for _ in range(2):
        await phone.get_by_label("Your message").fill("unbroken" * 20)
        await button(phone, "Send").tap()
        await completed(phone)
    await button(phone, "Edit").last.tap()
    assert await phone.evaluate("document.documentElement.scrollWidth") == 320
    await expect(phone.get_by_label("Your message")).to_be_in_viewport()
    for name in ("Function key", "Download", "New chat"):
        await expect(button(phone, name)).to_be_in_viewport(ratio=1)


async def test_the_function_key_fits_a_phone(phone: Page, site: str) -> None:
    await phone.goto(f"{site}/chat?code=a-key")
    await phone.get_by_label("Your message").fill("Hello")
    await button(phone, "Send").tap()
    await completed(phone)
    await expect_one_line(phone, "New chat", "Download", "Function key")
    assert await phone.evaluate("document.documentElement.scrollWidth") == 320
    await button(phone, "Function key").tap()
    await expect_one_line(phone, "Use this key", "Remove key")


async def expect_one_line(page: Page, *names: str) -> None:
    for name in names:
        box = await button(page, name).bounding_box()
        assert box, name
        assert box["height"] < 48, f"{name} is on several lines"


async def test_the_empty_page_is_not_scrolled(browser: Browser, site: str) -> None:
    page = await browser.new_page(viewport={"width": 640, "height": 256})
    await page.goto(f"{site}/chat")
    await expect(page.get_by_label("Your message")).to_be_focused()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_in_viewport()
    await page.close()


async def test_enter_breaks_the_line_on_a_phone(phone: Page, site: str) -> None:
    await phone.goto(f"{site}/chat")
    message = phone.get_by_label("Your message")
    await expect(message).to_have_attribute("enterkeyhint", "enter")
    await message.tap()
    await phone.keyboard.type("one")
    await phone.keyboard.press("Enter")
    await phone.keyboard.type("two")
    await expect(message).to_have_value("one\ntwo")
    await button(phone, "Send").tap()
    await expect(responses(phone)).to_have_text("onetwo")


async def test_no_keyboard_opens_by_itself_on_a_phone(phone: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(Steps([]), echoes)
    focused = "document.activeElement.id"
    await phone.goto(f"{site}/chat")
    await expect(phone.locator("#welcome")).to_be_visible()
    assert await phone.evaluate(focused) == ""
    await phone.locator("#examples button").first.tap()
    await expect(button(phone, "Stop")).to_be_focused()
    await button(phone, "Stop").tap()
    await expect(button(phone, "Send")).to_be_focused()
    await button(phone, "Try again").tap()
    await completed(phone)
    await expect(button(phone, "Send")).to_be_focused()
    await button(phone, "New chat").tap()
    await expect(phone.locator("#welcome")).to_be_visible()
    await expect(button(phone, "Send")).to_be_focused()


async def test_printing_shows_the_conversation_alone(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks(EVERYTHING + f"\n```\n{'wide ' * 100}\n```")))
    await page.goto(f"{site}/chat")
    await send(page, "Show me all.")
    await completed(page)
    await page.emulate_media(media="print", color_scheme="dark")
    for hidden in ("nav", "footer", ".actions button", ".bar button", ".user .below button"):
        await expect(page.locator(hidden).first).to_be_hidden()
    for visible in ("h1", ".user .content", ".assistant h3", "pre", "table", ".actions span"):
        await expect(page.locator(visible).first).to_be_visible()
    assert await page.locator("pre").last.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")
    assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 28, 26)"


async def test_the_page_is_small_and_loads_its_modules_at_once(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat", wait_until="networkidle")
    entries = await page.evaluate(
        "performance.getEntries().filter((e) => e.encodedBodySize).map((e) => [e.name, e.encodedBodySize])"
    )
    sizes = {name.removeprefix(f"{site}/assets/"): size for name, size in entries}
    static = APP_DIR / "web" / "static"
    modules = {path.name for path in static.glob("*.js")} - {"docs.js"}
    assert set(sizes) == {f"{site}/chat", "chat.css", "icon.svg", *modules}
    assert sum(sizes.values()) <= 27_500, sizes
    preloaded = set(re.findall(r'rel="modulepreload" href="assets/([^"]+)"', (static / "chat.html").read_text()))
    assert preloaded == modules - {"chat.js"}
