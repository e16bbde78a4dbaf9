"""What a response of the Responses API repeats of its request, as bytes: a stream does not keep the request's objects."""

from dataclasses import dataclass
from typing import Any, Self

from chat.errors import InvalidRequest
from chat.translation.raw_json import encode
from chat.translation.tools import Tool

_DEFAULTS: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""The fields of a response that have the request's values, with those for a request without them."""

_FUNCTION = {"description": None, "parameters": None, "strict": False}


@dataclass(frozen=True)
class RequestEcho:
    """The encoded fields of every response object, the encoded model, and the tools that other functions stand for.

    `encrypted_reasoning` is whether the client requests `encrypted_content`, without which some send no reasoning back.
    """

    fields: bytes
    model: bytes
    tools: dict[str, Tool]
    encrypted_reasoning: bool = False

    @classmethod
    def of(cls, body: dict[str, Any], tools: dict[str, Tool]) -> Self:
        """Encodes the fields of a request; `input`, which has the operator's system prompt, is not among them.

        Raises `InvalidRequest` for a number that is out of range.
        """
        fields = {name: default if body.get(name) is None else body[name] for name, default in _DEFAULTS.items()}
        fields["tools"] = [_FUNCTION | tool if tool.get("type") == "function" else tool for tool in fields["tools"]]
        fields["text"] = _DEFAULTS["text"] | {name: value for name, value in fields["text"].items() if value is not None}
        encrypted_reasoning = "reasoning.encrypted_content" in body.get("include", ())
        try:
            return cls(encode(fields)[1:-1], encode(body["model"]), tools, encrypted_reasoning)
        except ValueError:
            raise InvalidRequest("The body contains a number that is out of range.") from None
