"""A fake model server: chunks as OpenAI sends them, all at once or paced, as the user's message specifies.

`burst 2000` is 2,000 chunks at once, `every 10 200` one every 10 ms, 200 times; `close` at the end closes the connection
after the response. Each event is an HTTP chunk of its own, and its content is `~` with the time when it was sent.
"""

import asyncio
import re
import sys
from functools import cache
from time import monotonic_ns

_COMMAND = re.compile(rb'"(burst|every) (\d+)(?: (\d+))?( close)?"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = (
    b'data: {"id":"chatcmpl-C9sQx0V7mJ2kLr5TqWnE8dYbUf3Ha","object":"chat.completion.chunk","created":1763800000,'
    b'"model":"gpt-5.4-mini-2026-03-17","service_tier":"default","system_fingerprint":"fp_560af6e559",'
    b'"choices":[{"index":0,"delta":{"content":"~%019d"},"logprobs":null,"finish_reason":null}],'
    b'"usage":null,"obfuscation":"x1aZ90"}\n\n'
)


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


_FIRST, _LAST = _framed(_CHUNK % 0).split(b"~" + b"0" * 19)
_FINISH = _framed(_CHUNK.replace(b'{"content":"~%019d"}', b"{}").replace(b'"finish_reason":null', b'"finish_reason":"stop"'))
_END = _FINISH + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


@cache
def _burst(chunks: int) -> bytes:
    return _HEAD + _framed(_CHUNK % 0) * chunks + _END


class ModelServer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Responds when the request is complete."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        command = _COMMAND.search(body)
        if not command:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        how, first, second, close = command.groups()
        if how == b"burst":
            self._transport.write(_burst(int(first)))
            if close:
                self._transport.close()
        else:
            self._transport.write(_HEAD)
            self._send(self._loop.time(), int(first) / 1000, int(second))

    def _send(self, due: float, interval: float, left: int) -> None:
        self._transport.write(b"%b~%019d%b" % (_FIRST, monotonic_ns(), _LAST))
        if left > 1:
            self._timer = self._loop.call_at(due + interval, self._send, due + interval, interval, left - 1)
        else:
            self._transport.write(_END)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stops sending."""
        if self._timer:
            self._timer.cancel()


async def serve(port: int) -> None:
    """Serves until the process is killed."""
    server = await asyncio.get_running_loop().create_server(ModelServer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
