"""Translates a completion of Chat Completions, streamed or complete, into a response of the Responses API."""

import time
import uuid
from typing import Annotated

from msgspec import Meta, MsgspecError, Raw, Struct
from msgspec.json import Decoder

from chat.errors import IncompleteResponse, InvalidResponse
from chat.json_scan import NULL
from chat.translation.kept_bytes import ITEM_BYTES, KeptBytes
from chat.translation.logprobs import encode_logprobs
from chat.translation.output_items import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    OUTPUT_TEXT,
    REASONING_TEXT,
    REFUSAL,
    CallItem,
    ContentItem,
    EventWriter,
    Item,
    PartType,
)
from chat.translation.raw_json import decode, encode, string_body, string_body_or_empty, text_of
from chat.translation.request_echo import RequestEcho
from chat.translation.tools import Tool

_INCOMPLETE_REASONS = {b"length": b"max_output_tokens", b"content_filter": b"content_filter"}

# What vLLM, OpenRouter and DeepSeek send when they could not finish.
_FAILURES = {b"abort", b"error", b"insufficient_system_resource"}


class _Function(Struct):
    name: Raw = NULL
    arguments: Raw = NULL


class _ToolCall(Struct):
    index: Raw = NULL
    id: Raw = NULL
    function: _Function | None = None


class _ContentPart(Struct):
    """A part of a content that is an array; `thinking` is the reasoning of Mistral's models."""

    text: Raw = NULL
    refusal: Raw = NULL
    thinking: list["_ContentPart"] | None = None


class _Delta(Struct):
    """What a chunk adds to the message, or a complete message."""

    content: Raw = NULL
    refusal: Raw = NULL
    reasoning_content: Raw = NULL
    reasoning: Raw = NULL  # the same for OpenRouter, Ollama and newer vLLM
    tool_calls: list[_ToolCall] | None = None


class _Logprobs(Struct):
    content: Raw = NULL


