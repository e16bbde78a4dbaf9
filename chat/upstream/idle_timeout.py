"""The idle timeout of a request to the model server."""

import asyncio
from types import TracebackType
from typing import Self

from chat.errors import UpstreamTimeout


class IdleTimeout:
    """An async context manager that raises `UpstreamTimeout` when its clock has run for `seconds`.

    It has one timer for a request: one for each read would cost as much as sending what was read.
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
        """Starts the clock if it is not running."""
        if self._waiting_since is None:
            self._waiting_since = self._loop.time()

    def stop(self) -> None:
        """Stops and resets the clock: the time until the next `start` does not count."""
        self._waiting_since = None
        if self._timeout.when() is not None and not self._timeout.expired():
            # The data has arrived just in time.
            self._timeout.reschedule(None)
            self._timer = self._loop.call_later(self._seconds, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        waited = 0.0 if self._waiting_since is None else now - self._waiting_since
        if waited >= self._seconds:
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._seconds - waited, self._check)
