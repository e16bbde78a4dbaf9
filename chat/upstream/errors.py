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
)
from chat.redaction import redact

_MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60
_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)
_REJECTIONS = {400, 413, 422}
_REJECTION_TYPES = ("invalid_request_error", "content_filter", "context_length_exceeded")
_RATE_LIMIT_TYPES = ("rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "tokens", "requests")
_OPERATOR_HINTS = {
    401: "check the key, or the identity's role",
    403: "check the identity's role and the network rules",
    404: "check the deployment's or model's name and the endpoint",
}


def to_chat_error(error: BaseException, secrets: Iterable[str] = ()) -> ChatError:
    """The error that the client receives. `secrets` are keys and endpoints, which no message may repeat."""
    match error:
        case ChatError():
            return error
        case openai.APIStatusError():
            sent = _error_object(_json(error.response.content))
            return _from_status(error.status_code, sent, secrets, retry_after(error.response.headers))
        case UpstreamErrorObject():
            sent = _error_object(error.error)
            return _from_status(_status_of(sent), sent, secrets)
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


def _from_status(status: int, sent: Mapping[str, Any], secrets: Iterable[str], wait: int | None = None) -> ChatError:
    """The error for a status of the model server and the error object that came with it."""
    code = _code(sent.get("code"), secrets)
    reason = f"the model server responded with {status}" + (f" ({code})" if code else "")
    if status in _REJECTIONS:
        message = sent.get("message")
        if not isinstance(message, str) or not message:
            message = "The model server rejected the request."
        return InvalidRequest(redact(message, secrets), code=code, status=status, reason=reason)
    if status == 429:
        return RateLimited("Rate limit exceeded.", code=code, retry_after=wait, reason=reason)
    if hint := _OPERATOR_HINTS.get(status):
        return UpstreamError("The model server rejected this service.", reason=f"{reason}: {hint}")
    if status == 503 and wait is not None:
        return UpstreamError("The model server is overloaded.", status=503, retry_after=wait, reason=reason)
    return UpstreamError("The model server failed.", reason=reason)


def _code(value: object, secrets: Iterable[str]) -> str | None:
    """A code that is safe to repeat: a short identifier that is not a key."""
    if isinstance(value, str) and _CODE.fullmatch(value) and redact(value, secrets) == value:
        return value
    return None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_object(body: object) -> Mapping[str, Any]:
    """The error object in a body as OpenAI, Azure, vLLM or Ollama send it, wrapped or not; empty if there is none."""
    if not isinstance(body, dict):
        return {}
    error = body.get("error") or body
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


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
