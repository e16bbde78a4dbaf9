"""The request for a completion, as every wire format parses it and the model server's request is made from."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CompletionRequest:
    """A validated request, in any format.

    `messages` are OpenAI's, `instructions` is the client's part of the system prompt, `parameters` what else is forwarded.
    """

    messages: list[dict[str, Any]]
    stream: bool
    instructions: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
