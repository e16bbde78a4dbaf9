"""The format of `/api/v1/chat/completions`: OpenAI's Chat Completions API.

See https://platform.openai.com/docs/api-reference/chat/create. To forward one more parameter, add it to
`ForwardedParameters`. Parameters that OpenAI's API does not define are forwarded to compatible servers only.
"""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Annotated, Any, Literal

from msgspec import Struct
from msgspec.json import Decoder
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from chat.completion_request import CompletionRequest
from chat.errors import ChatError, InvalidRequest
from chat.formats.framing import EVENT_STREAM
from chat.formats.validation import Object, StringOrObject, validate
from chat.formats.wire_format import openai_error
from chat.json_scan import decode_object

UNSUPPORTED_PARAMETERS: dict[str, list[object]] = {
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

IGNORED_PARAMETERS = {"fallbacks", "model", "models", "moderation", "prompt_cache_options"}
"""Parameters of OpenAI's API that are ignored, and those with which compatible servers let a client choose the model."""


def _check_string_or_list(value: object) -> object:
    if not (isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))):
        raise ValueError("Input should be a string or an array of strings")
    return value


def _check_content(value: object) -> object:
    parts = value if isinstance(value, list) else []
    if not (value is None or isinstance(value, str | list)) or not all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts
    ):
        raise ValueError("Input should be a string or an array of content parts")
    return value


type StringOrList = Annotated[Any, AfterValidator(_check_string_or_list)]
type Content = Annotated[Any, AfterValidator(_check_content)]


class ForwardedParameters(BaseModel):
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
    user: str | None = None
    metadata: Object | None = None
    service_tier: str | None = None
    prediction: Object | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    max_completion_tokens: int | None = None


class OpenAIMessage(BaseModel):
    """A message, of which only the role and the shape of the content are checked."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None


class StreamOptions(BaseModel):
    """What a stream contains besides the completion."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class ChatCompletionsRequest(ForwardedParameters):
    """The body of `POST /api/v1/chat/completions`."""

    messages: Annotated[list[OpenAIMessage], Field(min_length=1), FailFast()]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None


class _Object(Struct, gc=False):
    """Any object."""


class _Keys(Struct, gc=False):
    """The keys of a chunk that decide whether it is sent."""

    choices: list[_Object]
    usage: _Object | None = None


_EMPTY_ARRAY = re.compile(rb"\[\s*+\]")
_decode_keys = Decoder(_Keys).decode


_KNOWN_PARAMETERS = {*ChatCompletionsRequest.model_fields, *UNSUPPORTED_PARAMETERS, *IGNORED_PARAMETERS}


class ChatCompletionsFormat:
    """Chat Completions, streamed as server-sent events."""

    stream_media_type = EVENT_STREAM.media_type
    headers: Mapping[str, str] = {}
    client_retries = True

    def __init__(self) -> None:
        self._include_usage = False

    def parse_request(self, body: bytes, max_messages: int) -> CompletionRequest:
        """Parses a `ChatCompletionsRequest`."""
        request, self._include_usage = _parse_request(body, max_messages)
        return request

    def encode_stream(self, chunks: list[bytes]) -> bytes:
        """Encodes each chunk as an event, except those without a choice, which clients do not expect."""
        return EVENT_STREAM.frame([chunk for chunk in chunks if self._is_sent(chunk)])

    def encode_completion(self, completion: bytes) -> bytes:
        """Returns the completion as received."""
        return completion

    def encode_error(self, error: ChatError) -> bytes:
        """Encodes OpenAI's error object."""
        return openai_error(error)

    def encode_stream_error(self, error: ChatError) -> bytes:
        """Encodes the error object as an event."""
        return EVENT_STREAM.frame([openai_error(error)])

    def encode_stream_end(self) -> bytes:
        """Returns the event that ends a stream."""
        return EVENT_STREAM.end

    def _is_sent(self, chunk: bytes) -> bool:
        """Whether the chunk has a choice, or usage that the client requested."""
        if not _EMPTY_ARRAY.search(chunk):
            return True
        keys = decode_object(chunk, _decode_keys)
        return bool(keys.choices or (self._include_usage and keys.usage is not None))


def _parse_request(body: bytes, max_messages: int) -> tuple[CompletionRequest, bool]:
    """Returns the request, and whether its stream is to have a usage chunk; raises `InvalidRequest`."""
    value, request = validate(ChatCompletionsRequest, body, max_messages)
    for name, accepted in UNSUPPORTED_PARAMETERS.items():
        if value.get(name) not in [None, *accepted]:
            raise InvalidRequest(f"{name}: not supported.", param=name)
    parameters = {name: value[name] for name in ForwardedParameters.model_fields if value.get(name) is not None}
    if request.max_tokens is not None:
        parameters.setdefault("max_completion_tokens", request.max_tokens)
    leading = list(takewhile(_is_instruction, value["messages"]))
    completion_request = CompletionRequest(
        messages=value["messages"][len(leading) :],
        stream=bool(request.stream),
        instructions=_instructions(leading),
        instruction_fields={
            name: field for message in leading for name, field in message.items() if name not in {"role", "content"}
        },
        parameters=parameters,
        other_parameters={
            name: parameter for name, parameter in value.items() if name not in _KNOWN_PARAMETERS and parameter is not None
        },
    )
    return completion_request, bool(request.stream_options and request.stream_options.include_usage)


def _is_instruction(message: Object) -> bool:
    """Whether a message can become part of the system prompt: a system or developer message that has only text."""
    content = message.get("content")
    if message["role"] not in {"system", "developer"} or content is None:
        return False
    return all(part["type"] == "text" and isinstance(part.get("text"), str) for part in _parts(content))


def _instructions(messages: list[Object]) -> str | list[Object]:
    """The text of the messages; their content parts if one has other keys, such as `cache_control`."""
    contents = [_parts(message["content"]) for message in messages]
    if any(part.keys() != {"type", "text"} for parts in contents for part in parts):
        return [part for parts in contents for part in parts]
    return "\n\n".join("".join(part["text"] for part in parts) for parts in contents)


def _parts(content: str | list[Object]) -> list[Object]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
