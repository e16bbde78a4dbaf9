"""llama.cpp's server: `python -m local.llama_server FILE PORT`, which serves until standard input ends."""

import os
import sys
from pathlib import Path

import xllamacpp

_SLOTS = 24
_CONTEXT_TOKENS = 8192  # which all slots share
_MAX_COMPLETION_TOKENS = 1024
_REPETITION_PENALTY = 0.8  # of whole phrases: with other system prompts than the default, small models repeat themselves
_WARNINGS = 2


def main(path: Path, port: int, key: str) -> None:
    """Loads the file and serves it to requests with the API key."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.stem}
    params.port = port
    params.api_keys = [key]
    params.ui = False
    params.n_parallel = _SLOTS
    params.kv_unified = True
    params.n_ctx = _CONTEXT_TOKENS
    params.n_predict = _MAX_COMPLETION_TOKENS
    params.sampling.temp = 0.0
    params.sampling.dry_multiplier = _REPETITION_PENALTY
    params.sampling.dry_penalty_last_n = _MAX_COMPLETION_TOKENS
    params.verbosity = _WARNINGS
    try:
        _server = xllamacpp.Server(params)
    except RuntimeError:
        sys.exit(1)  # llama.cpp has logged the reason
    sys.stdin.buffer.read()
    os._exit(0)  # without the server's destructor, which waits for what is being generated


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), os.environ["LOCAL_MODEL_KEY"])
