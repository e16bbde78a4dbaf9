"""The local stack in a separate process, and a browser, for the tests and the screenshots."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from playwright.async_api import Browser, async_playwright

from local.settings import APP_DIR, MODEL_SETTINGS
from testing.ports import free_port

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@asynccontextmanager
async def local_stack(*options: str, **settings: str) -> AsyncGenerator[str]:
    """`make run` with these options and settings; yields the base address of its functions."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {name: value for name, value in os.environ.items() if name not in MODEL_SETTINGS}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", "--port", str(port), *options),
        cwd=APP_DIR,
        env=environment | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    output = asyncio.create_task(process.stdout.read())  # a full pipe would block the process
    try:
        async with asyncio.timeout(30):
            while not await _serves(url):
                if output.done():
                    raise RuntimeError(f"the local stack ended before it served:\n{output.result().decode()}")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await output


async def _serves(url: str) -> bool:
    """Whether there is a response at an address; waits a little before it returns False."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/openapi.json") as response:
            return response.ok
    except aiohttp.ClientConnectionError:
        await asyncio.sleep(0.05)
        return False


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """A headless browser: the machine's, or Playwright's own."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        await browser.close()
