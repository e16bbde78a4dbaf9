"""The axe accessibility checker."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page


async def check(page: Page, state: str) -> None:
    """Fails if axe finds something on the page as it is now."""
    results = await Axe().run(page)
    assert results.violations_count == 0, f"{state}: {results.generate_report()}"
