"""The format of `/api/v1/responses`: OpenAI's Responses API, streamed as server-sent events."""

import re
from collections.abc import Mapping
from time import time
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import ChatError, InvalidResponse
from chat.formats.framing import EVENT_STREAM
from chat.formats.responses_request import parse_request
from chat.formats.wire_format import encode_json, openai_error
from chat.json_scan import parse

_MAX_EVENT_BYTES = 4 * 1024 * 1024

# OpenAI, and this service, send the type first.
_TYPE_FIRST = re.compile(rb'\{\s*+"type"\s*+:\s*+"([\w.]++)"')


class ResponsesFormat:
    """Responses, streamed as events."""

    stream_media_type = EVENT_STREAM.media_type
    headers: Mapping[str, str] = {}
    client_retries = True

    def __init__(self) -> None:
        self._first_event = b""
        self._last_event = b""

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ResponsesRequest`."""
        return parse_request(body, max_messages)

    def encode_stream(self, events: list[bytes]) -> bytes:
        """Encodes each event, with its type as the name of the server-sent event."""
        self._first_event = self._first_event or events[0]
        self._last_event = events[-1]
        return b"".join([b"event: %b\ndata: %b\n\n" % (_event_type(event), event) for event in events])

    def encode_completion(self, completion: bytes) -> bytes:
        """Returns the response as received."""
        return completion

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes OpenAI's error object."""
        return openai_error(error)

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the events `error` and `response.failed`.

        OpenAI's clients differ: some recognize only `error`, with either flat or nested fields, and others only
        `response.failed`.
        """
        fields = {"code": error.code, "message": error.message, "param": error.param}
        number = _sequence_number(self._last_event) + 1
        failed = {
            **_response(self._first_event),
            "status": "failed",
            "error": {"code": error.code or _FAILURE_CODES.get(error.type, "server_error"), "message": error.message},
        }
        return self.encode_stream(
            [
                encode_json({"type": "error", "sequence_number": number, **fields, "error": {"type": error.type, **fields}}),
                encode_json({"type": "response.failed", "sequence_number": number + 1, "response": failed}),
            ]
        )

    def encode_stream_end(self) -> bytes:
        """Returns nothing: the last event has ended the stream."""
        return b""


_FAILURE_CODES = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}
"""The codes that OpenAI defines for a failed response, where the model server sent none."""


def _event_type(event: bytes) -> bytes:
    if match := _TYPE_FIRST.match(event):
        return match[1]
    value = _parse(event).get("type")
    return value.encode() if isinstance(value, str) and re.fullmatch(r"[\w.]+", value, re.ASCII) else b"message"


def _sequence_number(event: bytes) -> int:
    number = _parse(event).get("sequence_number")
    return number if isinstance(number, int) else 0


def _response(event: bytes) -> dict[str, Any]:
    """The response object in the first event, if it can be encoded again."""
    minimal = {"id": "resp_0", "object": "response", "created_at": int(time()), "model": "", "output": []}
    response = _parse(event).get("response")
    if not isinstance(response, dict):
        return minimal
    try:
        encode_json(response)
    except ValueError:
        return minimal
    return minimal | response


def _parse(event: bytes) -> dict[str, Any]:
    try:
        value = parse(event, _MAX_EVENT_BYTES)
    except InvalidResponse:
        return {}
    return value if isinstance(value, dict) else {}
