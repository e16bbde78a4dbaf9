"""Decodes a stream of server-sent events into the events of a response, of OpenAI's Responses API: pure, like `chunks`.

An event stays the bytes that the model server sent: it is checked to be one JSON object.
"""

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from chat.errors import IncompleteResponse, InvalidResponse, UpstreamErrorObject
from chat.json_scan import MAX_ERROR_BYTES, NULL, ResponseKeys, decode_object, find_response_keys, parse
from chat.metadata import Metadata
from chat.upstream.sse import EventDecoder, on_one_line

_FINAL_TYPES = ("response.completed", "response.incomplete")
_ERROR_TYPES = ("error", "response.failed")


class _Event(Struct, gc=False):
    type: str = ""
    error: Raw = NULL


class _EventWithResponse(Struct):
    response: ResponseKeys | None = None


_decode_event = Decoder(_Event).decode
_decode_event_with_response = Decoder(_EventWithResponse).decode


class ResponseEventDecoder:
    """Decodes the events of one streamed response.

    `error` is set when the model server sent an error, `response.failed`, or something that is not an event: what `feed`
    returned until then is valid, and nothing follows. `done` is set after the event that ends a response.
    """

    def __init__(self) -> None:
        self.chunk_count = 0
        self.done = False
        self.error: UpstreamErrorObject | InvalidResponse | None = None
        self._events = EventDecoder()
        self._last = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Takes the next bytes and returns the events that they complete, each a JSON object on one line."""
        events: list[bytes] = []
        try:
            for _, data in self._events.feed(received):
                event = _decode(data)
                if event is None:
                    continue
                if event.error is not NULL or event.type in _ERROR_TYPES:
                    error = _error(event, data)
                    if error or event.type in _ERROR_TYPES:
                        raise UpstreamErrorObject(error)
                if not event.type.startswith("response."):
                    continue  # a keep-alive, for instance: clients fail on events that they do not know
                events.append(on_one_line(data))
                if event.type in _FINAL_TYPES:
                    self.done = True
                    break
        except UpstreamErrorObject as error:
            self.error = error
        except InvalidResponse as error:
            if received:  # a body may end in the middle of an event
                self.error = error
        if events:
            self.chunk_count += len(events)
            self._last = events[-1]
        return events

    def end(self) -> Metadata:
        """Ends the stream and returns its metadata; raises `IncompleteResponse` if the response has not ended."""
        if not self.done:
            raise IncompleteResponse("the stream ended before the response did")
        metadata = Metadata()
        if response := decode_object(self._last, _decode_event_with_response).response:
            metadata.update_from_response(response)
        return metadata


def _decode(data: bytes) -> _Event | None:
    """An event; None for data that is empty or `[DONE]`. Raises `InvalidResponse`."""
    try:
        return _decode_event(data.decode())
    except (MsgspecError, ValueError, RecursionError):
        return None if data.strip() in (b"", b"[DONE]") else decode_object(data, _decode_event)


def _error(event: _Event, data: bytes) -> object:
    """The error in an event: in its response, in a key, or in the event's own fields."""
    if event.type == "response.failed":
        response = decode_object(data, _decode_event_with_response).response
        return parse(response.error, MAX_ERROR_BYTES) if response else None
    return parse(event.error, MAX_ERROR_BYTES) or (parse(data, MAX_ERROR_BYTES) if event.type == "error" else None)


def check_response(body: bytes) -> Metadata:
    """Returns the metadata of a complete `response`; raises `UpstreamErrorObject` or `InvalidResponse`."""
    keys = find_response_keys(body)
    if not bytes(keys.output).startswith(b"["):
        raise InvalidResponse("an object that is not a response")
    metadata = Metadata()
    metadata.update_from_response(keys)
    return metadata
