"""The format of `/api/chat`: OpenAI's objects, streamed as a line each."""

from chat.completion_request import CompletionRequest
from chat.errors import ChatError
from chat.formats.validation import Conversation, validate
from chat.formats.wire_format import openai_error


class ChatRequest(Conversation):
    """The body of `POST /api/chat`."""

    stream: bool = True


class NdjsonFormat:
    """OpenAI's objects as received (https://github.com/ndjson/ndjson-spec)."""

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
        return openai_error(error)

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as the last line."""
        return openai_error(error) + b"\n"

    def encode_stream_end(self) -> bytes:
        """Returns nothing: each line has ended with a line feed."""
        return b""
