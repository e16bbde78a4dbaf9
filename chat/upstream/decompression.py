"""Decompresses a response of the model server, in bounded steps: 300 bytes can expand to gigabytes."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import httpx2

_MAX_STEP_BYTES = 64 * 1024
"""The maximum output of one step, after which other tasks run."""

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's argument for each content coding that is decoded."""


class Decompressor:
    """Decodes one layer of gzip or deflate. `receive` returns the next compressed bytes, `b""` at the end."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]], encoding: str) -> None:
        self._receive = receive
        self._encoding = encoding
        self._zlib = zlib.decompressobj(_WINDOW_BITS.get(encoding, 0))

    async def read(self) -> bytes:
        """Returns the next bytes, at most 64 KiB, `b""` at the end; raises `httpx2.DecodingError`."""
        if self._encoding not in _WINDOW_BITS:
            raise httpx2.DecodingError("unsupported content encoding")
        try:
            while not self._zlib.eof:
                if data := self._zlib.unconsumed_tail:
                    await asyncio.sleep(0)  # lets other tasks run
                elif not (data := await self._receive()):
                    return self._zlib.flush()
                if decompressed := self._zlib.decompress(data, _MAX_STEP_BYTES):
                    return decompressed
        except zlib.error as error:
            raise httpx2.DecodingError("invalid compressed data") from error
        return b""
