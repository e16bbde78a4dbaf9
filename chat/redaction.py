"""Removes keys and endpoints from text of the model server, in time linear in its length.

It finds this service's own keys and endpoints, in any case and percent-encoding, and strings in the shape of an OpenAI key,
a JSON Web Token, or 32 letters and digits. It cannot find a key that is cut, reordered or encoded in another way.
"""

import re
from collections.abc import Iterable

MAX_TEXT_LENGTH = 2048
"""The maximum length of the text that `redact` returns."""

_MIN_RESERVE = 64

# Linear: each alternative fails within 32 characters, and what follows a match is taken possessively.
_KEY_SHAPED = re.compile(r"(?<![A-Za-z0-9])(?:sk-[\w-]{6}|eyJ[\w-]{7}|[A-Za-z0-9]{32})[\w-]*+(?:\.[\w-]++)*+")


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without secrets, cut to `MAX_TEXT_LENGTH` characters."""
    patterns = [_in_any_encoding(secret) for secret in secrets]
    reserve = max([_MIN_RESERVE, *map(len, patterns)])  # a pattern is longer than what it matches
    cut = text[: MAX_TEXT_LENGTH + reserve]
    redacted = re.sub("|".join(patterns), "***", cut, flags=re.IGNORECASE) if patterns else cut
    redacted = _KEY_SHAPED.sub("***", redacted)
    if len(cut) < len(text):
        redacted = redacted[:-reserve]  # its end may be the beginning of a secret
    elif len(redacted) <= MAX_TEXT_LENGTH:
        return redacted
    return redacted[: MAX_TEXT_LENGTH - 1] + "…"


def has_secret(text: str, secrets: Iterable[str]) -> bool:
    """Whether the text contains one of the secrets, in any case; percent-encoding is not decoded."""
    return any(secret.lower() in text.lower() for secret in secrets)


def _in_any_encoding(secret: str) -> str:
    """A regular expression that matches the secret, with any of its characters percent-encoded."""
    return "".join(f"(?:{re.escape(character)}|{_percent_encoded(character)})" for character in secret)


def _percent_encoded(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode())
