"""Decodes a stream of server-sent events into the chunks of a completion: pure, and the same for any split of the bytes.

A chunk stays the bytes that the model server sent if it has the shape that clients expect: an array `choices`, in which each
choice has an object `delta`. Other objects are repaired if they are chunks, and dropped if they are not.
"""

import json
from contextlib import suppress
from typing import Any

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from chat.errors import IncompleteResponse, InvalidResponse, UpstreamErrorObject
from chat.json_scan import MAX_ERROR_BYTES, NULL, decode_object, find_keys, parse, raise_error
from chat.metadata import Metadata
from chat.upstream.sse import EventDecoder, on_one_line

_MAX_REPAIRED_BYTES = 1024 * 1024
"""The maximum size of a chunk that has another shape: it becomes Python objects."""


class _Object(Struct, gc=False):
    """Any object."""


class _Choice(Struct, gc=False):
    delta: _Object
    finish_reason: str | None = None


class _Chunk(Struct, gc=False):
    """The shape that clients expect, and what says where the completion ends."""

    choices: list[_Choice]
    usage: _Object | None = None
    error: Raw = NULL


_decode_chunk = Decoder(_Chunk).decode


class ChunkDecoder:
    """Decodes the chunks of one streamed completion.

    `error` is set when the model server sent an error or an event that is not a JSON object: what `feed` returned until then
    is valid, and nothing follows. `done` is set when the model server sent `[DONE]`.
    """

    def __init__(self) -> None:
        self.chunk_count = 0
        self.done = False
        self.error: UpstreamErrorObject | InvalidResponse | None = None
        self._events = EventDecoder()
        self._last = b""
        self._last_with_finish_reason = b""
        self._last_with_usage = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Takes the next bytes, `b""` at the body's end, and returns the chunks that they complete.

        Each chunk is a JSON object on one line.
        """
        chunks: list[bytes] = []
        try:
            for event_type, data in self._events.feed(received):
                if chunk := self._chunk(event_type, data):
                    chunks.append(chunk)
                elif self.done:
                    break
        except UpstreamErrorObject as error:
            self.error = error
        except InvalidResponse as error:
            if received:  # a body may end in the middle of an event: see `end`
                self.error = error
        if chunks:
            self.chunk_count += len(chunks)
            self._last = chunks[-1]
        return chunks

    def end(self) -> Metadata:
        """Ends the stream and returns its metadata; raises `IncompleteResponse` if the completion has not ended."""
        if not self.done and not self._last_with_finish_reason:
            raise IncompleteResponse("the stream ended without [DONE] and without a finish_reason")
        metadata = Metadata()
        for chunk in (self._last_with_finish_reason, self._last_with_usage, self._last):
            if chunk:
                metadata.update(find_keys(chunk))
        return metadata

    def _chunk(self, event_type: bytes, data: bytes) -> bytes | None:
        """The chunk in an event's data, if there is one; raises `UpstreamErrorObject` or `InvalidResponse`."""
        try:
            chunk = _decode_chunk(data.decode())
        except (MsgspecError, ValueError, RecursionError):
            text = data.strip()
            self.done = text == b"[DONE]"
            if self.done or not text:  # nothing: a keep-alive
                return None
            repaired = _repaired(event_type, data)
            if repaired is None:
                return None
            data, chunk = repaired, decode_object(repaired, _decode_chunk)
        if chunk.error is not NULL:
            raise_error(chunk.error)
        if chunk.usage is not None:
            self._last_with_usage = data
        for choice in chunk.choices:
            if choice.finish_reason:
                self._last_with_finish_reason = data
        return on_one_line(data)


def _repaired(event_type: bytes, data: bytes) -> bytes | None:
    """An object as a chunk of the usual shape; None if it is not a chunk. Raises what `find_keys` raises."""
    with suppress(InvalidResponse):
        decode_object(data, _decode_chunk)
        return data  # only a lone surrogate in it is unusual
    find_keys(data)
    if event_type == b"error":
        raise UpstreamErrorObject(parse(data, MAX_ERROR_BYTES))
    chunk = parse(data, _MAX_REPAIRED_BYTES)
    if not isinstance(chunk.get("usage"), dict | None):
        chunk["usage"] = None
    if chunk.get("usage") and chunk.get("choices") is None:
        chunk["choices"] = []
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return None
    for choice in choices:
        _repair_choice(choice)
        if choice.pop("message", None):
            chunk["object"] = "chat.completion.chunk"
    return json.dumps(chunk, separators=(",", ":")).encode()


def _repair_choice(choice: dict[str, Any]) -> None:
    """Gives a choice a delta, for which some servers send a `message`, and others nothing."""
    if not isinstance(choice.get("finish_reason"), str | None):
        choice["finish_reason"] = None
    if isinstance(choice.get("delta"), dict):
        return
    message = choice.get("message")
    choice["delta"] = delta = message if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        if isinstance(call, dict):
            call.setdefault("index", index)


def check_completion(body: bytes) -> Metadata:
    """Returns the metadata of a complete `chat.completion`; raises `UpstreamErrorObject` or `InvalidResponse`."""
    keys = find_keys(body)
    if not bytes(keys.choices).startswith(b"["):
        raise InvalidResponse("an object that is not a chat.completion")
    metadata = Metadata()
    metadata.update(keys)
    return metadata


def completion_as_event_stream(body: bytes) -> bytes:
    """A complete `chat.completion` as a stream, which has messages for deltas; raises what `check_completion` raises."""
    check_completion(body)
    return b"data: %b\n\ndata: [DONE]\n\n" % b" ".join(body.splitlines())
