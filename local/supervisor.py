"""What `make run` runs: starts the model and the service, and restarts the service when one of its files changes."""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from watchfiles import Change, awatch

from local.model import LocalModel, ModelError, default_model
from local.service_options import ServiceOptions
from local.settings import APP_DIR, LocalSettings, SettingsError
from local.upstream import Upstream, configured_upstream

_STOP_SECONDS = 0.3
_UNAVAILABLE_SECONDS = 1
_READ_BYTES = 65536
_CODE = (APP_DIR / "chat", APP_DIR / "web")
_CODE_SUFFIXES = {".py", ".json", ".html", ".css", ".js", ".svg"}
_OTHER_SOURCES = {"function_app.py", "host.json", "local.settings.json"}
_NOT_CONFIGURED = (
    "No model server is configured. To use another model: make run MODEL=FILE.gguf,\n"
    "or copy local.settings.json.sample to local.settings.json, and fill it in."
)
_NOT_SELECTED = (
    "local.settings.json selects no model server. To use another model: make run MODEL=FILE.gguf,\n"
    "or fill in OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT in it."
)
_ERROR = {"message": "The function app could not be loaded: see the terminal.", "type": "server_error"}
_ERROR_BODY = json.dumps({"error": {**_ERROR, "code": None, "param": None}}).encode()
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_ERROR_BODY), _ERROR_BODY)
)


