"""The time that importing the app takes, and what takes it."""

import statistics
import subprocess
import sys

from local.settings import APP_DIR

_TIMED = """
from time import perf_counter
times = [perf_counter()]
import azure.functions, azurefunctions.extensions.http.fastapi; times.append(perf_counter())
import openai; times.append(perf_counter())
import function_app; times.append(perf_counter())
print(*(after - before for before, after in zip(times, times[1:])))
"""
STEPS = ("azure.functions and the extension", "openai", "the app's rest")


def import_times(rounds: int) -> dict[str, list[float]]:
    """Milliseconds for each of `STEPS`, in new processes, after one that fills the caches."""
    times: dict[str, list[float]] = {step: [] for step in STEPS}
    for number in range(rounds + 1):
        output = subprocess.check_output([sys.executable, "-c", _TIMED], cwd=APP_DIR)
        if number:
            for step, seconds in zip(STEPS, output.split(), strict=True):
                times[step].append(float(seconds) * 1000)
    return times


def share_of_rest(times: dict[str, list[float]]) -> float:
    """What the app adds to the imports that it requires."""
    *needed, rest = (statistics.median(times[step]) for step in STEPS)
    return rest / sum(needed)
