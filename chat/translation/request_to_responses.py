"""Translates a request of Chat Completions into one of the Responses API."""

from typing import Any

_MIN_OUTPUT_TOKENS = 16
"""The Responses API rejects a lower `max_output_tokens`."""

_SAME_NAME = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "top_logprobs",
    "parallel_tool_calls",
    "metadata",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
)

_TRANSLATED = (
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "verbosity",
    "reasoning_effort",
    "max_completion_tokens",
    "max_tokens",
    "logprobs",
    "stream_options",
)

_WITHOUT_EFFECT: dict[str, object] = {
    "stop": [],
    "logit_bias": {},
    "presence_penalty": 0,
    "frequency_penalty": 0,
}
"""Parameters that the Responses API lacks, with the values that change nothing."""


class Untranslatable(Exception):
    """The Responses API cannot express the value of `param`."""

    def __init__(self, param: str) -> None:
        super().__init__(f"the Responses API cannot express {param}")
        self.param = param


def translate_request(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the body of a Responses request, which is not to be stored; raises `Untranslatable`."""
    body = {name: value for name, value in body.items() if value is not None}
    for name, value in body.items():
        if name not in _SAME_NAME and name not in _TRANSLATED and value != _WITHOUT_EFFECT.get(name):
            raise Untranslatable(name)
    translated = {name: body[name] for name in _SAME_NAME if name in body}
    translated |= {"store": False, "input": _input(body["messages"])}
    if limit := body.get("max_completion_tokens", body.get("max_tokens")):
        translated["max_output_tokens"] = max(limit, _MIN_OUTPUT_TOKENS)
    if "reasoning_effort" in body:
        translated["reasoning"] = {"effort": body["reasoning_effort"]}
    if body.get("logprobs"):
        translated["include"] = ["message.output_text.logprobs"]
    if body.get("tools"):
        translated["tools"] = [_tool(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        translated["tool_choice"] = _tool_choice(body["tool_choice"])
    if text := _text(body):
        translated["text"] = text
    return translated


def _input(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    custom_calls: set[str] = set()
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            call_id = _string(message, "tool_call_id", "messages")
            kind = "custom_tool_call_output" if call_id in custom_calls else "function_call_output"
            items.append({"type": kind, "call_id": call_id, "output": _content(content)})
        elif role == "assistant":
            if parts := _assistant_parts(message):
                items.append({"type": "message", "role": role, "content": parts})
            calls = message.get("tool_calls") or []
            if not isinstance(calls, list):
                raise Untranslatable("messages")
            for call in calls:
                items.append(_call(call))
                if items[-1]["type"] == "custom_tool_call":
                    custom_calls.add(items[-1]["call_id"])
        else:
            items.append({"type": "message", "role": role, "content": _content(content)})
    return items


def _content(content: str | list[dict[str, Any]] | None) -> str | list[dict[str, Any]]:
    return [_part(part) for part in content] if isinstance(content, list) else content or ""


def _part(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": _string(part, "text", "messages")}
        case "image_url":
            image = _object(part, "image_url", "messages")
            url = _string(image, "url", "messages")
            return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
        case "file":
            return {**_object(part, "file", "messages"), "type": "input_file"}
    raise Untranslatable("messages")


def _assistant_parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content parts of an assistant's message; none where it only calls tools."""
    content = message.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return [_assistant_part(part) for part in parts]


def _assistant_part(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "output_text", "text": _string(part, "text", "messages"), "annotations": []}
        case "refusal":
            return {"type": "refusal", "refusal": _string(part, "refusal", "messages")}
    raise Untranslatable("messages")


def _call(call: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    call_id = _string(call, "id", "messages")
    if call.get("type") == "custom":
        custom = _object(call, "custom", "messages")
        name, text = _string(custom, "name", "messages"), _string(custom, "input", "messages")
        return {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": text}
    function = _object(call, "function", "messages")
    name, arguments = _string(function, "name", "messages"), _string(function, "arguments", "messages")
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind == "function":
        function = _object(tool, "function", "tools")
        # Chat Completions is not strict by default, the Responses API is.
        return {"parameters": None, **function, "type": "function", "strict": bool(function.get("strict"))}
    if kind == "custom":
        custom = {**_object(tool, "custom", "tools"), "type": "custom"}
        input_format = custom.get("format")
        if isinstance(input_format, dict) and input_format.get("type") == "grammar":
            custom["format"] = {**_object(input_format, "grammar", "tools"), "type": "grammar"}
        return custom
    raise Untranslatable("tools")


def _tool_choice(choice: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(choice, str):
        return choice
    if choice.get("type") == "allowed_tools":
        allowed = _object(choice, "allowed_tools", "tool_choice")
        tools = allowed.get("tools")
        if isinstance(tools, list):
            return {"type": "allowed_tools", "mode": allowed.get("mode"), "tools": [_choice(tool) for tool in tools]}
    return _choice(choice)


def _choice(tool: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """A choice of one tool, whose object has the name of its type as its key."""
    kind = _string(tool, "type", "tool_choice")
    return {"type": kind, "name": _string(_object(tool, kind, "tool_choice"), "name", "tool_choice")}


def _text(body: dict[str, Any]) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if response_format := body.get("response_format"):
        if response_format.get("type") == "json_schema":
            response_format = {"type": "json_schema", **_object(response_format, "json_schema", "response_format")}
        text["format"] = response_format
    if "verbosity" in body:
        text["verbosity"] = body["verbosity"]
    return text


def _object(value: object, key: str, param: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise Untranslatable(param)
    return found


def _string(value: object, key: str, param: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise Untranslatable(param)
    return found
