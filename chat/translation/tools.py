"""The tools of the Responses API as functions of Chat Completions, each with a name of its own."""

import hashlib
import re
from typing import Any, NamedTuple

from chat.errors import InvalidRequest

_MAX_NAME = 64
_DIGEST = 8


class Tool(NamedTuple):
    """A tool as the client named it."""

    name: str
    namespace: str | None = None
    custom: bool = False


class FunctionTools:
    """The functions that a request offers, and the tools that they stand for.

    `offers` are arrays of tools, each with the path of its field. A function keeps its name. A tool of a namespace gets one
    that no other tool has, and that is the same in the next request with these tools. Raises `InvalidRequest` for any other
    type of tool.
    """

    def __init__(self, offers: list[tuple[str, list[Any]]]) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.tools_by_function: dict[str, Tool] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        in_namespaces: list[tuple[str, str, Any]] = []
        for path, tools in offers:
            for position, tool in enumerate(tools):
                param = f"{path}[{position}]"
                if isinstance(tool, dict) and tool.get("type") == "namespace":
                    namespace = string(tool, "name", param)
                    inner = enumerate(array(tool, "tools", param))
                    in_namespaces += [(f"{param}.tools[{at}]", namespace, inner_tool) for at, inner_tool in inner]
                else:
                    self._add(param, None, tool)
        for param, namespace, tool in in_namespaces:  # last, since the names of the others are taken
            self._add(param, namespace, tool)

    def name(self, name: str, namespace: str | None) -> str:
        """The name of the function for a tool, offered or only called earlier in the conversation."""
        if namespace is None:
            return name
        known = self._names.get((namespace, name))
        if known is None:
            known = self._names[namespace, name] = self._unique_name(f"{namespace}__{name}")
        return known

    def _add(self, param: str, namespace: str | None, tool: Any) -> None:  # noqa: ANN401 - any JSON value
        if not isinstance(tool, dict) or tool.get("type") not in ("function", "custom"):
            raise InvalidRequest(f"{param}: Input should be a function or a custom tool.", param=param)
        custom = tool["type"] == "custom"
        name = self.name(string(tool, "name", param), namespace)
        self._taken.add(name)
        function: dict[str, Any] = {"name": name, "parameters": {"type": "object", "properties": {}}}
        keys = ("description",) if custom else ("description", "parameters", "strict")
        function |= {key: tool[key] for key in keys if tool.get(key) is not None}
        if custom:
            function["parameters"] = _input_parameter(tool.get("format"))
        self.functions[name] = {"type": "function", "function": function}
        self.tools_by_function.pop(name, None)
        if custom or namespace is not None:
            self.tools_by_function[name] = Tool(tool["name"], namespace, custom)

    def _unique_name(self, name: str) -> str:
        valid = candidate = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
        attempt = 0
        while len(candidate) > _MAX_NAME or candidate in self._taken:
            attempt += 1
            digest = hashlib.sha256(f"{attempt} {name}".encode(errors="surrogatepass")).hexdigest()
            candidate = f"{valid[: _MAX_NAME - _DIGEST - 1]}_{digest[:_DIGEST]}"
        self._taken.add(candidate)
        return candidate


def string(value: dict[str, Any], key: str, param: str) -> str:
    """A string in an object of the request; raises `InvalidRequest` with its path if it is anything else."""
    found = value.get(key)
    if not isinstance(found, str):
        raise InvalidRequest(f"{param}.{key}: Input should be a valid string.", param=f"{param}.{key}")
    return found


def array(value: dict[str, Any], key: str, param: str) -> list[Any]:
    """An array in an object of the request; raises `InvalidRequest` with its path if it is anything else."""
    found = value.get(key)
    if not isinstance(found, list):
        raise InvalidRequest(f"{param}.{key}: Input should be an array.", param=f"{param}.{key}")
    return found


def _input_parameter(input_format: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """The parameters of a function that stands for a custom tool: its input, with the grammar as an instruction."""
    schema = {"type": "string"}
    if isinstance(input_format, dict) and input_format.get("type") == "grammar":
        schema["description"] = (
            f"Text that matches this {input_format.get('syntax')} grammar:\n{input_format.get('definition')}"
        )
    return {"type": "object", "properties": {"input": schema}, "required": ["input"], "additionalProperties": False}
