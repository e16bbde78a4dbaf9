"""Checks the JSON objects of the model server and finds single keys, in one pass and without a Python object for each value.

A few megabytes of JSON can become hundreds of megabytes of Python objects, and parsing takes longer than the pass.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder
from msgspec.json import decode as _msgspec_decode

from chat.errors import InvalidResponse, UpstreamErrorObject

MAX_ERROR_BYTES = 64 * 1024
"""The maximum size of an error object."""

NULL = Raw(b"null")
"""The value of a key that is absent."""

_MAX_DIGITS = 4000

# Escaped backslashes and pairs of surrogates are in the group, lone surrogates are not.
_SURROGATES = re.compile(rb"((?:\\\\)+|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..")


class Keys(Struct):
    """The keys of a chunk or completion that this service reads, as the bytes that the model server sent."""

    choices: Raw = NULL
    error: Raw = NULL
    id: Raw = NULL
    model: Raw = NULL
    usage: Raw = NULL


class ResponseKeys(Struct):
    """The keys of a response of the Responses API that this service reads."""

    error: Raw = NULL
    id: Raw = NULL
    incomplete_details: Raw = NULL
    model: Raw = NULL
    output: Raw = NULL
    status: Raw = NULL
    usage: Raw = NULL


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) < _MAX_DIGITS else digits  # Python converts 4,300 at most; the number becomes a string


_decode_value = json.JSONDecoder(parse_int=_int).decode
_decode_keys = Decoder(Keys).decode
_decode_response_keys = Decoder(ResponseKeys).decode


def decode_object[T](data: bytes, decode: Callable[[str], T]) -> T:
    """Decodes one JSON object with a decoder of msgspec; raises `InvalidResponse` for anything else, or another shape.

    Lone surrogates, which JSON allows and msgspec does not, become U+FFFD.
    """
    try:
        text = data.decode()
        try:
            return decode(text)
        except MsgspecError:
            return decode(replace_lone_surrogates(data).decode())
    except (MsgspecError, ValueError, RecursionError):
        raise InvalidResponse("something that is not a JSON object") from None


def replace_lone_surrogates(data: bytes) -> bytes:
    """JSON with U+FFFD in place of each lone surrogate, for instance at the end of a truncated text."""
    return _SURROGATES.sub(lambda match: match[1] or rb"\ufffd", data)


def find_keys(data: bytes) -> Keys:
    """Returns the keys of one JSON object.

    Raises `InvalidResponse` if data is not one, and `UpstreamErrorObject` if it has an error.
    """
    keys = decode_object(data, _decode_keys)
    raise_error(keys.error)
    return keys


def find_response_keys(data: bytes) -> ResponseKeys:
    """Returns the keys of a response; raises what `find_keys` raises."""
    keys = decode_object(data, _decode_response_keys)
    raise_error(keys.error)
    return keys


def raise_error(error: Raw) -> None:
    """Raises `UpstreamErrorObject` if this value of a key `error` is not null, false or empty."""
    if error is not NULL and (value := parse(error, MAX_ERROR_BYTES)):
        raise UpstreamErrorObject(value)


def parse(data: Raw | bytes, max_bytes: int) -> Any:  # noqa: ANN401 - any JSON value
    """Parses the value of a key, or data that has been checked; raises `InvalidResponse` if it is larger."""
    if len(data) > max_bytes:
        raise InvalidResponse(f"a value of more than {max_bytes} bytes")
    try:
        return _decode_value(bytes(data).decode())
    except RecursionError:
        raise InvalidResponse("a value that is nested too deep") from None


def parse_or_none(data: Raw, max_bytes: int) -> Any:  # noqa: ANN401 - any JSON value
    """Parses the value of a key, faster than `parse`; None if it is larger or cannot be parsed."""
    try:
        return _msgspec_decode(data) if len(data) <= max_bytes else None
    except (MsgspecError, RecursionError):
        return None
