"""A model's server that says what a test tells it to."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

type Reply = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class StandIn:
    """OpenAI-compatible, at `base_url`. What it was asked is in `asked`; `left` is set when a caller goes away."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        self.reply: Reply = _echo
        app = web.Application(client_max_size=0)
        app.router.add_post("/v1/chat/completions", self._completions)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)

    async def start(self) -> None:
        """Listens on a free port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    def reset(self) -> None:
        """Forgets the last test."""
        self.asked.clear()
        self.go_on.clear()
        self.left.clear()
        self.reply = _echo

    def streams(self, *pieces: str, finish: str = "stop") -> None:
        """Answers with these pieces of text, a chunk each."""
        self.reply = self._streaming(pieces, finish)

    def waits_after(self, *pieces: str, then: str = "") -> None:
        """Answers with these pieces, waits until `go_on` is set, and then says the rest."""
        self.reply = self._streaming(pieces, "stop", wait=True, rest=then)

    def breaks_after(self, *pieces: str) -> None:
        """Answers with these pieces and then with an error."""
        self.reply = self._streaming(pieces, None)

    def refuses(self, status: int, message: str, retry_after: str | None = None) -> None:
        """Answers with an error."""
        headers = {"Retry-After": retry_after} if retry_after else {}

        async def reply(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            return web.json_response({"error": {"message": message, "code": None}}, status=status, headers=headers)

        self.reply = reply

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        try:
            return await self.reply(request, asked)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    def _streaming(self, pieces: tuple[str, ...], finish: str | None, *, wait: bool = False, rest: str = "") -> Reply:
        async def reply(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for piece in pieces:
                await response.write(_event(_chunk({"content": piece})))
            if wait:
                await self.go_on.wait()
                await response.write(_event(_chunk({"content": rest})))
            if finish is None:
                await response.write(_event({"error": {"message": "out of memory", "code": 500}}))
            else:
                await response.write(_event(_chunk({}, finish)) + b"data: [DONE]\n\n")
            return response

        return reply


async def _echo(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    text = asked["messages"][-1]["content"]
    if not asked.get("stream"):
        message = {"role": "assistant", "content": text}
        return web.json_response({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(_event(_chunk({"content": text})) + _event(_chunk({}, "stop")) + b"data: [DONE]\n\n")
    return response


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
