"""Serves the function app in this process, the worker with the host in front of it: started by the supervisor."""

import asyncio
import logging
import re
import socket
import sys
from contextlib import suppress
from textwrap import indent

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from chat.errors import ChatError
from chat.settings import Settings, get_settings
from local.host import Host
from local.service_process import ServiceOptions
from local.settings import APP_DIR, LocalSettings, SettingsError
from local.terminal_log import TerminalLogFilter
from local.upstream_choice import Upstream
from local.worker import AppError, Worker

QUESTION = '{"messages":[{"content":"What is the capital of Japan?"}]}'

_POLL_SECONDS = 0.02
_ROUTE_PREFIX = "api"
_PAGE = f"/{_ROUTE_PREFIX}/chat"
_PREFIX = re.compile("(CHAT|OPENAI|AZURE_OPENAI)_", re.IGNORECASE)


def main() -> None:
    """Serves until standard input ends; exits with 1 and a message if that is not possible."""
    options = ServiceOptions.model_validate_json(sys.argv[1])
    # uvicorn sets its logger's level itself, and so this is a filter.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno >= logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_not_about_invalid_http)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("local.host").setLevel(logging.INFO)
    terminal_log = TerminalLogFilter()
    if sys.stdout.isatty():
        logging.getLogger("chat.requests").addFilter(terminal_log)
    try:
        _warn_of_unknown_settings()
        get_settings()
        asyncio.run(_serve(options, terminal_log))
    except ChatError as error:
        sys.exit(error.message)
    except SettingsError as error:
        sys.exit(str(error))
    except AppError as error:
        sys.exit(f"The function app cannot be loaded.\n{error}")


def _is_not_about_invalid_http(record: logging.LogRecord) -> bool:
    """Whether a record is worth printing: aiohttp logs a traceback for each request that is not HTTP."""
    return not record.exc_info or not isinstance(record.exc_info[1], HttpProcessingError)


def _warn_of_unknown_settings() -> None:
    """Prints the names in `local.settings.json` that have a setting's prefix but are not settings; raises `SettingsError`.

    The supervisor cannot do this: it does not restart when `chat/settings.py` changes.
    """
    names = LocalSettings.read(APP_DIR).Values
    unknown = [name for name in names if _PREFIX.match(name) and name.lower() not in Settings.model_fields]
    if unknown:
        print(f"Warning: unknown settings in local.settings.json: {', '.join(unknown)}.", flush=True)


async def _serve(options: ServiceOptions, terminal_log: TerminalLogFilter) -> None:
    supervisor = socket.socket(fileno=sys.stdin.fileno())
    supervisor.setblocking(False)
    ended = asyncio.create_task(_end(supervisor))
    worker = await Worker.start(APP_DIR)
    host = Host(worker, _ROUTE_PREFIX, LocalSettings.read(APP_DIR).Host, homepage=_PAGE)
    url = await host.start(socket.socket(fileno=options.listener))
    announced = asyncio.create_task(_announce(options, url.replace("127.0.0.1", "localhost")))
    await asyncio.wait({ended, announced}, return_when=asyncio.FIRST_COMPLETED)
    if announced.done():
        announced.result()
        with suppress(BrokenPipeError):  # it is ending
            supervisor.send(b"\n")
        await ended
    announced.cancel()
    terminal_log.stopping = True
    await host.stop()
    await worker.stop()


async def _end(supervisor: socket.socket) -> None:
    """Waits until the supervisor closes its end."""
    with suppress(ConnectionResetError):  # it has not read what was sent
        await asyncio.get_running_loop().sock_recv(supervisor, 1)


async def _announce(options: ServiceOptions, url: str) -> None:
    """Prints what there is to know about the service when its model server is ready."""
    upstream = options.upstream
    if upstream.local:
        await _model_loaded(upstream.url)
    print(f"Restarted, with {_model(upstream)}." if options.restarted else _banner(upstream, url), flush=True)


async def _model_loaded(url: str) -> None:
    """Waits until llama.cpp's server has loaded its model."""
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):  # it does not listen yet
                async with session.get(f"{url.removesuffix('/v1')}/health") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(_POLL_SECONDS)


def _model(upstream: Upstream) -> str:
    return f"{upstream.model}, on this machine" if upstream.local else f"{upstream.model} at {upstream.url}"


def _banner(upstream: Upstream, url: str) -> str:
    return "\n".join(
        [
            "",
            f"Open {url}{_PAGE}",
            f"OpenAI clients: base URL {url}/{_ROUTE_PREFIX}/v1",
            "",
            f"Model:   {_model(upstream)}",
            indent(upstream.reason, " " * 9),
            "",
            "Try it:",
            f"  curl -N {url}{_PAGE} -H 'content-type: application/json' -d '{QUESTION}'",
            "",
        ]
    )


if __name__ == "__main__":
    main()
