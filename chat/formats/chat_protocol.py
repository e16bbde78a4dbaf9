"""The format of `/api/chat-protocol`: Microsoft's AI Chat Protocol, whose clients choose by the route whether to stream.

See https://github.com/microsoft/ai-chat-protocol.
"""

import json
from typing import Annotated, Any, Literal

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationInfo, field_validator

from chat.completion_request import CompletionRequest
from chat.errors import ChatError, InvalidRequest
from chat.formats.framing import lines_or_events
from chat.formats.validation import validate
from chat.formats.wire_format import encode_json
from chat.json_scan import NULL, parse

_MAX_CONTENT_BYTES = 4 * 1024 * 1024
"""The maximum size of a content."""

_MAX_UNUSUAL_BYTES = 256 * 1024
"""The maximum size of what becomes Python objects because it does not have the usual shape."""


_FROM_ASSISTANT_OR_NOT_EMPTY: list[Any] = [
    {"properties": {"role": {"const": "assistant"}}, "required": ["role"]},
    {"properties": {"content": {"minLength": 1}}},
]


class ProtocolMessage(BaseModel):
    """One message. The content of a response may be empty, as it is after a content filter, for example."""

    model_config = ConfigDict(strict=True, json_schema_extra={"anyOf": _FROM_ASSISTANT_OR_NOT_EMPTY})

    role: Literal["user", "assistant"] = "user"
    content: str

    @field_validator("content")
    @classmethod
    def _check_content(cls, content: str, info: ValidationInfo) -> str:
        if not content and info.data.get("role") == "user":
            raise ValueError("String should have at least 1 character")
        return content


class ProtocolRequest(BaseModel):
    """The body of Microsoft's AI Chat Protocol. `sessionState` is the client's own and is returned as received."""

    model_config = ConfigDict(strict=True)

    messages: Annotated[list[ProtocolMessage], Field(min_length=1), FailFast()]
    context: dict[str, Any] | None = None
    sessionState: Any = None  # noqa: N815 - the protocol's name


class ProtocolFormat:
    """The format for a request with this `Accept` header, for a streamed or a complete response."""

    client_retries = False

    def __init__(self, accept: str, *, stream: bool) -> None:
        self._framing = lines_or_events(accept, "application/jsonl")
        self.stream_media_type = self._framing.media_type
        self.headers = {"vary": "Accept"} if stream else {}
        self._stream = stream
        self._started = False
        self._session = b""

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ProtocolRequest`."""
        _, request = validate(ProtocolRequest, body, max_messages)
        if "sessionState" in request.model_fields_set:
            try:
                # Encoded at once: as objects it could take much more memory until the response ends.
                self._session = b',"sessionState":' + json.dumps(request.sessionState, allow_nan=False).encode()
            except ValueError:
                raise InvalidRequest("sessionState: a number is too large.", param="sessionState") from None
        return CompletionRequest([message.model_dump() for message in request.messages], self._stream)

    def encode_stream(self, chunks: list[bytes]) -> bytes:
        """Encodes a delta as a line or an event: first the role, with the session state, and then the content."""
        deltas: list[bytes] = []
        if not self._started:
            self._started = True
            deltas.append(b'{"delta":{"role":"assistant"}%b}' % self._session)
        contents = (_text(chunk, "delta") for chunk in chunks)
        deltas += [encode_json({"delta": {"content": content}}) for content in contents if content]
        return self._framing.frame(deltas)

    def encode_completion(self, completion: bytes) -> bytes:
        """Encodes the message, with the session state."""
        message = {"role": "assistant", "content": _text(completion, "message")}
        return b'{"message":%b%b}' % (encode_json(message), self._session)

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes the protocol's error object, which always has a code."""
        return encode_json({"error": {"code": error.code or error.type, "message": error.message}})

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as the last line or event."""
        return self._framing.frame([self.encode_error(error)])

    def encode_stream_end(self) -> bytes:
        """Returns nothing, or the event `[DONE]`."""
        return self._framing.end


class _Message(Struct):
    content: Raw = NULL
    refusal: Raw = NULL


class _Choice(Struct):
    delta: _Message | None = None
    message: _Message | None = None


class _Completion(Struct):
    choices: list[_Choice] | None = None


_decode_completion = Decoder(_Completion).decode


def _text(data: bytes, key: str) -> str:
    """The text of the first choice's `delta` or `message`: its content, or its refusal; empty if it has another shape.

    Raises `InvalidResponse`.
    """
    try:
        choices = _decode_completion(data).choices
        message = getattr(choices[0], key) if choices else None
        values = (parse(value, _max_bytes(value)) for value in (message.content, message.refusal)) if message else ()
    except MsgspecError:  # an unusual shape, or a lone surrogate
        match parse(data, _MAX_UNUSUAL_BYTES):
            case {"choices": [dict(choice), *_]} if isinstance(choice.get(key), dict):
                values = (choice[key].get(name) for name in ("content", "refusal"))
            case _:
                values = ()
    return next(filter(None, map(_plain_text, values)), "")


def _max_bytes(value: Raw) -> int:
    return _MAX_CONTENT_BYTES if bytes(value).startswith(b'"') else _MAX_UNUSUAL_BYTES


def _plain_text(content: object) -> str:
    """The text of a content, which is a string, or an array of parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = [part.get("text") or part.get("refusal") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
