"""The forms of a chat on the wire: how a request is read, and how chunks, a whole answer and an error are written."""

import json
from typing import Any, Protocol

from chat.errors import ChatError, InvalidRequest
from chat.request import ChatRequest, Message, ProtocolRequest, parse
from chat.sse import json_object


class Form(Protocol):
    """One chat in one form: made for one request, as it may keep what that said."""

    stream_type: str
    """The media type of a streamed answer."""

    def read(self, body: bytes, max_messages: int) -> tuple[list[Message], bool]:
        """The conversation, and whether the answer is to be streamed; raises `InvalidRequest`."""

    def lines(self, chunks: list[bytes]) -> bytes:
        """The lines for these chunks, each with its end; there may be none."""

    def whole(self, completion: bytes) -> bytes:
        """The body of an answer that is not streamed."""

    def error(self, error: ChatError) -> bytes:
        """The body, or in a stream the last line without its end, that tells of an error."""


class OpenAIForm:
    """`/api/chat`: OpenAI's own objects, as they came."""

    stream_type = "application/x-ndjson"

    def read(self, body: bytes, max_messages: int) -> tuple[list[Message], bool]:
        """Reads a `ChatRequest`."""
        request = parse(ChatRequest, body, max_messages)
        return request.messages, request.stream

    def lines(self, chunks: list[bytes]) -> bytes:
        """A chunk on each line."""
        return b"\n".join(chunks) + b"\n"

    def whole(self, completion: bytes) -> bytes:
        """The completion itself."""
        return completion

    def error(self, error: ChatError) -> bytes:
        """OpenAI's error object."""
        return _json({"error": {"message": error.message, "type": error.type, "code": error.code, "param": error.param}})


class ProtocolForm:
    """`/api/chat-protocol`: Microsoft's AI Chat Protocol, whose front ends choose by the route whether to stream."""

    stream_type = "application/jsonl"

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._begun = False
        self._session: dict[str, Any] = {}

    def read(self, body: bytes, max_messages: int) -> tuple[list[Message], bool]:
        """Reads a `ProtocolRequest`."""
        request = parse(ProtocolRequest, body, max_messages)
        if "sessionState" in request.model_fields_set:
            self._session = {"sessionState": request.sessionState}
            try:
                json.dumps(request.sessionState, allow_nan=False)
            except ValueError:
                raise InvalidRequest("sessionState: has a number too large.", param="sessionState") from None
        return request.messages, self._stream

    def lines(self, chunks: list[bytes]) -> bytes:
        """First the role, with the session state, and then the content, a delta on each line."""
        deltas: list[dict[str, Any]] = []
        if not self._begun:
            self._begun = True
            deltas.append({"delta": {"role": "assistant"}, **self._session})
        contents = (_content(json_object(chunk), "delta") for chunk in chunks)
        deltas += [{"delta": {"content": content}} for content in contents if content]
        return b"".join(_json(delta) + b"\n" for delta in deltas)

    def whole(self, completion: bytes) -> bytes:
        """The message, with the session state."""
        content = _content(json_object(completion), "message")
        return _json({"message": {"role": "assistant", "content": content}, **self._session})

    def error(self, error: ChatError) -> bytes:
        """The protocol's error object, which has a code always."""
        return _json({"error": {"code": error.code or error.type, "message": error.message}})


def _content(answer: dict[str, Any], key: str) -> str:
    """The text of the first choice's `delta` or `message`: what is of another shape has none."""
    match answer:
        case {"choices": [dict(choice), *_]} if isinstance(part := choice.get(key), dict):
            content = part.get("content")
            return content if isinstance(content, str) else ""
    return ""


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
