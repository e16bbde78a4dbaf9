"""Writes log lines from a thread: standard output can be slow, stuck or closed, and no request may wait for it.

The lines go to the worker's standard output, which Azure stores in Application Insights under `Host.Function.Console`: the
host drops what `logging` emits for an invocation that has returned, and a response ends after that.
"""

import atexit
import logging
import os
from contextlib import suppress
from functools import cache
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import override

_MAX_WAITING_LINES = 10_000
_FLUSH_SECONDS = 1.0

_waiting: Queue[logging.LogRecord] = Queue(_MAX_WAITING_LINES)

logger = logging.getLogger("chat.requests")
"""Its records are the lines."""


def write_line(text: str) -> None:
    """Writes to standard output; neither raises nor blocks."""
    _start()
    logger.info("%s", text)


def write_error(text: str) -> None:
    """Writes to standard error; neither raises nor blocks."""
    _start()
    logger.error("%s", text)


def flush() -> None:
    """Waits until all lines have been written, for a second at most."""
    with _waiting.all_tasks_done:
        _waiting.all_tasks_done.wait_for(lambda: not _waiting.unfinished_tasks, _FLUSH_SECONDS)


@cache
def _start() -> None:
    logger.addHandler(_DroppingQueueHandler(_waiting))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    _DescriptorListener(_waiting).start()
    atexit.register(flush)


class _DroppingQueueHandler(QueueHandler):
    """Drops a record when the queue is full: nothing reads standard output."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(Full):
            super().enqueue(record)


class _DescriptorListener(QueueListener):
    """Writes to the file descriptor: a write to `sys.stdout` that blocks would block the runtime, too, which flushes it.

    It has no handler, because at exit logging waits for the lock of each.
    """

    @override
    def handle(self, record: logging.LogRecord) -> None:
        descriptor = 2 if record.levelno >= logging.ERROR else 1
        line = memoryview(f"{record.getMessage()}\n".encode(errors="replace"))
        with suppress(OSError):  # it is closed
            while line:
                line = line[os.write(descriptor, line) :]
