"""Serves the function app in this process, the worker with the host in front of it: started by the supervisor."""

import asyncio
import logging
import re
import socket
import sys
from contextlib import suppress
from textwrap import indent

from aiohttp.http_exceptions import HttpProcessingError

from chat.errors import ChatError
from chat.settings import Settings, get_settings
from local.host import Host
from local.probe import can_connect, loaded
from local.request_line import RequestLineFilter
from local.service_options import ServiceOptions
from local.settings import APP_DIR, LocalSettings, SettingsError, route_prefix
from local.upstream import Upstream
from local.worker import AppError, Worker

QUESTION = '{"messages":[{"content":"What is the capital of Japan?"}]}'

_PAGE = "chat"
_PREFIX = re.compile("(CHAT|OPENAI|AZURE_OPENAI)_", re.IGNORECASE)


def main() -> None:
    """Serves until standard input ends; exits with 1 and a message if that is not possible."""
    options = ServiceOptions.model_validate_json(sys.argv[1])
    # uvicorn sets its logger's level itself, and so this is a filter.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno >= logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_not_about_invalid_http)
    request_lines = RequestLineFilter()
    if sys.stdout.isatty():
        logging.getLogger("chat.requests").addFilter(request_lines)
    try:
        _warn_of_unknown_settings()
        get_settings()
        asyncio.run(_serve(options, request_lines))
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


async def _serve(options: ServiceOptions, request_lines: RequestLineFilter) -> None:
    supervisor = socket.socket(fileno=sys.stdin.fileno())
    supervisor.setblocking(False)
    ended = asyncio.create_task(_end(supervisor))
    worker = await Worker.start(APP_DIR)
    prefix = route_prefix(APP_DIR)
    base_path = f"/{prefix}" if prefix else ""
    host = Host(
        worker,
        prefix,
        LocalSettings.read(APP_DIR).Host,
        homepage=f"{base_path}/{_PAGE}",
        per_instance_concurrency=options.per_instance_concurrency,
    )
    url = await host.start(socket.socket(fileno=options.listener))
    announced = asyncio.create_task(_announce(options, worker, url.replace("127.0.0.1", "localhost") + base_path))
    stopped = asyncio.create_task(worker.stopped())
    await asyncio.wait({ended, stopped, announced}, return_when=asyncio.FIRST_COMPLETED)
    if announced.done():
        announced.result()
        with suppress(BrokenPipeError):  # it is ending
            supervisor.send(b"\n")
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    announced.cancel()
    request_lines.stopping = True
    await host.stop()
    await worker.stop()
    if not ended.done():
        sys.exit("The worker's web server has stopped.")


async def _end(supervisor: socket.socket) -> None:
    """Waits until the supervisor closes its end."""
    with suppress(ConnectionResetError):  # it has not read what was sent
        await asyncio.get_running_loop().sock_recv(supervisor, 1)


async def _announce(options: ServiceOptions, worker: Worker, url: str) -> None:
    """Prints what there is to know about the service when its model server is ready."""
    upstream = options.upstream
    if upstream.local:
        await loaded(upstream.url)
    reachable = upstream.local or await can_connect(upstream.url)
    print(f"Restarted, with {_model(upstream)}." if options.restarted else _banner(upstream, worker, url), flush=True)
    if not reachable:
        print(f"Warning: cannot connect to {upstream.url}. Requests fail until it can be reached.", flush=True)


def _model(upstream: Upstream) -> str:
    return f"{upstream.model}, on this machine" if upstream.local else f"{upstream.model} at {upstream.url}"


def _banner(upstream: Upstream, worker: Worker, url: str) -> str:
    routes = [f"  {function.name}: [{','.join(function.methods)}] {url}/{function.route}" for function in worker.functions]
    return "\n".join(
        [
            "",
            f"Open {url}/{_PAGE}",
            f"OpenAI clients: base URL {url}/v1",
            "",
            f"Model:   {_model(upstream)}",
            indent(upstream.reason, " " * 9),
            f"Worker:  azure-functions-runtime {worker.version}",
            "",
            "Functions:",
            *routes,
            "",
            "Try it:",
            f"  curl -N {url}/chat -H 'content-type: application/json' -d '{QUESTION}'",
            "",
        ]
    )


if __name__ == "__main__":
    main()
