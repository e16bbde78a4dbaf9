"""What this worker has learned from the model server's rejections, never from the name of a model."""

from dataclasses import dataclass
from functools import cache

import openai

from chat.upstream.errors import error_object

_TOOLS_REJECTED = "Function tools with reasoning_effort are not supported"
"""How the message begins: anywhere else, it could quote the client."""


@dataclass
class Capabilities:
    """What the model server has rejected, and accepted in another way."""

    rejects_stream_options: bool = False
    requires_responses_for_tools: bool = False


@cache
def capabilities() -> Capabilities:
    """What has been learned since the worker started."""
    return Capabilities()


def rejects_stream_options(error: openai.APIStatusError) -> bool:
    """Whether the model server may have rejected a request for its `stream_options`."""
    if error.status_code not in {400, 422}:
        return False
    sent = error_object(error.response.content)
    return any("stream_options" in str(sent.get(key)) for key in ("message", "param", "loc"))


def rejects_tools(error: openai.APIStatusError) -> bool:
    """Whether the model server accepts the request's tools only in the Responses API."""
    return error.status_code == 400 and error_object(error.response.content)["message"].startswith(_TOOLS_REJECTED)


def rejects_path(error: openai.APIStatusError) -> bool:
    """Whether the model server does not have the API to which the request was sent."""
    return error.status_code in {404, 405, 501}
