"""Takes the README's pictures of the chat page: python -m tests.browser.screenshots."""

import asyncio
import sys

from playwright.async_api import Browser, ViewportSize, expect

from local.settings import APP_DIR
from tests.browser.stack import chromium, find_chromium, local_stack
from tests.browser.stand_in import StandIn

_QUESTION = "How do I read the stream in Python?"
_ANSWER = """\
Each line is a **chunk** of its own, so read line by line:

```python
body = {"messages": [{"content": "Hello"}]}
with requests.post(url, json=body, stream=True) as answer:
    for line in answer.iter_lines():
        chunk = json.loads(line)
        for choice in chunk["choices"]:
            print(choice["delta"].get("content") or "", end="")
```

Two things to know:

- `choices` can be empty: the last chunk tells the *usage*.
- If something fails on the way, the last line has a key `error`.
"""

_WIDE: ViewportSize = {"width": 1000, "height": 700}
_NARROW: ViewportSize = {"width": 390, "height": 760}


async def main() -> None:
    """Writes the pictures to docs/."""
    path = find_chromium()
    if not path:
        sys.exit("There is no Chromium on this machine: apt-get install chromium")
    stand_in = StandIn()
    await stand_in.start()
    stand_in.streams(_ANSWER)
    async with local_stack(OPENAI_BASE_URL=stand_in.base_url) as site, chromium(path) as browser:
        await _take(browser, site, "chat-light", _WIDE)
        await _take(browser, site, "chat-dark", _WIDE, dark=True)
        await _take(browser, site, "chat-phone", _NARROW, scale=2)
    await stand_in.stop()


async def _take(
    browser: Browser, site: str, name: str, viewport: ViewportSize, *, dark: bool = False, scale: float = 1
) -> None:
    page = await browser.new_page(
        viewport=viewport, color_scheme="dark" if dark else "light", device_scale_factor=scale, reduced_motion="reduce"
    )
    await page.goto(f"{site}/chat")
    await page.get_by_label("Your message").fill(_QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await page.screenshot(path=APP_DIR / "docs" / f"{name}.png")
    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
