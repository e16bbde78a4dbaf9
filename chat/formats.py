"""The wire formats: how a request is read, and how chunks, a complete response and an error are written."""

import json
from typing import Any, Protocol

from chat.errors import ChatError, InvalidRequest
from chat.json_scan import scan_all, value
from chat.openai_request import parse_openai_request
from chat.request import ChatRequest, CompletionRequest, ProtocolRequest, validate


class WireFormat(Protocol):
    """A format for one request: each request has its own instance, because the response may depend on it."""

    stream_type: str
    """The media type of a streamed response."""

    def read(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Reads the body of the request; raises `InvalidRequest`."""

    def chunks(self, chunks: list[bytes]) -> bytes:
        """Writes chunks of a streamed response; the result may be empty. Raises `InvalidResponse`."""

    def complete(self, completion: bytes) -> bytes:
        """Writes the body of a complete response; raises `InvalidResponse`."""

    def error(self, error: ChatError) -> bytes:
        """Writes an error as a body of its own."""

    def stream_error(self, error: ChatError) -> bytes:
        """Writes an error as the end of a streamed response."""

    def stream_end(self) -> bytes:
        """Writes the end of a streamed response."""


class NdjsonFormat:
    """`/api/chat`: OpenAI's objects as received, streamed as a line each (https://github.com/ndjson/ndjson-spec)."""

    stream_type = "application/x-ndjson"

    def read(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Reads a `ChatRequest`."""
        _, request = validate(ChatRequest, body, max_messages)
        return CompletionRequest([message.model_dump() for message in request.messages], request.stream)

    def chunks(self, chunks: list[bytes]) -> bytes:
        """Writes each chunk on a line."""
        return b"\n".join(chunks) + b"\n"

    def complete(self, completion: bytes) -> bytes:
        """The completion as received."""
        return completion

    def error(self, error: ChatError) -> bytes:
        """Writes OpenAI's error object."""
        return _json({"error": {"message": error.message, "type": error.type, "code": error.code, "param": error.param}})

    def stream_error(self, error: ChatError) -> bytes:
        """Writes the error object on the last line."""
        return self.error(error) + b"\n"

    def stream_end(self) -> bytes:
        """Nothing: the last chunk has ended with a line feed."""
        return b""


class OpenAIFormat(NdjsonFormat):
    """`/api/v1/chat/completions`: OpenAI's Chat Completions API; its complete responses and errors are those of NDJSON."""

    stream_type = "text/event-stream"

    def __init__(self) -> None:
        self._include_usage = False

    def read(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Reads an `OpenAIRequest`."""
        request, self._include_usage = parse_openai_request(body, max_messages)
        return request

    def chunks(self, chunks: list[bytes]) -> bytes:
        """Writes each chunk as an event, except those without a choice, which clients do not expect."""
        sent = [chunk for chunk in chunks if self._is_sent(chunk)]
        return b"data: " + b"\n\ndata: ".join(sent) + b"\n\n" if sent else b""

    def stream_error(self, error: ChatError) -> bytes:
        """Writes the error object as an event."""
        return b"data: %b\n\n" % self.error(error)

    def stream_end(self) -> bytes:
        """Writes the event that ends a stream."""
        return b"data: [DONE]\n\n"

    def _is_sent(self, chunk: bytes) -> bool:
        """Whether the chunk has something for the client: a delta, a finish reason, or usage that it requested."""
        # Nearly every chunk, at a tenth of the time that a look at its keys takes: from the end it is not far to either key.
        delta = chunk.rfind(b'"delta"')
        if delta > 0 and (chunk.rfind(b'"choices":[{', 0, delta) > 0 or chunk.rfind(b'"choices": [{', 0, delta) > 0):
            return True
        keys = scan_all(chunk)
        choices = value(keys.choices)
        if not isinstance(choices, list) or not choices:
            return self._include_usage and isinstance(value(keys.usage), dict)
        return any(isinstance(choice, dict) and ("delta" in choice or choice.get("finish_reason")) for choice in choices)


class ProtocolFormat:
    """`/api/chat-protocol`: Microsoft's AI Chat Protocol, whose clients choose by the route whether to stream.

    See https://github.com/microsoft/ai-chat-protocol.
    """

    stream_type = "application/jsonl"

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._started = False
        self._session: dict[str, Any] = {}

    def read(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Reads a `ProtocolRequest`."""
        _, request = validate(ProtocolRequest, body, max_messages)
        if "sessionState" in request.model_fields_set:
            self._session = {"sessionState": request.sessionState}
            try:
                json.dumps(request.sessionState, allow_nan=False)
            except ValueError:
                raise InvalidRequest("sessionState: a number is too large.", param="sessionState") from None
        return CompletionRequest([message.model_dump() for message in request.messages], self._stream)

    def chunks(self, chunks: list[bytes]) -> bytes:
        """Writes a delta on each line: first the role, with the session state, and then the content."""
        deltas: list[dict[str, Any]] = []
        if not self._started:
            self._started = True
            deltas.append({"delta": {"role": "assistant"}, **self._session})
        contents = (_content(chunk, "delta") for chunk in chunks)
        deltas += [{"delta": {"content": content}} for content in contents if content]
        return b"".join(_json(delta) + b"\n" for delta in deltas)

    def complete(self, completion: bytes) -> bytes:
        """Writes the message, with the session state."""
        message = {"role": "assistant", "content": _content(completion, "message")}
        return _json({"message": message, **self._session})

    def error(self, error: ChatError) -> bytes:
        """Writes the protocol's error object, which always has a code."""
        return _json({"error": {"code": error.code or error.type, "message": error.message}})

    def stream_error(self, error: ChatError) -> bytes:
        """Writes the error object on the last line."""
        return self.error(error) + b"\n"

    def stream_end(self) -> bytes:
        """Nothing: the last chunk has ended with a line feed."""
        return b""


def _content(data: bytes, key: str) -> str:
    """The content of the first choice's `delta` or `message`; empty if it has another shape."""
    match value(data):
        case {"choices": [dict(choice), *_]} if isinstance(part := choice.get(key), dict):
            content = part.get("content")
            return content if isinstance(content, str) else ""
    return ""


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
