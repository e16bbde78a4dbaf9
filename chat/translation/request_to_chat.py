"""Translates a request of the Responses API into one of Chat Completions."""

import json
from typing import Any

from chat.errors import InvalidRequest
from chat.translation.request_echo import RequestEcho
from chat.translation.tools import FunctionTools, array, string

_SAME_NAME = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
)

_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def translate_request(body: dict[str, Any]) -> tuple[dict[str, Any], RequestEcho]:
    """Returns the body of a Chat Completions request, and what the response repeats of the original.

    The first item of `input` is the operator's system prompt, which `param` of an error does not count. Raises
    `InvalidRequest` for what Chat Completions cannot express.
    """
    items: list[dict[str, Any]] = body["input"]
    offers = [("tools", body.get("tools") or [])]
    for position, item in enumerate(items):
        if item.get("type") == "additional_tools":
            offers.append((f"{_path(position)}.tools", array(item, "tools", _path(position))))
    tools = FunctionTools(offers)
    translated = {name: body[name] for name in _SAME_NAME if body.get(name) is not None}
    translated["messages"] = _messages(items, body.get("instructions"), tools)
    if body.get("max_output_tokens") is not None:
        translated["max_tokens"] = body["max_output_tokens"]
    translated |= _tool_parameters(body, tools)
    translated |= _text_parameters(body)
    return translated, RequestEcho.of(body, tools.tools_by_function)


def _path(position: int) -> str:
    return f"input[{position - 1}]"


def _messages(items: list[dict[str, Any]], instructions: str | None, tools: FunctionTools) -> list[dict[str, Any]]:
    """The conversation. The system text at its beginning is one message: many chat templates accept no second one."""
    system = [items[0]["content"], instructions]
    position = 1
    while position < len(items) and (text := _leading_text(items[position])) is not None:
        system.append(text)
        position += 1
    conversation = _Conversation(tools)
    if any(system):
        conversation.messages.append({"role": "system", "content": "\n\n".join(filter(None, system))})
    for at in range(position, len(items)):
        conversation.add(items[at], _path(at))
    return conversation.end()


def _leading_text(item: dict[str, Any]) -> str | None:
    """The text of a system or developer message, empty for an item that only offers tools; None for any other item."""
    if item.get("type") == "additional_tools":
        return ""
    content = item.get("content")
    if item.get("role") not in ("system", "developer"):
        return None
    if isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        return "".join(part["text"] for part in content)
    return content if isinstance(content, str) else None


class _Conversation:
    """Collects messages; several items can become one message, and one item several."""

    def __init__(self, tools: FunctionTools) -> None:
        self.messages: list[dict[str, Any]] = []
        self._tools = tools
        self._assistant: dict[str, Any] | None = None
        self._reasoning: list[str] = []
        self._files: list[dict[str, Any]] = []

    def add(self, item: dict[str, Any], param: str) -> None:
        kind = item.get("type") or "message"
        if kind in _OUTPUTS:
            self._close_assistant()
            self._add_output(item, param)
        elif kind == "function_call":
            self._add_call(item, string(item, "arguments", param), param)
        elif kind == "custom_tool_call":
            arguments = json.dumps({"input": string(item, "input", param)}, ensure_ascii=False)
            self._add_call(item, arguments, param)
        elif kind == "reasoning":
            self._reasoning.append(_reasoning_text(item))
        elif kind == "message" and item.get("role") == "assistant":
            if self._assistant and "tool_calls" not in self._assistant:
                self._close_assistant()
            self._add_assistant_content(item, param)
        elif kind == "message" and item.get("role") in ("user", "system", "developer"):
            self._close_assistant()
            self._close_outputs()
            self._reasoning.clear()
            role = "user" if item["role"] == "user" else "system"
            self.messages.append({"role": role, "content": _content(item.get("content"), f"{param}.content")})
        elif kind != "additional_tools":
            raise InvalidRequest(f"{param}: this type of item is not supported.", param=param)

    def end(self) -> list[dict[str, Any]]:
        self._close_assistant()
        self._close_outputs()
        return self.messages

    def _open_assistant(self) -> dict[str, Any]:
        if self._assistant is None:
            self._close_outputs()
            self._assistant = {"role": "assistant", "content": None}
            self.messages.append(self._assistant)
        if reasoning := "\n\n".join(filter(None, self._reasoning)):
            before = self._assistant.get("reasoning_content")
            self._assistant["reasoning_content"] = f"{before}\n\n{reasoning}" if before else reasoning
        self._reasoning.clear()
        return self._assistant

    def _close_assistant(self) -> None:
        if self._assistant and "tool_calls" not in self._assistant:
            self._assistant["content"] = self._assistant["content"] or ""
        self._assistant = None

    def _close_outputs(self) -> None:
        """Adds what tool messages cannot hold, once the outputs of all parallel calls stand next to each other."""
        if self._files:
            self.messages.append({"role": "user", "content": self._files})
            self._files = []

    def _add_call(self, item: dict[str, Any], arguments: str, param: str) -> None:
        namespace = item.get("namespace")
        name = self._tools.name(string(item, "name", param), namespace if isinstance(namespace, str) else None)
        call = {"id": string(item, "call_id", param), "type": "function", "function": {"name": name, "arguments": arguments}}
        self._open_assistant().setdefault("tool_calls", []).append(call)

    def _add_output(self, item: dict[str, Any], param: str) -> None:
        content = _content(item.get("output"), f"{param}.output")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        self.messages.append({"role": "tool", "tool_call_id": string(item, "call_id", param), "content": text})
        self._files += [part for part in parts if part["type"] != "text"]

    def _add_assistant_content(self, item: dict[str, Any], param: str) -> None:
        content = item.get("content")
        parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else array(item, "content", param)
        message = self._open_assistant()
        for position, part in enumerate(parts):
            path = f"{param}.content[{position}]"
            key, source = ("refusal", "refusal") if _part_type(part, path) == "refusal" else ("content", "text")
            message[key] = (message.get(key) or "") + string(part, source, path)