class _Choice(Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    logprobs: _Logprobs | None = None
    finish_reason: Raw = NULL


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: Raw = NULL


class _Model(Struct):
    model: Raw = NULL


type _Tokens = Annotated[int, Meta(ge=0, le=10**12)]


class _PromptTokensDetails(Struct):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class _CompletionTokensDetails(Struct):
    reasoning_tokens: _Tokens | None = None


class _Usage(Struct):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    total_tokens: _Tokens | None = None
    prompt_tokens_details: _PromptTokensDetails | None = None
    completion_tokens_details: _CompletionTokensDetails | None = None


_chunk_decoder = Decoder(_Chunk)
_content_decoder = Decoder(list[_ContentPart])
_model_decoder = Decoder(_Model)
_usage_decoder = Decoder(_Usage)


class _Call:
    """A tool call of the chunks. It becomes an item when its name is known."""

    def __init__(self, call_id: bytes) -> None:
        self.id = call_id
        self.arguments = bytearray()  # received before the name
        self.item: CallItem | None = None


class ResponseBuilder:
    """Builds one response, from the chunks of a stream or from a complete completion.

    A message and reasoning end when another item begins. Function calls end with the response, because the arguments of
    parallel calls can be interleaved.
    """

    def __init__(self, echo: RequestEcho) -> None:
        self._echo = echo
        self._model = echo.model
        self._id = uuid.uuid4().hex.encode()
        self._created_at = int(time.time())
        self._events = EventWriter()
        self._started = False
        self._output: list[Item | bytes] = []  # bytes: an item that has ended
        self._content: ContentItem | None = None
        self._part_type: PartType | None = None
        self._kept = KeptBytes()
        self._calls: dict[bytes, _Call] = {}
        self._last_call: _Call | None = None
        self._call_ids: set[bytes] = set()
        self._usage = b"null"
        self._finish_reason = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes a chunk and returns its events, each one JSON object; raises `InvalidResponse`."""
        if not self._started:
            self._start(chunk)
        decoded = decode(chunk, _chunk_decoder)
        self._read_usage(decoded)
        if decoded.choices:
            choice = decoded.choices[0]
            self._read_choice(choice, choice.delta)
            for call in choice.delta.tool_calls or () if choice.delta else ():
                self._read_call(call, bytes(call.index))
        return self._events.take()

    def end(self) -> list[bytes]:
        """Returns the last events; raises `IncompleteResponse` or `InvalidResponse` if the completion is not usable."""
        status = self._end_items()
        self._events.write(b"response." + status, b'"response":' + self._response(status))
        return self._events.take()

    def complete(self, completion: bytes) -> bytes:
        """Returns the response for a complete completion; raises `InvalidResponse` or `IncompleteResponse`."""
        self._start(completion)
        decoded = decode(completion, _chunk_decoder)
        self._read_usage(decoded)
        choice = decoded.choices[0] if decoded.choices else None
        if not choice or not choice.message:
            raise InvalidResponse("a completion without a message")
        self._read_choice(choice, choice.message)
        for position, call in enumerate(choice.message.tool_calls or ()):
            self._read_call(call, b"%d" % position)
        return self._response(self._end_items())

    def _start(self, chunk: bytes) -> None:
        model = string_body_or_empty(decode(chunk, _model_decoder).model)
        if model:
            self._model = b'"%b"' % model
        self._started = True
        response = b'"response":' + self._response(IN_PROGRESS)
        self._events.write(b"response.created", response)
        self._events.write(b"response.in_progress", response)

    def _read_usage(self, chunk: _Chunk) -> None:
        if chunk.usage is not NULL and bytes(chunk.usage).startswith(b"{"):
            self._usage = _usage(chunk.usage)

    def _read_choice(self, choice: _Choice, delta: _Delta | None) -> None:
        """Reads all of a choice but its tool calls."""
        if choice.finish_reason is not NULL:
            self._finish_reason = string_body(choice.finish_reason) or self._finish_reason
        if not delta:
            return
        if reasoning := string_body_or_empty(delta.reasoning_content) or string_body_or_empty(delta.reasoning):
            self._add_content(REASONING_TEXT, reasoning)
        if (content := bytes(delta.content)).startswith(b"["):
            for part in decode(content, _content_decoder):
                self._add_part(part)
        else:
            text = string_body(delta.content)
            logprobs = encode_logprobs(choice.logprobs.content) if choice.logprobs else b""
            if text or logprobs:
                self._add_content(OUTPUT_TEXT, text, logprobs)
        if delta.refusal is not NULL and (refusal := string_body(delta.refusal)):
            self._add_content(REFUSAL, refusal)

    def _add_part(self, part: _ContentPart) -> None:
        for thought in part.thinking or ():
            self._add_content(REASONING_TEXT, string_body(thought.text))
        if text := string_body(part.text):
            self._add_content(OUTPUT_TEXT, text)
        if refusal := string_body(part.refusal):
            self._add_content(REFUSAL, refusal)

    def _add_content(self, part_type: PartType, body: bytes, logprobs: bytes = b"") -> None:
        item = self._content
        self._kept.add(len(body) + len(logprobs) + (0 if part_type is self._part_type else ITEM_BYTES))
        self._part_type = part_type
        if item is None or item.type != part_type.item_type:
            self._end_content()
            encrypted = self._echo.encrypted_reasoning
            item = ContentItem(self._events, part_type.item_type, self._id, len(self._output), encrypted=encrypted)
            self._content = item
            self._output.append(item)
        item.add(part_type, body, logprobs)

    def _end_content(self) -> None:
        """Ends the open message or reasoning: the last item, since any other would have ended it."""
        if self._content:
            self._output[-1] = self._content.close(COMPLETED)
            self._content = None
            self._part_type = None

    def _read_call(self, fragment: _ToolCall, index: bytes) -> None:
        """Reads a tool call or its next fragment.

        Some servers send no index, or the same for all calls: a name with another id, or without an index, begins a call.
        """
        function = fragment.function or _Function()
        call_id, name = string_body_or_empty(fragment.id), string_body_or_empty(function.name)
        has_index = index != b"null"
        call = self._calls.get(index) if has_index else self._last_call
        if call is None or (name and call.item and (call_id != call.id if call_id else not has_index)):
            call = self._calls[index if has_index else b"null %d" % len(self._calls)] = _Call(call_id)
            self._kept.add(ITEM_BYTES + len(index) + len(call_id))
        self._last_call = call
        arguments = _arguments(function.arguments)
        self._kept.add(len(arguments))
        if call.item:
            if arguments:
                call.item.add(arguments)
            return
        call.id = call.id or call_id
        call.arguments += arguments
        if name:
            self._open_call(call, text_of(name))

    def _open_call(self, call: _Call, name: str) -> None:
        self._end_content()
        self._kept.add(3 * len(name))  # in the item, in its event and in the response
        call_id = b"" if call.id in self._call_ids else call.id  # an id of two calls would not identify either
        self._call_ids.add(call.id)
        tool = self._echo.tools.get(name) or Tool(name)
        call.item = CallItem(self._events, tool, call_id, self._id, len(self._output))
        self._output.append(call.item)
        if call.arguments:
            call.item.add(bytes(call.arguments))

    def _end_items(self) -> bytes:
        """Ends the items and returns the status of the response."""
        if not self._started:
            raise IncompleteResponse("the stream ended without a chunk")
        if self._finish_reason in _FAILURES:
            raise IncompleteResponse(f"the completion ended with finish_reason {self._finish_reason.decode()}")
        if not all(call.item for call in self._calls.values()):
            raise InvalidResponse("a tool call without a name")
        if not self._calls and (self._content is None or self._content.type != OUTPUT_TEXT.item_type):
            self._add_content(OUTPUT_TEXT, b"")
        status = INCOMPLETE if self._finish_reason in _INCOMPLETE_REASONS else COMPLETED
        last = len(self._output) - 1
        for position, item in enumerate(self._output):
            if isinstance(item, Item):
                self._output[position] = item.close(status if position == last else COMPLETED)
        return status

    def _response(self, status: bytes) -> bytes:
        """The response as it is now; items that have not ended are incomplete."""
        reason = _INCOMPLETE_REASONS[self._finish_reason] if status == INCOMPLETE else None
        output = [item.encode(INCOMPLETE) if isinstance(item, Item) else item for item in self._output]
        return b'{"id":"resp_%b","object":"response","created_at":%d,"completed_at":%b,"status":"%b","error":null,' % (
            self._id,
            self._created_at,
            b"%d" % time.time() if status == COMPLETED else b"null",
            status,
        ) + b'"incomplete_details":%b,"model":%b,"output":[%b],"usage":%b,%b}' % (
            b'{"reason":"%b"}' % reason if reason else b"null",
            self._model,
            b",".join(output),
            self._usage,
            self._echo.fields,
        )


def _arguments(value: Raw) -> bytes:
    """The body of a call's arguments; some servers send the object itself."""
    data = bytes(value)
    return encode(data.decode())[1:-1] if data.startswith(b"{") else string_body(value)


def _usage(value: Raw) -> bytes:
    """The token usage of a response; null if the completion's has another shape than OpenAI's."""
    try:
        usage = _usage_decoder.decode(value)
    except MsgspecError:
        return b"null"
    prompt = usage.prompt_tokens_details or _PromptTokensDetails()
    completion = usage.completion_tokens_details or _CompletionTokensDetails()
    total = usage.total_tokens
    return encode(
        {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": prompt.cached_tokens or 0,
                "cache_write_tokens": prompt.cache_write_tokens or 0,
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": completion.reasoning_tokens or 0},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens if total is None else total,
        }
    )
