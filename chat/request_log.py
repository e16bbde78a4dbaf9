"""One line of JSON for each chat, when it ends.

It goes to the worker's standard output, which Azure puts into Application Insights under `Host.Function.Console`: what
`logging` says for an invocation that has returned the host drops, and a streamed answer ends later than that.
"""

import json
import sys
from time import perf_counter
from typing import Any

_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class ChatLog:
    """What is known of one chat; `write` says it. No content, no key, no endpoint."""

    def __init__(self, invocation_id: str) -> None:
        self.provider: str | None = None
        self.model: str | None = None
        self.chunks: int | None = None
        self._invocation_id = invocation_id
        self._began = perf_counter()
        self._first_chunk_ms: float | None = None
        self._outcome = "caller left"
        self._status: int | None = None
        self._why: str | None = None
        self._usage: dict[str, Any] = {}

    def first_chunk(self) -> None:
        """To be called when a stream begins: from then on its status is 200 for good."""
        self._status = 200
        self._first_chunk_ms = self._elapsed_ms()

    def finished(self, usage: dict[str, Any] | None) -> None:
        """To be called when the answer has been given, with OpenAI's `usage` where it is known."""
        self._outcome = "finished"
        self._status = 200
        self._usage = usage or {}

    def failed(self, status: int, why: str) -> None:
        """To be called when it can't be given, or not to its end."""
        self._outcome = "failed"
        self._status = self._status or status
        self._why = why

    def write(self) -> None:
        """Writes the line, without what is not known."""
        line = {
            "chat": self._invocation_id,
            "provider": self.provider,
            "model": self.model,
            "outcome": self._outcome,
            "why": self._why,
            "status": self._status,
            "first_chunk_ms": self._first_chunk_ms,
            "total_ms": self._elapsed_ms(),
            "chunks": self.chunks,
            **{name: self._usage.get(name) for name in _TOKEN_COUNTS},
        }
        known = {name: value for name, value in line.items() if value is not None}
        sys.stdout.write(json.dumps(known) + "\n")
        sys.stdout.flush()

    def _elapsed_ms(self) -> float:
        return round((perf_counter() - self._began) * 1000, 1)