def main() -> None:
    """Reads the command line, and serves until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Serves the function app on this machine, and restarts it when one of its files changes.",
    )
    parser.add_argument(
        "--port", type=_port, help="the port to listen on, 0 for any free one (default: Host.LocalHttpPort, or 7071)"
    )
    parser.add_argument("--model", type=Path, metavar="FILE.gguf", help="use this model, whichever is configured")
    parser.add_argument(
        "--per-instance-concurrency",
        type=_positive,
        metavar="N",
        help="handle at most N requests at a time while others wait, as an instance of Flex Consumption does, where "
        "1 is the default for Python (default: no limit)",
    )
    options = parser.parse_args()
    supervisor = Supervisor(options.port, options.model, options.per_instance_concurrency)
    asyncio.run(supervisor.run())


class Supervisor:
    """The processes of the model and of the service, and the socket that the service listens on.

    The socket and the model outlive the service, so that a restart refuses no connection and loads no model.
    """

    def __init__(self, port: int | None, model_file: Path | None, per_instance_concurrency: int | None) -> None:
        self._port = port
        self._model_file = model_file
        self._per_instance_concurrency = per_instance_concurrency
        self._listener: socket.socket | None = None
        self._model: LocalModel | None = None
        self._service: _Service | None = None
        self._restarted = False
        self._responses: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until Ctrl-C or SIGTERM; raises `SystemExit`, with a message, if that fails."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        changes = _changes()
        stopped, changed = asyncio.create_task(stop.wait()), asyncio.create_task(anext(changes))
        try:
            while not stopped.done():
                try:
                    await self._start()
                except (SettingsError, ModelError) as error:
                    self._fail(str(error))
                await self._wait(stopped, changed)
                if changed.done():
                    print(f"{changed.result()} changed: restarting.", flush=True)
                    changed = asyncio.create_task(anext(changes))
                await self._stop_service()
        finally:
            if self._model:
                await self._model.stop()
            await self._stop_service()

    async def _start(self) -> None:
        """Starts the service, and the model if one is needed; raises `SettingsError` and `ModelError`."""
        settings = LocalSettings.read(APP_DIR)
        if settings.ignored:
            print(f"Ignored in local.settings.json: {', '.join(settings.ignored)}.", flush=True)
        self._listener = self._listener or _listen(settings.Host.LocalHttpPort if self._port is None else self._port)
        variables = settings.environment(os.environ)
        upstream = None if self._model_file else configured_upstream(settings, os.environ)
        if not upstream:
            self._model = self._model or await LocalModel.start(self._model_file or default_model())
            variables = self._model.environment(variables)
            default_reason = _NOT_SELECTED if (APP_DIR / "local.settings.json").exists() else _NOT_CONFIGURED
            reason = "Set by --model." if self._model_file else default_reason
            upstream = Upstream(model=self._model.name, url=self._model.base_url, local=True, reason=reason)
        options = ServiceOptions(
            listener=self._listener.fileno(),
            upstream=upstream,
            restarted=self._restarted,
            per_instance_concurrency=self._per_instance_concurrency,
        )
        asyncio.get_running_loop().remove_reader(self._listener)  # from now on requests wait for the service
        self._service = await _Service.start(options, variables)

    async def _wait(self, stopped: asyncio.Task[bool], changed: asyncio.Task[str]) -> None:
        """Waits for a signal or a change; raises `SystemExit` if a process ends before."""
        while not stopped.done() and not changed.done():
            processes = [part.process for part in (self._service, self._model) if part]
            ends = [asyncio.create_task(process.wait()) for process in processes]
            await asyncio.wait({stopped, changed, *ends}, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            if stopped.done():
                return
            if self._model and self._model.process.returncode is not None:
                sys.exit(self._model.failure())
            if self._service and (status := self._service.process.returncode) is not None:
                if self._service.is_ready or status <= 0:
                    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
                    sys.exit(f"The service has ended unexpectedly ({reason}).")
                await self._stop_service()
                self._fail()  # the service has printed the reason

    async def _stop_service(self) -> None:
        if self._service:
            self._restarted |= self._service.is_ready
            await self._service.stop()
            self._service = None

    def _fail(self, message: str = "") -> None:
        """Prints that a change is waited for, and responds to requests until then.

        Raises `SystemExit` if the service has never been ready.
        """
        if not self._restarted or not self._listener:
            sys.exit(message or 1)
        print(f"{message}\nWaiting for a change.".lstrip(), flush=True)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        response = asyncio.create_task(_respond_unavailable(connection))
        self._responses.add(response)
        response.add_done_callback(self._responses.discard)


class _Service:
    """The process that serves.

    Its standard input is a socket: what it sends through that means that it is ready, and the end of that ends it, so that
    it does not outlive this process either.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.process = process
        self._control = control
        self._ready = asyncio.create_task(asyncio.get_running_loop().sock_recv(control, 1))

    @classmethod
    async def start(cls, options: ServiceOptions, variables: Mapping[str, str]) -> Self:
        """Starts the process, with these environment variables."""
        control, standard_input = socket.socketpair()
        control.setblocking(False)
        with standard_input:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local.serve", options.model_dump_json()),
                cwd=APP_DIR,
                env=variables,
                stdin=standard_input.fileno(),
                pass_fds=[options.listener],
                process_group=0,  # Ctrl-C is for the supervisor
            )
        return cls(process, control)

    @property
    def is_ready(self) -> bool:
        """Whether it has been ready."""
        return self._ready.done() and self._ready.result() != b""

    async def stop(self) -> None:
        """Ends the process; by SIGKILL if it does not end by itself soon."""
        if not self._ready.done():
            self._ready.cancel()
            await asyncio.wait({self._ready})
        self._control.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def _respond_unavailable(connection: socket.socket) -> None:
    """Responds to a request, and reads it to its end: otherwise the client could lose the response."""
    reader, writer = await asyncio.open_connection(sock=connection)
    with closing(writer), suppress(OSError):  # the timeout is one, too
        async with asyncio.timeout(_UNAVAILABLE_SECONDS):
            await reader.read(_READ_BYTES)
            writer.write(_UNAVAILABLE)
            writer.write_eof()
            while await reader.read(_READ_BYTES):
                pass


def _listen(port: int) -> socket.socket:
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        sys.exit(f"Cannot listen on port {port} ({reason}). To use any free one: make run PORT=0")
    listener.setblocking(False)
    return listener


async def _changes() -> AsyncGenerator[str]:
    """The names of the source files that change, together if they change at the same time."""
    folders = [path for code in _CODE for path in code.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    async for changes in awatch(APP_DIR, *_CODE, *folders, watch_filter=_is_source, recursive=False):
        yield ", ".join(sorted({str(Path(path).relative_to(APP_DIR)) for _, path in changes}))


def _is_source(_: Change, path: str) -> bool:
    """Whether a file is a part of the app, and not an editor's temporary file."""
    file = Path(path)
    if file.parent == APP_DIR:
        return file.name in _OTHER_SOURCES
    return any(map(file.is_relative_to, _CODE)) and file.suffix in _CODE_SUFFIXES and not file.name.startswith(".")


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text) <= 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a positive number")
    return int(text)
