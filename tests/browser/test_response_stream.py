"""How the chat page reads a response: lines of bytes, and reasoning between tags."""

import json

import pytest
from playwright.async_api import Page

from tests.browser.chat_page import open_module_page

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
