"""The headers in which the model server sends its rate limits, and which clients receive.

See https://platform.openai.com/docs/guides/rate-limits.
"""

import re
from itertools import islice

import httpx2

_MAX_HEADERS = 12
_NAME = re.compile(r"x-ratelimit-[a-z0-9-]{1,40}")
_VALUE = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")


def rate_limit_headers(headers: httpx2.Headers) -> dict[str, str]:
    """The `x-ratelimit-*` headers: at most 12, with names and values of limited length in ASCII."""
    valid = ((name, value) for name, value in headers.items() if _NAME.fullmatch(name) and _VALUE.fullmatch(value))
    return dict(islice(valid, _MAX_HEADERS))
