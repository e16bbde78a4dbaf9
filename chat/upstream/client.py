"""The client for the model server: made at the first call, shared by all invocations of this worker."""

from collections.abc import Awaitable, Callable
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from openai import AsyncOpenAI

from chat.settings import Settings, get_settings
from chat.upstream.errors import retry_after
from chat.upstream.transport import AiohttpTransport

_MAX_RETRY_WAIT_SECONDS = 2
_CONNECT_SECONDS = 5.0
_TOKEN_SECONDS = 20.0

# Less than the 4 minutes after which Azure forgets an idle outbound connection.
_KEEP_ALIVE_SECONDS = 210.0


@cache
def get_client() -> AsyncOpenAI:
    """The client; raises `ConfigurationError` if no model is configured."""
    settings = get_settings()
    if settings.azure_openai_endpoint:
        base_url = str(settings.azure_openai_endpoint).rstrip("/").removesuffix("/openai/v1") + "/openai/v1/"
        key = settings.azure_openai_api_key
        return _client(base_url, key.get_secret_value() if key else _token_provider(settings))
    key = settings.openai_api_key
    return _client(
        str(settings.openai_base_url) if settings.openai_base_url else "https://api.openai.com/v1",
        key.get_secret_value() if key else "none",  # the SDK requires one; a server that needs none ignores it
    )


def _client(base_url: str, api_key: str | Callable[[], Awaitable[str]]) -> AsyncOpenAI:
    http_client = httpx2.AsyncClient(
        transport=AiohttpTransport(
            proxy=_proxy_for(base_url), connect_timeout=_CONNECT_SECONDS, keep_alive=_KEEP_ALIVE_SECONDS
        ),
        event_hooks={"response": [_limit_retry_after]},
        # Compression would make the server hold back small chunks, and costs both sides more than it saves.
        headers={"Accept-Encoding": "identity"},
    )
    # The idle timeout of a request spans the SDK's retries: see `idle_timeout`.
    return AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=None, http_client=http_client)


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names, looked up once: aiohttp would do so in a thread for every request."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


async def _limit_retry_after(response: httpx2.Response) -> None:
    """Keeps the SDK from sleeping for up to two minutes, in which the client waits and the instance is billed."""
    wait = retry_after(response.headers)
    if wait is not None and wait > _MAX_RETRY_WAIT_SECONDS:
        response.headers["x-should-retry"] = "false"


def _token_provider(settings: Settings) -> Callable[[], Awaitable[str]]:
    # Imported only here: a tenth of a second of every cold start that needs no token.
    from chat.upstream.credentials import TokenProvider, make_credential  # noqa: PLC0415

    return TokenProvider(make_credential(settings), timeout=min(_TOKEN_SECONDS, settings.chat_timeout / 2))
