"""The body of the request to the model server."""

import json
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import InvalidRequest
from chat.settings import Settings

_STREAM_OPTIONS = {"stream_options": {"include_usage": True}}
_ENCODED_STREAM_OPTIONS = b',"stream_options":{"include_usage":true}}'

_OTHER_LIMITS = ("max_length", "max_new_tokens", "n_predict", "num_predict")
"""Other names of `max_tokens` at compatible servers, which could exceed the limit."""


def make_body(request: CompletionRequest, settings: Settings) -> dict[str, Any]:
    """The request in its own API, with the service's system prompt first, and within the settings' limits."""
    make = _responses_body if request.api == "responses" else _chat_completions_body
    return make(request, settings)


def encode_body(body: dict[str, Any]) -> bytes:
    """Encodes a body of either API; a stream of Chat Completions with a request for usage. Raises `InvalidRequest`."""
    if body["stream"] and "messages" in body:
        body = body | _STREAM_OPTIONS
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise InvalidRequest("The body contains a number that is out of range.") from None


def remove_stream_options(body: bytes) -> bytes:
    """An encoded body without the request for usage."""
    rest = body.removesuffix(_ENCODED_STREAM_OPTIONS)
    return body if rest == body else rest + b"}"


def _chat_completions_body(request: CompletionRequest, settings: Settings) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [_system_message(request, settings), *request.messages],
        **request.parameters,
    }
    if settings.provider == "compatible":
        body |= request.other_parameters
    if settings.chat_reasoning_effort:
        body.setdefault("reasoning_effort", settings.chat_reasoning_effort)
    _limit_tokens(body, settings)
    return body | {"stream": request.stream}


def _responses_body(request: CompletionRequest, settings: Settings) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": settings.model,
        # An item of its own, because model servers repeat `instructions` in the response.
        "input": [{"role": "system", "content": settings.chat_system_prompt}, *request.messages],
        **request.parameters,
        "stream": request.stream,
        "store": False,
    }
    if settings.chat_reasoning_effort:
        reasoning = body.get("reasoning", {})
        if reasoning.get("effort") is None:
            body["reasoning"] = reasoning | {"effort": settings.chat_reasoning_effort}
    if limit := settings.chat_max_completion_tokens:
        requested = request.parameters.get("max_output_tokens", limit)
        body["max_output_tokens"] = min(requested, limit) if requested > 0 else limit
    return body


def _system_message(request: CompletionRequest, settings: Settings) -> dict[str, Any]:
    """The service's system prompt and the client's part of it, in one message, because many models accept only one."""
    content: str | list[dict[str, Any]] = settings.chat_system_prompt
    if isinstance(request.instructions, list):
        content = [{"type": "text", "text": content}, *request.instructions]
    elif request.instructions:
        content = f"{content}\n\n{request.instructions}"
    return {"role": "system", "content": content, **request.instruction_fields}


def _limit_tokens(body: dict[str, Any], settings: Settings) -> None:
    """Limits the completion's tokens, as `max_tokens` for a compatible server: all of them know that name."""
    requested = body.pop("max_completion_tokens", None)
    if limit := settings.chat_max_completion_tokens:
        # 0 and -1 mean no limit to some servers.
        requested = min(requested, limit) if requested and requested > 0 else limit
        for name in _OTHER_LIMITS:
            body.pop(name, None)
    if requested is not None:
        body["max_tokens" if settings.provider == "compatible" else "max_completion_tokens"] = requested
