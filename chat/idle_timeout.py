"""The timeout of a request to the model server: how long one piece of data may take to arrive."""

import asyncio
from types import TracebackType
from typing import Self

from chat.errors import UpstreamTimeout


class IdleTimeout:
    """A block that raises `UpstreamTimeout` when the clock has run for `seconds`.

    One timer for the block checks from time to time: one for each read would cost as much as sending what the read brought.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._check)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._timeout.__aexit__(exc_type, exc, traceback)
        except TimeoutError:
            raise UpstreamTimeout(self._seconds) from None

    def start(self) -> None:
        """Starts the clock, if it is not running: the model server is waited for."""
        if self._waiting_since is None:
            self._waiting_since = self._loop.time()

    def stop(self) -> None:
        """Stops and resets the clock: the data has arrived, and the time until the next `start` is the client's."""
        self._waiting_since = None
        if self._timeout.when() is not None and not self._timeout.expired():
            self._timeout.reschedule(None)  # the data has arrived just in time

    def _check(self) -> None:
        now = self._loop.time()
        waited = 0.0 if self._waiting_since is None else now - self._waiting_since
        if waited >= self._seconds:
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._seconds - waited, self._check)
