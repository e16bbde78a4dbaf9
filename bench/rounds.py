"""The rounds: every candidate under every load, in turn, so that other work on the machine affects all of them alike."""

import json
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, replace
from urllib.parse import urlsplit
from uuid import uuid4

from bench.candidates import Candidate, Process
from bench.load import Load, Seen, request
from local.settings import APP_DIR

Results = dict[str, dict[str, list[float]]]
"""For each figure and each candidate, the value of each round."""


ALONE = Load(0, "burst 3")
HELD = Load(400, "every 500 6")
CPU_LOADS = {
    "burst": Load(20, "burst 2000"),
    "10 ms": Load(50, "every 10 200"),
    "20 ms": Load(200, "every 20 200"),
}
# All are open from the 4th to the 7th second. What a candidate cannot handle accumulates, which 12 s are enough to show.
MANY = Load(1000, "every 50 140", seconds=12, ramp=4, window=3)
SWEEP = {500 * 1000 // every: Load(500, f"every {every} 9999", seconds=5.5, ramp=2.5, window=3) for every in (100, 25, 12)}
ALONE_FIGURE = "first line added, alone, ms"
CPU_FIGURE = "CPU ms per 1,000 chunks"
MANY_FIGURE = "1,000 streams of 20/s"
SWEEP_FIGURE = "500 streams, lines/s delivered of"


class Bench:
    """Measures the candidates with one fake model server; `results` has the figures so far."""

    def __init__(self, model: Process) -> None:
        self.results: Results = defaultdict(lambda: defaultdict(list))
        self.own_cores: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        """The largest share of a core that the bench's own processes took, in a burst and when paced."""
        self._model = model

    def round(self, candidates: list[Candidate]) -> None:
        """One round of everything except the sweep."""
        processes: dict[Candidate, Process | None] = {}
        try:
            for candidate in candidates:
                try:
                    processes[candidate] = self._start(candidate)
                except RuntimeError as error:
                    if not candidate.optional:
                        raise
                    print(f"{candidate.name} is left out: {error}.")
            full = {candidate: process for candidate, process in processes.items() if not candidate.cpu_only}
            for candidate, process in full.items():
                self._alone(candidate, process)
            for candidate, process in full.items():
                if process:
                    self._held(candidate, process)
            for name, load in CPU_LOADS.items():
                for candidate, process in processes.items():
                    self._paced(name, load, candidate, process)
            for candidate, process in full.items():
                self._many(candidate, process)
        finally:
            for process in processes.values():
                if process:
                    process.end()

    def sweep(self, candidates: list[Candidate]) -> None:
        """500 streams at increasing numbers of chunks per second."""
        for offered, load in SWEEP.items():
            for candidate in candidates:
                process = self._start(candidate)
                try:
                    seen = self._run(load, candidate, process)
                finally:
                    if process:
                        process.end()
                self._note(f"{SWEEP_FIGURE} {offered:,}", candidate, seen.lines_per_second)

    def _start(self, candidate: Candidate) -> Process | None:
        if not candidate.command:
            return None
        began = time.monotonic()
        process = Process(candidate.command, self._model.port, candidate.env)
        try:
            process.until_listening()
            _first_line(candidate, process)
        except BaseException:
            process.end()
            raise
        self._note("cold start, s", candidate, time.monotonic() - began)
        self._note("memory at the start, MB", candidate, process.memory() / 1e6)
        return process

    def _alone(self, candidate: Candidate, process: Process | None) -> None:
        seen = self._run(ALONE, candidate, process)
        self._note(ALONE_FIGURE, candidate, seen.first[0] - seen.direct_first)

    def _held(self, candidate: Candidate, process: Process) -> None:
        before = process.memory()
        peak = before
        with self._running(HELD, candidate, process) as running:
            while running.poll() is None:
                peak = max(peak, process.memory())
                time.sleep(0.05)
        self._note("memory per open stream, KB", candidate, (peak - before) / 1e3 / HELD.streams)

    def _paced(self, name: str, load: Load, candidate: Candidate, process: Process | None) -> None:
        before = process.cpu_seconds() if process else 0
        seen = self._run(load, candidate, process)
        if process:
            self._note(f"{CPU_FIGURE}, {name}", candidate, (process.cpu_seconds() - before) * 1e6 / seen.lines)
        if load.streams == 200:
            self._note("first line, 200 begin at once, ms", candidate, seen.first[0])

    def _many(self, candidate: Candidate, process: Process | None) -> None:
        seen = self._run(MANY, candidate, process)
        figures: dict[str, float] = {
            "lines lost": seen.lost,
            f"streams not ended after {MANY.seconds:.0f} s": seen.unfinished,
        }
        figures["lines/s"] = seen.lines_per_second
        if seen.lines_per_second:
            figures["latency, median, ms"], figures["latency, 99th percentile, ms"] = seen.latency
            figures["lines per write"] = seen.lines_per_write
        for name, value in figures.items():
            self._note(f"{MANY_FIGURE}: {name}", candidate, value)

    def _note(self, figure: str, candidate: Candidate, value: float) -> None:
        self.results[figure][candidate.name].append(value)

    def _running(self, load: Load, candidate: Candidate, process: Process | None) -> subprocess.Popen[bytes]:
        port = process.port if process else self._model.port
        arguments = [f"http://127.0.0.1:{port}{candidate.path}", port if candidate.worker else 0, self._model.port]
        arguments += [json.dumps(asdict(replace(load, tools=candidate.tools)))]
        return subprocess.Popen(
            [sys.executable, "-m", "bench.load", *map(str, arguments)], cwd=APP_DIR, stdout=subprocess.PIPE
        )

    def _run(self, load: Load, candidate: Candidate, process: Process | None) -> Seen:
        began, cpu_began = time.monotonic(), self._model.cpu_seconds()
        with self._running(load, candidate, process) as running:
            output, _ = running.communicate()
        seen = Seen(**json.loads(output))
        took = self.own_cores["in a burst" if "burst" in load.command else "paced"]
        model_cores = (self._model.cpu_seconds() - cpu_began) / (time.monotonic() - began)
        took["the load generator"] = max(took["the load generator"], seen.cores)
        took["the fake model server"] = max(took["the fake model server"], model_cores)
        return seen


def _first_line(candidate: Candidate, process: Process) -> None:
    """Waits for the first line of a first response."""
    invocation_id = str(uuid4())
    at, port = "127.0.0.1", process.port
    with ExitStack() as connections:
        if candidate.worker:
            control = connections.enter_context(socket.create_connection((at, port)))
            port = urlsplit(control.makefile().readline().strip()).port or 0
            control.sendall(invocation_id.encode() + b"\n")
        connection = connections.enter_context(socket.create_connection((at, port)))
        connection.sendall(request(candidate.path, ALONE.command, invocation_id, tools=candidate.tools))
        received = b""
        while b"~" not in received:
            part = connection.recv(65536)
            if not part:
                raise RuntimeError(f"{candidate.name} responds with {received.decode()}")
            received += part
