"""Takes the README's pictures of the chat page: python -m tests.browser.screenshots."""

import asyncio
from typing import Literal

from playwright.async_api import Browser

from local.settings import APP_DIR
from testing.behaviours import streams
from testing.chat_completions import USAGE, chunk, text_chunks
from testing.model_server import ModelServer
from tests.browser.chat_page import completed, send
from tests.browser.stack import chromium, local_stack

_QUESTION = "How do I read the stream in Python?"
_RESPONSE = """\
Each line is a **chunk** of its own, so read line by line:

```python
body = {"messages": [{"content": "Hello"}]}
with httpx.stream("POST", url, json=body) as response:
    for line in response.iter_lines():
        for choice in json.loads(line)["choices"]:
            print(choice["delta"].get("content") or "", end="")
```

Two things to know:

- `choices` can be empty: the last chunk has the *usage*.
- After an error the last line has a key `error`.
"""


async def main() -> None:
    """Writes the pictures to docs/."""
    model_server = await ModelServer.start()
    usage = chunk(choices=[], usage=USAGE | {"completion_tokens": 129})
    model_server.respond_with(streams([*text_chunks(_RESPONSE), usage]))
    async with local_stack(OPENAI_BASE_URL=f"{model_server.url}/v1") as site, chromium() as browser:
        await _take(browser, site, "light")
        await _take(browser, site, "dark")
    await model_server.stop()


async def _take(browser: Browser, site: str, scheme: Literal["light", "dark"]) -> None:
    page = await browser.new_page(
        viewport={"width": 1000, "height": 700},
        color_scheme=scheme,
        device_scale_factor=1.4,  # the README shows it 700 wide, on screens with two pixels to one
        reduced_motion="reduce",
    )
    await page.goto(f"{site}/chat")
    await send(page, _QUESTION)
    await completed(page)
    await page.screenshot(path=APP_DIR / "docs" / f"chat-{scheme}.png")
    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
