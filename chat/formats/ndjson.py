"""The format of `/api/chat`: OpenAI's chunks as received, streamed as NDJSON or as server-sent events."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints

from chat.completion_request import CompletionRequest
from chat.errors import ChatError
from chat.formats.framing import lines_or_events
from chat.formats.validation import validate
from chat.formats.wire_format import openai_error


class Message(BaseModel):
    """One message of the conversation. No other role is accepted: the system prompt is the service's own."""

    model_config = ConfigDict(strict=True)

    content: Annotated[str, StringConstraints(min_length=1)]
    role: Literal["user", "assistant"] = "user"


class ChatRequest(BaseModel):
    """The body of `POST /api/chat`. Other fields are ignored: OpenAI's clients send more."""

    model_config = ConfigDict(strict=True)

    # A body has room for millions of messages: the first that is invalid is enough.
    messages: Annotated[list[Message], Field(min_length=1), FailFast()]
    stream: bool = True


class NdjsonFormat:
    """The format for a request with this `Accept` header."""

    client_retries = False

    def __init__(self, accept: str) -> None:
        self._framing = lines_or_events(accept, "application/x-ndjson")
        self.stream_media_type = self._framing.media_type
        self.headers = {"vary": "Accept"}

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ChatRequest`."""
        _, request = validate(ChatRequest, body, max_messages)
        return CompletionRequest([message.model_dump() for message in request.messages], request.stream)

    def encode_stream(self, chunks: list[bytes]) -> bytes:
        """Encodes each chunk as a line or an event."""
        return self._framing.frame(chunks)

    def encode_completion(self, completion: bytes) -> bytes:
        """Returns the completion as received."""
        return completion

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes OpenAI's error object."""
        return openai_error(error)

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as the last line or event."""
        return self._framing.frame([openai_error(error)])

    def encode_stream_end(self) -> bytes:
        """Returns nothing, or the event `[DONE]`."""
        return self._framing.end
