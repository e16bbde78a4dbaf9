"""Log probabilities, which both APIs describe alike, with the fields that a client may expect."""

from typing import Any

from msgspec import MsgspecError, Raw, Struct, field
from msgspec.json import Decoder

from chat.translation.raw_json import encode


class _Alternative(Struct):
    token: str
    logprob: float
    utf8: list[int] | None = field(default=None, name="bytes")


class _Token(_Alternative):
    top_logprobs: list[_Alternative] | None = None


_decode = Decoder(list[_Token]).decode


def encode_logprobs(value: Raw) -> bytes:
    """The elements of an array of log probabilities, separated by commas; empty if it is anything else."""
    data = bytes(value)
    if not data.startswith(b"[") or data == b"[]":
        return b""
    try:
        tokens = _decode(data)
    except MsgspecError:
        return b""
    return encode(
        [{**_fields(token), "top_logprobs": [_fields(other) for other in token.top_logprobs or []]} for token in tokens]
    )[1:-1]


def _fields(token: _Alternative) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.utf8 or list(token.token.encode())}
