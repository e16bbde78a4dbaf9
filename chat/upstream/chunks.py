"""Decodes a stream of server-sent events into the chunks of a completion: pure, and the same for any split of the bytes.

A chunk stays the bytes that the model server sent: it is checked to be one JSON object, and does not become a Python object.
"""

import json
from collections import deque

from chat.errors import IncompleteResponse, InvalidResponse, UpstreamErrorObject
from chat.json_scan import MAX_ERROR_BYTES, check, check_and_find_keys, find_keys, parse
from chat.metadata import Metadata
from chat.upstream.sse import EventDecoder

_LAST_CHUNKS = 4
"""How many chunks may follow the one with the `finish_reason`: token usage, a content filter's results."""

_MAX_STREAMED_COMPLETION_BYTES = 1024 * 1024
"""The maximum size of a complete completion that is sent as a stream: it becomes Python objects."""

_LF = b"\n"[0]

# Some clients also split lines at these, which JSON allows inside a string, raw or escaped.
_LINE_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


class ChunkDecoder:
    """Decodes the chunks of one streamed completion.

    `error` is set when the model server sent an error or an event that is not a chunk: what `feed` returned until then is
    valid, and nothing follows. `done` is set when the model server sent `[DONE]`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.done = False
        self.error: UpstreamErrorObject | InvalidResponse | None = None
        self._events = EventDecoder()
        self._last: deque[bytes] = deque(maxlen=_LAST_CHUNKS)

    def feed(self, received: bytes) -> list[bytes]:
        """Takes the next bytes and returns the chunks that they complete, each a JSON object on one line."""
        chunks: list[bytes] = []
        try:
            for event_type, data in self._events.feed(received):
                if data.strip() == b"[DONE]":
                    self.done = True
                    break
                chunks.append(_chunk(event_type, data))
        except (UpstreamErrorObject, InvalidResponse) as error:
            self.error = error
        self.count += len(chunks)
        self._last.extend(chunks)
        return chunks

    def end(self) -> Metadata:
        """Ends the stream and returns its metadata; raises `IncompleteResponse` if the completion has not ended."""
        metadata = Metadata()
        for chunk in self._last:
            metadata.update(find_keys(chunk))
        if not self.done and not metadata.finish_reasons:
            raise IncompleteResponse("the stream ended without [DONE] and without a finish_reason")
        return metadata


def _chunk(event_type: bytes, data: bytes) -> bytes:
    """The chunk in an event's data; raises `UpstreamErrorObject` or `InvalidResponse`."""
    check(data)
    if event_type == b"error":
        raise UpstreamErrorObject(parse(data, MAX_ERROR_BYTES))
    if _LF in data:  # an event of several lines; none of the breaks is inside a string, or it would not be JSON
        data = data.replace(b"\n", b" ")
    if not data.isascii():
        for raw, escaped in _LINE_BREAKS:
            data = data.replace(raw, escaped)
    return data


def check_completion(body: bytes) -> Metadata:
    """Returns the metadata of a complete `chat.completion`; raises `UpstreamErrorObject` or `InvalidResponse`."""
    keys = check_and_find_keys(body)
    if not bytes(keys.choices).startswith(b"["):
        raise InvalidResponse("an object that is not a chat.completion")
    metadata = Metadata()
    metadata.update(keys)
    return metadata


def completion_as_event_stream(body: bytes) -> bytes:
    """The stream of a complete `chat.completion`: one chunk, with the messages as deltas.

    Raises what `check_completion` raises.
    """
    check_completion(body)
    chunk = parse(body, _MAX_STREAMED_COMPLETION_BYTES)
    for choice in chunk["choices"]:
        if isinstance(choice, dict):
            choice["delta"] = delta = choice.pop("message", None)
            calls = delta.get("tool_calls") if isinstance(delta, dict) else None
            for index, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    call["index"] = index
    chunk["object"] = "chat.completion.chunk"
    return b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode()
