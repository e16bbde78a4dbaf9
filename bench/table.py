"""Prints what was measured, as one table."""

import statistics

from bench.candidates import BLOG, RELAY, SERVICE
from bench.rounds import ALONE_FIGURE, CPU_FIGURE, Results

# The most that this service may cost, of the blog post's way and of the bare relay.
_TARGETS = {
    f"{CPU_FIGURE}, burst": {BLOG.name: 1 / 25},
    f"{CPU_FIGURE}, 10 ms": {BLOG.name: 1 / 4, RELAY.name: 2},
    f"{CPU_FIGURE}, 20 ms": {BLOG.name: 1 / 4, RELAY.name: 2},
    "first line, 200 begin at once, ms": {BLOG.name: 1 / 2},
}
_MOST_ALONE_MS = 3


def medians(results: Results) -> dict[str, dict[str, float]]:
    """The median over the rounds."""
    return {figure: {name: statistics.median(values) for name, values in row.items()} for figure, row in results.items()}


def table(results: Results, names: list[str]) -> str:
    """A column for each candidate, and this service's ratios."""
    rows = [["", *names, "to the blog", "to the relay", "targets"]]
    for figure, row in medians(results).items():
        cells = [_number(row[name]) if name in row else "" for name in names]
        ratios = [_ratio(row, BLOG.name), _ratio(row, RELAY.name)]
        rows.append([figure, *cells, *ratios, _target(figure, row)])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) + " |" for cells in rows]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _ratio(row: dict[str, float], name: str) -> str:
    return f"{row[SERVICE.name] / row[name]:.3g}" if row.get(name) and SERVICE.name in row else ""


def _target(figure: str, row: dict[str, float]) -> str:
    if figure == ALONE_FIGURE:
        return f"{_MOST_ALONE_MS} ms: {_met(row[SERVICE.name] <= _MOST_ALONE_MS)}"
    targets = _TARGETS.get(figure, {})
    return ", ".join(f"{most:.2f}: {_met(row[SERVICE.name] / row[name] <= most)}" for name, most in targets.items())


def _met(met: bool) -> str:
    return "met" if met else "not met"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
