"""The request of OpenAI's Responses API, without stored state: what is forwarded, rejected and left out.

See https://platform.openai.com/docs/api-reference/responses/create. To forward one more parameter, add it to
`ForwardedParameters`. Parameters that are neither there nor in `UNSUPPORTED_PARAMETERS` are ignored.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast

from chat.completion_request import CompletionRequest
from chat.errors import InvalidRequest
from chat.formats.validation import Object, StringOrObject, validate

UNSUPPORTED_PARAMETERS: dict[str, list[object]] = {
    "conversation": [],
    "prompt": [],
    "background": [False],
    "store": [False],
}
"""Parameters that refer to what is stored, with the values that do not."""

_NOTHING_STORED = (
    "This service stores nothing: send the whole conversation in `input`. The setting for that is `store=False` in Agent "
    "Framework, and `providerOptions.openai.store: false` in the AI SDK."
)
_ROLES = ("system", "developer", "user", "assistant")
_ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
    "additional_tools",
)
_CLIENT_TOOL_TYPES = ("function", "custom", "namespace")
_INCLUDABLE = {"reasoning.encrypted_content", "message.output_text.logprobs"}


def _check_string_or_array(value: object) -> object:
    if not isinstance(value, str | list) or not value:
        raise ValueError("Input should be a string or an array of items, and not empty")
    return value


class ForwardedParameters(BaseModel):
    """The parameters that are forwarded. Their types are checked here, their ranges by the model server."""

    model_config = ConfigDict(strict=True)

    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    text: Object | None = None
    tools: Annotated[list[Object], FailFast()] | None = None
    tool_choice: StringOrObject | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    reasoning: Object | None = None
    include: Annotated[list[str], FailFast()] | None = None
    truncation: str | None = None
    metadata: Object | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    stream_options: Object | None = None


class ResponsesRequest(ForwardedParameters):
    """The body of `POST /api/v1/responses`."""

    input: Annotated[Any, AfterValidator(_check_string_or_array)]
    stream: bool | None = None
    previous_response_id: Any = None


def parse_request(body: bytes, max_items: int) -> CompletionRequest:
    """Returns the request, with only the tools that the client executes; raises `InvalidRequest`."""
    value, request = validate(ResponsesRequest, body, max_items, "input")
    if request.previous_response_id is not None:
        raise InvalidRequest(_NOTHING_STORED, param="previous_response_id", code="previous_response_not_found")
    for name, accepted in UNSUPPORTED_PARAMETERS.items():
        if value.get(name) not in [None, *accepted]:
            raise InvalidRequest(f"{name}: not supported. {_NOTHING_STORED}", param=name)
    parameters = {name: value[name] for name in ForwardedParameters.model_fields if value.get(name) is not None}
    text_or_items = value["input"]
    if isinstance(text_or_items, str):
        text_or_items = [{"role": "user", "content": text_or_items}]
    items = [_item(item, f"input[{position}]") for position, item in enumerate(text_or_items)]
    items = [item for item in items if not _is_stored_reasoning(item)]
    # Tools that the model server would execute and bill are left out.
    parameters["tools"] = tools = _client_tools(parameters.get("tools", []))
    has_tools = bool(tools) or any(item.get("type") == "additional_tools" for item in items)
    parameters["tool_choice"] = _tool_choice(parameters.get("tool_choice"), has_tools=has_tools)
    parameters["include"] = [name for name in parameters.get("include", ()) if name in _INCLUDABLE]
    parameters = {name: value for name, value in parameters.items() if value not in (None, [])}
    return CompletionRequest(items, bool(request.stream), parameters=parameters, api="responses")


def _item(item: object, param: str) -> Object:
    """The item, if it does not refer to what is stored; raises `InvalidRequest`."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"{param}: Input should be an object.", param=param)
    kind = "message" if item.get("type") is None else item["type"]
    if kind == "item_reference":
        raise InvalidRequest(f"{param}: Item with id {str(item.get('id'))[:64]!r} not found. {_NOTHING_STORED}", param=param)
    if kind not in _ITEM_TYPES:
        raise InvalidRequest(f"{param}.type: not supported.", param=f"{param}.type")
    if kind == "message" and item.get("role") not in _ROLES:
        raise InvalidRequest(
            f"{param}.role: Input should be 'system', 'developer', 'user' or 'assistant'.", param=f"{param}.role"
        )
    for key in ("content", "output"):
        _check_parts(item.get(key), f"{param}.{key}")
    if kind == "additional_tools":
        tools = item.get("tools")
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise InvalidRequest(f"{param}.tools: Input should be an array of objects.", param=f"{param}.tools")
        return {**item, "tools": _client_tools(tools)}
    return item


def _is_stored_reasoning(item: Object) -> bool:
    """Whether a reasoning item has nothing that a model could use: OpenAI has stored none of it, and rejects the item.

    Clients send it back with the rest of a response's output, unless they have requested its encrypted content.
    """
    return item.get("type") == "reasoning" and not item.get("encrypted_content") and not item.get("content")


def _check_parts(content: object, param: str) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list) or not all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in content
    ):
        raise InvalidRequest(f"{param}: Input should be a string or an array of content parts.", param=param)
    for position, part in enumerate(content):
        if part.get("file_id") is not None:
            name = f"{param}[{position}].file_id"
            raise InvalidRequest(f"{name}: no file is stored here. Send it in `file_data` or `image_url`.", param=name)


def _client_tools(tools: list[Any]) -> list[Object]:
    """The tools that the client executes, also those inside a namespace."""
    kept = [tool for tool in tools if isinstance(tool, dict) and tool.get("type") in _CLIENT_TOOL_TYPES]
    for position, tool in enumerate(kept):
        if tool["type"] == "namespace":
            inner = tool.get("tools")
            kept[position] = {**tool, "tools": _client_tools(inner) if isinstance(inner, list) else []}
    return kept


def _tool_choice(choice: Any, *, has_tools: bool) -> Any:  # noqa: ANN401 - as the client sent it
    """The choice without the tools that are left out, or None; raises `InvalidRequest` if it requires one of them."""
    match choice:
        case {"type": "function" | "custom"}:
            return choice
        case {"type": "allowed_tools", "tools": list(offered)}:
            if allowed := _client_tools(offered):
                return {**choice, "tools": allowed}
            is_required = choice.get("mode") == "required"
        case dict():
            is_required = True
        case _ if has_tools:
            return choice
        case _:
            is_required = choice == "required"
    if is_required:
        raise InvalidRequest("tool_choice: requires a tool that this service does not offer.", param="tool_choice")
    return "none" if has_tools else None
