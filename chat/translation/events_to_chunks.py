"""Translates a response of the Responses API, streamed or complete, into a completion of Chat Completions."""

import time
import uuid
from typing import Annotated

from msgspec import Meta, MsgspecError, Raw, Struct
from msgspec.json import Decoder

from chat.errors import IncompleteResponse, InvalidResponse
from chat.json_scan import NULL
from chat.translation.kept_bytes import ITEM_BYTES, KeptBytes
from chat.translation.logprobs import encode_logprobs
from chat.translation.raw_json import decode, encode, string_body, string_body_or_empty, text_of

_FINISH_REASONS = {b"max_output_tokens": b"length", b"content_filter": b"content_filter"}
"""By the reason of an incomplete response."""

_DELTAS = {
    "response.output_text.delta": b"content",
    "response.refusal.delta": b"refusal",
    "response.reasoning_text.delta": b"reasoning_content",
    "response.reasoning_summary_text.delta": b"reasoning_content",
}

_PARTS = {b"output_text": b"content", b"refusal": b"refusal", b"reasoning_text": b"reasoning_content"}
"""By the type of a content part: the key of the message."""

_CALL_DELTAS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")

_CALL_TYPES = {b"function_call": (b"function", b"arguments"), b"custom_tool_call": (b"custom", b"input")}
"""By the type of an item: the type of the tool call, and the key of what the model wrote for it."""

_PARAGRAPH = b"\\n\\n"
"""What separates the parts of a summary, as in a JSON string."""


class _Part(Struct):
    type: Raw = NULL
    text: Raw = NULL
    refusal: Raw = NULL
    logprobs: Raw = NULL


class _Item(Struct):
    type: Raw = NULL
    id: Raw = NULL
    call_id: Raw = NULL
    name: Raw = NULL
    arguments: Raw = NULL
    input: Raw = NULL
    content: list[_Part] | None = None
    summary: list[_Part] | None = None


class _IncompleteDetails(Struct):
    reason: Raw = NULL


class _Response(Struct):
    id: Raw = NULL
    model: Raw = NULL
    status: Raw = NULL
    incomplete_details: _IncompleteDetails | None = None
    output: list[_Item] | None = None
    usage: Raw = NULL


class _Event(Struct):
    type: str
    delta: Raw = NULL
    logprobs: Raw = NULL
    item_id: Raw = NULL
    output_index: Raw = NULL
    item: Raw = NULL
    response: Raw = NULL
    summary_index: Raw = NULL


type _Tokens = Annotated[int, Meta(ge=0, le=10**12)]


class _InputTokensDetails(Struct):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class _OutputTokensDetails(Struct):
    reasoning_tokens: _Tokens | None = None


class _Usage(Struct):
    input_tokens: _Tokens
    output_tokens: _Tokens
    total_tokens: _Tokens | None = None
    input_tokens_details: _InputTokensDetails | None = None
    output_tokens_details: _OutputTokensDetails | None = None


_event_decoder = Decoder(_Event)
_item_decoder = Decoder(_Item)
_response_decoder = Decoder(_Response)
_usage_decoder = Decoder(_Usage)


class _Call:
    """A call of a stream; `sent` is the body of the arguments, or the input, that the client has."""

    def __init__(self, index: int, call_type: bytes, key: bytes) -> None:
        self.index = index
        self.type = call_type
        self.key = key
        self.sent = bytearray()


