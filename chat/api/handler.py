"""The response to a chat request: reads the request, requests the completion, and sends it, all in one task."""

import asyncio
from contextlib import suppress

import azure.functions as func
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from chat.api.auth import authenticate
from chat.api.disconnect import DisconnectWatcher
from chat.errors import BodyTooLarge, ChatError, InvalidResponse, RequestTimeout, UnsupportedMediaType
from chat.formats.wire_format import WireFormat
from chat.settings import Settings, get_settings
from chat.telemetry.request_log import RequestLog
from chat.upstream.completion import Completion, encode_body, request_completion
from chat.upstream.errors import to_chat_error

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""The headers of every response of a chat route."""

# How long, and how much of, a rejected body is read on.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 16 * 1024 * 1024


class ChatResponse(Response):
    """Responds to one chat request in one wire format.

    The worker's web server calls it as an ASGI application once the function has returned it: the status is sent when it is
    known, in the task that reads the request and the model server's response.
    """

    def __init__(
        self, request: Request, wire_format: WireFormat, context: func.Context, *, takes_api_key: bool = False
    ) -> None:
        super().__init__()
        self._request = request
        self._format = wire_format
        self._takes_api_key = takes_api_key
        self._invocation_id = context.invocation_id
        self._log = RequestLog(context.invocation_id, context.function_name, context.trace_context.trace_parent)
        self._settings: Settings | None = None
        self._body_received = False
        self._started = False
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the request has both
        """Reads the request and sends the response."""
        # In a task of its own, because each chunk would resume all middleware of the web framework: 7% of its CPU time.
        self._send = send
        await asyncio.create_task(self._handle(), name=f"chat: {self._invocation_id}")

    async def _handle(self) -> None:
        try:
            await self._respond()
        except ClientDisconnect:
            pass
        except Exception as exception:
            error = to_chat_error(exception, self._settings.secrets if self._settings else ())
            self._log.set_failed(error)
            exception.__traceback__ = None  # its frames hold what was received, and refer to it: a cycle
            await self._send_error(error)
        finally:
            self._log.write()

    async def _respond(self) -> None:
        self._settings = settings = get_settings()
        if self._takes_api_key:
            self._log.set_client(authenticate(self._request.headers, settings.api_keys))
        body, stream = await self._read_request(settings)
        self._log.set_request(settings, stream=stream)
        async with (
            DisconnectWatcher(self._request.receive) as watcher,
            request_completion(body, settings) as completion,
        ):
            if stream:
                await self._send_chunks(completion, watcher)
            else:
                content = self._format.encode_completion(await completion.read_complete())
                watcher.stop()
                await self._send_complete(200, content, {})
            self._log.set_completed(completion.metadata)

    async def _read_request(self, settings: Settings) -> tuple[bytes, bool]:
        """Returns the body of the request to the model server, and whether the client requests a stream.

        What the request was parsed to is not kept while the model server responds: it can take 25 times as much memory.
        """
        body = await self._read_body(settings.chat_max_request_bytes, settings.chat_timeout)
        request = self._format.parse_request(body, settings.chat_max_messages)
        return encode_body(request, settings), request.stream

    async def _read_body(self, max_bytes: int, seconds: float) -> bytes:
        media_type = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
            raise UnsupportedMediaType("The content type must be application/json.")
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                async for part in self._request.stream():
                    body += part
                    if len(body) > max_bytes:
                        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
        except TimeoutError:
            raise RequestTimeout(f"The body did not arrive within {seconds:g} seconds.") from None
        self._body_received = True
        return bytes(body)

    async def _send_chunks(self, completion: Completion, watcher: DisconnectWatcher) -> None:
        # Nothing is sent before the first chunk: until then an error has a status of its own.
        chunks = await completion.read_chunks()
        if not chunks:
            raise InvalidResponse("a stream without a chunk")
        self._log.set_first_chunk()
        await self._send_start(200, {"content-type": self._format.stream_media_type})
        try:
            while chunks:
                if content := self._format.encode_chunks(chunks):
                    await self._send_body(content, more=True)
                chunks = await completion.read_chunks()
        finally:
            self._log.set_chunks(completion.chunks)
        watcher.stop()
        self._ended = True
        await self._send_body(self._format.encode_stream_end())

    async def _send_error(self, error: ChatError) -> None:
        if self._ended:
            return
        if self._started:
            await self._send_body(self._format.encode_stream_error(error))
            return
        headers = error_headers(error)
        content = self._format.encode_error(error)
        if self._body_received:
            await self._send_complete(error.status, content, headers)
            return
        await self._send_start(error.status, {**headers, "content-length": str(len(content)), "connection": "close"})
        await self._send_body(content, more=True)
        await _discard_body(self._request.receive)
        await self._send_body(b"")

    async def _send_complete(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        await self._send_start(status, {**headers, "content-length": str(len(content))})
        self._ended = True
        await self._send_body(content)

    async def _send_start(self, status: int, headers: dict[str, str]) -> None:
        self._started = True
        all_headers = {"content-type": "application/json", "x-request-id": self._invocation_id} | HEADERS | headers
        raw_headers = [(name.encode(), value.encode()) for name, value in all_headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw_headers})

    async def _send_body(self, content: bytes, *, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": content, "more_body": more})


def error_headers(error: ChatError) -> dict[str, str]:
    """The headers that belong to an error."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return headers | ({"www-authenticate": "Bearer"} if error.status == 401 else {})


async def _discard_body(receive: Receive) -> None:
    """Reads on for a moment: a client that is still sending may lose the response if the connection closes at once."""
    remaining = _LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while remaining > 0 and (message := await receive()).get("more_body"):
                remaining -= len(message["body"])
