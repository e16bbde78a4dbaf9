"""One line of JSON for each request, written when it ends.

It goes to the worker's standard output, which Azure stores in Application Insights under `Host.Function.Console`: the host
drops what `logging` emits for an invocation that has returned, and the response ends after that. The names are those of
OpenTelemetry's GenAI conventions, where there is one: https://github.com/open-telemetry/semantic-conventions-genai.
"""

import atexit
import json
import logging
import os
import re
import traceback
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from threading import Event, Thread
from time import perf_counter
from typing import Any, override

from chat.errors import ChatError, InternalError
from chat.metadata import Metadata
from chat.settings import Provider, Settings

_MAX_WAITING_LINES = 10_000
_FLUSH_SECONDS = 1.0
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_PROVIDER_NAMES: dict[Provider, str] = {"azure": "azure.ai.openai", "openai": "openai", "compatible": "compatible"}

_lines: SimpleQueue[tuple[int, dict[str, Any] | str] | Event] = SimpleQueue()

logger = logging.getLogger("chat.requests")
"""Its records are the lines, and tracebacks of bugs. A thread writes them: standard output can be slow, stuck or closed."""


class RequestLog:
    """What is known of one request; `write` writes it. No content, no key, no endpoint."""

    def __init__(self, invocation_id: str, function: str, trace_parent: str | None) -> None:
        trace = _TRACE_PARENT.fullmatch(trace_parent or "")
        self._started = perf_counter()
        self._attributes: dict[str, Any] = {
            "invocation_id": invocation_id,
            "trace_id": trace and trace[1],
            "function": function,
            "gen_ai.operation.name": "chat",
            "outcome": "disconnected",
        }

    def authenticated(self, api_key_name: str | None) -> None:
        """To be called when the client is known, with the name of its API key if it has one."""
        self._attributes["api_key_name"] = api_key_name

    def requested(self, settings: Settings, *, stream: bool) -> None:
        """To be called when the request is known to be valid."""
        self._attributes |= {
            "gen_ai.provider.name": _PROVIDER_NAMES[settings.provider],
            "gen_ai.request.model": settings.model,
            "gen_ai.request.stream": stream,
        }

    def started(self, status: int) -> None:
        """To be called when the first chunk has arrived: from then on the status cannot change."""
        self._attributes |= {"status": status, "gen_ai.response.time_to_first_chunk": self._elapsed()}

    def completed(self, metadata: Metadata) -> None:
        """To be called when the response has been sent."""
        self._attributes |= {
            "status": 200,
            "outcome": "completed",
            "duration": self._elapsed(),
            "gen_ai.response.id": metadata.response_id,
            "gen_ai.response.model": metadata.model,
            "gen_ai.response.finish_reasons": metadata.finish_reasons or None,
            "gen_ai.usage.input_tokens": metadata.input_tokens,
            "gen_ai.usage.cache_read.input_tokens": metadata.cached_input_tokens,
            "gen_ai.usage.output_tokens": metadata.output_tokens,
            "gen_ai.usage.reasoning.output_tokens": metadata.reasoning_output_tokens,
        }

    def failed(self, error: ChatError) -> None:
        """To be called when the response is an error, or ends with one."""
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
            _write(logging.ERROR, f"{error.reason}\n{''.join(frames)}")

    def chunks(self, count: int) -> None:
        """To be called when a stream has ended, in whichever way."""
        self._attributes["chunks"] = count

    def write(self) -> None:
        """Writes the line, without what is unknown; neither raises nor blocks."""
        self._attributes.setdefault("duration", self._elapsed())
        _write(logging.INFO, self._attributes)

    def _elapsed(self) -> float:
        return round(perf_counter() - self._started, 4)


def flush() -> None:
    """Waits until all lines have been written, for a second at most."""
    written = Event()
    _lines.put(written)
    written.wait(_FLUSH_SECONDS)


def _write(level: int, line: dict[str, Any] | str) -> None:
    _start_thread()
    if _lines.qsize() < _MAX_WAITING_LINES:  # or nothing reads standard output
        _lines.put((level, line))


@cache
def _start_thread() -> None:
    handler = _Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    Thread(target=_write_lines, name="chat: log", daemon=True).start()
    atexit.register(flush)


def _write_lines() -> None:
    while True:
        match _lines.get():
            case (level, dict(line)):
                logger.log(level, "%s", json.dumps({name: value for name, value in line.items() if value is not None}))
            case (level, text):
                logger.log(level, "%s", text)
            case Event() as written:
                written.set()


class _Handler(logging.Handler):
    """Writes to the file descriptor: a write to `sys.stdout` that blocks would block the runtime, too, which flushes it."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        descriptor = 2 if record.levelno >= logging.ERROR else 1
        line = memoryview(f"{self.format(record)}\n".encode())
        with suppress(OSError):  # it is closed
            while line:
                line = line[os.write(descriptor, line) :]
