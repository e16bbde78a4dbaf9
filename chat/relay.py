"""Moves one answer from the model's server to the caller: one task, from the question to the last byte."""

import asyncio
import logging
from typing import Any

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from chat.completion import Completion, ask
from chat.errors import BadAnswer, BodyTooLarge, ChatError, NotJson, to_chat_error
from chat.formats import Form
from chat.request_log import ChatLog
from chat.settings import get_settings

logger = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CLIENT_CLOSED_REQUEST = 499


async def answer(request: Request, invocation_id: str, form: Form) -> Response:
    """Answers one chat: with a stream that has begun, a whole answer, or the error that came before either."""
    return await _Relay(request, form, ChatLog(invocation_id)).response()


class _Stream(Response):
    """A response whose body a relay sends, through `send`, once the worker's web server has asked for it."""

    def __init__(self, media_type: str, relay: asyncio.Task[Response]) -> None:
        super().__init__(headers=_HEADERS, media_type=media_type)
        del self.headers["content-length"]
        self.send: asyncio.Future[Send] = asyncio.get_running_loop().create_future()
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - what ASGI passes
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if not self.send.cancelled():  # as it is when the caller has just left
            self.send.set_result(send)
        await asyncio.wait({self._relay})


class _Relay:
    """One chat on its way.

    All of it runs in a task of its own, because the invocation ends when the response is returned, and the stream later: so
    one block spans the request to the model's server, and cancelling one task ends it at any point.
    """

    def __init__(self, request: Request, form: Form, log: ChatLog) -> None:
        self._request = request
        self._form = form
        self._log = log
        self._secrets: list[str] = []
        self._send: Send | None = None
        self._watch: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[_Stream] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    async def response(self) -> Response:
        """What the function returns, as soon as the answer has begun or can't."""
        either: set[asyncio.Future[Any]] = {self._task, self._begun}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._begun.done():
            return self._begun.result()
        if self._task.cancelled():
            return Response(status_code=_CLIENT_CLOSED_REQUEST)  # for nobody
        return self._task.result()

    async def _run(self) -> Response:
        try:
            return await self._relay()
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except Exception as fault:
            return await self._tell(self._failed(fault))
        finally:
            self._stop_watching()
            self._log.write()

    async def _relay(self) -> Response:
        settings = get_settings()
        self._secrets = settings.secrets
        self._log.provider, self._log.model = settings.provider, settings.model
        body = await _read_body(self._request, settings.chat_max_request_bytes)
        messages, stream = self._form.read(body, settings.chat_max_messages)
        self._watch = asyncio.create_task(_cancel_when_caller_leaves(self._request.receive, self._task))
        async with ask(messages, settings, stream=stream) as completion:
            if stream:
                response = await self._relay_chunks(completion)
            else:
                response = _json(self._form.whole(await completion.read_whole()))
            self._log.finished(completion.usage)
            await completion.drain()
        return response

    async def _relay_chunks(self, completion: Completion) -> Response:
        # Nothing is sent before there is a chunk: until then a fault has a status of its own.
        chunks = await completion.read()
        if not chunks:
            raise BadAnswer("a stream without a chunk")
        self._log.first_chunk()
        response = _Stream(self._form.stream_type, self._task)
        self._begun.set_result(response)
        send = self._send = await response.send
        try:
            while chunks:
                if lines := self._form.lines(chunks):
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
                chunks = await completion.read()
        finally:
            self._log.chunks = completion.chunks
        await self._end(send)
        return response

    async def _tell(self, error: ChatError) -> Response:
        """Tells the caller of an error: as the whole answer, or in a stream as its last line."""
        if self._send:
            await self._end(self._send, self._form.error(error) + b"\n")
            return self._begun.result()
        headers = {"Retry-After": error.retry_after} if error.retry_after else {}
        return _json(self._form.error(error), error.status, headers)

    async def _end(self, send: Send, line: bytes = b"") -> None:
        self._stop_watching()  # to the web server the end of the response is the caller's leaving, too
        await send({"type": "http.response.body", "body": line})

    def _stop_watching(self) -> None:
        if self._watch:
            self._watch.cancel()

    def _failed(self, fault: Exception) -> ChatError:
        error = to_chat_error(fault, self._secrets)
        self._log.failed(error.status, error.why)
        if type(error) is ChatError:
            logger.error("A bug in this service", exc_info=fault)
        return error


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, _HEADERS | (headers or {}), media_type="application/json")


async def _read_body(request: Request, limit: int) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise NotJson("The content type must be application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise BodyTooLarge(f"The body has more than {limit} bytes.")
    return bytes(body)


async def _cancel_when_caller_leaves(receive: Receive, relay: asyncio.Task[Response]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    relay.cancel()
