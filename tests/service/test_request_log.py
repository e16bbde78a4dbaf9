"""The request log: it shows no secrets, and no client notices when standard output is stuck or closed."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from chat.telemetry.log_writer import flush, write_line
from chat.telemetry.request_log import RequestLog
from testing.behaviours import responds, streams
from testing.chat_completions import COMPLETION, OPENAI, chunk
from testing.client import KEY, QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer

MAX_WAITING_LINES = 10_000

STDOUT = 1


class StuckPipe:
    """A pipe that is full until it is read."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._filled = 0
        os.set_blocking(self.writer, False)
        try:
            while True:
                self._filled += os.write(self.writer, bytes(4096))
        except BlockingIOError:
            os.set_blocking(self.writer, True)

    async def read_lines(self, count: int) -> list[bytes]:
        """Reads until there are that many lines, and whatever follows them."""
        os.set_blocking(self.reader, False)
        received = b""
        async with asyncio.timeout(30):
            while received.count(b"\n") < count:
                received += await self._read()
        flush()
        received += await self._read()
        return received[self._filled :].splitlines()

    async def _read(self) -> bytes:
        try:
            return os.read(self.reader, self._filled)
        except BlockingIOError:
            await asyncio.sleep(0.001)
            return b""


@contextmanager
def stdout_to(descriptor: int) -> Iterator[None]:
    """Makes it this process's standard output, and closes it at the end."""
    saved = os.dup(STDOUT)
    os.dup2(descriptor, STDOUT)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(saved, STDOUT)
        os.close(saved)


@contextmanager
def stuck_stdout() -> Iterator[StuckPipe]:
    pipe = StuckPipe()
    with stdout_to(pipe.writer):
        try:
            yield pipe
        finally:
            os.close(pipe.reader)  # ends a write that is still waiting
            flush()


@pytest.mark.parametrize("stream", [True, False])
async def test_identifiers_that_repeat_a_secret_are_not_logged(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, stream: bool
) -> None:
    configure(OPENAI_BASE_URL=model.url, OPENAI_API_KEY=KEY)
    echoed: dict[str, Any] = {"id": KEY, "model": urlsplit(model.url).netloc}
    choice = {"index": 0, "finish_reason": KEY.upper()}
    last = chunk(choices=[{**choice, "delta": {}}], **echoed)
    completion = COMPLETION | echoed | {"choices": [{**choice, "message": {"content": "Hi"}}]}
    model.respond_with(streams([*OPENAI[:2], last]) if stream else responds(200, completion))
    async with service.post({**QUESTION, "stream": stream}) as response:
        await response.read()
    (line,) = await logged()
    assert line["outcome"] == "completed"
    assert not line.keys() & {"gen_ai.response.id", "gen_ai.response.model", "gen_ai.response.finish_reasons"}
    assert KEY.upper() not in str(line)


async def test_stuck_stdout_does_not_block_responses(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    with stuck_stdout() as pipe:
        async with asyncio.timeout(5):
            assert [(await service.send())[0] for _ in range(3)] == [200] * 3
        assert len(await pipe.read_lines(3)) == 3


async def test_lines_that_wait_for_stuck_stdout_are_limited() -> None:
    with stuck_stdout() as pipe:
        for number in range(2 * MAX_WAITING_LINES):
            RequestLog(str(number), "chat", None).write()
        lines = await pipe.read_lines(MAX_WAITING_LINES)
        assert len(lines) <= MAX_WAITING_LINES + 1  # one was being written


async def test_closed_stdout_does_not_fail_responses(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    reader, writer = os.pipe()
    os.close(reader)
    with stdout_to(writer):
        assert [(await service.send())[0] for _ in range(3)] == [200] * 3
        flush()


async def test_line_that_cannot_be_encoded_does_not_stop_the_next_ones() -> None:
    with stuck_stdout() as pipe:
        write_line("\ud800")
        write_line("next")
        assert (await pipe.read_lines(2))[-1] == b"next"
