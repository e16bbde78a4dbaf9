"""What `make run` runs: starts the model and the service, and restarts the service when one of its files changes."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import Change, awatch

from local.model import LocalModel, default_model
from local.service_process import ServiceOptions, ServiceProcess
from local.settings import APP_DIR, LocalSettings, SettingsError
from local.upstream_choice import Upstream, configured_upstream

_CODE = (APP_DIR / "chat", APP_DIR / "web")
_CODE_SUFFIXES = {".py", ".json", ".html", ".css", ".js", ".svg"}
_OTHER_SOURCES = {"function_app.py", "local.settings.json"}
_NOT_CONFIGURED = (
    "No model server is configured. To use another model: make run MODEL=FILE.gguf,\n"
    "or set OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT in local.settings.json (see the sample)."
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
    options = parser.parse_args()
    model_file = options.model and options.model.expanduser().resolve()
    if model_file and not model_file.is_file():
        parser.error(f"there is no file {options.model}")
    asyncio.run(Supervisor(options.port, model_file).run())


class Supervisor:
    """The processes of the model and of the service, and the socket that the service listens on.

    The socket and the model outlive the service, so that a restart refuses no connection and loads no model.
    """

    def __init__(self, port: int | None, model_file: Path | None) -> None:
        self._port = port
        self._model_file = model_file
        self._listener: socket.socket | None = None
        self._model: LocalModel | None = None
        self._service: ServiceProcess | None = None
        self._restarted = False

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
                except SettingsError as error:
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
        """Starts the service, and the model if one is needed; raises `SettingsError`."""
        settings = LocalSettings.read(APP_DIR)
        if settings.ignored:
            print(f"Ignored in local.settings.json: {', '.join(settings.ignored)}.", flush=True)
        self._listener = self._listener or _listen(settings.Host.LocalHttpPort if self._port is None else self._port)
        variables = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"} | settings.environment(os.environ)
        upstream = None if self._model_file else configured_upstream(settings, os.environ)
        if not upstream:
            self._model = self._model or await LocalModel.start(self._model_file or default_model())
            variables = self._model.environment(variables)
            reason = "Set by --model." if self._model_file else _NOT_CONFIGURED
            upstream = Upstream(model=self._model.name, url=self._model.base_url, local=True, reason=reason)
        options = ServiceOptions(listener=self._listener.fileno(), upstream=upstream, restarted=self._restarted)
        asyncio.get_running_loop().remove_reader(self._listener)  # from now on requests wait for the service
        self._service = await ServiceProcess.start(options, variables)

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
        """Prints that a change is waited for, and closes the connections of requests until then.

        Raises `SystemExit` if the service has never been ready.
        """
        listener = self._listener
        if not self._restarted or not listener:
            sys.exit(message or 1)
        print(f"{message}\nWaiting for a change.".lstrip(), flush=True)
        asyncio.get_running_loop().add_reader(listener, _disconnect, listener)


def _disconnect(listener: socket.socket) -> None:
    """Closes the next connection."""
    listener.accept()[0].close()


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
