"""The metadata of a completion for the log: identifiers, finish reasons and token usage, if they are safe to write."""

import re
from dataclasses import dataclass, field

from chat.json_scan import Keys, ResponseKeys, parse_or_none

# For instance "chatcmpl-…", "content_filter", "gpt-6-luna-2026-09-22", "org/model:tag".
_IDENTIFIER = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)

_MAX_IDENTIFIER_BYTES = 200
_MAX_USAGE_BYTES = 4096
_MAX_CHOICES_BYTES = 256 * 1024
_MAX_FINISH_REASONS = 8
_MAX_TOKENS = 10**7


@dataclass
class Metadata:
    """What is known of a completion; None, or empty, where the model server sent nothing that is safe to write."""

    response_id: str | None = None
    model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_output_tokens: int | None = None

    def update(self, keys: Keys) -> None:
        """Updates the metadata from a chunk or a complete response."""
        self.response_id = _identifier(parse_or_none(keys.id, _MAX_IDENTIFIER_BYTES)) or self.response_id
        self.model = _identifier(parse_or_none(keys.model, _MAX_IDENTIFIER_BYTES)) or self.model
        self.finish_reasons = _finish_reasons(parse_or_none(keys.choices, _MAX_CHOICES_BYTES)) or self.finish_reasons
        if isinstance(usage := parse_or_none(keys.usage, _MAX_USAGE_BYTES), dict):
            self.input_tokens = _tokens(usage, "prompt_tokens")
            self.cached_input_tokens = _tokens(usage.get("prompt_tokens_details"), "cached_tokens")
            self.output_tokens = _tokens(usage, "completion_tokens")
            self.reasoning_output_tokens = _tokens(usage.get("completion_tokens_details"), "reasoning_tokens")

    def update_from_response(self, keys: ResponseKeys) -> None:
        """Updates the metadata from a `response`. Its finish reason is why it is incomplete, or else its status."""
        self.response_id = _identifier(parse_or_none(keys.id, _MAX_IDENTIFIER_BYTES))
        self.model = _identifier(parse_or_none(keys.model, _MAX_IDENTIFIER_BYTES))
        details = parse_or_none(keys.incomplete_details, _MAX_USAGE_BYTES)
        reason = details.get("reason") if isinstance(details, dict) else parse_or_none(keys.status, _MAX_IDENTIFIER_BYTES)
        self.finish_reasons = [_identifier(reason) or "other"]
        if isinstance(usage := parse_or_none(keys.usage, _MAX_USAGE_BYTES), dict):
            self.input_tokens = _tokens(usage, "input_tokens")
            self.cached_input_tokens = _tokens(usage.get("input_tokens_details"), "cached_tokens")
            self.output_tokens = _tokens(usage, "output_tokens")
            self.reasoning_output_tokens = _tokens(usage.get("output_tokens_details"), "reasoning_tokens")


def _finish_reasons(choices: object) -> list[str]:
    if not isinstance(choices, list):
        return []
    reasons = [choice.get("finish_reason") for choice in choices if isinstance(choice, dict)]
    finished = [reason for reason in reasons if reason]
    return [_identifier(reason) or "other" for reason in finished[:_MAX_FINISH_REASONS]]


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else None


def _tokens(usage: object, key: str) -> int | None:
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= _MAX_TOKENS else None
