"""What every wire format implements, and the JSON that several of them share."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from chat.completion_request import CompletionRequest
from chat.errors import ChatError


class WireFormat(Protocol):
    """A format for one request: each request has its own instance, because the response may depend on it."""

    stream_media_type: str
    """The media type of a streamed response."""

    client_retries: bool
    """Whether clients of this format repeat a failed request by themselves, so that the service does not."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every response in this format."""

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses the body of the request; raises `InvalidRequest`."""

    def encode_stream(self, chunks: list[bytes]) -> bytes:
        """Encodes the next chunks, or events, of a streamed response; the result may be empty. Raises `InvalidResponse`."""

    def encode_completion(self, completion: bytes) -> bytes:
        """Encodes the body of a complete response; raises `InvalidResponse`."""

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes an error as the body of a response."""

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes an error as the end of a streamed response."""

    def encode_stream_end(self) -> bytes:
        """Returns the end of a streamed response."""


def openai_error(error: ChatError) -> bytes:
    """Encodes OpenAI's error object."""
    return encode_json({"error": {"message": error.message, "type": error.type, "code": error.code, "param": error.param}})


def encode_json(data: dict[str, Any]) -> bytes:
    """Encodes an object on one line, in ASCII; raises `ValueError` for a number that is out of range."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode()
