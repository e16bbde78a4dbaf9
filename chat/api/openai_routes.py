"""The routes of OpenAI's API that need no model server: its one model, and what does not exist."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi import Request, Response

from chat.api.auth import authenticate
from chat.api.response_writer import COMMON_HEADERS, error_headers
from chat.errors import ChatError, NotFound
from chat.formats.wire_format import openai_error
from chat.settings import Settings, get_settings


def list_models(request: Request) -> Response:
    """Responds with the list of models, in OpenAI's format."""
    return _respond(request, lambda settings: {"object": "list", "data": [_model(settings)]})


def get_model(request: Request, name: str) -> Response:
    """Responds with the model if that is its name, percent-encoded or not."""

    def model(settings: Settings) -> dict[str, Any]:
        if unquote(name) != settings.model:
            raise NotFound("The model does not exist: `GET /models` lists the one that does.", code="model_not_found")
        return _model(settings)

    return _respond(request, model)


def unknown_url(request: Request) -> Response:
    """Responds with OpenAI's error for a route that does not exist."""

    def fail(_: Settings) -> dict[str, Any]:
        raise NotFound(f"Invalid URL ({request.method} {request.url.path})", code="unknown_url")

    return _respond(request, fail)


def _model(settings: Settings) -> dict[str, Any]:
    return {"id": settings.model, "object": "model", "created": 0, "owned_by": settings.provider}


def _respond(request: Request, content: Callable[[Settings], dict[str, Any]]) -> Response:
    """The response to a client with an API key, where one is required; its errors are OpenAI's."""
    try:
        settings = get_settings()
        authenticate(request.headers, settings.api_keys)
        body, status, headers = json.dumps(content(settings)).encode(), 200, {}
    except ChatError as error:
        body, status, headers = openai_error(error), error.status, error_headers(error)
    return Response(body, status, COMMON_HEADERS | headers, media_type="application/json")
