"""How the chat page reads a response: server-sent events, lines of bytes, and reasoning between tags."""

import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.chat_page import button, completed, open_module_page, responses, send

LINES = """async ([url, bytes, size]) => {
    const { readLines } = await import(url);
    const parts = [];
    for (let at = 0; at < bytes.length; at += size) parts.push(new Uint8Array(bytes.slice(at, at + size)));
    const stream = new ReadableStream({ start(to) { parts.forEach((part) => to.enqueue(part)); to.close(); } });
    const lines = [];
    try {
        for await (const line of readLines(stream)) lines.push(line);
    } catch (error) {
        lines.push(`! ${error.message}`);
    }
    return lines;
}"""

THINKING = """async ([url, texts]) => {
    const { ThinkTag } = await import(url);
    const tag = new ThinkTag();
    const parts = [...texts.map((text) => tag.split(text)), tag.end()];
    return ["content", "reasoning"].map((name) => parts.map((part) => part[name]).join(""));
}"""


async def respond_with_events(page: Page, body: str) -> None:
    """Responds with server-sent events to a request that accepts them."""

    async def respond(route: Route) -> None:
        if route.request.method == "POST":
            assert route.request.headers["accept"] == "text/event-stream"
            await route.fulfill(content_type="text/event-stream; charset=utf-8", body=body)
        else:
            await route.continue_()

    await page.route("**/api/chat", respond)


FIRST, SECOND = (json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("One, ", "two.\u2028"))
ERROR = '{"error": {"message": "A reason."}}'


@pytest.mark.parametrize(
    "body",
    [
        f"data: {FIRST}\n\ndata: {SECOND}\n\ndata: [DONE]\n\n",
        f": comment\n\nevent: x\r\ndata:{FIRST}\r\n\r\ndata\ndata:\n\nid: 1\ndata: {SECOND}\n\ndata: [DONE]\n",
    ],
)
async def test_server_sent_events_are_shown(page: Page, site: str, body: str) -> None:
    await respond_with_events(page, body)
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await completed(page)
    await expect(responses(page)).to_have_text("One, two.")
    await expect(page.locator(".note")).to_have_count(0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"data: {FIRST}\n\n", "The connection was lost in the middle of the response."),
        (f"data: {FIRST}\n\ndata: {SECOND[:9]}", "The connection was lost in the middle of the response."),
        (f"data: {FIRST}\n\ndata: {ERROR}\n\n", "A reason."),
        (f"data: {FIRST}\n\ndata: nonsense\n\n", "The service sent an invalid response."),
    ],
)
async def test_events_that_end_early_are_an_error(page: Page, site: str, body: str, text: str) -> None:
    await respond_with_events(page, body)
    await page.goto(f"{site}/chat")
    await send(page, "Count.")
    await expect(page.get_by_role("alert")).to_contain_text(text)
    await expect(responses(page)).to_have_text("One,")
    await expect(button(page, "Try again")).to_be_visible()


@pytest.mark.usefixtures("model_server")
async def test_a_complete_response_is_not_an_aborted_request(page: Page, site: str) -> None:
    """Without the clone that the page reads, Chromium aborts about every second request."""
    url = await open_module_page(page, site, "service.js")
    ends: list[str | None] = []
    page.on("requestfailed", lambda request: ends.append(request.failure))
    page.on("requestfinished", lambda _: ends.append(None))
    async with page.expect_event("requestfinished", lambda request: request.url.endswith("?end")):
        await page.evaluate(
            """async (url) => {
                const { requestCompletion } = await import(url);
                const messages = [{ role: "user", content: "Hello" }];
                for (let count = 0; count < 20; count++) {
                    for await (const chunk of requestCompletion(messages, null, new AbortController().signal));
                }
                await (await fetch("chat?end")).text();
            }""",
            url,
        )
    assert set(ends) == {None}
    assert len(ends) >= 20


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_lines_are_complete_however_the_bytes_arrive(page: Page, site: str, size: int) -> None:
    url = await open_module_page(page, site, "service.js")
    sent = [json.dumps({"text": text}, ensure_ascii=False) for text in ("a", "žluťoučký 🐎", "line\u2028break", "b" * 20)]
    body = list("\n".join([*sent, "", " ", ""]).encode())
    assert await page.evaluate(LINES, [url, body, size]) == sent


async def test_a_last_line_without_a_line_feed_is_an_error(page: Page, site: str) -> None:
    url = await open_module_page(page, site, "service.js")
    lines = await page.evaluate(LINES, [url, list(b'{"a":1}\n{"b'), 4])
    assert lines == ['{"a":1}', "! The connection was lost in the middle of the response."]


async def test_a_long_line_takes_linear_time(page: Page, site: str) -> None:
    url = await open_module_page(page, site, "service.js")
    took = await page.evaluate(
        """async (url) => {
            const { readLines } = await import(url);
            const part = new TextEncoder().encode("x".repeat(1000));
            let left = 32_000;
            const stream = new ReadableStream({
                pull(to) {
                    to.enqueue(left ? part : Uint8Array.of(10));
                    if (!left--) to.close();
                },
            });
            const began = performance.now();
            for await (const line of readLines(stream)) if (line.length !== 32_000_000) throw line.length;
            return performance.now() - began;
        }""",
        url,
    )
    assert took < 10_000


TAGGED = {
    "<think>Hm.</think>Yes": ("Yes", "Hm."),
    " \n<think>\nHm </thin k> </think>\n\nYes": ("\n\nYes", "\nHm </thin k> "),
    "<think>Hm.</think>Yes</think>": ("Yes</think>", "Hm."),
    "<think>Hm. </thi": ("", "Hm. </thi"),
    "<think></think>": ("", ""),
    "<thinker>Yes": ("<thinker>Yes", ""),
    "<thin": ("<thin", ""),
    "Yes <think>no</think>": ("Yes <think>no</think>", ""),
    "": ("", ""),
}


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
async def test_reasoning_is_separated_however_it_arrives(page: Page, site: str, size: int) -> None:
    url = await open_module_page(page, site, "service.js")
    for text, expected in TAGGED.items():
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert tuple(await page.evaluate(THINKING, [url, pieces])) == expected, text


async def test_blanks_before_the_reasoning_take_linear_time(page: Page, site: str) -> None:
    url = await open_module_page(page, site, "service.js")
    took = await page.evaluate(
        """async (url) => {
            const { ThinkTag } = await import(url);
            const tag = new ThinkTag();
            const began = performance.now();
            for (let count = 0; count < 1_000_000; count++) tag.split(" ");
            return performance.now() - began;
        }""",
        url,
    )
    assert took < 5_000
