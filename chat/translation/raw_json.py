"""JSON strings that stay as the model server wrote them, so that a delta costs a copy of its bytes and no text is decoded.

The part of a JSON string between its quotation marks is called its body. The bodies of deltas, joined, are the body of the
text.
"""

import json

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder

from chat.errors import InvalidResponse
from chat.json_scan import replace_lone_surrogates


def decode[T](data: bytes, decoder: Decoder[T]) -> T:
    """Decodes an object of the model server; raises `InvalidResponse` if its shape is not the decoder's.

    Lone surrogates, which JSON allows and msgspec does not, become U+FFFD.
    """
    try:
        try:
            return decoder.decode(data)
        except MsgspecError:
            return decoder.decode(replace_lone_surrogates(data))
    except (MsgspecError, RecursionError):
        raise InvalidResponse("a value of another type than the API defines") from None


def string_body(value: Raw) -> bytes:
    """The body of a string, empty for null; raises `InvalidResponse` for any other value."""
    data = bytes(value)
    if data.startswith(b'"'):
        return data[1:-1]
    if data == b"null":
        return b""
    raise InvalidResponse("a value that is not a string")


def string_body_or_empty(value: Raw) -> bytes:
    """The body of a string, empty for any other value."""
    data = bytes(value)
    return data[1:-1] if data.startswith(b'"') else b""


def text_of(body: bytes) -> str:
    """The text that the body of a string stands for."""
    text: str = json.loads(b'"%b"' % body)
    return text


def encode(value: object) -> bytes:
    """Encodes a value in ASCII: without the line separators at which some clients split a line.

    Raises `ValueError` for a number that is out of range.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
