"""The one client for the model's server: made at the first call, kept for as long as the worker lives."""

from collections.abc import Awaitable, Callable
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from openai import AsyncOpenAI

from chat.errors import retry_after_seconds
from chat.settings import Settings, get_settings
from chat.transport import AiohttpTransport

_LONGEST_RETRY_AFTER = 2.0
_CONNECT_SECONDS = 5.0
_KEEP_IDLE_SECONDS = 300.0


@cache
def get_client() -> AsyncOpenAI:
    """The client that all invocations of this worker share; raises `NotConfigured` where no model is."""
    settings = get_settings()
    if settings.azure_openai_endpoint:
        base_url = str(settings.azure_openai_endpoint).rstrip("/").removesuffix("/openai/v1") + "/openai/v1/"
        key = settings.azure_openai_api_key
        return _client(base_url, key.get_secret_value() if key else _token_provider(settings))
    key = settings.openai_api_key
    return _client(
        str(settings.openai_base_url) if settings.openai_base_url else "https://api.openai.com/v1",
        key.get_secret_value() if key else "none",  # the SDK wants one, and a server that needs none ignores it
    )


def _client(base_url: str, api_key: str | Callable[[], Awaitable[str]]) -> AsyncOpenAI:
    http_client = httpx2.AsyncClient(
        transport=AiohttpTransport(
            proxy=_proxy_for(base_url), connect_timeout=_CONNECT_SECONDS, keep_idle=_KEEP_IDLE_SECONDS
        ),
        event_hooks={"response": [_on_response]},
        # Compression would make the server hold back small chunks, and cost both sides more than it saves.
        headers={"Accept-Encoding": "identity"},
    )
    # How long a server may be silent is watched in `completion`, over the SDK's retries, and so not here.
    return AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=None, http_client=http_client)


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names, asked once: aiohttp would ask in a thread for every request."""
    at = urlsplit(url)
    return None if proxy_bypass(at.hostname or "") else getproxies().get(at.scheme)


async def _on_response(response: httpx2.Response) -> None:
    if not response.is_error:
        return
    # Read here, where a cancellation closes the connection: the SDK would leave it open.
    await response.aread()
    wait = retry_after_seconds(response.headers)
    if wait is not None and wait > _LONGEST_RETRY_AFTER:
        # The SDK would sleep for up to two minutes, on the caller's time and the operator's money.
        response.headers["x-should-retry"] = "false"


def _token_provider(settings: Settings) -> Callable[[], Awaitable[str]]:
    # Imported only here: a tenth of a second of every cold start that needs no token.
    from chat.credentials import TokenProvider, credential  # noqa: PLC0415

    return TokenProvider(credential(settings))
