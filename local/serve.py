"""Serves the function app in this process: the worker with the host in front of it."""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass

from local.host import Host
from local.settings import APP_DIR, MODEL_SETTINGS, LocalSettings, route_prefix
from local.worker import AppError, Worker

QUESTION = '{"messages":[{"content":"What is the capital of France?"}]}'


@dataclass(frozen=True)
class LocalModel:
    """A model that is served on this machine; `chosen` where it goes before a configured one."""

    name: str
    base_url: str
    chosen: bool


def serve(port: int, model: LocalModel | None) -> None:
    """Serves until it is told to stop. A setting in the environment goes before the same in `local.settings.json`."""
    settings = LocalSettings.read(APP_DIR)
    os.environ.update({name: value for name, value in settings.Values.items() if name not in os.environ})
    if model and (model.chosen or not any(os.environ.get(name) for name in MODEL_SETTINGS)):
        for name in MODEL_SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(OPENAI_BASE_URL=model.base_url, OPENAI_MODEL=model.name)
    try:
        asyncio.run(_serve(port, settings, model))
    except AppError as error:
        sys.exit(f"The function app can't be loaded:\n{error}")


async def _serve(port: int, settings: LocalSettings, model: LocalModel | None) -> None:
    # The banner says it all; the worker's web server would set a level anew, and so this is a filter.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno >= logging.WARNING)
    worker = await Worker.start(APP_DIR)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)  # the worker's web server has taken it for itself
    prefix = route_prefix(APP_DIR)
    host = Host(worker, prefix, settings.Host)
    await host.start(port)
    print(_banner(worker, f"http://localhost:{port}/{prefix}", model), flush=True)
    await stop.wait()
    await host.stop()
    await worker.stop()


def _banner(worker: Worker, url: str, model: LocalModel | None) -> str:
    routes = [f"  {function.name}: [{','.join(function.methods)}] {url}/{function.route}" for function in worker.functions]
    return "\n".join(
        [
            "",
            f"Model:   {_model_line(model)}",
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


def _model_line(model: LocalModel | None) -> str:
    values = os.environ
    if values.get("AZURE_OPENAI_ENDPOINT"):
        return f"{values.get('AZURE_OPENAI_CHAT_DEPLOYMENT', '?')} at {values['AZURE_OPENAI_ENDPOINT']}"
    if model and values.get("OPENAI_BASE_URL") == model.base_url:
        return (
            f"{model.name}, on this machine\n"
            "         For another one: make run MODEL=file.gguf, or set OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT or\n"
            "         OPENAI_BASE_URL in local.settings.json (copy local.settings.json.sample)"
        )
    return f"{values.get('OPENAI_MODEL') or 'the default one'} at {values.get('OPENAI_BASE_URL') or 'OpenAI'}"
