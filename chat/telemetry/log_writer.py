"""Writes log lines from a thread: standard output can be slow, stuck or closed, and no request may wait for it.

The lines go to the worker's standard output, which Azure stores in Application Insights under `Host.Function.Console`: the
host drops what `logging` emits for an invocation that has returned, and a response ends after that.
"""

import atexit
import logging
import os
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from threading import Event, Thread
from typing import override

_MAX_WAITING_LINES = 10_000
_FLUSH_SECONDS = 1.0

_lines: SimpleQueue[tuple[int, str] | Event] = SimpleQueue()

logger = logging.getLogger("chat.requests")
"""Its records are the lines."""


def write_line(text: str) -> None:
    """Writes to standard output; neither raises nor blocks."""
    _write(logging.INFO, text)


def write_error(text: str) -> None:
    """Writes to standard error; neither raises nor blocks."""
    _write(logging.ERROR, text)


def flush() -> None:
    """Waits until all lines have been written, for a second at most."""
    written = Event()
    _lines.put(written)
    written.wait(_FLUSH_SECONDS)


def _write(level: int, text: str) -> None:
    _start_thread()
    if _lines.qsize() < _MAX_WAITING_LINES:  # or nothing reads standard output
        _lines.put((level, text))


@cache
def _start_thread() -> None:
    logger.addHandler(_Handler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    Thread(target=_write_lines, name="chat: log", daemon=True).start()
    atexit.register(flush)


def _write_lines() -> None:
    while True:
        match _lines.get():
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
