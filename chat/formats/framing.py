"""How the objects of a streamed response are framed: as lines, or as server-sent events."""

from dataclasses import dataclass

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

_MAX_ACCEPT_LENGTH = 1024


@dataclass(frozen=True)
class Framing:
    """What stands before and after each object, and at the end of the stream."""

    media_type: str
    before: bytes
    after: bytes
    end: bytes = b""

    def frame(self, objects: list[bytes]) -> bytes:
        """Frames objects, each on one line."""
        return self.before + (self.after + self.before).join(objects) + self.after if objects else b""


EVENT_STREAM = Framing("text/event-stream", b"data: ", b"\n\n", b"data: [DONE]\n\n")
"""As OpenAI streams chunks (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""


def lines_or_events(accept: str, lines_media_type: str) -> Framing:
    """The framing that the request's `Accept` header prefers; lines (https://github.com/ndjson/ndjson-spec) by default.

    Proxies may buffer a response of any media type but that of server-sent events.
    """
    preferred = parse_accept_header(accept[:_MAX_ACCEPT_LENGTH], MIMEAccept).best_match(
        [lines_media_type, EVENT_STREAM.media_type]
    )
    return EVENT_STREAM if preferred == EVENT_STREAM.media_type else Framing(lines_media_type, b"", b"\n")
