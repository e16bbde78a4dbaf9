"""The chat page against a model server that tries to run script in it, or to learn who reads it."""

import pytest
from playwright.async_api import Browser, Error, Page, expect

from testing.behaviours import streams
from testing.chat_completions import chunk, text_chunks
from testing.model_server import ModelServer
from tests.browser.chat_page import completed, responses, send

ATTACKS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1>",
    "<iframe srcdoc='<script>parent.pwned = 1</script>'></iframe>",
    "[click](javascript:window.pwned=1)",
    "[click](JaVaScRiPt:window.pwned=1)",
    "[click](java\tscript:window.pwned=1)",
    "[click](<java\tscript:window.pwned=1>)",
    "[click](&#106;avascript:window.pwned=1)",
    "[click](data:text/html,<script>opener.pwned=1</script>)",
    "[click](vbscript:window.pwned=1)",
    "[click](blob:https://example.test/x)",
    "![x](javascript:window.pwned=1)",
    '![x](https://example.test/x.png" onerror="window.pwned=1)',
    '[x](https://example.test/"onmouseover="window.pwned=1)',
    '[x](<https://example.test/"onmouseover="window.pwned=1>)',
    "<javascript:window.pwned=1>",
    "`<img src=x onerror=window.pwned=1>`",
    "\\(<img src=x onerror=window.pwned=1>\\)",
    "$$<img src=x onerror=window.pwned=1>$$",
    '```"><script>window.pwned=1</script>\n</code></pre><script>window.pwned = 1</script>\n```',
    "- [x] <img src=x onerror=window.pwned=1>",
    "# <a href='javascript:window.pwned=1'>x</a>",
    "| <img src=x onerror=window.pwned=1> |\n| --- |\n| <script>window.pwned=1</script> |",
    "**<b onclick=window.pwned=1>x</b>**",
    "[**<b onclick=window.pwned=1>x</b>**](https://example.test/)",
    "<style>body { display: none }</style>",
    "<form action=https://example.test><button>x</button></form>",
    "<base href=https://example.test/>",
    "<meta http-equiv=refresh content='0;url=https://example.test'>",
]
TAGS = {
    *("article", "details", "summary", "h2", "h3", "div", "span", "p", "br", "strong", "a", "button"),
    *("ul", "li", "input", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    "class",
    "type",
    "tabindex",
    "role",
    "aria-label",
    "href",
    "target",
    "rel",
    "dir",
    "id",
    "hidden",
    "open",
    "disabled",
    "checked",
}


async def test_nothing_that_a_model_writes_becomes_script(page: Page, site: str, model_server: ModelServer) -> None:
    text = "\n\n".join(ATTACKS)
    pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
    reasoning = [chunk({"reasoning_content": piece}) for piece in pieces]
    model_server.respond_with(streams([*reasoning, *text_chunks(*pieces), chunk({}, model=ATTACKS[1])]))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(f"{site}/chat")
    await send(page, ATTACKS[0] + ATTACKS[1])
    await completed(page)
    for _ in range(2):
        await page.locator("summary").click()
        await expect(responses(page)).to_contain_text("<script>window.pwned = 1</script>")
        await expect(page.locator(".actions span")).to_contain_text("<img src=x onerror=")
        found = await page.evaluate(
            """() => {
                const nodes = [...document.querySelectorAll("#messages *")];
                const links = [...document.querySelectorAll("#messages a")];
                return {
                    tags: nodes.map((node) => node.tagName.toLowerCase()),
                    attributes: nodes.flatMap((node) => node.getAttributeNames()),
                    protocols: links.map((node) => node.protocol),
                    relations: links.map((node) => node.rel),
                };
            }"""
        )
        assert set(found["tags"]) <= TAGS
        assert set(found["attributes"]) <= ATTRIBUTES
        assert set(found["protocols"]) == {"https:"}
        assert set(found["relations"]) == {"noopener noreferrer nofollow"}
        await page.reload()
    assert await page.evaluate("typeof window.pwned") == "undefined"
    assert all(url.startswith(site) for url in requested)


async def test_the_browser_refuses_to_make_html_of_strings(browser: Browser, site: str) -> None:
    page = await browser.new_page()
    await page.goto(f"{site}/chat")
    for attempt in ("document.body.innerHTML = '<b>x</b>'", "document.write('<b>x</b>')"):
        with pytest.raises(Error, match="Trusted"):
            await page.evaluate(f"() => {{ {attempt} }}")
    await page.close()
