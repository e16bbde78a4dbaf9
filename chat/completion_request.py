"""The request for a completion, as every wire format parses it and the model server's request is made from."""

from dataclasses import dataclass, field
from typing import Any, Literal

type Api = Literal["chat_completions", "responses"]
"""OpenAI's two APIs, as OpenTelemetry names them."""


@dataclass(frozen=True)
class CompletionRequest:
    """A validated request, in any format.

    `messages` are those of the API: in Responses, the items of `input`. `instructions` is the client's part of the system
    prompt, as text or content parts, and `instruction_fields` are the other fields of its message. `parameters` are
    forwarded; `other_parameters`, which OpenAI's API does not define, are forwarded to a compatible server only.
    """

    messages: list[dict[str, Any]]
    stream: bool
    instructions: str | list[dict[str, Any]] = ""
    instruction_fields: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    other_parameters: dict[str, Any] = field(default_factory=dict)
    api: Api = "chat_completions"
