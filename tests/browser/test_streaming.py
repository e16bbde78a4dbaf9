"""A response on the chat page while it grows: what people do meanwhile is not disturbed, and the work stays the same."""

import asyncio
import json
import statistics
from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Page, expect

from testing.behaviours import Steps, streams
from testing.chat_completions import DONE, event, text_chunks
from testing.model_server import Exchange, ModelServer
from tests.browser.chat_page import button, completed, responses, send

SETTLED = """async () => {
    for (let frames = 0, last; frames < 10; frames = last === scrollY ? frames + 1 : 0) {
        last = scrollY;
        await new Promise(requestAnimationFrame);
    }
    return scrollY;
}"""
GROWN = """async (pixels) => {
    const before = document.documentElement.scrollHeight;
    while (document.documentElement.scrollHeight < before + pixels) await new Promise(requestAnimationFrame);
}"""
FROM_END = "document.documentElement.scrollHeight - innerHeight - scrollY"


class Flow:
    """Streams a line at a time, 50 a second, until the test ends it."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk(event(text_chunks("Line\n\n" * 50)[0]))
        while not self.end.is_set():
            await exchange.chunk(event(text_chunks("Line\n\n")[0]))
            await asyncio.sleep(0.02)
        await exchange.chunk(event(text_chunks()[0]) + DONE)
        await exchange.end()


@pytest.fixture
async def flow(page: Page, site: str, model_server: ModelServer) -> AsyncGenerator[Flow]:
    """A response on the page that is longer than the window and grows."""
    flow = Flow()
    model_server.respond_with(flow)
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await expect(responses(page)).to_contain_text("Line")
    yield flow
    flow.end.set()
    await completed(page)


async def scroll_up(page: Page, way: str) -> None:
    if way == "wheel":
        await page.mouse.move(400, 300)
        await page.mouse.wheel(0, -20)
    else:
        await page.locator("body").evaluate("() => document.activeElement.blur()")
        await page.keyboard.press(way)


async def is_followed(page: Page) -> bool:
    await page.evaluate(GROWN, 300)
    return bool(await page.evaluate(FROM_END) < 2)


@pytest.mark.usefixtures("flow")
async def test_the_end_is_followed(page: Page) -> None:
    assert await is_followed(page)
    await expect(button(page, "Scroll to the end")).to_be_hidden()


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize("way", ["wheel", "ArrowUp", "PageUp"])
async def test_scrolling_up_ends_following(page: Page, way: str) -> None:
    assert await is_followed(page)
    await scroll_up(page, way)
    await expect(button(page, "Scroll to the end")).to_be_visible()
    position = await page.evaluate(SETTLED)
    assert not await is_followed(page)
    assert await page.evaluate("scrollY") == position


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize("way", ["button", "End", "wheel"])
async def test_scrolling_to_the_end_follows_it_again(page: Page, way: str) -> None:
    await scroll_up(page, "wheel")
    assert not await is_followed(page)
    if way == "button":
        await button(page, "Scroll to the end").click()
    elif way == "End":
        await page.keyboard.press("End")
        await expect(button(page, "Scroll to the end")).to_be_visible()  # the key was the message's
        await page.locator("body").evaluate("() => document.activeElement.blur()")
        await page.keyboard.press("End")
    else:
        while not await button(page, "Scroll to the end").is_hidden():
            await page.mouse.wheel(0, 500)
    await expect(button(page, "Scroll to the end")).to_be_hidden()
    assert await is_followed(page)


@pytest.mark.usefixtures("flow")
async def test_a_new_chat_has_nothing_to_scroll(page: Page) -> None:
    await scroll_up(page, "wheel")
    await expect(button(page, "Scroll to the end")).to_be_visible()
    await button(page, "New chat").click()
    await expect(button(page, "Scroll to the end")).to_be_hidden()
    await button(page, "Undo").click()
    await expect(button(page, "Scroll to the end")).to_be_hidden()
    assert await page.evaluate(FROM_END) < 2


@pytest.mark.usefixtures("flow")
async def test_the_arrow_keys_of_the_message_do_not_end_following(page: Page) -> None:
    await page.get_by_label("Your message").press("ArrowUp")
    assert await is_followed(page)


@pytest.mark.parametrize("text", ["", "text", "- item", "```\ncode", "| a |\n|---|\n| b |"])
async def test_a_dot_shows_that_the_response_is_running(page: Page, site: str, model_server: ModelServer, text: str) -> None:
    steps = Steps(text_chunks(text))
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    steps.step()
    steps.step()
    if text:
        await expect(responses(page)).not_to_be_empty()
    dots = await page.locator(".running").evaluate(
        """(article) => [...article.querySelectorAll(".content, .content > *")]
            .filter((element) => getComputedStyle(element, "::after").animationName === "breathe").length"""
    )
    assert dots == 1


async def test_code_can_be_used_while_it_grows(page: Page, site: str, model_server: ModelServer) -> None:
    wide = "wide " * 100
    steps = Steps(text_chunks("```py\n", f"x = 1  # {wide}\n", "y = 2", "\nz = 3"))
    model_server.respond_with(steps)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{site}/chat")
    await send(page, "Write code.")
    steps.step()
    steps.step()
    code = page.locator("pre")
    await expect(code).to_contain_text("x = 1")
    await code.focus()
    await code.evaluate("(pre) => pre.scrollLeft = 200")
    await code.locator("code").evaluate("({ firstChild }) => getSelection().setBaseAndExtent(firstChild, 0, firstChild, 5)")
    await page.locator(".bar button").evaluate("(copy) => copy.dataset.same = 'yes'")
    steps.step()
    await expect(code).to_contain_text("y = 2")
    assert await code.evaluate("(pre) => pre.scrollLeft") == 200
    assert await page.evaluate("getSelection().toString()") == "x = 1"
    await expect(code).to_be_focused()
    # The press and the release of a click are on the same button, whatever arrives between them.
    await page.locator(".bar button").hover()
    await page.mouse.down()
    steps.step()
    await expect(code).to_contain_text("z = 3")
    await page.mouse.up()
    await expect(button(page, "Copied")).to_have_attribute("data-same", "yes")
    assert await page.evaluate("navigator.clipboard.readText()") == f"x = 1  # {wide}\ny = 2\nz = 3"


async def test_text_can_be_used_while_it_grows(page: Page, site: str, model_server: ModelServer) -> None:
    steps = Steps(
        text_chunks(
            "See [the **docs**](https://example.test/) and",
            " *more* of",
            " `it`.\n\n- a [link](https://example.test/2)",
            " b",
        )
    )
    model_server.respond_with(steps)
    await page.goto(f"{site}/chat")
    await send(page, "Where?")
    steps.step()
    link = page.get_by_role("link", name="the docs")
    await link.focus()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.content strong'))")
    steps.step()
    await expect(responses(page)).to_contain_text("more of")
    steps.step()
    await expect(page.get_by_role("link", name="link", exact=True)).to_be_visible()
    steps.step()
    await expect(responses(page)).to_contain_text("link b")
    await expect(link).to_be_focused()
    assert await page.evaluate("getSelection().toString()") == "docs"


MEBIBYTE = 1 << 20
LONG = {
    "prose": "Some *words* of `prose` with a [link](https://example.test/a) and more. " * 12 + "\n\n",
    "one paragraph": "Some *words* of `prose` with a [link](https://example.test/a) and more. ",
    "code": "```py\n" + "    for line in lines: print(line)\n" * (MEBIBYTE // 35),
    "a line of code": "```\n" + "x = 1; " * (MEBIBYTE // 7),
    "a list": "- An item of a list\n",
    "a nested list": "- An item\n  - of a list\n    - in a list\n",
    "a list item followed by blank lines": "- An item" + "\n" * MEBIBYTE,
    "a table": "| a | b |\n|---|---|\n" + "| one | `two` |\n" * (MEBIBYTE // 16),
    "quotes": "> A paragraph\n>\n",
    "short paragraphs": "A paragraph.\n\n",
    "nested links": "[a [link](https://example.test/1) in ](https://example.test/2)",
    "open brackets": "[[a](",
    "Hebrew": "טקסט בעברית, *עם* הדגשה. ",
}
DRAW = """async ([url, text]) => {
    const { MessageView } = await import(url);
    const view = new MessageView({ role: "assistant", content: "" }, {});
    document.getElementById("messages").append(view.element);
    const small = text.length / 10;
    const times = [];
    for (let at = 0, size; at < text.length; at += size) {
        size = at < small || at >= text.length - small ? 400 : 10_000; // only the first and the last tenth in small pieces
        const began = performance.now();
        view.append(text.slice(at, at + size), "");
        document.documentElement.scrollHeight; // the browser's layout is part of the work
        if (size === 400) times.push(performance.now() - began);
    }
    return times;
}"""


@pytest.mark.parametrize("kind", LONG)
async def test_work_per_frame_does_not_grow_with_the_response(page: Page, site: str, kind: str) -> None:
    text = (LONG[kind] * (MEBIBYTE // len(LONG[kind]) + 1))[:MEBIBYTE]
    await page.goto(f"{site}/chat")
    await expect(page.locator("#welcome")).to_be_visible()
    times = await page.evaluate(DRAW, [f"{site}/assets/message.js", text])
    half = len(times) // 2
    first, last = statistics.median(times[:half]), statistics.median(times[half:])
    assert last < 2 * first + 3


async def test_work_per_frame_does_not_grow_with_the_conversation(page: Page, site: str) -> None:
    medians = []
    for count in (2, 1000):
        messages = [
            {"role": role, "content": "Some *words*. " * 50} for _ in range(count // 2) for role in ("user", "assistant")
        ]
        await page.goto(f"{site}/docs")
        await page.evaluate(
            "(value) => localStorage.setItem('chat.conversation.x', value)", json.dumps({"messages": messages})
        )
        await page.goto(f"{site}/chat")
        await expect(page.locator("article")).to_have_count(count)
        medians.append(statistics.median(await page.evaluate(DRAW, [f"{site}/assets/message.js", LONG["prose"] * 100])))
    assert medians[1] < 2 * medians[0] + 3


async def test_a_response_of_a_mebibyte_in_small_chunks(page: Page, site: str, model_server: ModelServer) -> None:
    words = " ".join(str(number) for number in range(MEBIBYTE // 6))
    model_server.respond_with(streams(text_chunks(*(words[at : at + 20] for at in range(0, len(words), 20)))))
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await expect(button(page, "Regenerate")).to_be_visible(timeout=30_000)
    assert await responses(page).evaluate("(content) => content.textContent") == words
