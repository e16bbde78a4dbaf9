"""The log line of a request: one JSON object, written when the request ends.

The names are those of OpenTelemetry's GenAI conventions, where there is one:
https://github.com/open-telemetry/semantic-conventions-genai.
"""

import json
import re
import traceback
from time import perf_counter
from typing import Any

from chat.completion_request import CompletionRequest
from chat.errors import ChatError, InternalError
from chat.metadata import Metadata
from chat.redaction import has_secret
from chat.settings import Provider, Settings
from chat.telemetry.log_writer import write_error, write_line

_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_PROVIDER_NAMES: dict[Provider, str] = {"azure": "azure.ai.openai", "openai": "openai", "compatible": "compatible"}


class RequestLog:
    """Collects what is known of one request, without content, keys or endpoints; `write` writes it."""

    def __init__(self, invocation_id: str, function: str, trace_parent: str | None) -> None:
        trace = _TRACE_PARENT.fullmatch(trace_parent or "")
        self._started = perf_counter()
        self._secrets: list[str] = []
        self._attributes: dict[str, Any] = {
            "invocation_id": invocation_id,
            "trace_id": trace and trace[1],
            "function": function,
            "gen_ai.operation.name": "chat",
            "outcome": "disconnected",
        }

    def set_client(self, api_key_name: str | None, signed_in_id: str | None) -> None:
        """Records the name of the client's API key, or who has signed in, if one of them is known."""
        self._attributes |= {"api_key_name": api_key_name, "enduser.id": signed_in_id}

    def set_request(self, settings: Settings, request: CompletionRequest) -> None:
        """Records the valid request, and the model to which it is sent."""
        self._secrets = settings.secrets
        self._attributes |= {
            "gen_ai.provider.name": _PROVIDER_NAMES[settings.provider],
            "gen_ai.request.model": settings.model,
            "gen_ai.request.stream": request.stream,
            "openai.api.type": request.api,
        }

    def set_first_chunk(self) -> None:
        """Records when the first chunk arrived: from then on the status is 200."""
        self._attributes |= {"status": 200, "gen_ai.response.time_to_first_chunk": self._elapsed()}

    def set_completed(self, metadata: Metadata) -> None:
        """Records that the completion has been sent."""
        self._attributes |= {
            "status": 200,
            "outcome": "completed",
            "duration": self._elapsed(),
            "gen_ai.response.id": self._without_secret(metadata.response_id),
            "gen_ai.response.model": self._without_secret(metadata.model),
            "gen_ai.response.finish_reasons": list(filter(self._without_secret, metadata.finish_reasons)) or None,
            "gen_ai.usage.input_tokens": metadata.input_tokens,
            "gen_ai.usage.cache_read.input_tokens": metadata.cached_input_tokens,
            "gen_ai.usage.output_tokens": metadata.output_tokens,
            "gen_ai.usage.reasoning.output_tokens": metadata.reasoning_output_tokens,
        }

    def set_failed(self, error: ChatError) -> None:
        """Records that the response is an error, or ends with one."""
        self._attributes.setdefault("status", error.status)
        self._attributes |= {
            "outcome": "failed",
            "duration": self._elapsed(),
            "error.type": error.type,
            "reason": error.reason,
        }
        if isinstance(error, InternalError) and error.__cause__:
            # Without the exception's text, which may quote a message.
            frames = traceback.format_tb(error.__cause__.__traceback__)
            write_error(f"{error.reason}\n{''.join(frames)}")

    def set_counted(self, tokens: int, settings: Settings) -> None:
        """Records what the request counts against the budgets of tokens, and these."""
        self._attributes |= {
            "budget.tokens": tokens,
            "budget.service": settings.chat_daily_tokens,
            "budget.client": settings.chat_daily_tokens_per_client,
        }

    def set_chunk_count(self, count: int) -> None:
        """Records how many chunks have been received."""
        self._attributes["chunks"] = count

    def write(self) -> None:
        """Writes the line, without what is unknown; neither raises nor blocks."""
        self._attributes.setdefault("duration", self._elapsed())
        write_line(json.dumps({name: value for name, value in self._attributes.items() if value is not None}))

    def _without_secret(self, identifier: str | None) -> str | None:
        """The identifier, unless it contains a key or an endpoint: the model server may send back what it received."""
        return None if identifier and has_secret(identifier, self._secrets) else identifier

    def _elapsed(self) -> float:
        return round(perf_counter() - self._started, 4)
