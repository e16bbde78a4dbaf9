"""Translates failures of the model server into this service's errors: the one place where an exception becomes a status."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx2
import openai

from chat.errors import (
    ChatError,
    IncompleteResponse,
    InternalError,
    InvalidRequest,
    RateLimited,
    UpstreamError,
    UpstreamErrorObject,
    field_path,
)
from chat.redaction import redact
from chat.settings import Settings
from chat.upstream.rate_limit_headers import rate_limit_headers

_MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60
_MAX_REASON_LENGTH = 500
_MAX_WRAPPERS = 5
_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)
_PARAM = re.compile(r"[\w.\[\]-]{1,128}", re.ASCII)
_REJECTIONS = {400, 413, 422}
_REJECTION_TYPES = ("invalid_request_error", "content_filter", "context_length_exceeded")
_RATE_LIMIT_TYPES = ("rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "tokens", "requests")
_OPERATOR_HINTS = {
    401: "check the key, or the identity's role",
    403: "check the identity's role and the network rules",
    404: "check the deployment's or model's name and the endpoint: OPENAI_BASE_URL usually ends in /v1",
    405: "check the endpoint: OPENAI_BASE_URL usually ends in /v1",
}


def to_chat_error(error: BaseException, settings: Settings | None) -> ChatError:
    """The error that the client receives, without keys and endpoints.

    On a developer's own machine it has the reason, which others find in the log.
    """
    chat_error = _to_chat_error(error, settings)
    if settings and settings.is_development and isinstance(chat_error, UpstreamError):
        chat_error.message += f" Reason: {chat_error.reason}."
    return chat_error


def _to_chat_error(error: BaseException, settings: Settings | None) -> ChatError:
    match error:
        case ChatError():
            return error
        case openai.APIStatusError():
            sent, headers = error_object(error.response.content), error.response.headers
            chat_error = _from_status(error.status_code, sent, settings, retry_after(headers))
            chat_error.headers = rate_limit_headers(headers)
            return chat_error
        case UpstreamErrorObject():
            sent = _unwrap(error.error)
            return _from_status(_status_of(sent), sent, settings)
        case openai.APIConnectionError():
            return UpstreamError("Could not connect to the model server.", reason=f"could not connect: {_root_cause(error)}")
        case httpx2.HTTPError():
            return IncompleteResponse(f"the connection was lost: {_root_cause(error)}")
    return InternalError(error)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """How long to wait before the next request, in seconds, from 0 to a day: OpenAI's `retry-after-ms`, or `Retry-After`.

    See https://www.rfc-editor.org/rfc/rfc9110#name-retry-after; none if it is absent or invalid.
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return _whole_seconds(float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return _whole_seconds(parsedate_to_datetime(headers["retry-after"]).timestamp() - time())
    except (KeyError, ValueError, OverflowError):
        return None


def _whole_seconds(seconds: float) -> int:
    if math.isnan(seconds):
        raise ValueError("not a number")
    return math.ceil(min(max(seconds, 0), _MAX_RETRY_AFTER_SECONDS))


def _from_status(status: int, sent: Mapping[str, Any], settings: Settings | None, wait: int | None = None) -> ChatError:
    """The error for a status of the model server and the error object that came with it."""
    secrets = settings.secrets if settings else ()
    message = redact(sent.get("message", ""), secrets)
    code = _safe(_code(sent), _CODE, secrets)
    param = _safe(_param(sent), _PARAM, secrets)
    if message and param and "loc" in sent:
        message = f"{param}: {message}"
    reason = f"the model server responded with {status}" + (f" ({code})" if code else "")
    if message and settings and settings.is_development:
        reason += f": {message[:_MAX_REASON_LENGTH].rstrip('.')}"
    if status in _REJECTIONS:
        message = message or "The model server rejected the request."
        return InvalidRequest(message, code=code, param=param, status=status, reason=reason)
    if status == 429:
        return RateLimited(message or "Rate limit exceeded.", code=code, retry_after=wait, reason=reason)
    if hint := _OPERATOR_HINTS.get(status):
        return UpstreamError("The model server rejected this service.", reason=f"{reason}; {hint}")
    if status == 503 and wait is not None:
        return UpstreamError("The model server is overloaded.", status=503, retry_after=wait, reason=reason)
    return UpstreamError("The model server failed.", reason=reason)


def _code(sent: Mapping[str, Any]) -> object:
    """The code; where that is a number, as Google sends it, `status` is its name."""
    code = sent.get("code")
    return sent.get("status") if isinstance(code, int) else code


def _param(sent: Mapping[str, Any]) -> object:
    """The name of the invalid field, or its path in the body, as FastAPI sends it."""
    match sent.get("loc"):
        case ["body", *location] if all(isinstance(part, int | str) for part in location):
            return field_path(location)
    return sent.get("param")


def _safe(value: object, pattern: re.Pattern[str], secrets: Iterable[str]) -> str | None:
    """A short identifier that is not a key; None for any other value."""
    return value if isinstance(value, str) and pattern.fullmatch(value) and redact(value, secrets) == value else None


def _parse(body: bytes) -> object:
    """The JSON in a body, or its text; None for a page in HTML and for what is nearly JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace").strip()
        return None if text.startswith(("<", "{", "[")) else text


def error_object(body: bytes) -> Mapping[str, Any]:
    """The keys of the error in a body, with its text as `message`, which is empty if there is none."""
    return _unwrap(_parse(body))


def _unwrap(body: object) -> Mapping[str, Any]:
    """The keys of an error and of what it is wrapped in.

    Each of these is an error: `{"error": {"message": …}}`, `{"message": …}`, `{"error": …}`, `{"detail": …}`, FastAPI's
    `{"detail": [{"loc": …, "msg": …}]}`, Mistral's `{"message": {"detail": …}}` and Google's `[{"error": …}]`.
    """
    error: dict[str, Any] = {}
    for _ in range(_MAX_WRAPPERS):
        if isinstance(body, list):
            body = body[0] if body else None
        if isinstance(body, str):
            return error | {"message": body}
        if not isinstance(body, dict):
            break
        error |= body
        keys = (
            ("error", "message", "detail", "msg")
            if isinstance(body.get("error"), dict)
            else ("message", "detail", "msg", "error")
        )
        body = next((body[key] for key in keys if body.get(key)), None)
    return error | {"message": ""}


def _status_of(error: Mapping[str, Any]) -> int:
    """The status of an error in a stream: servers send it as a number in `code` or `status`, or as a word."""
    for key in ("code", "status"):
        if isinstance(error.get(key), int) and 400 <= error[key] <= 599:
            return int(error[key])
    types = [error.get("type"), error.get("code")]
    if any(name in types for name in _REJECTION_TYPES):
        return 400
    if any(name in types for name in _RATE_LIMIT_TYPES):
        return 429
    return 502


def _root_cause(error: BaseException) -> str:
    """The name of the innermost exception's class: its text may contain the endpoint."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__
