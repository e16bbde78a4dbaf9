"""What comes in: the requests' bodies, checked."""

from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from chat.errors import InvalidRequest


class Message(BaseModel):
    """One message of the conversation. The system prompt is the service's own, so no other role is taken."""

    model_config = ConfigDict(strict=True)

    content: Annotated[str, StringConstraints(min_length=1)]
    role: Literal["user", "assistant"] = "user"


class Conversation(BaseModel):
    """What every request has. Fields that are not named are ignored: OpenAI's clients send more."""

    model_config = ConfigDict(strict=True)

    messages: Annotated[list[Message], Field(min_length=1)]


class ChatRequest(Conversation):
    """The body of `POST /api/chat`."""

    stream: bool = True


class ProtocolRequest(Conversation):
    """The body of Microsoft's AI Chat Protocol; `sessionState` is the front end's own, and comes back as it was sent."""

    context: dict[str, Any] | None = None
    sessionState: Any = None  # noqa: N815 - the protocol's name


def parse[T: Conversation](model: type[T], body: bytes, max_messages: int) -> T:
    """Reads a request's body; raises `InvalidRequest`, which names the first field that is wrong."""
    try:
        # In two steps, so that NaN, which is no JSON, is not let through; and what was said is not kept in a cache.
        value = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON in UTF-8: {error}.") from None
    try:
        request = model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = _param(fault["loc"])
        raise InvalidRequest(f"{param or 'The body'}: {fault['msg']}.", param=param) from None
    if len(request.messages) > max_messages:
        raise InvalidRequest(f"messages: more than {max_messages}.", param="messages")
    return request


def _param(loc: tuple[int | str, ...]) -> str | None:
    """The field's path as OpenAI writes it: `messages[0].content`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return path.removeprefix(".") or None
