"""A fake model server for load: chunks all at once or paced, as the user's message specifies.

`burst 2000` is 2,000 chunks at once, `every 10 200` one every 10 ms, 200 times; `close` at the end closes the connection
after the response. Each event is an HTTP chunk of its own, and its content is `~` with the time when it was sent.
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
    b'"model":"gpt-5.4-mini-2026-03-17","service_tier":"default","system_fingerprint":"fp_560af6e559",'
    b'"choices":[{"index":0,"delta":{"content":"~%019d"},"logprobs":null,"finish_reason":null}],'
    b'"usage":null,"obfuscation":"x1aZ90"}\n\n'
)


_FIRST, _LAST = http_chunk(_CHUNK % 0).split(b"~" + b"0" * 19)
_FINISH = http_chunk(
    _CHUNK.replace(b'{"content":"~%019d"}', b"{}").replace(b'"finish_reason":null', b'"finish_reason":"stop"')
)
_END = _FINISH + http_chunk(DONE) + LAST_HTTP_CHUNK


@cache
def _burst(chunks: int) -> bytes:
    return _HEAD + http_chunk(_CHUNK % 0) * chunks + _END


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
        if how == b"burst":
            self.transport.write(_burst(int(first)))
            if close:
                self.transport.close()
        else:
            self.transport.write(_HEAD)
            self._send(self._loop.time(), int(first) / 1000, int(second))

    def _send(self, due: float, interval: float, left: int) -> None:
        self.transport.write(b"%b~%019d%b" % (_FIRST, monotonic_ns(), _LAST))
        if left > 1:
            self._timer = self._loop.call_at(due + interval, self._send, due + interval, interval, left - 1)
        else:
            self.transport.write(_END)

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
