"""The figures as one table."""

import statistics

from bench.candidates import FASTAPI_SDK, RELAY, SERVICE
from bench.rounds import Results


def medians(results: Results) -> dict[str, dict[str, float]]:
    """The median over the rounds."""
    return {figure: {name: statistics.median(values) for name, values in row.items()} for figure, row in results.items()}


def table(results: Results, names: list[str]) -> str:
    """A column for each candidate, and the ratios of this service to two of them."""
    rows = [["", *names, f"ratio to {FASTAPI_SDK.name}", f"ratio to {RELAY.name}"]]
    for figure, row in medians(results).items():
        cells = [_number(row[name]) if name in row else "" for name in names]
        ratios = [_ratio(row, FASTAPI_SDK.name), _ratio(row, RELAY.name)]
        rows.append([figure, *cells, *ratios])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) + " |" for cells in rows]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _ratio(row: dict[str, float], name: str) -> str:
    return f"{row[SERVICE.name] / row[name]:.3g}" if row.get(name) and SERVICE.name in row else ""


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
