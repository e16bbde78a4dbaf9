"""Requests a completion in the API that the model server speaks, and translates between that and the client's."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai

from chat.completion_request import Api, CompletionRequest
from chat.errors import InvalidResponse
from chat.metadata import Metadata
from chat.settings import Settings
from chat.translation import request_to_chat, request_to_responses
from chat.translation.chunks_to_events import ResponseBuilder
from chat.translation.events_to_chunks import CompletionBuilder
from chat.upstream.capabilities import capabilities, rejects_path, rejects_tools
from chat.upstream.completion import Completion, request_completion
from chat.upstream.request_body import encode_body, make_body

_MAX_TRANSLATED_BYTES = 4 * 1024 * 1024
"""The maximum size of a complete response that is translated, as of an event: its values become Python objects."""

type Builder = ResponseBuilder | CompletionBuilder
"""Builds a response of one API from that of the other."""


@dataclass(frozen=True)
class UpstreamRequest:
    """An encoded request, in the API that the model server speaks, and what translates the response, if that is necessary.

    `chat_completions_body` is the same request in Chat Completions, for a model server without the Responses API.
    """

    body: bytes
    api: Api
    builder: Builder | None = None
    chat_completions_body: bytes = b""


class TranslatedCompletion:
    """A completion, with chunks or events of the other API than the model server's."""

    def __init__(self, completion: Completion, builder: Builder) -> None:
        self._completion = completion
        self._builder = builder
        self._ended = False
        self._error: InvalidResponse | None = None

    @property
    def metadata(self) -> Metadata:
        """What is known of the completion at its end."""
        return self._completion.metadata

    @property
    def headers(self) -> dict[str, str]:
        """The model server's headers for the client."""
        return self._completion.headers

    @property
    def chunk_count(self) -> int:
        """How many chunks or events have been read."""
        return self._completion.chunk_count

    @property
    def received_bytes(self) -> int:
        """How much of the response's body has been read."""
        return self._completion.received_bytes

    async def read(self) -> list[bytes]:
        """Returns the next chunks or events, none at the end; raises what `Completion.read` raises."""
        if self._error:
            raise self._error
        while received := await self._completion.read():
            translated: list[bytes] = []
            try:
                for chunk_or_event in received:
                    translated += self._builder.feed(chunk_or_event)
            except InvalidResponse as error:
                if not translated:
                    raise
                self._error = error  # raised after what arrived before has been returned
            if translated:
                return translated
        if self._ended:
            return []
        self._ended = True
        return self._builder.end()

    async def read_complete(self) -> bytes:
        """Returns the complete response; raises what `Completion.read_complete` raises, or `IncompleteResponse`."""
        body = await self._completion.read_complete()
        if len(body) > _MAX_TRANSLATED_BYTES:
            raise InvalidResponse(f"a completion to translate of more than {_MAX_TRANSLATED_BYTES} bytes")
        return self._builder.complete(body)


type AnyCompletion = Completion | TranslatedCompletion


def make_upstream_request(request: CompletionRequest, settings: Settings) -> UpstreamRequest:
    """Encodes the request in the API that the model server speaks.

    Raises `InvalidRequest` if a value cannot be encoded or translated.
    """
    body = make_body(request, settings)
    if request.api == "responses" and not settings.has_responses_api:
        chat_body, echo = request_to_chat.translate_request(body)
        return UpstreamRequest(encode_body(chat_body), "chat_completions", ResponseBuilder(echo))
    original = encode_body(body)
    if request.api == "chat_completions" and body.get("tools") and capabilities().requires_responses_for_tools:
        return _through_responses(body, original) or UpstreamRequest(original, request.api)
    return UpstreamRequest(original, request.api)


@asynccontextmanager
async def open_completion(
    request: UpstreamRequest, settings: Settings, *, client_retries: bool
) -> AsyncGenerator[AnyCompletion]:
    """Requests a completion; raises what `request_completion` raises.

    If the model server does not accept the API of the request, the request is sent in the other one. This worker remembers
    that.
    """
    async with AsyncExitStack() as stack:

        async def send(request: UpstreamRequest) -> Completion:
            return await stack.enter_async_context(
                request_completion(request.body, request.api, settings, client_retries=client_retries)
            )

        try:
            completion = await send(request)
        except openai.APIStatusError as error:
            other = _in_the_other_api(request, error)
            if not other:
                raise
            if other.api == "chat_completions":
                capabilities().requires_responses_for_tools = False
            request = other
            try:
                completion = await send(request)
            except openai.APIStatusError as other_error:
                if rejects_path(other_error):  # the model server does not have the other API: the first error has the reason
                    raise error from None
                raise
            if request.api == "responses":
                capabilities().requires_responses_for_tools = True
        yield TranslatedCompletion(completion, request.builder) if request.builder else completion


def _in_the_other_api(request: UpstreamRequest, error: openai.APIStatusError) -> UpstreamRequest | None:
    """The request for a model server that rejected it with this error; None if that is not for the API."""
    if request.api == "chat_completions" and not request.builder and rejects_tools(error):
        body = json.loads(request.body)
        return _through_responses(body, request.body) if body.get("tools") else None
    if request.chat_completions_body and rejects_path(error):
        return UpstreamRequest(request.chat_completions_body, "chat_completions")
    return None


def _through_responses(body: dict[str, Any], original: bytes) -> UpstreamRequest | None:
    """A request of Chat Completions in the Responses API; None if that lacks one of the parameters."""
    try:
        translated = request_to_responses.translate_request(body)
    except request_to_responses.Untranslatable:
        return None
    return UpstreamRequest(encode_body(translated), "responses", CompletionBuilder(), original)
