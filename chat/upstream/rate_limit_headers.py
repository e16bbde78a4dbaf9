"""The headers in which the model server sends its rate limits, and which clients receive.

See https://platform.openai.com/docs/guides/rate-limits.
"""

import re
from collections.abc import Iterable
from itertools import islice

import httpx2

from chat.redaction import has_secret

_MAX_HEADERS = 12
_NAME = re.compile(r"x-ratelimit-[a-z0-9-]{1,40}")
_VALUE = re.compile(r"-?[0-9][\w.,:; =%+-]{0,30}", re.ASCII)  # a number, a duration or a date


def rate_limit_headers(headers: httpx2.Headers, secrets: Iterable[str]) -> dict[str, str]:
    """The `x-ratelimit-*` headers: at most 12, whose values begin with a digit and have no secret."""
    valid = ((name, value) for name, value in headers.items() if _NAME.fullmatch(name) and _VALUE.fullmatch(value))
    limits = dict(islice(valid, _MAX_HEADERS))
    return {name: value for name, value in limits.items() if not has_secret(name + value, secrets)}
