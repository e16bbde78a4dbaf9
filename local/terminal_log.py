"""The log of requests on a terminal: a line for people instead of a JSON object for each request."""

import json
import logging
from contextlib import suppress
from typing import Any

_MAX_REASON = 200
_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"


class TerminalLogFilter(logging.Filter):
    """For the logger `chat.requests`: replaces the JSON object in a record by a line.

    Once `stopping` is set, a disconnect is shown as an interruption by this process.
    """

    stopping = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record, and keeps it."""
        with suppress(ValueError):  # a traceback, which stays as it is
            record.msg, record.args = request_line(json.loads(record.getMessage()), stopping=self.stopping), None
        return True


def request_line(entry: dict[str, Any], *, stopping: bool = False) -> str:
    """The line for an entry: its status, its outcome, and how long it took; `stopping` if the service is being stopped.

    200  28 tokens  0.2 s, first chunk 36 ms
    502  could not connect
    """
    parts = [str(entry.get("status", "---")), _outcome(entry, stopping)]
    times = []
    if "duration" in entry and (entry.get("outcome") != "failed" or _FIRST_CHUNK in entry):
        times.append(_seconds(entry["duration"], in_ms_below=0.1))
    if _FIRST_CHUNK in entry:
        times.append(f"first chunk {_seconds(entry[_FIRST_CHUNK], in_ms_below=1)}")
    return "  ".join(filter(None, [*parts, ", ".join(times)]))


def _outcome(entry: dict[str, Any], stopping: bool) -> str:
    chunks = _count(entry["chunks"], "chunk") if "chunks" in entry else ""
    match entry.get("outcome"):
        case "completed":
            tokens = entry.get("gen_ai.usage.output_tokens")
            return _count(tokens, "token") if tokens is not None else chunks or "completed"
        case "disconnected":
            return ("interrupted" if stopping else "client disconnected") + (f" after {chunks}" if chunks else "")
    reason = str(entry.get("reason") or entry.get("error.type") or "failed")[:_MAX_REASON]
    # A model server's text may hold control sequences for the terminal.
    return "".join(character if character.isprintable() else "?" for character in reason)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _seconds(seconds: float, in_ms_below: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < in_ms_below else f"{seconds:.1f} s"
