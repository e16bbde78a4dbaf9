"""The page's Markdown and its reading of lines, in the browser that runs them."""

import json

import pytest
from playwright.async_api import Page

RENDER = """async ([address, ...texts]) => {
    const { showMarkdown } = await import(address);
    const element = document.createElement("div");
    for (const text of texts) showMarkdown(element, text);
    return element.innerHTML;
}"""

LINES = """async ([address, bytes, size]) => {
    const { lines } = await import(address);
    const parts = [];
    for (let at = 0; at < bytes.length; at += size) parts.push(new Uint8Array(bytes.slice(at, at + size)));
    const stream = new ReadableStream({ start(to) { parts.forEach((part) => to.enqueue(part)); to.close(); } });
    const read = [];
    try {
        for await (const line of lines(stream)) read.push(line);
    } catch (problem) {
        read.push(`! ${problem.message}`);
    }
    return read;
}"""

LINK = '<a href="{0}" target="_blank" rel="noopener noreferrer nofollow">{1}</a>'

CASES = {
    "plain": "<p>plain</p>",
    "two\nlines": "<p>two<br>lines</p>",
    "one\n\ntwo": "<p>one</p><p>two</p>",
    "# One\n## Two ##\n###### Six": "<h3>One</h3><h4>Two</h4><h6>Six</h6>",
    "#hashtag": "<p>#hashtag</p>",
    "**strong** *em* __strong__ _em_ ~~gone~~": (
        "<p><strong>strong</strong> <em>em</em> <strong>strong</strong> <em>em</em> <del>gone</del></p>"
    ),
    "***both*** and **a *b***": "<p><strong><em>both</em></strong> and <strong>a <em>b</em></strong></p>",
    "*a **b** c*": "<p><em>a <strong>b</strong> c</em></p>",
    "2 * 3 * 4, snake_case_name, 5*3": "<p>2 * 3 * 4, snake_case_name, 5*3</p>",
    "**open": "<p>**open</p>",
    r"\*plain\* \\ \`": r"<p>*plain* \ `</p>",
    "`a < b` and ``a ` b``": "<p><code>a &lt; b</code> and <code>a ` b</code></p>",
    "`open": "<p>`open</p>",
    "`**plain**`": "<p><code>**plain**</code></p>",
    "---": "<hr>",
    "- a\n- b": "<ul><li>a</li><li>b</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "- a\n  - b\n  - c\n- d": "<ul><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ul>",
    "1. a\n   - b\n2. c": '<ol start="1"><li>a<ul><li>b</li></ul></li><li>c</li></ol>',
    "- a\n\n- b": "<ul><li><p>a</p></li><li>b</li></ul>",
    "1. a\n- b": '<ol start="1"><li>a</li></ol><ul><li>b</li></ul>',
    "text\n- a": "<p>text</p><ul><li>a</li></ul>",
    "It was\n1984. A year.": "<p>It was<br>1984. A year.</p>",
    "> a\n> b\n\nc": "<blockquote><p>a<br>b</p></blockquote><p>c</p>",
    "[a **b**](https://a.test/x_(y))": f"<p>{LINK.format('https://a.test/x_(y)', 'a <strong>b</strong>')}</p>",
    '[a](https://a.test "title")': f"<p>{LINK.format('https://a.test', 'a')}</p>",
    "[https://b.test](https://a.test)": f"<p>{LINK.format('https://a.test', 'https://b.test')}</p>",
    "[a](/relative) [b](ftp://a.test)": "<p>[a](/relative) [b](ftp://a.test)</p>",
    "see https://a.test/x_y_z.": f"<p>see {LINK.format('https://a.test/x_y_z', 'https://a.test/x_y_z')}.</p>",
    "(https://a.test) <mailto:a@b.test>": (
        f"<p>({LINK.format('https://a.test', 'https://a.test')}) {LINK.format('mailto:a@b.test', 'mailto:a@b.test')}</p>"
    ),
    "![a cat](https://a.test/cat.png)": f"<p>{LINK.format('https://a.test/cat.png', 'a cat')}</p>",
    "<b>bold</b> &amp;": "<p>&lt;b&gt;bold&lt;/b&gt; &amp;amp;</p>",
}


@pytest.mark.parametrize(("text", "html"), CASES.items())
async def test_markdown_becomes_nodes(page: Page, site: str, text: str, html: str) -> None:
    await page.goto(f"{site}/chat")
    assert await page.evaluate(RENDER, [f"{site}/assets/markdown.js", text]) == html


async def test_a_code_block_is_code_to_its_fence(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    for text in ("~~~py\n# no *title*\n\n```\n~~~\nafter", "~~~py\n# no *title*\n\n```"):
        html = await page.evaluate(RENDER, [f"{site}/assets/markdown.js", text])
        assert "<code># no *title*\n\n```</code></pre>" in html
        assert ("<p>after</p>" in html) == ("after" in text)


async def test_a_table_has_a_head_and_as_many_cells(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    text = "| a | b |\n| :-: | --: |\n| 1 \\| 2 |\n| `x` | y | z |"
    html = await page.evaluate(RENDER, [f"{site}/assets/markdown.js", text])
    assert '<thead><tr><th class="center">a</th><th class="right">b</th></tr></thead>' in html
    assert '<td class="center">1 | 2</td><td class="right"></td>' in html
    assert '<td class="center"><code>x</code></td><td class="right">y</td></tr>' in html


async def test_growing_text_ends_up_the_same(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    text = "\n\n".join(CASES) + "\n\n| a |\n|---|\n| b |\n\n```py\nx = 1\n```\n\nend"
    address = f"{site}/assets/markdown.js"
    whole = await page.evaluate(RENDER, [address, text])
    assert await page.evaluate(RENDER, [address, *(text[:end] for end in range(1, len(text) + 1))]) == whole


SLOW = ["*a ", "[", "[a](", "```a`", "> ", "- ", "**", "_a_ ", "https://", " -", "|", "\\", "`a``"]


@pytest.mark.parametrize("text", SLOW)
async def test_no_text_takes_long(page: Page, site: str, text: str) -> None:
    await page.goto(f"{site}/chat")
    page.set_default_timeout(5_000)
    took = await page.evaluate(
        """async ([address, text]) => {
            const { showMarkdown } = await import(address);
            const began = performance.now();
            showMarkdown(document.createElement("div"), text);
            return performance.now() - began;
        }""",
        [f"{site}/assets/markdown.js", text * (100_000 // len(text))],
    )
    assert took < 3000


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_lines_are_whole_however_they_are_cut(page: Page, site: str, size: int) -> None:
    await page.goto(f"{site}/chat")
    sent = [json.dumps({"text": text}, ensure_ascii=False) for text in ("a", "žluťoučký 🐎", "line\u2028break")]
    body = list("".join(f"{line}\n" for line in sent).encode())
    assert await page.evaluate(LINES, [f"{site}/assets/service.js", body, size]) == sent


async def test_a_line_without_an_end_is_a_broken_one(page: Page, site: str) -> None:
    await page.goto(f"{site}/chat")
    read = await page.evaluate(LINES, [f"{site}/assets/service.js", list(b'{"a":1}\n{"b'), 4])
    assert read == ['{"a":1}', "! The connection broke in the middle of the answer."]
