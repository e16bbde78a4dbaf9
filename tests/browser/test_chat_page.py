"""The chat page, as a person with a browser meets it."""

import asyncio
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.browser.stand_in import StandIn

ATTACKS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1>",
    "<iframe srcdoc='<script>parent.pwned = 1</script>'></iframe>",
    "[click](javascript:window.pwned=1)",
    "[click](JaVaScRiPt:window.pwned=1)",
    "[click](java\tscript:window.pwned=1)",
    "[click](&#106;avascript:window.pwned=1)",
    "[click](data:text/html,<script>opener.pwned=1</script>)",
    "[click](vbscript:window.pwned=1)",
    "![x](javascript:window.pwned=1)",
    '![x](https://example.test/x.png" onerror="window.pwned=1)',
    '[x](https://example.test/"onmouseover="window.pwned=1)',
    "<javascript:window.pwned=1>",
    "`<img src=x onerror=window.pwned=1>`",
    '```"><script>window.pwned=1</script>\n</code></pre><script>window.pwned = 1</script>\n```',
    "# <a href='javascript:window.pwned=1'>x</a>",
    "| <img src=x onerror=window.pwned=1> |\n| --- |\n| <script>window.pwned=1</script> |",
    "**<b onclick=window.pwned=1>x</b>**",
    "<style>body { display: none }</style>",
    "<form action=https://example.test><button>x</button></form>",
    "<base href=https://example.test/>",
    "<meta http-equiv=refresh content='0;url=https://example.test'>",
]


