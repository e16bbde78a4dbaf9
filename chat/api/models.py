"""OpenAI's list of models, with the one model of this service."""

import json

from fastapi import Request, Response

from chat.api.auth import authenticate
from chat.api.response_writer import COMMON_HEADERS, error_headers
from chat.errors import ChatError
from chat.formats.chat_completions import ChatCompletionsFormat
from chat.settings import get_settings


def list_models(request: Request) -> Response:
    """Responds with the list, or with an error in OpenAI's format."""
    try:
        settings = get_settings()
        authenticate(request.headers, settings.api_keys)
    except ChatError as error:
        content, status, headers = ChatCompletionsFormat().encode_error(error), error.status, error_headers(error)
    else:
        model = {"id": settings.model, "object": "model", "created": 0, "owned_by": settings.provider}
        content, status, headers = json.dumps({"object": "list", "data": [model]}).encode(), 200, {}
    return Response(content, status, COMMON_HEADERS | headers, media_type="application/json")
