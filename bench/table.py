"""The figures as tables."""

import statistics

from bench.candidates import (
    FASTAPI_SDK,
    FUNCTIONS_SDK,
    RELAY,
    SERVICE,
    SERVICE_RESPONSES,
    SERVICE_TOOLS,
    SERVICE_TRANSLATED,
    SERVICE_V1,
)
from bench.rounds import Results

_COMPARED = [
    (SERVICE.name, FASTAPI_SDK.name),
    (SERVICE.name, FUNCTIONS_SDK.name),
    (SERVICE.name, RELAY.name),
    (SERVICE_RESPONSES.name, SERVICE_V1.name),
    (SERVICE_TRANSLATED.name, FASTAPI_SDK.name),
    (SERVICE_TOOLS.name, FASTAPI_SDK.name),
]


def medians(results: Results) -> dict[str, dict[str, float]]:
    """The median over the rounds."""
    return {figure: {name: statistics.median(values) for name, values in row.items()} for figure, row in results.items()}


def table(results: Results, names: list[str]) -> str:
    """A column for each candidate."""
    rows = [["", *names]]
    for figure, row in medians(results).items():
        rows.append([figure, *(_number(row[name]) if name in row else "" for name in names)])
    return _aligned(rows)


def ratios(results: Results) -> str:
    """A column for each pair of candidates that is compared."""
    rows = [["", *(f"{name} / {other}" for name, other in _COMPARED)]]
    for figure, row in medians(results).items():
        cells = [f"{row[name] / row[other]:.3f}" if name in row and row.get(other) else "" for name, other in _COMPARED]
        if any(cells):
            rows.append([figure, *cells])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) + " |" for cells in rows]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
