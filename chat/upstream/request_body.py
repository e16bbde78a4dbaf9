"""The body of the request to the model server."""

import json
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import InvalidRequest
from chat.settings import Settings

_STREAM_OPTIONS = {"stream_options": {"include_usage": True}}
_ENCODED_STREAM_OPTIONS = b',"stream_options":{"include_usage":true}}'


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
    system_prompt = settings.chat_system_prompt
    if request.instructions:
        system_prompt += f"\n\n{request.instructions}"
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": "system", "content": system_prompt}, *request.messages],
        **request.parameters,
        "stream": request.stream,
    }
    if settings.chat_reasoning_effort:
        body.setdefault("reasoning_effort", settings.chat_reasoning_effort)
    if limit := settings.chat_max_completion_tokens:
        body["max_completion_tokens"] = min(limit, request.parameters.get("max_completion_tokens", limit))
    return body


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
        body["reasoning"] = {"effort": settings.chat_reasoning_effort} | body.get("reasoning", {})
    if limit := settings.chat_max_completion_tokens:
        body["max_output_tokens"] = min(limit, request.parameters.get("max_output_tokens", limit))
    return body
