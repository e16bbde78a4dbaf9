"""How a model server responds to a request: in time, in steps, or not at all."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from testing.chat_completions import DONE, event, text_chunks
from testing.model_server import Behaviour, Exchange


def streams(chunks: Sequence[Any], after: bytes = DONE) -> Behaviour:
    """Sends each chunk as an event."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        for value in chunks:
            await exchange.chunk(event(value))
        await exchange.chunk(after)
        await exchange.end()

    return behave


def streams_bytes(*pieces: bytes, content_encoding: str = "identity") -> Behaviour:
    """Sends the body in these pieces and ends it."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin(content_encoding=content_encoding)
        for piece in pieces:
            await exchange.chunk(piece)
        await exchange.end()

    return behave


def responds(status: int, body: Any, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Sends a complete response: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behave(exchange: Exchange) -> None:
        await exchange.respond(status, data, content_type, **headers)

    return behave


class Steps:
    """Sends each chunk when the test calls `step`."""

    def __init__(self, chunks: Sequence[Any]) -> None:
        self._chunks = [event(value) for value in chunks] + [DONE]
        self._step = asyncio.Semaphore(0)

    def step(self) -> None:
        """Sends the next chunk."""
        self._step.release()

    async def __call__(self, exchange: Exchange) -> None:
        """Sends the chunks, and ends the response after the last one."""
        await exchange.begin()
        for data in self._chunks:
            await self._step.acquire()
            await exchange.chunk(data)
        await exchange.end()


async def never_responds(exchange: Exchange) -> None:
    """Receives the request and sends nothing."""
    await exchange.wait_closed()


def stalls_after(*pieces: bytes) -> Behaviour:
    """Begins a response and sends nothing after these pieces of its body."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        for piece in pieces:
            await exchange.chunk(piece)
        await exchange.wait_closed()

    return behave


async def echoes(exchange: Exchange) -> None:
    """Responds with the content of the last message, streamed or complete as requested."""
    request = exchange.request.json
    text = request["messages"][-1]["content"]
    if request.get("stream"):
        await streams(text_chunks(text))(exchange)
    else:
        message = {"role": "assistant", "content": text}
        await responds(200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]})(exchange)


class ByLastMessage:
    """Responds as set for the content of the request's last message, and to any other request with `default`."""

    def __init__(self, default: Behaviour) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self._default = default
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._arrived = asyncio.Condition()

    def set(self, message: str, *behaviours: Behaviour) -> None:
        """Sets the behaviours for the requests with this message: each takes the next, the last one again and again."""
        self._behaviours[message] = list(behaviours)

    def remove(self, message: str) -> None:
        """Removes what is known of this message."""
        del self._behaviours[message]
        self.exchanges.pop(message, None)

    async def arrived(self, message: str) -> Exchange:
        """Waits until a request with this message has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: message in self.exchanges)
        return self.exchanges[message]

    async def __call__(self, exchange: Exchange) -> None:
        """Responds to a request."""
        message = exchange.request.json["messages"][-1]["content"]
        async with self._arrived:
            self.exchanges[message] = exchange
            self._arrived.notify_all()
        behaviours = self._behaviours.get(message, [self._default])
        await (behaviours.pop(0) if len(behaviours) > 1 else behaviours[0])(exchange)
