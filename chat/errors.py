"""The exceptions of the service, each with the status and the type of error that the client receives.

ChatError
├── InvalidRequest              400  the request is invalid, or the model server rejected its content
│   ├── NotFound                404  there is no such route or model
│   ├── RequestTimeout          408  the request's body did not arrive in time
│   ├── BodyTooLarge            413  the request's body is too large
│   └── UnsupportedMediaType    415  the request's body is not JSON, or has a content encoding
├── AuthenticationError         401  the API key is missing or invalid
├── RateLimited                 429  the model server's rate limit is exceeded
│   └── BudgetUsedUp                 a budget of tokens is used up
├── ConfigurationError          500  a setting is missing or invalid
├── InternalError               500  a bug in the service
├── UpstreamError               502  the model server failed or rejected this service; 503 with its `Retry-After`
│   ├── InvalidResponse              it sent something that is not a completion
│   └── IncompleteResponse           its response ended early
└── UpstreamTimeout             504  it sent no chunk, or no complete response, in time

UpstreamErrorObject is not sent to clients: `upstream/errors.py` translates it, like exceptions of the OpenAI SDK and httpx2.
"""

from collections.abc import Iterable
from typing import ClassVar


class ChatError(Exception):
    """An error as the client sees it: base class of all those above.

    `message`, `type`, `code` and `param` are sent to the client; `retry_after` is in seconds. `reason` is for the operator's
    log, and on a developer's own machine for the client too. `headers` are further headers for the client.
    """

    status: int
    type: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status or self.status
        self.retry_after = retry_after
        self.reason = reason or message
        self.headers: dict[str, str] = {}


class InvalidRequest(ChatError):
    """The request is invalid: `param` names the field. Or the model server rejected its content, with 400, 413 or 422."""

    status = 400
    type = "invalid_request_error"


class RequestTimeout(InvalidRequest):
    """The request's body did not arrive within `CHAT_TIMEOUT` seconds."""

    status = 408


class BodyTooLarge(InvalidRequest):
    """The request's body is larger than `CHAT_MAX_REQUEST_BYTES`."""

    status = 413


class UnsupportedMediaType(InvalidRequest):
    """The request's content type is not JSON, or it has a content encoding."""

    status = 415


class AuthenticationError(ChatError):
    """The API key is missing or invalid."""

    status = 401
    type = "authentication_error"

    def __init__(self) -> None:
        super().__init__("Missing or invalid API key.", code="invalid_api_key")


class NotFound(InvalidRequest):
    """There is no such route of OpenAI's API, or no such model."""

    status = 404


class RateLimited(ChatError):
    """The model server's rate limit is exceeded."""

    status = 429
    type = "rate_limit_error"


class BudgetUsedUp(RateLimited):
    """A budget of tokens is used up. Clients do not retry by themselves: it is renewed at midnight."""

    def __init__(self, message: str, *, retry_after: int, reason: str) -> None:
        super().__init__(message, code="insufficient_quota", retry_after=retry_after, reason=reason)
        self.headers = {"x-should-retry": "false"}


class ConfigurationError(ChatError):
    """A setting is missing or invalid; the message names it and does not show its value."""

    status = 500
    type = "configuration_error"


class InternalError(ChatError):
    """A bug in the service."""

    status = 500
    type = "server_error"

    def __init__(self, cause: BaseException) -> None:
        super().__init__("Internal server error.", reason=f"a bug: {type(cause).__name__}")
        self.__cause__ = cause


class UpstreamError(ChatError):
    """The model server failed or rejected this service."""

    status = 502
    type = "upstream_error"


class InvalidResponse(UpstreamError):
    """The model server sent something that is not a completion."""

    def __init__(self, reason: str) -> None:
        super().__init__("The model server sent an invalid response.", reason=f"invalid response: {reason}")


class IncompleteResponse(UpstreamError):
    """The model server's response ended before the completion did."""

    def __init__(self, reason: str) -> None:
        super().__init__("The model server's response ended early.", reason=reason)


class UpstreamTimeout(ChatError):
    """The model server sent no chunk, or no complete response, within `CHAT_TIMEOUT` seconds."""

    status = 504
    type = "timeout_error"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The model server sent no data for {seconds:g} seconds.")


class UpstreamErrorObject(Exception):
    """The model server sent an error instead of a chunk or completion; `error` is what it sent, of any shape."""

    def __init__(self, error: object) -> None:
        super().__init__("the model server sent an error")
        self.error = error


def field_path(location: Iterable[int | str]) -> str | None:
    """The path of a field as OpenAI writes it: `messages[0].content`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or None
