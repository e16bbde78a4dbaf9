"""The body of the request to the model server."""

import json
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import InvalidRequest
from chat.settings import Settings


def encode_request_body(request: CompletionRequest, settings: Settings) -> bytes:
    """Encodes the request to the model server, with the system prompt before the messages; raises `InvalidRequest`."""
    system_prompt = settings.chat_system_prompt
    if request.instructions:
        system_prompt += f"\n\n{request.instructions}"
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": "system", "content": system_prompt}, *request.messages],
        **request.parameters,
        "stream": request.stream,
    }
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    if limit := settings.chat_max_completion_tokens:
        body["max_completion_tokens"] = min(limit, request.parameters.get("max_completion_tokens", limit))
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise InvalidRequest("The body contains a number that is out of range.") from None
