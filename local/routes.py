"""Paths and route templates, as ASP.NET Core reads them."""

import re
from urllib.parse import quote

_ESCAPES = re.compile(r"(?:%(?!2[fF])[0-9a-fA-F]{2})+")
_PARAMETER = re.compile(r"\{(\**)(\w+)(?:[:=][^}]*)?(\??)\}")


def decode_path(path: str) -> str:
    """A request's path as Kestrel decodes it: an encoded slash and invalid UTF-8 stay encoded, dot segments are removed."""
    segments: list[str] = []
    parts = _ESCAPES.sub(_decode, path).split("/")[1:]
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part != ".":
            segments.append(part)
    if parts and parts[-1] in {".", ".."}:
        segments.append("")
    return "/" + "/".join(segments)


def encode_path(path: str) -> str:
    """A decoded path as YARP sends it on."""
    return quote(path, safe="/!$&'()*+,;=:@")


def pattern(prefix: str, template: str) -> re.Pattern[str]:
    """The paths that a route template matches, with a group for each parameter.

    Case and a trailing slash are ignored. Constraints (`{id:int}`) and default values are not applied.
    """
    expression = ""
    for segment in filter(None, f"{prefix}/{template}".split("/")):
        parameter = _PARAMETER.fullmatch(segment)
        if parameter and parameter[1]:
            expression += f"(?:/(?P<{parameter[2]}>[^/].*)?)?"
        elif parameter and parameter[3]:
            expression += f"(?:/(?P<{parameter[2]}>[^/]+))?"
        else:
            literals = _PARAMETER.split(segment)
            names = literals[2::4]
            expression += "/" + re.escape(literals[0])
            for name, literal in zip(names, literals[4::4], strict=True):
                expression += f"(?P<{name}>[^/]+)" + re.escape(literal)
    return re.compile(expression + "/?", re.IGNORECASE | re.DOTALL)


def _decode(escapes: re.Match[str]) -> str:
    try:
        return bytes.fromhex(escapes[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return escapes[0]
