"""The model's server: asks it for a completion, and reads its answer for as long as it does answer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx2
import msgspec
from openai import AsyncStream, RequestOptions

from chat.client import get_client
from chat.errors import BadAnswer, ErrorEvent, UpstreamSilent
from chat.request import Message
from chat.settings import Settings
from chat.sse import ChunkStream, json_object

_DRAIN_SECONDS = 1.0
_JSON = RequestOptions(headers={"Content-Type": "application/json"}, security={"bearer_auth": True})


class _Silence:
    """Ends a block with `UpstreamSilent` once the model's server has been listened to in vain for so many seconds.

    One timer for a block, which looks now and then: a timer for every read would cost as much as sending what it brought.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._listening_since: float | None = None
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(exc_type, exc, traceback)
        except TimeoutError:
            raise UpstreamSilent(self._seconds) from None

    def listen(self) -> None:
        """From now on it is the model's server that is waited for."""
        self._listening_since = self._loop.time()

    def heard(self) -> None:
        """It has said something; what takes time now is not its silence."""
        self._listening_since = None

    def _look(self) -> None:
        now = self._loop.time()
        silent = 0.0 if self._listening_since is None else now - self._listening_since
        if silent >= self._seconds:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._seconds - silent, self._look)


class Completion:
    """A completion that the model's server has begun to send.

    `usage` is OpenAI's object of that name, known at the end, where the server sent it.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]], silence: _Silence) -> None:
        self.usage: dict[str, Any] | None = None
        self._read = read
        self._silence = silence
        self._stream = ChunkStream()

    @property
    def chunks(self) -> int:
        """How many chunks have been read."""
        return self._stream.chunks

    async def read(self) -> list[bytes]:
        """The chunks that have come, at least one, each a JSON object on one line; none when the answer has ended.

        What goes wrong is raised after all that came whole before it has been returned.
        """
        stream = self._stream
        while not stream.done:
            if stream.fault:
                raise stream.fault
            received = await self._next()
            if not received:
                stream.end()
                break
            if chunks := stream.feed(received):
                return chunks
        self.usage = stream.usage()
        return []

    async def read_whole(self) -> bytes:
        """The one `chat.completion` object of an answer that is not streamed."""
        parts = []
        while received := await self._next():
            parts.append(received)
        body = b"".join(parts)
        completion = json_object(body)
        if error := completion.get("error"):
            raise ErrorEvent(error)
        if not isinstance(completion.get("choices"), list):
            raise BadAnswer("an object that is no chat.completion")
        usage = completion.get("usage")
        self.usage = usage if isinstance(usage, dict) else None
        return body

    async def drain(self) -> None:
        """Reads what follows the answer, so that the connection can serve the next one; not for long."""
        with suppress(TimeoutError, httpx2.HTTPError, aiohttp.ClientError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._read():
                    pass

    async def _next(self) -> bytes:
        """What one read brought; nothing at the end."""
        self._silence.listen()
        received = await self._read()
        self._silence.heard()
        return received


@asynccontextmanager
async def ask(messages: list[Message], settings: Settings, *, stream: bool) -> AsyncGenerator[Completion]:
    """Asks the model's server. Leaving the block, by a cancellation too, closes the request to it."""
    async with _Silence(settings.chat_timeout) as silence:
        silence.listen()
        # The SDK's own `create` would make typed copies first: a quarter of the time to the first line of 200 chats.
        stream_of = await get_client().post(
            "/chat/completions",
            content=_body(messages, settings, stream=stream),
            cast_to=object,
            options=_JSON,
            stream=True,  # here it says only that the answer is not to be read by the SDK
            stream_cls=AsyncStream[object],
        )
        silence.heard()
        response = stream_of.response
        try:
            yield Completion(_reader(response), silence)
        finally:
            await response.aclose()


def _reader(response: httpx2.Response) -> Callable[[], Awaitable[bytes]]:
    """What returns, when it has come, the next part of the body: straight from the connection, if it can."""
    if response.headers.get("content-encoding", "identity") == "identity":
        read: Callable[[], Awaitable[bytes]] = response.extensions["read"]
        return read
    decoded = response.aiter_bytes()  # of a server that compresses unasked

    async def read_decoded() -> bytes:
        return await anext(decoded, b"")

    return read_decoded


def _body(messages: list[Message], settings: Settings, *, stream: bool) -> bytes:
    """The request's body, with the system prompt before the messages."""
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [
            {"role": "system", "content": settings.chat_system_prompt},
            *({"role": message.role, "content": message.content} for message in messages),
        ],
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    if settings.chat_max_completion_tokens:
        body["max_completion_tokens"] = settings.chat_max_completion_tokens
    return msgspec.json.encode(body)
