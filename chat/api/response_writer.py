"""Writes a response to the client, and knows how much of it has been sent."""

from starlette.types import Send

from chat.errors import ChatError

COMMON_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""The headers of every response of the API."""


def error_headers(error: ChatError) -> dict[str, str]:
    """The headers that belong to an error."""
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


class ResponseWriter:
    """Writes one response through the ASGI callable `send`, with these headers in addition to the common ones."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self.started = False
        """Whether the status has been sent."""
        self.ended = False
        """Whether the end has been sent."""
        self.pending: bytes | None = None
        """The part of the body that waits until the client has read others."""
        self._send = send
        self._headers = headers

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Sends the status and the headers."""
        self.started = True
        all_headers = {"content-type": "application/json"} | COMMON_HEADERS | self._headers | headers
        raw_headers = [(name.encode(), value.encode()) for name, value in all_headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw_headers})

    async def write(self, content: bytes) -> None:
        """Sends a part of the body; waits while the client does not read."""
        self.pending = content
        await self._send({"type": "http.response.body", "body": content, "more_body": True})
        self.pending = None

    async def drain(self) -> None:
        """Waits until the client has read enough for the end to be sent at once."""
        await self.write(b"")

    async def end(self, content: bytes = b"") -> None:
        """Sends the last part of the body."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": content, "more_body": False})

    async def send_complete(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Sends a response whose body is known."""
        await self.start(status, {**headers, "content-length": str(len(content))})
        await self.end(content)
