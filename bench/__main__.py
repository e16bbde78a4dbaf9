"""Compares this service with others under the same load, and prints the figures as tables: `make bench`."""

import argparse
import json
import os
import sys
import time
from dataclasses import replace

from bench.candidates import (
    DIRECT,
    FASTAPI_SDK,
    FUNCTIONS_SDK,
    RELAY,
    SERVICE,
    SERVICE_RESPONSES,
    SERVICE_TOOLS,
    SERVICE_TRANSLATED,
    SERVICE_V1,
    Candidate,
    Process,
    litellm,
)
from bench.connection_reuse import requests_over_tls
from bench.imports import STEPS, import_times, share_of_rest
from bench.plot import bars, lines
from bench.rounds import CPU_FIGURE, CPU_LOADS, SWEEP, SWEEP_FIGURE, Bench
from bench.table import medians, ratios, table
from local.settings import APP_DIR

_INSTALL_SECONDS = 120.0
_IMPORT_ROUNDS = 5
_CANDIDATES = [
    DIRECT,
    RELAY,
    SERVICE,
    SERVICE_V1,
    SERVICE_RESPONSES,
    SERVICE_TRANSLATED,
    SERVICE_TOOLS,
    FASTAPI_SDK,
    FUNCTIONS_SDK,
]


def main() -> None:
    """Runs everything, within twelve minutes on two cores; with `--only`, a part of it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uv", help="a uv that installs LiteLLM's proxy; without one it is left out")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[candidate.name for candidate in _CANDIDATES if candidate.command],
        help="measure only the CPU time of a chunk, of these candidates, and write no file",
    )
    options = parser.parse_args()
    began = time.monotonic()
    model = Process((sys.executable, "-m", "testing.paced_model_server", "{port}"))
    bench = Bench(model)
    try:
        model.until_listening()
        if options.only:
            candidates = [replace(c, cpu_only=True, rounds=options.rounds) for c in _CANDIDATES if c.name in options.only]
            _run_rounds(bench, candidates, options.rounds)
        else:
            candidates = _with_litellm(options.uv, model.port)
            _run_rounds(bench, candidates, options.rounds)
            print("500 streams, at increasing rates …", file=sys.stderr)
            bench.sweep([RELAY, SERVICE, FASTAPI_SDK])
    finally:
        model.end()
    if not options.only:
        _measure_start_and_reuse(bench)
        _write(bench)
    print(table(bench.results, [candidate.name for candidate in candidates]))
    print(f"\n{ratios(bench.results)}\n")
    for when, cores in bench.own_cores.items():
        print(f"Of one core, {when}, at most: " + ", ".join(f"{name} {share:.2f}" for name, share in cores.items()) + ".")
    print(f"{os.cpu_count()} cores, {time.monotonic() - began:.0f} s.")


def _with_litellm(uv: str | None, model_port: int) -> list[Candidate]:
    proxy = litellm(uv, model_port, _INSTALL_SECONDS) if uv else "no --uv was given"
    if isinstance(proxy, str):
        print(f"LiteLLM's proxy is left out: {proxy}.")
        return _CANDIDATES
    return [*_CANDIDATES, proxy]


def _run_rounds(bench: Bench, candidates: list[Candidate], rounds: int) -> None:
    for number in range(rounds):
        print(f"Round {number + 1} of {rounds} …", file=sys.stderr)
        bench.round([candidate for candidate in candidates if number < candidate.rounds])


def _measure_start_and_reuse(bench: Bench) -> None:
    imports = import_times(_IMPORT_ROUNDS)
    for step in STEPS:
        bench.results[f"import of {step}, ms"][SERVICE.name] = imports[step]
    for kind, milliseconds in requests_over_tls().items():
        bench.results[f"request over TLS, 25 ms away: {kind}, ms"][SERVICE.name] = milliseconds
    print(f"Importing the app takes {share_of_rest(imports):.1%} longer than importing what it requires.\n")


def _write(bench: Bench) -> None:
    """Writes the diagrams, and all figures to `bench/results.json`."""
    seen = medians(bench.results)
    cpu = {name: seen[f"{CPU_FIGURE}, {name}"] for name in CPU_LOADS}
    bars(APP_DIR / "docs/cpu.svg", "CPU ms per 1,000 chunks: in a burst, a chunk every 10 ms, every 20 ms", cpu)
    throughput = {f"{offered:,}": seen[f"{SWEEP_FIGURE} {offered:,}"] for offered in SWEEP}
    lines(APP_DIR / "docs/throughput.svg", "Lines per second delivered, of those sent to 500 streams", throughput)
    results = {"medians": seen, "rounds": bench.results, "own_cores": bench.own_cores}
    (APP_DIR / "bench/results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
