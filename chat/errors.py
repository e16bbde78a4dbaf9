"""Every fault and its one answer: here an exception becomes a status, a body and a reason for the log.

ChatError                  what every fault becomes, as the answer to it
├── InvalidRequest         400  what the caller sent is no good
│   ├── BodyTooLarge       413
│   └── NotJson            415
├── RateLimited            429  the model is out of quota
├── NotConfigured          500  a setting is missing or no good
├── UpstreamError          502  the model's server failed, or refused this service; 503 where it said when to come back
│   ├── BadAnswer               what it sent is not what it should be
│   └── AnswerCutOff            it stopped before the answer did
└── UpstreamSilent         504  it sent nothing for too long

ErrorEvent                 an error that the model's server sent where an answer should be
SignInError                Microsoft Entra ID gave no token
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, ClassVar

import aiohttp
import httpx2
import openai


class ChatError(Exception):
    """A fault as the caller sees it. `why` is for the operator's log and never leaves the service.

    `retry_after` is the value of the header of that name, if the model's server sent one. `other_statuses` are what an
    error of this kind may have in place of `status`.
    """

    status: int = 500
    type: ClassVar[str] = "server_error"
    other_statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after: str | None = None,
        why: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status or self.status
        self.retry_after = retry_after
        self.why = why or message


class InvalidRequest(ChatError):
    """What the caller sent is no good; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    other_statuses = (422,)  # as the model's server answered


class BodyTooLarge(InvalidRequest):
    """The body has more bytes than `CHAT_MAX_REQUEST_BYTES`."""

    status = 413


class NotJson(InvalidRequest):
    """The content type is not JSON."""

    status = 415


class RateLimited(ChatError):
    """The model is out of quota for now."""

    status = 429
    type = "rate_limit_error"


class NotConfigured(ChatError):
    """A setting is missing or no good; the message names it."""

    status = 500
    type = "configuration_error"


class UpstreamError(ChatError):
    """The model's server failed, or refused this service."""

    status = 502
    type = "upstream_error"
    other_statuses = (503,)


class BadAnswer(UpstreamError):
    """What the model's server sent is not what it should be."""

    def __init__(self, why: str) -> None:
        super().__init__("The model's server sent an answer that makes no sense.", why=why)


class AnswerCutOff(UpstreamError):
    """The model's server stopped before the answer did."""

    def __init__(self, why: str) -> None:
        super().__init__("The model's server stopped in the middle of its answer.", why=why)


class UpstreamSilent(ChatError):
    """The model's server sent nothing for too long."""

    status = 504
    type = "timeout_error"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The model's server has been silent for {seconds:g} seconds.")


class ErrorEvent(Exception):
    """An error that the model's server sent where an answer should be: `payload` is its `error`, of any shape."""

    def __init__(self, payload: object) -> None:
        super().__init__("the model's server sent an error")
        self.payload = payload


class SignInError(Exception):
    """Microsoft Entra ID gave no token."""


_REFUSALS = {400, 413, 422}
_REFUSED_KINDS = ("invalid_request_error", "content_filter", "context_length_exceeded")
_QUOTA_KINDS = ("rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "tokens", "requests")
_OPERATOR_HINTS = {
    401: "the model's server refused this service's key or token: check the key, or the identity's role",
    403: "the model's server denies this service the model: check the identity's role and the network rules",
    404: "the model's server does not know the model: check the deployment's or model's name and the endpoint",
}


def to_chat_error(fault: BaseException, secrets: Iterable[str] = ()) -> ChatError:
    """The one answer to a fault. `secrets` are strings that no message may repeat: keys, endpoints."""
    match fault:
        case ChatError():
            return fault
        case openai.APIStatusError():
            error = _error_object(_json(fault.response.content))
            return _refused(fault.status_code, error, fault.response.headers, secrets)
        case ErrorEvent():
            error = _error_object(fault.payload)
            return _refused(_status_of(error), error, {}, secrets)
        case openai.APIConnectionError():
            return UpstreamError("The model's server can't be reached.", why=f"no connection: {_root_cause(fault)}")
        case httpx2.HTTPError() | aiohttp.ClientError():
            return AnswerCutOff(f"the connection broke: {_root_cause(fault)}")
        case SignInError():
            return UpstreamError(
                "This service could not sign in to the model's server.",
                why="no token from Microsoft Entra ID: check the identity, or sign in with `azd auth login`",
            )
    return ChatError("Something went wrong in this service.", why=f"a bug: {_root_cause(fault)}")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the model's server asks to wait: OpenAI's `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return seconds
    try:
        return parsedate_to_datetime(headers["retry-after"]).timestamp() - time()
    except (KeyError, ValueError, OverflowError):
        return None


def _refused(status: int, error: dict[str, Any], headers: Mapping[str, str], secrets: Iterable[str]) -> ChatError:
    code = error.get("code")
    code = redact(code, secrets) if isinstance(code, str) else None
    why = f"the model's server answered {status}" + (f" ({code})" if code else "")
    if status in _REFUSALS:
        message = error.get("message")
        if not isinstance(message, str) or not message:
            message = "The model's server refused the request."
        return InvalidRequest(redact(message, secrets), code=code, status=status, why=why)
    retry_after = _retry_after(headers)
    if status == 429:
        message = "The model is out of quota for now."
        return RateLimited(message, code=code, retry_after=retry_after, why=why)
    if status in _OPERATOR_HINTS:
        return UpstreamError("The model's server refused this service.", why=f"{why}: {_OPERATOR_HINTS[status]}")
    if status == 503 and retry_after:
        return UpstreamError("The model's server is busy.", status=503, retry_after=retry_after, why=why)
    return UpstreamError("The model's server failed.", why=why)


def _retry_after(headers: Mapping[str, str]) -> str | None:
    if "retry-after" in headers:
        return headers["retry-after"]
    seconds = retry_after_seconds(headers)
    return None if seconds is None or math.isinf(seconds) else str(max(0, math.ceil(seconds)))


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_object(body: object) -> dict[str, Any]:
    """The `error` out of OpenAI's, Azure's, vLLM's and Ollama's bodies, which wrap it or not; nothing of any other."""
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _status_of(error: Mapping[str, Any]) -> int:
    """The status that an error in a stream stands for: servers send it as a number in `code` or `status`, or a word."""
    for key in ("code", "status"):
        if isinstance(error.get(key), int) and 400 <= error[key] <= 599:
            return int(error[key])
    kinds = [error.get("type"), error.get("code")]
    if any(kind in kinds for kind in _REFUSED_KINDS):
        return 400
    if any(kind in kinds for kind in _QUOTA_KINDS):
        return 429
    return 502


_KEY_SHAPED = re.compile(r"\bsk-[\w-]{6,}|\beyJ[\w-]+\.[\w.-]+|\b[A-Za-z0-9]{32,}\b")


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, and without anything shaped like a key or a token."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _KEY_SHAPED.sub("***", text)


def _root_cause(fault: BaseException) -> str:
    """The innermost exception's kind: its text may name the endpoint."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return type(fault).__name__
