"""Whether a model server is ready."""

import asyncio
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

_CONNECT_SECONDS = 2
_POLL_SECONDS = 0.02


async def can_connect(url: str) -> bool:
    """Whether a TCP connection to the URL's server, or to the proxy for it, can be made within two seconds."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    if proxy:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    except (OSError, ValueError):  # an invalid port, too
        return False
    writer.close()
    return True


async def loaded(url: str) -> None:
    """Waits until llama.cpp's server at the URL has loaded its model."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url.removesuffix('/v1')}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(_POLL_SECONDS)
