"""Requests a completion from the model server, in either of OpenAI's APIs, and reads its response."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import openai
from openai import AsyncStream, RequestOptions

from chat.completion_request import Api
from chat.errors import InvalidResponse
from chat.metadata import Metadata
from chat.settings import Settings
from chat.upstream.capabilities import capabilities, rejects_stream_options
from chat.upstream.chunks import ChunkDecoder, check_completion, completion_as_event_stream
from chat.upstream.client import get_client
from chat.upstream.idle_timeout import IdleTimeout
from chat.upstream.rate_limit_headers import rate_limit_headers
from chat.upstream.request_body import remove_stream_options
from chat.upstream.response_events import ResponseEventDecoder, check_response

_MAX_COMPLETION_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 1.0
_CONNECT_RETRIES = 2
_CONNECT_RETRY_SECONDS = 0.2

_PATHS: dict[Api, str] = {"chat_completions": "/chat/completions", "responses": "/responses"}


class _ResponseStream(AsyncStream[object]):
    """The response and nothing else: the SDK's class refers to itself, and would keep the request's body in memory."""

    def __init__(self, *, response: httpx2.Response, **_: object) -> None:
        self.response = response


class Completion:
    """A completion whose response has begun. `metadata` is complete at its end; `headers` are for the client.

    `received_bytes` is how much of the response's body has been read.
    """

    def __init__(
        self, api: Api, headers: dict[str, str], read: Callable[[], Awaitable[bytes]], idle_timeout: IdleTimeout
    ) -> None:
        self.metadata = Metadata()
        self.headers = headers
        self.received_bytes = 0
        self._api = api
        self._read = read
        self._idle_timeout = idle_timeout
        self._decoder = ChunkDecoder() if api == "chat_completions" else ResponseEventDecoder()
        self._begun = False

    @property
    def chunk_count(self) -> int:
        """How many chunks or events have been read."""
        return self._decoder.chunk_count

    async def read(self) -> list[bytes]:
        """Returns the chunks or events that have arrived, at least one, each a JSON object on one line; none at the end.

        Raises `UpstreamErrorObject`, `InvalidResponse`, `IncompleteResponse` or `httpx2.ReadError`, after all that arrived
        before have been returned.
        """
        decoder = self._decoder
        self._idle_timeout.start()
        while not decoder.done:
            if decoder.error:
                raise decoder.error
            received = await self._read()
            self.received_bytes += len(received)
            if not self._begun and received.strip():
                self._begun = True
                if received.lstrip().startswith(b"{"):  # not server-sent events: the server ignores `stream`
                    received = self._as_event_stream(await self._read_to_end(received))
            if objects := decoder.feed(received):
                self._idle_timeout.stop()  # only a chunk or an event stops the clock, not a comment
                return objects
            if not received and not decoder.error:
                break
        self._idle_timeout.stop()
        self.metadata = decoder.end()
        return []

    async def read_complete(self) -> bytes:
        """Returns the one `chat.completion` or `response` object of a complete response.

        Raises `UpstreamErrorObject`, `InvalidResponse` or `httpx2.ReadError`.
        """
        body = await self._read_to_end(b"")
        self._idle_timeout.stop()
        self.metadata = check_completion(body) if self._api == "chat_completions" else check_response(body)
        return body

    async def _read_to_end(self, begin: bytes) -> bytes:
        received = bytearray(begin)
        while data := await self._read():
            received += data
            self.received_bytes += len(data)
            if len(received) > _MAX_COMPLETION_BYTES:
                raise InvalidResponse(f"a completion of more than {_MAX_COMPLETION_BYTES} bytes")
        return bytes(received)

    def _as_event_stream(self, body: bytes) -> bytes:
        """The event stream that a server would have sent instead of this body."""
        if self._api == "chat_completions":
            return completion_as_event_stream(body)
        check_response(body)
        raise InvalidResponse("a complete response instead of a stream")


@asynccontextmanager
async def request_completion(
    body: bytes, api: Api, settings: Settings, *, client_retries: bool
) -> AsyncGenerator[Completion]:
    """Requests a completion; leaving the block, by an exception or a cancellation too, closes the request.

    Raises `UpstreamTimeout` if the model server takes longer than `CHAT_TIMEOUT` seconds for the first chunk, for any next
    one, or for a complete response; `UpstreamError` if Microsoft Entra ID provides no token; `openai.APIStatusError` or
    `openai.APIConnectionError`.
    """
    async with IdleTimeout(settings.chat_timeout) as idle_timeout:
        idle_timeout.start()
        response = await _send(body, api, client_retries=client_retries)
        read: Callable[[], Awaitable[bytes]] = response.extensions["read"]
        try:
            yield Completion(api, rate_limit_headers(response.headers, settings.secrets), read, idle_timeout)
            await _drain(read)
        finally:
            await response.aclose()


async def _send(body: bytes, api: Api, *, client_retries: bool) -> httpx2.Response:
    """Sends the request; without `stream_options` if the model server rejects them."""
    if capabilities().rejects_stream_options:
        body = remove_stream_options(body)
    try:
        return await _post(body, api, client_retries=client_retries)
    except openai.APIStatusError as error:
        without_stream_options = remove_stream_options(body)
        if body == without_stream_options or not rejects_stream_options(error):
            raise
    response = await _post(without_stream_options, api, client_retries=client_retries)
    capabilities().rejects_stream_options = True
    return response


async def _post(body: bytes, api: Api, *, client_retries: bool) -> httpx2.Response:
    """Posts the body; the OpenAI SDK retries unless the client does.

    A connection that was refused is retried in any case, since nothing has been sent; one that timed out is not.
    """
    options = RequestOptions(headers={"Content-Type": "application/json"}, security={"bearer_auth": True})
    if client_retries:
        options["max_retries"] = 0
    retries = 0
    while True:
        try:
            # The SDK's own `create` would make typed copies first, which delays the first chunk of many requests.
            stream = await get_client().post(
                _PATHS[api],
                content=body,
                cast_to=object,
                options=options,
                stream=True,  # in any case: this module reads the response, not the SDK
                stream_cls=_ResponseStream,
            )
        except openai.APIConnectionError as error:
            if not client_retries or retries == _CONNECT_RETRIES or not isinstance(error.__cause__, httpx2.ConnectError):
                raise
        else:
            return stream.response
        retries += 1
        await asyncio.sleep(_CONNECT_RETRY_SECONDS)


async def _drain(read: Callable[[], Awaitable[bytes]]) -> None:
    """Reads what follows the completion, for at most a second, so that the connection can be reused."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await read():
                pass
