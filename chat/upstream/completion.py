"""Requests a completion from the model server and reads its response."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
from openai import AsyncStream, RequestOptions

from chat.errors import InvalidResponse
from chat.json_scan import find_keys
from chat.metadata import Metadata
from chat.settings import Settings
from chat.upstream.chunks import ChunkDecoder
from chat.upstream.client import get_client
from chat.upstream.idle_timeout import IdleTimeout

_MAX_COMPLETION_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 1.0
_REQUEST_OPTIONS = RequestOptions(headers={"Content-Type": "application/json"}, security={"bearer_auth": True})


class _ResponseStream(AsyncStream[object]):
    """The response and nothing else: the SDK's class refers to itself, and would keep the request's body in memory."""

    def __init__(self, *, response: httpx2.Response, **_: object) -> None:
        self.response = response


class Completion:
    """A completion whose response has begun. `metadata` is complete at its end."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], idle_timeout: IdleTimeout) -> None:
        self.metadata = Metadata()
        self._read = read
        self._idle_timeout = idle_timeout
        self._decoder = ChunkDecoder()

    @property
    def chunk_count(self) -> int:
        """How many chunks have been read."""
        return self._decoder.chunk_count

    async def read_chunks(self) -> list[bytes]:
        """Returns the chunks that have arrived, at least one, each a JSON object on one line; none at the end.

        Raises `UpstreamErrorObject`, `InvalidResponse`, `IncompleteResponse`, `httpx2.ReadError` or `httpx2.DecodingError`,
        after all chunks that arrived before have been returned.
        """
        decoder = self._decoder
        self._idle_timeout.start()
        while not decoder.done:
            if decoder.error:
                raise decoder.error
            received = await self._read()
            if chunks := decoder.feed(received):
                self._idle_timeout.stop()  # only a chunk stops the clock, not a comment
                return chunks
            if not received and not decoder.error:
                break
        self._idle_timeout.stop()
        self.metadata = decoder.end()
        return []

    async def read_complete(self) -> bytes:
        """Returns the one `chat.completion` object of a complete response.

        Raises `UpstreamErrorObject`, `InvalidResponse`, `httpx2.ReadError` or `httpx2.DecodingError`.
        """
        received = bytearray()
        while data := await self._read():
            received += data
            if len(received) > _MAX_COMPLETION_BYTES:
                raise InvalidResponse(f"a completion of more than {_MAX_COMPLETION_BYTES} bytes")
        self._idle_timeout.stop()
        body = bytes(received)
        keys = find_keys(body)
        if not bytes(keys.choices).startswith(b"["):
            raise InvalidResponse("an object that is not a chat.completion")
        self.metadata.update(keys)
        return body


@asynccontextmanager
async def request_completion(body: bytes, settings: Settings) -> AsyncGenerator[Completion]:
    """Requests a completion; leaving the block, by an exception or a cancellation too, closes the request.

    Raises `UpstreamTimeout` if the model server takes longer than `CHAT_TIMEOUT` seconds for the first chunk, for any next
    one, or for a complete response; `UpstreamError` if Microsoft Entra ID provides no token; `openai.APIStatusError` or
    `openai.APIConnectionError`.
    """
    async with IdleTimeout(settings.chat_timeout) as idle_timeout:
        idle_timeout.start()
        # The SDK's own `create` would make typed copies first: a quarter of the time to the first chunk of 200 requests.
        stream = await get_client().post(
            "/chat/completions",
            content=body,
            cast_to=object,
            options=_REQUEST_OPTIONS,
            stream=True,  # in any case: this module reads the response, not the SDK
            stream_cls=_ResponseStream,
        )
        response = stream.response
        read: Callable[[], Awaitable[bytes]] = response.extensions["read"]
        try:
            yield Completion(read, idle_timeout)
            await _drain(read)
        finally:
            await response.aclose()


async def _drain(read: Callable[[], Awaitable[bytes]]) -> None:
    """Reads what follows the completion, for at most a second, so that the connection can be reused."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await read():
                pass
