"""The wire formats: how a request is parsed, and how chunks, a complete response and an error are encoded."""

import json
import re
from typing import Any, Protocol

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from chat.errors import ChatError, InvalidRequest
from chat.json_scan import find_keys, parse
from chat.openai_request import parse_openai_request
from chat.request import ChatRequest, CompletionRequest, ProtocolRequest, validate

_MAX_CONTENT_BYTES = 4 * 1024 * 1024
"""The maximum size of a content in the AI Chat Protocol."""

_MAX_UNUSUAL_BYTES = 256 * 1024
"""The maximum size of what becomes Python objects because it does not have the usual shape."""

# In JSON, a quotation mark inside a string is escaped, so neither key can be part of a text.
_DELTA_OR_FINISH_REASON = re.compile(rb'"delta"|"finish_reason"\s*+:\s*+(?!null|"")')


class WireFormat(Protocol):
    """A format for one request: each request has its own instance, because the response may depend on it."""

    stream_media_type: str
    """The media type of a streamed response."""

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses the body of the request; raises `InvalidRequest`."""

    def encode_chunks(self, chunks: list[bytes]) -> bytes:
        """Encodes chunks of a streamed response; the result may be empty. Raises `InvalidResponse`."""

    def encode_completion(self, completion: bytes) -> bytes:
        """Encodes the body of a complete response; raises `InvalidResponse`."""

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes an error as the body of a response."""

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes an error as the end of a streamed response."""

    def encode_stream_end(self) -> bytes:
        """Returns the end of a streamed response."""


class NdjsonFormat:
    """`/api/chat`: OpenAI's objects as received, streamed as a line each (https://github.com/ndjson/ndjson-spec)."""

    stream_media_type = "application/x-ndjson"

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ChatRequest`."""
        _, request = validate(ChatRequest, body, max_messages)
        return CompletionRequest([message.model_dump() for message in request.messages], request.stream)

    def encode_chunks(self, chunks: list[bytes]) -> bytes:
        """Encodes each chunk as a line."""
        return b"\n".join(chunks) + b"\n"

    def encode_completion(self, completion: bytes) -> bytes:
        """Returns the completion as received."""
        return completion

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes OpenAI's error object."""
        return _json({"error": {"message": error.message, "type": error.type, "code": error.code, "param": error.param}})

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as the last line."""
        return self.encode_error(error) + b"\n"

    def encode_stream_end(self) -> bytes:
        """Returns nothing: each line has ended with a line feed."""
        return b""


class OpenAIFormat(NdjsonFormat):
    """`/api/v1/chat/completions`: OpenAI's Chat Completions API; its complete responses and errors are those of NDJSON."""

    stream_media_type = "text/event-stream"

    def __init__(self) -> None:
        self._include_usage = False

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses an `OpenAIRequest`."""
        request, self._include_usage = parse_openai_request(body, max_messages)
        return request

    def encode_chunks(self, chunks: list[bytes]) -> bytes:
        """Encodes each chunk as an event, except those without a choice, which clients do not expect."""
        sent = [chunk for chunk in chunks if self._is_sent(chunk)]
        return b"data: " + b"\n\ndata: ".join(sent) + b"\n\n" if sent else b""

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as an event."""
        return b"data: %b\n\n" % self.encode_error(error)

    def encode_stream_end(self) -> bytes:
        """Returns the event that ends a stream."""
        return b"data: [DONE]\n\n"

    def _is_sent(self, chunk: bytes) -> bool:
        """Whether the chunk has something for the client: a delta, a finish reason, or usage that it requested."""
        # Nearly every chunk, ten times as fast as finding its keys: both are near its end.
        delta = chunk.rfind(b'"delta"')
        if (
            delta > 0
            and chunk.count(b'"choices"') == 1
            and (chunk.rfind(b'"choices":[{', 0, delta) > 0 or chunk.rfind(b'"choices": [{', 0, delta) > 0)
        ):
            return True
        keys = find_keys(chunk)
        choices = bytes(keys.choices)
        if _DELTA_OR_FINISH_REASON.search(choices):
            return True
        return self._include_usage and b"{" not in choices and bytes(keys.usage).startswith(b"{")


class ProtocolFormat:
    """`/api/chat-protocol`: Microsoft's AI Chat Protocol, whose clients choose by the route whether to stream.

    See https://github.com/microsoft/ai-chat-protocol.
    """

    stream_media_type = "application/jsonl"

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._started = False
        self._session = b""

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ProtocolRequest`."""
        _, request = validate(ProtocolRequest, body, max_messages)
        if "sessionState" in request.model_fields_set:
            try:
                # Encoded at once: as objects it could take 25 times as much memory until the response ends.
                self._session = b',"sessionState":' + json.dumps(request.sessionState, allow_nan=False).encode()
            except ValueError:
                raise InvalidRequest("sessionState: a number is too large.", param="sessionState") from None
        return CompletionRequest([message.model_dump() for message in request.messages], self._stream)

    def encode_chunks(self, chunks: list[bytes]) -> bytes:
        """Encodes a delta as a line: first the role, with the session state, and then the content."""
        lines: list[bytes] = []
        if not self._started:
            self._started = True
            lines.append(b'{"delta":{"role":"assistant"}%b}\n' % self._session)
        contents = (_content(chunk, "delta") for chunk in chunks)
        lines += [_json({"delta": {"content": content}}) + b"\n" for content in contents if content]
        return b"".join(lines)

    def encode_completion(self, completion: bytes) -> bytes:
        """Encodes the message, with the session state."""
        message = {"role": "assistant", "content": _content(completion, "message")}
        return b'{"message":%b%b}' % (_json(message), self._session)

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes the protocol's error object, which always has a code."""
        return _json({"error": {"code": error.code or error.type, "message": error.message}})

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as the last line."""
        return self.encode_error(error) + b"\n"

    def encode_stream_end(self) -> bytes:
        """Returns nothing: each line has ended with a line feed."""
        return b""


class _Part(Struct):
    content: Raw = Raw(b"null")


class _Choice(Struct):
    delta: _Part | None = None
    message: _Part | None = None


class _Completion(Struct):
    choices: list[_Choice] | None = None


_decode_completion = Decoder(_Completion).decode


def _content(data: bytes, key: str) -> str:
    """The content of the first choice's `delta` or `message`; empty if it has another shape. Raises `InvalidResponse`."""
    try:
        choices = _decode_completion(data).choices
        part = getattr(choices[0], key) if choices else None
        content = parse(part.content, _MAX_CONTENT_BYTES) if part and bytes(part.content)[:1] == b'"' else ""
    except MsgspecError:  # an unusual shape, or a lone surrogate
        match parse(data, _MAX_UNUSUAL_BYTES):
            case {"choices": [dict(choice), *_]} if isinstance(values := choice.get(key), dict):
                content = values.get("content")
            case _:
                content = ""
    return content if isinstance(content, str) else ""


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
