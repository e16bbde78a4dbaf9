"""Authentication of clients: the auth levels, which the platform enforces, and the API keys, which the app checks."""

import hashlib
import hmac
import logging
from collections.abc import Mapping

from azure.functions import AuthLevel

from chat.errors import AuthenticationError, ConfigurationError
from chat.settings import get_settings

logger = logging.getLogger(__name__)


def auth_levels() -> tuple[AuthLevel, AuthLevel]:
    """Returns the auth level of the chat routes, and that of the `v1` routes, which is anonymous if they take API keys."""
    try:
        settings = get_settings()
    except ConfigurationError:
        return AuthLevel.FUNCTION, AuthLevel.FUNCTION  # a request receives the error
    level = AuthLevel.ANONYMOUS if settings.chat_auth_level == "anonymous" else AuthLevel.FUNCTION
    if level is AuthLevel.ANONYMOUS:
        logger.warning("CHAT_AUTH_LEVEL is anonymous: no function key is required, so something else must guard this app.")
    return level, AuthLevel.ANONYMOUS if settings.api_keys else level


def authenticate(headers: Mapping[str, str], api_keys: Mapping[str, str]) -> str | None:
    """Returns the name of the client's API key, in `Authorization: Bearer KEY` or `api-key: KEY`; None if there are no keys.

    Takes the same time for any key; raises `AuthenticationError` if it is missing or invalid.
    """
    if not api_keys:
        return None
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = [_digest(headers.get("api-key", "")), _digest(token.strip() if scheme.lower() == "bearer" else "")]
    matches = [name for name, key in api_keys.items() for digest in given if hmac.compare_digest(_digest(key), digest)]
    if not matches:
        raise AuthenticationError
    return matches[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
