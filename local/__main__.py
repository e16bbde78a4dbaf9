"""The function app on this machine, as Azure would serve it, restarted when a source file changes."""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from watchfiles import Change, run_process

from local.model import Model, default_model
from local.serve import LocalModel, serve
from local.settings import APP_DIR, MODEL_SETTINGS, LocalSettings


def main() -> None:
    """Reads the command line, starts the model if none is configured, and serves until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--port", type=int, help="the port to listen on (default: Host.LocalHttpPort, or 7071)")
    parser.add_argument("--model", type=Path, metavar="FILE.gguf", help="serve this model, whatever is configured")
    options = parser.parse_args()
    settings = LocalSettings.read(APP_DIR)
    port = options.port or settings.Host.LocalHttpPort
    _check_free(port)

    model = local_model = None
    if options.model or not any(settings.Values.get(name) or os.environ.get(name) for name in MODEL_SETTINGS):
        path = options.model or default_model()
        if not path.is_file():
            sys.exit(f"There is no model file {path}.")
        model = Model(path)
        local_model = LocalModel(model.name, model.base_url, chosen=options.model is not None)
    logging.getLogger("watchfiles").setLevel(logging.ERROR)  # Ctrl-C is no news to who pressed it
    run_process(APP_DIR, target=serve, args=(port, local_model), watch_filter=_is_source, callback=_say_restart)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            sys.exit(f"Port {port} can't be used: {error}. Choose another one: make run PORT=7072")


def _is_source(_: Change, path: str) -> bool:
    file = Path(path)
    return (file.parent == APP_DIR and file.suffix in {".py", ".json"}) or file.is_relative_to(APP_DIR / "chat")


def _say_restart(_: object) -> None:
    print("A source file has changed: restarting.", flush=True)


if __name__ == "__main__":
    main()
