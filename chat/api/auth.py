"""Authentication of clients: auth levels and sign-in, which the platform enforces, and API keys, which the app checks."""

import hashlib
import hmac
import logging
import re
from collections.abc import Mapping

from azure.functions import AuthLevel
from starlette.datastructures import Headers

from chat.errors import AuthenticationError, ConfigurationError
from chat.settings import get_settings, has_sign_in

_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MAX_NAME_LENGTH = 200

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


def signed_in_id(headers: Headers) -> str | None:
    """Returns the object id, in Microsoft Entra ID, of the person or program that has signed in; None if it is unknown.

    Only for requests that App Service authentication has checked.
    """
    value = _sign_in_header(headers, "x-ms-client-principal-id")
    return value if _OBJECT_ID.fullmatch(value) else None


def signed_in_name(headers: Headers) -> str | None:
    """Returns the name of the person who is signed in, empty if it is unknown; None if App Service authentication is off."""
    if not has_sign_in():
        return None
    name = _sign_in_header(headers, "x-ms-client-principal-name")
    return name.encode("latin-1").decode("utf-8", "replace")[:_MAX_NAME_LENGTH]


def _sign_in_header(headers: Headers, name: str) -> str:
    """A header that App Service authentication sets; empty if it has not set exactly one."""
    values = headers.getlist(name) if has_sign_in() else []
    return values[0] if len(values) == 1 else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