TAGS = {
    *("article", "h2", "h3", "div", "span", "p", "br", "strong", "a", "button"),
    *("code", "pre", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"class", "type", "tabindex", "role", "aria-label", "href", "target", "rel", "dir"}


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Your message").fill(text)
    await page.keyboard.press("Enter")


def answers(page: Page) -> Locator:
    return page.locator("article.assistant .content")


async def answered(page: Page) -> None:
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_real_model_answers(page: Page, real_site: str) -> None:
    await page.goto(f"{real_site}/chat")
    await say(page, "What is the capital of France?")
    await expect(answers(page)).to_contain_text("Paris", timeout=30_000)
    await answered(page)
    await expect(page.locator(".note")).to_have_count(0)


async def test_the_answer_shows_as_it_arrives(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.waits_after("One, ", "two", then=", three.")
    await page.goto(f"{site}/chat")
    await say(page, "Count.")
    await expect(answers(page)).to_have_text("One, two")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    stand_in.go_on.set()
    await expect(answers(page)).to_have_text("One, two, three.")
    await answered(page)


@pytest.mark.parametrize("way", ["button", "escape"])
async def test_stop_stops_the_model(page: Page, site: str, stand_in: StandIn, way: str) -> None:
    stand_in.waits_after("A long ", "story")
    await page.goto(f"{site}/chat")
    await say(page, "Tell a story.")
    await expect(answers(page)).to_have_text("A long story")
    if way == "button":
        await page.get_by_role("button", name="Stop").click()
    else:
        await page.keyboard.press("Escape")
    await expect(page.locator(".note")).to_contain_text("Stopped.")
    await asyncio.wait_for(stand_in.left.wait(), 5)
    await expect(answers(page)).to_have_text("A long story")
    await expect(page.get_by_label("Your message")).to_be_focused()


async def test_stop_works_before_the_first_word(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.waits_after()
    await page.goto(f"{site}/chat")
    await say(page, "Think hard.")
    await expect(page.get_by_role("status")).to_have_text("Answering …")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".note")).to_contain_text("Stopped.")
    await expect(answers(page)).to_be_empty()
    stand_in.streams("There.")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_text("There.")


async def test_the_conversation_outlives_a_reload_and_is_sent_whole(page: Page, site: str, stand_in: StandIn) -> None:
    await page.goto(f"{site}/chat")
    await say(page, "First")
    await answered(page)
    await page.reload()
    await expect(answers(page)).to_have_text("First")
    await say(page, "Second")
    await expect(answers(page)).to_have_text(["First", "Second"])
    assert [message["content"] for message in stand_in.asked[-1]["messages"]][1:] == ["First", "First", "Second"]
    assert [message["role"] for message in stand_in.asked[-1]["messages"]][1:] == ["user", "assistant", "user"]


async def test_a_reload_in_the_middle_keeps_what_had_come(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.waits_after("Half an ")
    await page.goto(f"{site}/chat")
    await say(page, "Go on.")
    await expect(answers(page)).to_have_text("Half an")
    await page.reload()
    await expect(answers(page)).to_have_text("Half an")
    await expect(page.locator(".note")).to_contain_text("The page was left before the answer was complete.")
    await asyncio.wait_for(stand_in.left.wait(), 5)
    stand_in.streams("A whole answer.")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_text("A whole answer.")


async def test_a_new_chat_forgets(page: Page, site: str, stand_in: StandIn) -> None:
    await page.goto(f"{site}/chat")
    await say(page, "Remember me.")
    await answered(page)
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator("article")).to_have_count(0)
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await page.reload()
    await expect(page.locator("article")).to_have_count(0)
    await say(page, "Hello")
    await answered(page)
    assert len(stand_in.asked[-1]["messages"]) == 2


async def test_a_new_chat_stops_the_answer_under_way(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.waits_after("Once")
    await page.goto(f"{site}/chat")
    await say(page, "Tell a story.")
    await expect(answers(page)).to_have_text("Once")
    await page.get_by_role("button", name="New chat").click()
    await asyncio.wait_for(stand_in.left.wait(), 5)
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await page.reload()
    await expect(page.locator("article")).to_have_count(0)


async def test_shift_enter_breaks_the_line(page: Page, site: str, stand_in: StandIn) -> None:
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").press_sequentially("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator("article.user .content")).to_have_text("one\ntwo", use_inner_text=True)
    await answered(page)
    assert stand_in.asked[-1]["messages"][-1]["content"] == "one\ntwo"


REFUSALS: list[tuple[int, str | None, str]] = [
    (400, None, "A word of the model's server."),
    (401, None, "The model's server refused this service."),
    (429, "12", "The model is out of quota for now. It asks to wait for 12 seconds."),
    (503, "30", "The model's server is busy. It asks to wait for 30 seconds."),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_an_error_is_a_sentence_and_a_way_to_try_again(
    page: Page, site: str, stand_in: StandIn, refusal: tuple[int, str | None, str]
) -> None:
    status, retry_after, sentence = refusal
    stand_in.refuses(status, "A word of the model's server", retry_after)
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    await expect(page.get_by_role("alert").locator("p")).to_have_text(sentence)
    stand_in.streams("Here I am.")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_text("Here I am.")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_an_error_in_the_stream_keeps_what_came_before(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.breaks_after("So far, ", "so good")
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text("The model's server failed.")
    await expect(answers(page)).to_have_text("So far, so good")
    await page.reload()
    await expect(page.locator(".failed")).to_contain_text("The model's server failed.")
    stand_in.streams("Better.")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_text("Better.")
    assert [message["content"] for message in stand_in.asked[-1]["messages"]][1:] == ["Hello"]


async def test_a_limit_is_told(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.streams("A long", finish="length")
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    await expect(page.locator(".note")).to_contain_text("The answer reached its length limit.")


EVERYTHING = """\
# A title

- a [link](https://example.test) and `code`

> a quote

```sh
ls
```

| a | b |
|---|---|
| 1 | `2` |
"""
ASSETS = ["chat.css", "chat.js", "markdown.js", "service.js", "icon.svg"]
LINE = '{"choices":[{"delta":{"content":"Hi"}}]}'


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        ({"status": 503, "body": "<h1>Service Unavailable</h1>"}, "The service answered with status 503."),
        ({"body": f"{LINE}\n{LINE[:20]}"}, "The connection broke in the middle of the answer."),
        ({"body": f"{LINE}\nnonsense\n"}, "The service sent something that makes no sense."),
        (None, "The service can't be reached."),
    ],
)
async def test_what_goes_wrong_between_page_and_service_is_told(
    page: Page, site: str, response: dict[str, Any] | None, sentence: str
) -> None:
    async def answer(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
        elif response is None:
            await route.abort()
        else:
            await route.fulfill(**response)

    await page.route("**/api/chat", answer)
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text(sentence)
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def want_key(page: Page) -> None:
    """Has Azure's part played: a caller without the key gets 401, with no body."""

    async def check(route: Route) -> None:
        if route.request.method == "POST" and route.request.headers.get("x-functions-key") != "right":
            await route.fulfill(status=401)
        else:
            await route.continue_()

    await page.route("**/api/chat*", check)


async def test_the_key_is_asked_for_kept_and_forgotten(page: Page, site: str, stand_in: StandIn) -> None:
    await want_key(page)
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    dialog = page.get_by_role("dialog", name="Function key")
    await expect(dialog).to_contain_text("The service wants a function key.")
    await dialog.get_by_label("Key", exact=True).fill("wrong")
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("The service refused the function key.")
    await dialog.get_by_label("Key", exact=True).fill("right")
    await dialog.get_by_role("button", name="Use this key").click()
    await expect(answers(page)).to_have_text("Hello")
    assert len(stand_in.asked) == 1

    await page.reload()
    await say(page, "Again")
    await expect(answers(page)).to_have_text(["Hello", "Again"])
    await page.get_by_role("button", name="Function key").click()
    await dialog.get_by_role("button", name="Forget it").click()
    await expect(page.get_by_role("button", name="Function key")).to_be_hidden()
    await say(page, "And now?")
    await expect(dialog).to_contain_text("The service wants a function key.")


async def test_a_key_in_the_address_is_taken_out_of_it(page: Page, site: str) -> None:
    await want_key(page)
    await page.goto(f"{site}/chat?code=right&theme=plain")
    await expect(page).to_have_url(f"{site}/chat?theme=plain")
    await say(page, "Hello")
    await expect(answers(page)).to_have_text("Hello")


async def test_nothing_that_a_model_writes_becomes_script(page: Page, site: str, stand_in: StandIn) -> None:
    text = "\n\n".join(ATTACKS)
    stand_in.streams(*(text[i : i + 7] for i in range(0, len(text), 7)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{site}/chat")
    await say(page, ATTACKS[0] + ATTACKS[1])
    await answered(page)
    await expect(answers(page)).to_contain_text("<script>window.pwned = 1</script>")
    for anchor in await page.locator("#messages a").all():
        assert await anchor.get_attribute("rel") == "noopener noreferrer nofollow"
    found = await page.evaluate(
        """() => {
            const nodes = [...document.querySelectorAll("#messages *")];
            return {
                tags: nodes.map((node) => node.tagName.toLowerCase()),
                attributes: nodes.flatMap((node) => node.getAttributeNames()),
                protocols: [...document.querySelectorAll("#messages a")].map((node) => node.protocol),
            };
        }"""
    )
    assert set(found["tags"]) <= TAGS
    assert set(found["attributes"]) <= ATTRIBUTES
    assert set(found["protocols"]) <= {"https:"}
    assert await page.evaluate("typeof window.pwned") == "undefined"
    assert all(url.startswith(site) for url in asked)


async def test_an_error_is_no_markup(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.refuses(400, ATTACKS[1])
    await page.goto(f"{site}/chat")
    await say(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text("<img src=x")
    await expect(page.locator("#messages img")).to_have_count(0)


async def test_code_is_copied(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.streams("Run this:\n\n```sh\nmake run\n```\n")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{site}/chat")
    await say(page, "How do I run it?")
    await answered(page)
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "make run"


async def test_a_screen_reader_hears_the_answer_once(page: Page, site: str, stand_in: StandIn) -> None:
    stand_in.waits_after("One, ", "two", then=", three.")
    await page.goto(f"{site}/chat")
    await say(page, "Count.")
    await expect(answers(page)).to_have_text("One, two")
    await expect(page.get_by_role("status")).to_have_text("Answering …")
    stand_in.go_on.set()
    await expect(page.get_by_role("status")).to_have_text("One, two, three.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browser: Browser, site: str, stand_in: StandIn, scheme: Literal["light", "dark"]) -> None:
    page = await browser.new_page(color_scheme=scheme)
    await page.goto(f"{site}/chat")
    await _axe(page, "empty")
    stand_in.streams(EVERYTHING)
    await say(page, "Show me all.")
    await answered(page)
    await _axe(page, "a conversation")
    stand_in.breaks_after("So far")
    await say(page, "More")
    await expect(page.get_by_role("alert")).to_be_visible()
    await _axe(page, "an error")
    await want_key(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await _axe(page, "the key's dialog")
    await page.close()


async def _axe(page: Page, state: str) -> None:
    results = await Axe().run(page)
    assert results.violations_count == 0, f"{state}: {results.generate_report()}"


async def test_a_phone_needs_no_sideways_scrolling(page: Page, site: str, stand_in: StandIn) -> None:
    await page.set_viewport_size({"width": 320, "height": 600})
    stand_in.streams(f"{'long' * 50}\n\n```\n{'wide ' * 50}\n```\n\n| a | b |\n|---|---|\n| {'wide' * 9} | {'wide' * 9} |\n")
    await page.goto(f"{site}/chat")
    await say(page, "unbroken" * 20)
    await answered(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == 320
    await expect(page.get_by_label("Your message")).to_be_in_viewport()


async def test_the_page_is_small(page: Page, site: str) -> None:
    sizes: dict[str, int] = {}
    await page.goto(f"{site}/chat", wait_until="networkidle")
    for entry in await page.evaluate(
        "performance.getEntries().filter((e) => e.encodedBodySize).map((e) => [e.name, e.encodedBodySize])"
    ):
        sizes[entry[0].removeprefix(f"{site}/")] = entry[1]
    assert set(sizes) <= {"chat"} | {f"assets/{name}" for name in ASSETS}
    assert sum(sizes.values()) < 16_000, sizes