class CompletionBuilder:
    """Builds one completion, from the events of a stream or from a complete response."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex.encode()
        self._created = int(time.time())
        self._head = b""
        self._calls: dict[bytes, _Call] = {}
        self._kept = KeptBytes()
        self._ended = False

    def feed(self, event: bytes) -> list[bytes]:
        """Takes an event that is not an error, and returns its chunks, each one JSON object; raises `InvalidResponse`."""
        decoded = decode(event, _event_decoder)
        if self._ended:
            return []
        chunks = [] if self._head else [self._start(decoded.response)]
        if key := _DELTAS.get(decoded.type):
            chunks += self._content(key, decoded)
        elif decoded.type in _CALL_DELTAS:
            chunks += self._call_delta(decoded)
        elif decoded.type in ("response.output_item.added", "response.output_item.done"):
            chunks += self._item(decoded, decode(bytes(decoded.item), _item_decoder))
        elif decoded.type == "response.reasoning_summary_part.added":
            if bytes(decoded.summary_index) not in (b"0", b"null"):
                chunks.append(self._chunk(b'{"reasoning_content":"%b"}' % _PARAGRAPH))
        elif decoded.type in ("response.completed", "response.incomplete"):
            chunks += self._end(decode(bytes(decoded.response), _response_decoder))
        return chunks

    def end(self) -> list[bytes]:
        """Returns no more chunks; raises `IncompleteResponse` if no event has ended the response."""
        if not self._ended:
            raise IncompleteResponse("the stream ended before the response did")
        return []

    def complete(self, response: bytes) -> bytes:
        """Returns the completion for a complete response; raises `InvalidResponse`."""
        decoded = decode(response, _response_decoder)
        if string_body_or_empty(decoded.status) not in (b"completed", b"incomplete") or decoded.output is None:
            raise InvalidResponse("an object that is not a finished response")
        message, logprobs = _message(decoded.output)
        has_calls = any(string_body(item.type) in _CALL_TYPES for item in decoded.output)
        choice = b'{"index":0,"message":{%b},"logprobs":%b,"finish_reason":"%b"}' % (
            message,
            _logprobs(logprobs),
            _finish_reason(decoded, has_calls),
        )
        return b"%b[%b]%b}" % (self._encode_head(decoded, b"chat.completion"), choice, _usage(decoded.usage))

    def _start(self, response: Raw) -> bytes:
        """Takes the identity of the completion from the first event, and returns the chunk with the role."""
        data = bytes(response)
        decoded = decode(data, _response_decoder) if data.startswith(b"{") else _Response()
        self._head = self._encode_head(decoded, b"chat.completion.chunk")
        return self._chunk(b'{"role":"assistant","content":""}')

    def _encode_head(self, response: _Response, object_type: bytes) -> bytes:
        return b'{"id":"chatcmpl-%b","object":"%b","created":%d,"model":"%b","choices":' % (
            string_body_or_empty(response.id).removeprefix(b"resp_") or self._id,
            object_type,
            self._created,
            string_body_or_empty(response.model),
        )

    def _chunk(self, delta: bytes, logprobs: bytes = b"null", finish_reason: bytes = b"null") -> bytes:
        fields = (self._head, delta, logprobs, finish_reason)
        return b'%b[{"index":0,"delta":%b,"logprobs":%b,"finish_reason":%b}]}' % fields

    def _content(self, key: bytes, event: _Event) -> list[bytes]:
        body = string_body(event.delta)
        logprobs = encode_logprobs(event.logprobs)
        return [self._chunk(b'{"%b":"%b"}' % (key, body), _logprobs(logprobs))] if body or logprobs else []

    def _call_delta(self, event: _Event) -> list[bytes]:
        call = self._calls.get(_call_key(event, event.item_id))
        return self._arguments(call, string_body(event.delta)) if call else []

    def _item(self, event: _Event, item: _Item) -> list[bytes]:
        """Begins a call, or adds what its deltas lacked. Text comes from deltas only."""
        if not (kind := _CALL_TYPES.get(string_body(item.type))):
            return []
        text, key = _call_text(item), _call_key(event, item.id)
        call = self._calls.get(key)
        if call:
            return self._arguments(call, _rest(text, bytes(call.sent)))
        call = self._calls[key] = _Call(len(self._calls), *kind)
        self._kept.add(ITEM_BYTES + len(key))
        self._add(call, text)
        return [self._chunk(b'{"tool_calls":[{"index":%d,%b}]}' % (call.index, _call_fields(item, call.index)))]

    def _arguments(self, call: _Call, body: bytes) -> list[bytes]:
        if not body:
            return []
        self._add(call, body)
        fields = (call.index, call.type, call.key, body)
        return [self._chunk(b'{"tool_calls":[{"index":%d,"%b":{"%b":"%b"}}]}' % fields)]

    def _add(self, call: _Call, body: bytes) -> None:
        call.sent += body
        self._kept.add(len(body))

    def _end(self, response: _Response) -> list[bytes]:
        self._ended = True
        reason = _finish_reason(response, bool(self._calls))
        chunks = [self._chunk(b"{}", finish_reason=b'"%b"' % reason)]
        if usage := _usage(response.usage):
            chunks.append(b"%b[]%b}" % (self._head, usage))
        return chunks


def _message(output: list[_Item]) -> tuple[bytes, bytes]:
    """The fields of a complete message, and the elements of its log probabilities."""
    texts = {b"content": bytearray(), b"refusal": bytearray(), b"reasoning_content": bytearray()}
    logprobs: list[bytes] = []
    calls: list[bytes] = []
    for item in output:
        if string_body(item.type) in _CALL_TYPES:
            calls.append(b"{%b}" % _call_fields(item, len(calls)))
        for part in item.content or ():
            if key := _PARTS.get(string_body(part.type)):
                texts[key] += string_body(part.text) or string_body(part.refusal)
                logprobs.append(encode_logprobs(part.logprobs))
        summary = _PARAGRAPH.join([string_body(part.text) for part in item.summary or ()])
        texts[b"reasoning_content"] += (_PARAGRAPH if summary and texts[b"reasoning_content"] else b"") + summary
    fields = [b'"role":"assistant"']
    for key, text in texts.items():
        if text or (key == b"content" and not calls and not texts[b"refusal"]):
            fields.append(b'"%b":"%b"' % (key, bytes(text)))
        elif key != b"reasoning_content":
            fields.append(b'"%b":null' % key)
    if calls:
        fields.append(b'"tool_calls":[%b]' % b",".join(calls))
    return b",".join(fields), b",".join(filter(None, logprobs))


def _call_fields(item: _Item, index: int) -> bytes:
    """The fields of a tool call with all that is known of its arguments."""
    name = string_body(item.name)
    if not name:
        raise InvalidResponse("a call without a name")
    call_type, key = _CALL_TYPES[string_body(item.type)]
    call_id = string_body(item.call_id) or string_body(item.id) or b"call_%d" % index
    fields = (call_id, call_type, call_type, name, key, _call_text(item))
    return b'"id":"%b","type":"%b","%b":{"name":"%b","%b":"%b"}' % fields


def _call_key(event: _Event, item_id: Raw) -> bytes:
    """What identifies a call in its events: its place in the output, or else the item's id, which a server may leave out."""
    return string_body(item_id) if event.output_index is NULL else bytes(event.output_index)


