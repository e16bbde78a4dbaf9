"""A connection of a fake server: HTTP requests in, bytes out."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, override

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Received:
    """A request as received: `head` is its first line and its headers."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        """The method, such as `POST`."""
        return self._first_line[0]

    @property
    def path(self) -> str:
        """The path with its query."""
        return self._first_line[1]

    @property
    def headers(self) -> dict[str, str]:
        """The headers, with names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def _first_line(self) -> list[str]:
        return self.head.partition(b"\r\n")[0].decode("latin-1").split(" ")


class Connection(asyncio.Protocol):
    """A connection from a client. `closed` is set when either side has closed it."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport
        self._received = b""
        self._writable = asyncio.Event()
        self._writable.set()

    def request_received(self, request: Received) -> None:
        """Called with each request, as soon as it is complete."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Waits until the client has received enough; raises `ConnectionResetError` if the connection is closed."""
        await self._writable.wait()
        if self.transport.is_closing():
            raise ConnectionResetError

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := self._next_request():
            self.request_received(request)

    @override
    def eof_received(self) -> None:
        self.closed.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._writable.set()

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    def _next_request(self) -> Received | None:
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not separator or len(rest) < size:
            return None
        self._received = rest[size:]
        return Received(head, rest[:size])


def http_chunk(data: bytes) -> bytes:
    """A piece of a body with `Transfer-Encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_HTTP_CHUNK = b"0\r\n\r\n"
