"""Takes the README's pictures of the chat page: `make pictures`."""

import asyncio
from typing import Literal

from playwright.async_api import Browser

from local.settings import APP_DIR
from testing.chat_completions import DONE, USAGE, chunk, event, text_chunks
from testing.model_server import Exchange, ModelServer
from tests.browser.chat_page import completed, send
from tests.browser.stack import chromium, local_stack

_TOKENS_PER_SECOND = 80
_CHARACTERS_PER_TOKEN = 4
_QUESTIONS = {
    "Does a sourdough starter go in the fridge?": """\
Yes, if you bake once a week or less: the cold slows the yeast down. Feed it, wait an hour, then put it in.
""",
    "And the night before I bake?": """\
Take it out about **12 hours** before you mix the dough:

| When | What | Flour | Water |
| --- | --- | ---: | ---: |
| 20:00 | Keep 20 g of the starter and feed it | 60 g | 60 g |
| 08:00 | Mix the dough with 100 g of it | 500 g | 350 g |

It is ready when it has

- [x] doubled in size
- [x] bubbles on top, and a mild, sour smell
- [ ] passed the test: a spoonful *floats* in water
""",
}


async def main() -> None:
    """Writes the pictures to docs/."""
    model_server = await ModelServer.start()
    model_server.respond_with(_responds_like_a_model)
    async with local_stack(OPENAI_BASE_URL=f"{model_server.url}/v1") as site, chromium() as browser:
        await _take(browser, site, "light")
        await _take(browser, site, "dark")
    await model_server.stop()


async def _responds_like_a_model(exchange: Exchange) -> None:
    """Streams the response to the last question at the speed of a hosted model, so that the page shows plausible figures."""
    text = _QUESTIONS[exchange.request.json["messages"][-1]["content"]]
    tokens = [text[at : at + _CHARACTERS_PER_TOKEN] for at in range(0, len(text), _CHARACTERS_PER_TOKEN)]
    usage = chunk(choices=[], usage=USAGE | {"completion_tokens": len(tokens)})
    await exchange.begin()
    for value in [*text_chunks(*tokens), usage]:
        await exchange.chunk(event(value))
        await asyncio.sleep(1 / _TOKENS_PER_SECOND)
    await exchange.chunk(DONE)
    await exchange.end()


async def _take(browser: Browser, site: str, scheme: Literal["light", "dark"]) -> None:
    page = await browser.new_page(
        viewport={"width": 1000, "height": 860},
        color_scheme=scheme,
        device_scale_factor=1.4,  # the README shows it 700 wide, on screens with two pixels to one
        reduced_motion="reduce",
    )
    await page.goto(f"{site}/chat")
    for question in _QUESTIONS:
        await send(page, question)
        await completed(page)
    await page.screenshot(path=APP_DIR / "docs" / f"chat-{scheme}.png")
    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
