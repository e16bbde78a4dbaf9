"""Paths and route templates, as the Functions host reads them."""

import re
from urllib.parse import quote

_ESCAPES = re.compile(r"(?:%(?!2[fF])[0-9a-fA-F]{2})+")
_PARAMETER = re.compile(r"\{(\*?)(\w+)\}")


def decode_path(path: str) -> str:
    """A request's path as Kestrel decodes it: an encoded slash and invalid UTF-8 stay encoded."""
    return _ESCAPES.sub(_decode, path)


def encode_path(path: str) -> str:
    """A decoded path as YARP sends it on."""
    return quote(path, safe="/!$&'()*+,;=:@")


def pattern(prefix: str, template: str) -> re.Pattern[str]:
    """The paths that a route template matches, with a group for each parameter: `{segment}`, or `{*rest}` of the path.

    Case and a trailing slash are ignored.
    """
    expression = ""
    for segment in f"{prefix}/{template}".split("/"):
        match _PARAMETER.fullmatch(segment):
            case None:
                expression += "/" + re.escape(segment)
            case parameter if parameter[1]:
                expression += f"(?:/(?P<{parameter[2]}>[^/].*)?)?"
            case parameter:
                expression += f"/(?P<{parameter[2]}>[^/]+)"
    return re.compile(expression + "/?", re.IGNORECASE | re.DOTALL)


def _decode(escapes: re.Match[str]) -> str:
    try:
        return bytes.fromhex(escapes[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return escapes[0]