def _call_text(item: _Item) -> bytes:
    return string_body(item.arguments) or string_body(item.input)


def _rest(text: bytes, sent: bytes) -> bytes:
    """What follows the part of a text that has been sent, which may be escaped in another way."""
    if text == sent:
        return b""
    decoded, decoded_sent = text_of(text), text_of(sent)
    return encode(decoded.removeprefix(decoded_sent))[1:-1] if decoded.startswith(decoded_sent) else b""


def _finish_reason(response: _Response, has_calls: bool) -> bytes:
    details = response.incomplete_details
    if details and (reason := _FINISH_REASONS.get(string_body_or_empty(details.reason))):
        return reason
    if string_body_or_empty(response.status) == b"incomplete":
        return b"length"
    return b"tool_calls" if has_calls else b"stop"


def _logprobs(elements: bytes) -> bytes:
    return b'{"content":[%b],"refusal":null}' % elements if elements else b"null"


def _usage(value: Raw) -> bytes:
    """The field `usage` after others; empty if the response's usage has another shape than OpenAI's."""
    try:
        usage = _usage_decoder.decode(value)
    except MsgspecError:
        return b""
    inputs = usage.input_tokens_details or _InputTokensDetails()
    outputs = usage.output_tokens_details or _OutputTokensDetails()
    total = usage.total_tokens
    return b',"usage":' + encode(
        {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens if total is None else total,
            "prompt_tokens_details": {
                "cached_tokens": inputs.cached_tokens or 0,
                "cache_write_tokens": inputs.cache_write_tokens or 0,
            },
            "completion_tokens_details": {"reasoning_tokens": outputs.reasoning_tokens or 0},
        }
    )
