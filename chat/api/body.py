"""The body of a client's request, read within limits of size and time."""

import asyncio
from contextlib import suppress

from fastapi import Request
from starlette.types import Receive

from chat.errors import BodyTooLarge, RequestTimeout, UnsupportedMediaType

# Limits of what is read of a rejected body.
_MAX_DISCARD_SECONDS = 1.0
_MAX_DISCARD_BYTES = 16 * 1024 * 1024


async def read_body(request: Request, max_bytes: int, seconds: float) -> bytes:
    """Returns the body of a JSON request.

    Raises `UnsupportedMediaType`, `BodyTooLarge`, `RequestTimeout`, or `starlette.requests.ClientDisconnect`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType("The content type must be application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("The body must not have a content encoding.")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {seconds:g} seconds.") from None
    return bytes(body)


async def discard_body(receive: Receive) -> None:
    """Reads and discards the rest of the body, within limits.

    A client that is still sending may lose the response if the connection closes at once.
    """
    remaining = _MAX_DISCARD_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_MAX_DISCARD_SECONDS):
            while remaining > 0 and (message := await receive()).get("more_body"):
                remaining -= len(message["body"])
