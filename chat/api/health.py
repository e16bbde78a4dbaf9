"""The health of the service: whether its settings are valid. It does not call the model server."""

from fastapi import Response

from chat.api.response_writer import COMMON_HEADERS
from chat.errors import ConfigurationError
from chat.formats.wire_format import openai_error
from chat.settings import get_settings


def health() -> Response:
    """Responds with 200, or with the configuration error."""
    try:
        get_settings()
    except ConfigurationError as error:
        return Response(openai_error(error), error.status, COMMON_HEADERS, media_type="application/json")
    return Response(b'{"status":"ok"}', 200, COMMON_HEADERS, media_type="application/json")