def _reasoning_text(item: dict[str, Any]) -> str:
    """The text of a reasoning item, or else its summary, or what this service has sent as encrypted; each is optional."""
    for key, separator in (("content", ""), ("summary", "\n\n")):
        parts = item.get(key)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if text := separator.join(text for text in texts if isinstance(text, str)):
            return text
    encrypted = item.get("encrypted_content")
    return encrypted if isinstance(encrypted, str) else ""


def _content(content: Any, param: str) -> str | list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """The content of a message or an output; a single text is a string, which every server accepts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{param}: Input should be a string or an array of content parts.", param=param)
    parts = [_part(part, f"{param}[{position}]") for position, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _part(part: Any, param: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    match _part_type(part, param):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": string(part, "text", param)}
        case "input_image":
            image = {"url": string(part, "image_url", param)}
            if part.get("detail") is not None:
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file":
            file = {"file_data": string(part, "file_data", param)}
            if part.get("filename") is not None:
                file["filename"] = part["filename"]
            return {"type": "file", "file": file}
    raise InvalidRequest(f"{param}: this type of content is not supported.", param=param)


def _part_type(part: object, param: str) -> object:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{param}: Input should be an object.", param=param)
    return part.get("type")


def _tool_parameters(body: dict[str, Any], tools: FunctionTools) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls`; servers reject the other two without the first."""
    functions = tools.functions
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        # Few servers know this choice. To offer only these tools has the same effect.
        allowed = [_chosen(tool, tools, "tool_choice.tools") for tool in array(choice, "tools", "tool_choice")]
        functions = {name: functions[name] for name in allowed}
        choice = choice.get("mode")
    elif isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": _chosen(choice, tools, "tool_choice")}}
    if not functions:
        if choice not in (None, "auto", "none"):
            raise InvalidRequest("tool_choice: there are no tools to choose from.", param="tool_choice")
        return {}
    parameters = {"tool_choice": choice, "parallel_tool_calls": body.get("parallel_tool_calls")}
    return {"tools": list(functions.values())} | {key: value for key, value in parameters.items() if value is not None}


def _chosen(choice: Any, tools: FunctionTools, param: str) -> str:  # noqa: ANN401 - any JSON value
    """The name of the function that a choice names; raises `InvalidRequest` if it is not offered."""
    if isinstance(choice, dict) and isinstance(choice.get("name"), str):
        namespace = choice.get("namespace")
        name = tools.name(choice["name"], namespace if isinstance(namespace, str) else None)
        if name in tools.functions:
            return name
    raise InvalidRequest(f"{param}: this tool is not among `tools`.", param=param)


def _text_parameters(body: dict[str, Any]) -> dict[str, Any]:
    """The format and verbosity of the text, its log probabilities, and the effort of the reasoning before it."""
    text = body.get("text") or {}
    top_logprobs = body.get("top_logprobs") or None
    include = body.get("include") or []
    parameters = {
        "response_format": _response_format(text.get("format")),
        "verbosity": text.get("verbosity"),
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
        "logprobs": True if top_logprobs or "message.output_text.logprobs" in include else None,
        "top_logprobs": top_logprobs,
    }
    return {key: value for key, value in parameters.items() if value is not None}


def _response_format(text_format: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any JSON value
    if text_format is None:
        return None
    kind = text_format.get("type") if isinstance(text_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind == "json_schema":
        keys = ("name", "description", "schema", "strict")
        return {"type": "json_schema", "json_schema": {key: text_format[key] for key in keys if key in text_format}}
    raise InvalidRequest("text.format: this format is not supported.", param="text.format")
