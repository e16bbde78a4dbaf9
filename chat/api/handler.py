"""Handles one request for a completion: reads it, requests the completion, and sends the response, all in one task."""

import asyncio
from contextlib import suppress
from typing import override

import azure.functions as func
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from chat.api.auth import authenticate, signed_in_id
from chat.api.body import discard_body, read_body
from chat.api.disconnect import DisconnectWatcher
from chat.api.response_writer import ResponseWriter, error_headers
from chat.api.token_count import TokenCount, client_name
from chat.api.upstream_request import AnyCompletion, UpstreamRequest, make_upstream_request, open_completion
from chat.errors import ChatError, InvalidResponse
from chat.formats.wire_format import WireFormat
from chat.settings import Settings, get_settings
from chat.telemetry.request_log import RequestLog
from chat.upstream.errors import to_chat_error


class CompletionResponse(Response):
    """What a function returns. The worker's web server calls it as an ASGI application, and that handles the request.

    With `takes_api_key`, the client must have an API key if the settings have any.
    """

    def __init__(
        self, request: Request, wire_format: WireFormat, context: func.Context, *, takes_api_key: bool = False
    ) -> None:
        super().__init__()
        self._request = request
        self._format = wire_format
        self._context = context
        self._takes_api_key = takes_api_key

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handling = _handle(self._request, self._format, self._context, send, takes_api_key=self._takes_api_key)
        # In a task of its own, because each chunk would resume all middleware of the web framework.
        await asyncio.create_task(handling, name=f"chat: {self._context.invocation_id}")


async def _handle(
    request: Request, wire_format: WireFormat, context: func.Context, send: Send, *, takes_api_key: bool
) -> None:
    log = RequestLog(context.invocation_id, context.function_name, context.trace_context.trace_parent)
    writer = ResponseWriter(send, {"x-request-id": context.invocation_id, **wire_format.headers})
    settings: Settings | None = None
    body_received = False
    try:
        settings = get_settings()
        api_key_name = authenticate(request.headers, settings.api_keys) if takes_api_key else None
        # Routes that require API keys are excluded from the sign-in: the header may be the client's own.
        person_id = None if api_key_name else signed_in_id(request.headers)
        log.set_client(api_key_name, person_id)
        body = await read_body(request, settings.chat_max_request_bytes, settings.chat_timeout)
        body_received = True
        upstream_request, stream = _parse_request(body, wire_format, settings, log)
        del body  # only the encoded request is held from here on
        async with (
            TokenCount(request.app, client_name(api_key_name, person_id), upstream_request.body, settings, log) as count,
            DisconnectWatcher(request.receive, writer, settings.chat_timeout) as watcher,
            open_completion(upstream_request, settings, client_retries=wire_format.client_retries) as completion,
        ):
            count.completion = completion
            if stream:
                await _send_stream(completion, wire_format, writer, watcher, log)
            else:
                content = wire_format.encode_completion(await completion.read_complete())
                watcher.stop()
                await writer.send_complete(200, content, completion.headers)
            log.set_completed(completion.metadata)
    except ClientDisconnect:
        pass
    except Exception as exception:
        error = to_chat_error(exception, settings)
        log.set_failed(error)
        # The frames of these tracebacks hold what was received, and refer to the exception: a cycle.
        exception.__traceback__ = exception.__context__ = exception.__cause__ = None
        if not writer.started:
            await _send_error(error, wire_format.encode_error(error), writer, request, body_received=body_received)
        elif settings and not writer.ended:
            await _end_with_error(wire_format.encode_stream_error(error), writer, request, settings.chat_timeout)
    finally:
        log.write()


def _parse_request(
    body: bytes, wire_format: WireFormat, settings: Settings, log: RequestLog
) -> tuple[UpstreamRequest, bool]:
    """Returns the request to the model server, and whether the client requests a stream.

    The parsed request, which can take many times as much memory, is not held while the model server responds.
    """
    request = wire_format.parse_request(body, settings.chat_max_messages)
    log.set_request(settings, request)
    return make_upstream_request(request, settings), request.stream


async def _send_stream(
    completion: AnyCompletion,
    wire_format: WireFormat,
    writer: ResponseWriter,
    watcher: DisconnectWatcher,
    log: RequestLog,
) -> None:
    # Nothing is sent before the first chunk: until then an error has a status of its own.
    chunks = await completion.read()
    if not chunks:
        raise InvalidResponse("a stream without a chunk")
    log.set_first_chunk()
    await writer.start(200, {"content-type": wire_format.stream_media_type, **completion.headers})
    try:
        while chunks:
            if content := wire_format.encode_stream(chunks):
                await writer.write(content)
            chunks = await completion.read()
    finally:
        log.set_chunk_count(completion.chunk_count)
    await writer.drain()
    watcher.stop()
    await writer.end(wire_format.encode_stream_end())


async def _end_with_error(content: bytes, writer: ResponseWriter, request: Request, seconds: float) -> None:
    with suppress(ClientDisconnect):
        async with DisconnectWatcher(request.receive, writer, seconds) as watcher:
            await writer.write(content)
            await writer.drain()
            watcher.stop()
            await writer.end()


async def _send_error(
    error: ChatError, content: bytes, writer: ResponseWriter, request: Request, *, body_received: bool
) -> None:
    headers = error_headers(error)
    if body_received:
        await writer.send_complete(error.status, content, headers)
        return
    await writer.start(error.status, {**headers, "content-length": str(len(content)), "connection": "close"})
    await writer.write(content)
    await discard_body(request.receive)
    await writer.end()
