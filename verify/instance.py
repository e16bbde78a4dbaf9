"""The instance that is checked, as a client sees it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2
from openai import AsyncOpenAI

QUESTION = "What is the capital of Japan?"
LONG_QUESTION = "Write a long story about a lighthouse keeper, with many details."

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_TIMEOUT = httpx2.Timeout(120, connect=60)


class CheckFailed(Exception):
    """The instance does not do what the contract says; the message has what was received instead."""


class CheckSkipped(Exception):
    """This cannot be checked here; the message has the reason."""


def expect(condition: object, reason: str) -> None:
    """Raises `CheckFailed` with this reason unless the condition holds."""
    if not condition:
        raise CheckFailed(reason)


@dataclass
class Stream:
    """What a streamed response was, with the times in seconds since the request was sent."""

    status: int
    headers: httpx2.Headers
    first: float = 0.0
    last: float = 0.0
    reads: int = 0
    body: bytes = b""
    gaps: list[float] = field(default_factory=list)

    @property
    def lines(self) -> list[Any]:
        """The lines of NDJSON."""
        return [json.loads(line) for line in self.body.splitlines()]


class Instance:
    """An instance at `url`, without a path. `key` is its function key, `api_key` one of its `CHAT_API_KEYS`.

    A URL without a scheme is HTTP on this machine, and HTTPS elsewhere.
    """

    def __init__(self, url: str, key: str = "", api_key: str = "") -> None:
        parts = urlsplit(url if "://" in url else f"//{url}")
        scheme = parts.scheme or ("http" if parts.hostname in _THIS_MACHINE else "https")
        self.url = f"{scheme}://{parts.netloc}"
        self.key = key
        self.api_key = api_key
        self.http = httpx2.AsyncClient(base_url=f"{self.url}/api/", timeout=_TIMEOUT)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {"x-functions-key": self.key} if self.key else {}

    @property
    def openai(self) -> AsyncOpenAI:
        """OpenAI's own client for the v1 routes."""
        return AsyncOpenAI(
            base_url=f"{self.url}/api/v1",
            api_key=self.api_key or "none",
            default_headers=self.headers,
            max_retries=0,
        )

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Gets a path below `/api`."""
        return await self.http.get(path, headers=headers)

    async def post(self, path: str, body: object, **options: Any) -> httpx2.Response:
        """Posts JSON, or bytes as they are, with the function key."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | self.headers | options.pop("headers", {})
        return await self.http.post(path, content=content, headers=headers)

    @asynccontextmanager
    async def streaming(self, path: str, body: object) -> AsyncIterator[tuple[Stream, AsyncIterator[bytes]]]:
        """Posts JSON; leaving the block disconnects."""
        started = monotonic()
        async with self.http.stream("POST", path, json=body, headers=self.headers) as response:
            stream = Stream(response.status_code, response.headers)

            async def reads() -> AsyncIterator[bytes]:
                async for data in response.aiter_raw():
                    now = monotonic() - started
                    if stream.reads:
                        stream.gaps.append(now - stream.last)
                    else:
                        stream.first = now
                    stream.last = now
                    stream.reads += 1
                    stream.body += data
                    yield data

            yield stream, reads()

    async def stream(self, path: str, body: object) -> Stream:
        """Posts JSON and reads the streamed response to its end."""
        async with self.streaming(path, body) as (stream, reads):
            async for _ in reads:
                pass
        return stream


def question(text: str = QUESTION, **more: Any) -> dict[str, Any]:
    """The body of a request with one message."""
    return {"messages": [{"role": "user", "content": text}], **more}
