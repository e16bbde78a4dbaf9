"""The body of the request to the model server."""

import json
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import InvalidRequest
from chat.settings import Settings

_OTHER_LIMITS = ("max_length", "max_new_tokens", "n_predict", "num_predict")
"""Parameters of compatible servers that would lift `max_tokens`."""


def encode_request_body(request: CompletionRequest, settings: Settings) -> bytes:
    """Encodes the request to the model server, with the system prompt before the messages; raises `InvalidRequest`."""
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [_system_message(request, settings), *request.messages],
        **request.parameters,
    }
    if settings.provider == "compatible":
        body |= request.other_parameters
    _limit_tokens(body, settings)
    body["stream"] = request.stream
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise InvalidRequest("The body contains a number that is out of range.") from None


def _system_message(request: CompletionRequest, settings: Settings) -> dict[str, Any]:
    """The service's system prompt and the client's part of it, in one message, because many models accept only one."""
    content: str | list[dict[str, Any]] = settings.chat_system_prompt
    if isinstance(request.instructions, list):
        content = [{"type": "text", "text": content}, *request.instructions]
    elif request.instructions:
        content = f"{content}\n\n{request.instructions}"
    return {"role": "system", "content": content, **request.instruction_fields}


def _limit_tokens(body: dict[str, Any], settings: Settings) -> None:
    """Limits the completion's tokens, under the name that the model server knows: every compatible one knows the older."""
    requested = body.pop("max_completion_tokens", None)
    if limit := settings.chat_max_completion_tokens:
        # 0 and -1 mean no limit to some servers.
        requested = min(requested, limit) if requested and requested > 0 else limit
        for name in _OTHER_LIMITS:
            body.pop(name, None)
    if requested is not None:
        body["max_tokens" if settings.provider == "compatible" else "max_completion_tokens"] = requested
