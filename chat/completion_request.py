"""The request for a completion, as every wire format parses it and the model server's request is made from."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CompletionRequest:
    """A validated request, in any format.

    `messages` are OpenAI's. `instructions` is the client's part of the system prompt, as text or content parts, and
    `instruction_fields` are the other fields of its message. `parameters` are forwarded; `other_parameters`, which OpenAI's
    API does not define, are forwarded to a compatible server only.
    """

    messages: list[dict[str, Any]]
    stream: bool
    instructions: str | list[dict[str, Any]] = ""
    instruction_fields: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    other_parameters: dict[str, Any] = field(default_factory=dict)
