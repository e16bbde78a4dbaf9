"""`python -m local` as a process, with a pipe or a terminal for its output."""

import asyncio
import fcntl
import os
import pty
import re
import sys
import termios
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from local.settings import MODEL_SETTINGS


class Command:
    """A running command. `output` is what has been read of its standard output and error."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, terminal: int) -> None:
        self.process = process
        self.output = ""
        self._reader = reader
        self._terminal = terminal

    async def prints(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Reads until the output matches."""
        async with asyncio.timeout(seconds):
            while not (match := re.search(pattern, self.output)):
                assert await self._read(), f"the command ended without printing {pattern!r}:\n{self.output}"
        return match

    async def ready(self) -> int:
        """Reads until the command serves, and returns its port."""
        return int((await self.prints(r"Open http://localhost:(\d+)/(?:.|\n)*Try it:\r?\n.*\n"))[1])

    async def ends(self, seconds: float = 30) -> int:
        """Waits until the command has ended, reads the rest of its output, and returns its status."""
        async with asyncio.timeout(seconds):
            status = await self.process.wait()
            while await self._read():
                pass
        return status

    def press_ctrl_c(self) -> None:
        """Types Ctrl-C on the command's terminal."""
        os.write(self._terminal, b"\x03")

    def find(self, module: str) -> int | None:
        """The id of the process below the command that runs this module, if there is one."""
        return next((pid for pid in _descendants(self.process.pid) if module in arguments(pid)), None)

    async def started(self, module: str) -> int:
        """Waits for the process below the command that runs this module, and returns its id."""
        async with asyncio.timeout(30):
            while not (pid := self.find(module)):
                await asyncio.sleep(0.001)
        return pid

    async def _read(self) -> bytes:
        data = await self._reader.read(65536)
        self.output += data.decode(errors="replace")
        return data


class _OutputProtocol(asyncio.StreamReaderProtocol):
    """Takes the error of a terminal that no process has open any more for its end."""

    def connection_lost(self, _: Exception | None) -> None:
        super().connection_lost(None)


def python_m_local(app_dir: Path, *options: str, **environment: str) -> AbstractAsyncContextManager[Command]:
    """Runs `python -m local`, on any free port by default, with its output to a pipe."""
    return _running([sys.executable, "-m", "local", "--port", "0", *options], app_dir, environment, terminal=False)


def make_run(app_dir: Path, *options: str, **environment: str) -> AbstractAsyncContextManager[Command]:
    """Runs `make run` on a terminal."""
    return _running(["make", "run", *options], app_dir, environment, terminal=True)


@asynccontextmanager
async def _running(command: list[str], cwd: Path, environment: dict[str, str], *, terminal: bool) -> AsyncGenerator[Command]:
    """Runs a command without the settings of this process, and terminates it at the end if it is still running."""
    names = {*MODEL_SETTINGS, "PORT", "MODEL"}
    variables = {name: value for name, value in os.environ.items() if name not in names} | environment
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=variables,
        stdin=theirs if terminal else asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_control_terminal if terminal else None,
    )
    os.close(theirs)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: _OutputProtocol(reader), os.fdopen(ours, "rb", buffering=0)
    )
    try:
        yield Command(process, reader, ours)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise
        finally:
            transport.close()


def _control_terminal() -> None:
    """Makes standard input the terminal whose Ctrl-C the process gets."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _descendants(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            yield child
            yield from _descendants(child)


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except FileNotFoundError:
        return []


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> None:
    """Waits until these processes have ended."""
    async with asyncio.timeout(5):
        while any(map(is_running, pids)):
            await asyncio.sleep(0.01)
