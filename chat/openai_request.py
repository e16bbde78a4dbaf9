"""The request of OpenAI's Chat Completions API: which parameters are forwarded, rejected and ignored.

See https://platform.openai.com/docs/api-reference/chat/create. To forward one more, add it to `Forwarded`. Parameters in
neither table are ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, PositiveInt

from chat.errors import InvalidRequest
from chat.request import CompletionRequest, validate

REJECTED: dict[str, list[object]] = {
    "n": [1],
    "modalities": [["text"]],
    "audio": [],
    "functions": [],
    "function_call": [],
    "web_search_options": [],
    "store": [False],
    "background": [False],
}
"""Parameters that cannot be ignored, because they change the response, with the values that do not."""


def _check_string_or_list(value: object) -> object:
    if not (isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))):
        raise ValueError("Input should be a string or an array of strings")
    return value


def _check_string_or_object(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError("Input should be a string or an object")
    return value


def _check_content(value: object) -> object:
    parts = value if isinstance(value, list) else []
    if not (value is None or isinstance(value, str | list)) or not all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts
    ):
        raise ValueError("Input should be a string or an array of content parts")
    return value


type StringOrList = Annotated[Any, AfterValidator(_check_string_or_list)]
type StringOrObject = Annotated[Any, AfterValidator(_check_string_or_object)]
type Content = Annotated[Any, AfterValidator(_check_content)]
type Object = dict[str, Any]


class Forwarded(BaseModel):
    """The parameters that are forwarded. Their types are checked here, their ranges by the model server."""

    model_config = ConfigDict(strict=True)

    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: StringOrList | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Object | None = None
    response_format: Object | None = None
    tools: Annotated[list[Object], FailFast()] | None = None
    tool_choice: StringOrObject | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    max_completion_tokens: PositiveInt | None = None


class OpenAIMessage(BaseModel):
    """A message, of which only the role and the shape of the content are checked."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None


class StreamOptions(BaseModel):
    """What a stream contains besides the completion."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class OpenAIRequest(Forwarded):
    """The body of `POST /api/v1/chat/completions`."""

    messages: Annotated[list[OpenAIMessage], Field(min_length=1), FailFast()]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None


def parse_openai_request(body: bytes, max_messages: int) -> tuple[CompletionRequest, bool]:
    """Returns the request, and whether its stream is to have a usage chunk; raises `InvalidRequest`."""
    value, request = validate(OpenAIRequest, body, max_messages)
    for name, accepted in REJECTED.items():
        if value.get(name) not in [None, *accepted]:
            raise InvalidRequest(f"{name}: not supported.", param=name)
    parameters = {name: value[name] for name in Forwarded.model_fields if value.get(name) is not None}
    if request.max_tokens:
        parameters.setdefault("max_completion_tokens", request.max_tokens)
    instructions, messages = _split_instructions(value["messages"])
    include_usage = bool(request.stream_options and request.stream_options.include_usage)
    return CompletionRequest(messages, bool(request.stream), instructions, parameters), include_usage


def _split_instructions(messages: list[Object]) -> tuple[str, list[Object]]:
    """The text of the leading system and developer messages, and the other messages."""
    texts: list[str] = []
    for position, message in enumerate(messages):
        text = _text(message.get("content")) if message["role"] in {"system", "developer"} else None
        if text is None:
            return "\n\n".join(texts), messages[position:]
        texts.append(text)
    return "\n\n".join(texts), []


def _text(content: object) -> str | None:
    """The text of a message's content; None if it has parts of another kind."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or any(
        part["type"] != "text" or not isinstance(part.get("text"), str) for part in content
    ):
        return None
    return "".join(part["text"] for part in content)
