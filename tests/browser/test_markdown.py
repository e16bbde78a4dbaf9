"""The chat page's Markdown, in the browser that shows it."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, Page

type Render = Callable[..., Awaitable[str]]

RENDER = """async (texts) => {
    const { Markdown } = await import(new URL("assets/markdown.js", location));
    const element = document.createElement("div");
    const markdown = new Markdown(element);
    for (const text of texts) markdown.append(text);
    markdown.end();
    return element.innerHTML;
}"""

LINK = '<a href="{0}" target="_blank" rel="noopener noreferrer nofollow">{1}</a>'

CASES = {
    "plain": "<p>plain</p>",
    "two\nlines": "<p>two<br>lines</p>",
    "two\r\nlines": "<p>two<br>lines</p>",
    "one\n\ntwo": "<p>one</p><p>two</p>",
    "1, 2, 3": "<p>1, 2, 3</p>",
    "# One\n## Two ##\n### C#\n# Four": "<h3>One</h3><h4>Two</h4><h5>C#</h5><h3>Four</h3>",
    "#hashtag": "<p>#hashtag</p>",
    "**strong** *em* __strong__ _em_ ~~gone~~": (
        "<p><strong>strong</strong> <em>em</em> <strong>strong</strong> <em>em</em> <del>gone</del></p>"
    ),
    "***both*** and **a *b***": "<p><strong><em>both</em></strong> and <strong>a <em>b</em></strong></p>",
    "*a **b** c* **重要：**文字": "<p><em>a <strong>b</strong> c</em> <strong>重要：</strong>文字</p>",
    "2 * 3 * 4, snake_case_name, 5*3": "<p>2 * 3 * 4, snake_case_name, 5*3</p>",
    "**open": "<p>**open</p>",
    "*a `b*` c*": "<p><em>a <code>b*</code> c</em></p>",
    r"\*plain\* \\ \`": r"<p>*plain* \ `</p>",
    "`a < b` and ``a ` b``": "<p><code>a &lt; b</code> and <code>a ` b</code></p>",
    "`open": "<p>`open</p>",
    "`**plain**`": "<p><code>**plain**</code></p>",
    "---": "<hr>",
    "text\n---": "<p>text</p><hr>",
    "- a\n- b": '<ul dir="ltr"><li><p>a</p></li><li><p>b</p></li></ul>',
    "* * *\n* a\n* * *": '<hr><ul dir="ltr"><li><p>a</p></li></ul><hr>',
    "3. a\n4. b": '<ol start="3" dir="ltr"><li><p>a</p></li><li><p>b</p></li></ol>',
    "- a\n  - b\n  - c\n- d": (
        '<ul dir="ltr"><li><p>a</p><ul dir="ltr"><li><p>b</p></li><li><p>c</p></li></ul></li><li><p>d</p></li></ul>'
    ),
    "1. a\n  - b\n\n   c\n2. d": (
        '<ol start="1" dir="ltr"><li><p>a</p><ul dir="ltr"><li><p>b</p></li></ul><p>c</p></li><li><p>d</p></li></ol>'
    ),
    "- a\n\n- b": '<ul dir="ltr"><li><p>a</p></li><li><p>b</p></li></ul>',
    "- a\nb\n\nc": '<ul dir="ltr"><li><p>a<br>b</p></li></ul><p>c</p>',
    "1. a\n- b": '<ol start="1" dir="ltr"><li><p>a</p></li></ol><ul dir="ltr"><li><p>b</p></li></ul>',
    "text\n- a": '<p>text</p><ul dir="ltr"><li><p>a</p></li></ul>',
    "- - a": '<ul dir="ltr"><li><ul dir="ltr"><li><p>a</p></li></ul></li></ul>',
    "- [ ] a\n- [x] *b*\n- [X]\n- [y] c": (
        '<ul dir="ltr"><li><input type="checkbox" disabled="" aria-label="To do"><p>a</p></li>'
        '<li><input type="checkbox" disabled="" checked="" aria-label="Done"><p><em>b</em></p></li>'
        '<li><input type="checkbox" disabled="" checked="" aria-label="Done"></li><li><p>[y] c</p></li></ul>'
    ),
    "1. [x] שלום\n\n[x] a": (
        '<ol start="1" dir="rtl"><li><input type="checkbox" disabled="" checked="" aria-label="Done">'
        "<p>שלום</p></li></ol><p>[x] a</p>"
    ),
    "-\n  a": '<ul dir=""><li><p>a</p></li></ul>',
    "It was\n1984. A year.": "<p>It was<br>1984. A year.</p>",
    "> a\n> b\n\nc": '<blockquote dir="ltr"><p>a<br>b</p></blockquote><p>c</p>',
    "> a\n>\n> - b\n\n- > c": (
        '<blockquote dir="ltr"><p>a</p><ul dir="ltr"><li><p>b</p></li></ul></blockquote>'
        '<ul dir="ltr"><li><blockquote dir="ltr"><p>c</p></blockquote></li></ul>'
    ),
    "- שלום": '<ul dir="rtl"><li><p>שלום</p></li></ul>',
    "[a **b**](https://a.test/x_(y))": f"<p>{LINK.format('https://a.test/x_(y)', 'a <strong>b</strong>')}</p>",
    '[a](https://a.test "title")': f"<p>{LINK.format('https://a.test', 'a')}</p>",
    "[a](<https://a.test/b c>)": f"<p>{LINK.format('https://a.test/b c', 'a')}</p>",
    "[https://b.test](https://a.test)": f"<p>{LINK.format('https://a.test', 'https://b.test')}</p>",
    "[[a](https://b.test)](https://a.test)": f"<p>{LINK.format('https://a.test', 'a')}</p>",
    "[](https://a.test)": f"<p>{LINK.format('https://a.test', 'https://a.test')}</p>",
    "[a](/relative) [b](ftp://a.test)": "<p>[a](/relative) [b](ftp://a.test)</p>",
    "see https://a.test/x_y_z.": f"<p>see {LINK.format('https://a.test/x_y_z', 'https://a.test/x_y_z')}.</p>",
    "**https://a.test**": f"<p><strong>{LINK.format('https://a.test', 'https://a.test')}</strong></p>",
    "(https://a.test) <mailto:a@b.test>": (
        f"<p>({LINK.format('https://a.test', 'https://a.test')}) {LINK.format('mailto:a@b.test', 'mailto:a@b.test')}</p>"
    ),
    "![a cat](https://a.test/cat.png)": f"<p>{LINK.format('https://a.test/cat.png', 'a cat')}</p>",
    "<b>bold</b> &amp;": "<p>&lt;b&gt;bold&lt;/b&gt; &amp;amp;</p>",
    r"So \(a_1 * b_1 * c\) and \[x\].": (
        r'<p>So <span class="math">\(a_1 * b_1 * c\)</span> and <span class="math">\[x\]</span>.</p>'
    ),
    "$$\n- \\frac{1}{2} *x* \\\\\n+ y\n$$\n- item": (
        '<p><span class="math">$$\n- \\frac{1}{2} *x* \\\\\n+ y\n$$</span></p><ul dir="ltr"><li><p>item</p></li></ul>'
    ),
    "The sum:\n\\[\n# x\n> y\n\\]": '<p>The sum:<br><span class="math">\\[\n# x\n&gt; y\n\\]</span></p>',
    "\\[ open\n\n- item": '<p>[ open</p><ul dir="ltr"><li><p>item</p></li></ul>',
    "`$$` is the process\n- item": '<p><code>$$</code> is the process</p><ul dir="ltr"><li><p>item</p></li></ul>',
    "It costs $5 or *$6*.": "<p>It costs $5 or <em>$6</em>.</p>",
    r"So $\frac{a}{b}\,dx$ and $a_1*b*c_2$.": (
        r'<p>So <span class="math">$\frac{a}{b}\,dx$</span> and <span class="math">$a_1*b*c_2$</span>.</p>'
    ),
    "*$5*-$10, $ x$, $x $, $x\ny$": "<p><em>$5</em>-$10, $ x$, $x $, $x<br>y$</p>",
    "a<br>b<BR/>c<br />d <break>": "<p>a<br>b<br>c<br>d &lt;break&gt;</p>",
    "(https://a.test/b_(c)), (https://a.test/d).": (
        f"<p>({LINK.format('https://a.test/b_(c)', 'https://a.test/b_(c)')}), "
        f"({LINK.format('https://a.test/d', 'https://a.test/d')}).</p>"
    ),
}


@pytest.fixture(scope="module")
async def chat_page(browser: Browser, local_site: str) -> AsyncGenerator[Page]:
    """The chat page, which these tests do not change."""
    page = await browser.new_page(base_url=f"{local_site}/")
    await page.goto("chat")
    yield page
    await page.close()


@pytest.fixture
def render(chat_page: Page) -> Render:
    """Shows the texts, one appended to the other, and returns the HTML."""

    async def render(*texts: str) -> str:
        html: str = await chat_page.evaluate(RENDER, texts)
        return html

    return render


@pytest.mark.parametrize(("text", "html"), CASES.items())
async def test_markdown_becomes_elements(render: Render, text: str, html: str) -> None:
    assert await render(text) == html
    assert await render(*text) == html


async def test_code_extends_to_its_fence(render: Render) -> None:
    for text in ("~~~py\n# no *title*\n\n```\n~~~\nafter", "~~~py\n# no *title*\n\n```"):
        html = await render(text)
        assert '<pre tabindex="0" role="group" aria-label="Code, py"><code># no *title*\n\n```</code></pre>' in html
        assert ("<p>after</p>" in html) == ("after" in text)


async def test_code_in_a_list_item_loses_the_indentation_of_the_item(render: Render) -> None:
    for text in ("1. a\n   ```\n   b\n     c\n\td\n   ```\n2. e", "1. a\n   ```\nb\n     c\n\td\n```\n2. e"):
        html = await render(text)
        assert "<code>b\n  c\nd</code>" in html
        assert html.endswith("</li><li><p>e</p></li></ol>")


TABLE = "| a | b |\n| :-: | --: |\n| 1 \\| 2 |\n| `x` | y | z |\nafter"


@pytest.mark.parametrize("before", ["", "before\n"])
async def test_a_table_has_a_head_and_no_more_cells_than_it(render: Render, before: str) -> None:
    html = await render(before + TABLE)
    assert html == (
        f"{before and '<p>before</p>'}"
        '<div class="table" tabindex="0" role="group" aria-label="Table" dir="ltr"><table>'
        '<thead><tr><th class="center">a</th><th class="right">b</th></tr></thead>'
        '<tbody><tr><td class="center">1 | 2</td></tr>'
        '<tr><td class="center"><code>x</code></td><td class="right">y</td></tr></tbody></table></div><p>after</p>'
    )


async def test_lines_with_bars_are_not_a_table_without_a_rule_of_as_many_cells(render: Render) -> None:
    assert await render("a | b\n---") == "<p>a | b</p><hr>"
    assert await render("a | b\n-|-|-") == "<p>a | b<br>-|-|-</p>"


FRAGMENTS = [
    *(
        "*",
        "**",
        "_",
        "__",
        "~~",
        "`",
        "``",
        "```",
        "[",
        "](",
        "](http://a.test/c",
        ")",
        "!",
        "\\",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
    ),
    *(
        "$",
        "$x$",
        "$$",
        "<br>",
        "\n",
        "\n\n",
        "\n- ",
        "\n- [ ] ",
        "[x] ",
        "\n1. ",
        "\n2. ",
        "  ",
        "\n  - ",
        "\n    ",
        "> ",
        "\n> ",
        "| a | b |\n|---|---|\n",
        "|",
        "#",
    ),
    *("\n# ", "\n---\n", "word", "two words ", "1 2 3", "é", "שלום", "🎉", "http://a.test/c_d.", "<b>", "\r\n", "\t", "x_y"),
    *("\n```py\n", "\n```\n", "\n~~~\n", "long " * 50, "q" * 300),
]


@pytest.mark.parametrize("seed", range(40))
async def test_text_that_arrives_in_pieces_is_shown_as_the_complete_text_is(render: Render, seed: int) -> None:
    chance = random.Random(seed)
    fragments = chance.sample(FRAGMENTS, chance.randint(3, len(FRAGMENTS)))
    text = "".join(chance.choices(fragments, k=chance.choice([30, 300, 3000])))[:60_000]
    pieces = []
    while text:
        size = chance.choice([1, 2, 7, 50, 1000])
        pieces.append(text[:size])
        text = text[size:]
    assert await render(*pieces) == await render("".join(pieces))


HOSTILE = [
    *(
        "*a ",
        "**a",
        "_a_ ",
        "*a b** ",
        "***a",
        "~~a",
        "`",
        "``` ",
        "```a`",
        "`a``",
        "[",
        "![",
        "[a](",
        "[a](<",
        "[[a](http://b)](http://c)",
    ),
    *(
        "[a](http://b [",
        "[a](http://b(((",
        '[a](b "',
        "https://",
        "http://[",
        "http://....",
        "<http://",
        "\\",
        "\\[",
        "\\(",
        "$",
        "$a",
        "$a ",
        "$\\",
        "$$",
        "<br",
        "\n",
    ),
    *(
        "\t",
        " -",
        "- ",
        "> ",
        "- a\n\n\n\n",
        "- [x] ",
        "- a\n",
        "1. a\n",
        "> a\n>\n",
        "# a\n",
        "|",
        "|-",
        "a|b\n-|-\n",
        "| a |\n|---|\n",
        "~~~\na\n~~~\n",
    ),
    *("a\n\n", "        x\n", "-" * 999 + "a\n", " " * 999 + "`\n", "`" * 3 + " " * 990 + "`\n", "~" * 990 + "`\n", "x"),
]
TIME = """async (text) => {
    const { Markdown } = await import(new URL("assets/markdown.js", location));
    const time = () => {
        const began = performance.now();
        const markdown = new Markdown(document.createElement("div"));
        markdown.append(text);
        markdown.end();
        return performance.now() - began;
    };
    return Math.min(time(), time());
}"""


async def test_a_list_item_with_blank_lines_takes_linear_time(chat_page: Page) -> None:
    assert await chat_page.evaluate(TIME, f"- a{'\n' * 200_000}  b") < 1000


@pytest.mark.parametrize("start", ["", "- a", "| a |\n|---|\n", "```\n"], ids=["text", "list", "table", "code"])
async def test_time_is_linear_in_the_length(chat_page: Page, start: str) -> None:
    slow = {}
    for text in HOSTILE:
        for _ in range(3):  # the machine may be busy with something else
            short, long = [await chat_page.evaluate(TIME, start + text * (size // len(text))) for size in (15_000, 120_000)]
            if long <= 8 * 2.5 * short + 50:
                break
        else:
            slow[text] = (short, long)
    assert slow == {}
