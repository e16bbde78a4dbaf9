"""Watches for a client that disconnects, or that stops reading, while a request to the model server is under way."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from chat.api.response_writer import ResponseWriter


class DisconnectWatcher:
    """An async context manager that cancels its body when the client disconnects, and then raises `ClientDisconnect`.

    It does the same if the client has read nothing for so many seconds, or up to twice as many: such a client would keep its
    request to the model server open for ever. Enter it when the request's body has been received.
    """

    def __init__(self, receive: Receive, writer: ResponseWriter, seconds: float) -> None:
        self._receive = receive
        self._writer = writer
        self._seconds = seconds
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._task = asyncio.create_task(self._watch(), name="chat: watch for a disconnect")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        try:
            await self._scope.__aexit__(exc_type, exc, traceback)
        except TimeoutError:
            raise ClientDisconnect from None

    def stop(self) -> None:
        """Stops watching. Call it before the last message of the response: after that, uvicorn also reports a disconnect."""
        self._task.cancel()

    async def _watch(self) -> None:
        pending = None
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    while (await self._receive())["type"] != "http.disconnect":
                        pass
                break
            except TimeoutError:
                if pending is not None and self._writer.pending is pending:
                    break
                pending = self._writer.pending
        self._scope.reschedule(asyncio.get_running_loop().time())
