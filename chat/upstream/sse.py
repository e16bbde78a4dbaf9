"""Decodes server-sent events: pure, and the same for any split of the bytes.

See https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from chat.errors import InvalidResponse

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""The maximum size of an event: a chunk has some hundred bytes, or a few MiB with an image in it."""

_LINE_BYTES = 64
"""What a line of an event counts in addition to its length: roughly the memory that it takes until the event is complete."""

_LF, _CR = b"\n\r"

# Some clients also split lines at these, which JSON allows inside a string, raw or escaped.
_LINE_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))

_BOM = b"\xef\xbb\xbf"


class EventDecoder:
    """Parses a `text/event-stream`; unlike the specification, it accepts a last event without a blank line at its end."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._at_start = True
        self._type = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> list[tuple[bytes, bytes]]:
        """Takes the next bytes, `b""` at the body's end, and returns the type and data of each event that they complete.

        Raises `InvalidResponse` if an event is larger than `MAX_EVENT_BYTES`.
        """
        if self._data_bytes + len(self._rest) > MAX_EVENT_BYTES:
            raise InvalidResponse(f"an event of more than {MAX_EVENT_BYTES} bytes")
        if not received:
            received = b"\n\n"  # ends the last line and event
        if self._after_cr:
            self._after_cr = False
            received = received.removeprefix(b"\n")
        if _LF not in received and _CR not in received:
            self._rest += received
            return []

        if self._rest:
            received = bytes(self._rest + received)
            self._rest.clear()
        if self._at_start:
            received = received.removeprefix(_BOM)
            self._at_start = False
        lines = received.splitlines()
        if received.endswith(b"\r"):
            self._after_cr = True
        elif not received.endswith(b"\n"):
            self._rest += lines.pop()

        events: list[tuple[bytes, bytes]] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append((self._type, b"\n".join(data)))
                    data.clear()
                    self._data_bytes = 0
                self._type = b""
                continue
            if line.startswith(b"data: "):
                value = line[6:]
            else:
                field, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if field == b"event":
                    self._type = value
                if field != b"data":
                    continue
            data.append(value)
            self._data_bytes += len(value) + _LINE_BYTES
        return events


def on_one_line(data: bytes) -> bytes:
    """An event's data, which is JSON, without line breaks."""
    if _LF in data:  # an event of several lines; none of the breaks is inside a string, or it would not be JSON
        data = data.replace(b"\n", b" ")
    if not data.isascii():
        for raw, escaped in _LINE_BREAKS:
            data = data.replace(raw, escaped)
    return data
