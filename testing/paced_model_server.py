"""A fake model server for load: chunks, or events at `/v1/responses`, all at once or paced, as the user's message specifies.

`burst 2000` is 2,000 chunks at once, `every 10 200` one every 10 ms, 200 times; `close` at the end closes the connection
after the response. Each event is an HTTP chunk of its own, and its content is `~` with the time when it was sent. Chunks and
events have the same size. A request for chunks that offers tools is rejected, as newer models do.
"""

import asyncio
import re
import sys
from functools import cache
from time import monotonic_ns
from typing import override

from testing.chat_completions import DONE
from testing.http_connection import LAST_HTTP_CHUNK, Connection, Received, http_chunk

_COMMAND = re.compile(rb'"(burst|every) (\d+)(?: (\d+))?( close)?"')
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = (
    b'data: {"id":"chatcmpl-C9sQx0V7mJ2kLr5TqWnE8dYbUf3Ha","object":"chat.completion.chunk","created":1763800000,'
    b'"model":"gpt-6-luna-2026-09-22","service_tier":"default","system_fingerprint":"fp_560af6e559",'
    b'"choices":[{"index":0,"delta":{"content":"~%019d"},"logprobs":null,"finish_reason":null}],'
    b'"usage":null,"obfuscation":"x1aZ90"}\n\n'
)
_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":7,'
    b'"item_id":"msg_0f3ab1d6c05b0f2b006923a1b0c7a8819e8d6b5f1c2d3e4f50","output_index":0,"content_index":0,'
    b'"delta":"~%019d","logprobs":[],"obfuscation":""}\n\n'
)
_DELTA = _DELTA.replace(b'""', b'"%b"' % (b"x" * (len(_CHUNK) - len(_DELTA))))
_RESPONSE = b'{"id":"resp_1","object":"response","created_at":1763800000,"status":"%b","model":"m","output":[]}'
_REJECTION = b'{"error":{"message":"Function tools with reasoning_effort are not supported."}}'


class _Stream:
    """The parts of a stream: its beginning, what stands before and after each stamp, and its end."""

    def __init__(self, piece: bytes, begin: bytes, end: bytes) -> None:
        self.begin = _HEAD + begin
        self.piece = http_chunk(piece % 0)
        self.before, self.after = self.piece.split(b"~" + b"0" * 19)
        self.end = end + LAST_HTTP_CHUNK


def _event(event_type: bytes, status: bytes) -> bytes:
    fields = (event_type, event_type, _RESPONSE % status)
    return http_chunk(b'event: %b\ndata: {"type":"%b","sequence_number":0,"response":%b}\n\n' % fields)


_FINISH = http_chunk(
    _CHUNK.replace(b'{"content":"~%019d"}', b"{}").replace(b'"finish_reason":null', b'"finish_reason":"stop"')
)
_CHUNKS = _Stream(_CHUNK, b"", _FINISH + http_chunk(DONE))
_EVENTS = _Stream(_DELTA, _event(b"response.created", b"in_progress"), _event(b"response.completed", b"completed"))


@cache
def _burst(stream: _Stream, pieces: int) -> bytes:
    return stream.begin + stream.piece * pieces + stream.end


class PacedConnection(Connection):
    """Sends the chunks by timers, without a task or a record of each request, which would cost more than the chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @override
    def request_received(self, request: Received) -> None:
        command = _COMMAND.search(request.body)
        if not command:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        how, first, second, close = command.groups()
        stream = _EVENTS if request.path.endswith("/responses") else _CHUNKS
        if stream is _CHUNKS and b'"tools"' in request.body:
            head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % len(_REJECTION) + _REJECTION)
            return
        if how == b"burst":
            self.transport.write(_burst(stream, int(first)))
            if close:
                self.transport.close()
        else:
            self.transport.write(stream.begin)
            self._send(stream, self._loop.time(), int(first) / 1000, int(second))

    def _send(self, stream: _Stream, due: float, interval: float, left: int) -> None:
        self.transport.write(b"%b~%019d%b" % (stream.before, monotonic_ns(), stream.after))
        if left > 1:
            self._timer = self._loop.call_at(due + interval, self._send, stream, due + interval, interval, left - 1)
        else:
            self.transport.write(stream.end)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()


async def serve(port: int) -> None:
    """Serves until the process is killed."""
    server = await asyncio.get_running_loop().create_server(PacedConnection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
