"""Draws the figures as SVG."""

from collections.abc import Iterable
from math import log10
from pathlib import Path

_COLOURS = {
    "bare byte relay": "#8a8f98",
    "this service": "#1f6feb",
    "FastAPI + OpenAI SDK": "#d97706",
    "LiteLLM's proxy": "#b91c5c",
    "no service": "#c9ced6",
    "this service, v1": "#58a6ff",
    "this service, Responses relayed": "#0e8a8a",
    "this service, Responses translated": "#2da44e",
    "this service, tools translated": "#7ac74f",
    "Functions + OpenAI SDK": "#8f4a04",
}
_WIDTH, _LEFT, _TOP, _HEIGHT = 960, 70, 120, 280
_LEGEND_COLUMNS = 4

Rows = dict[str, dict[str, float]]
"""A label along the x axis; of each candidate, the value there."""


def bars(path: Path, title: str, rows: Rows) -> None:
    """Bars on a logarithmic scale, grouped by row."""
    most = max(value for row in rows.values() for value in row.values())
    least = min(value for row in rows.values() for value in row.values())
    floor, ceiling = int(log10(least) // 1), int(-(-log10(most) // 1))
    ticks = [(10.0**power, (power - floor) / (ceiling - floor)) for power in range(floor, ceiling + 1)]
    marks = []
    group = (_WIDTH - _LEFT - 20) / len(rows)
    for index, (label, row) in enumerate(rows.items()):
        width = group * 0.8 / len(row)
        for position, (name, value) in enumerate(row.items()):
            x, y = _LEFT + index * group + group * 0.1 + position * width, _y((log10(value) - floor) / (ceiling - floor))
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 4:.1f}" height="{_y(0) - y:.1f}" fill="{_COLOURS[name]}"/>'
            )
            marks.append(_text(x + width / 2 - 2, y - 5, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", "middle"))
        marks.append(_text(_LEFT + (index + 0.5) * group, _y(0) + 20, label, "middle"))
    _write(path, title, ticks, marks, dict.fromkeys(name for row in rows.values() for name in row))


def lines(path: Path, title: str, rows: Rows) -> None:
    """A line for each candidate."""
    step = (_WIDTH - _LEFT - 60) / (len(rows) - 1)
    most = max(value for row in rows.values() for value in row.values())
    unit = 10 ** int(log10(most))
    ticks = [float(unit * number) for number in range(int(-(-most // unit)) + 1)]
    marks = [_text(_LEFT + 20 + index * step, _y(0) + 20, label, "middle") for index, label in enumerate(rows)]
    names = dict.fromkeys(name for row in rows.values() for name in row)
    for name in names:
        points = [(_LEFT + 20 + index * step, _y(row[name] / ticks[-1])) for index, row in enumerate(rows.values())]
        path_points = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        marks.append(f'<polyline points="{path_points}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2.5"/>')
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLOURS[name]}"/>' for x, y in points]
    _write(path, title, [(tick, tick / ticks[-1]) for tick in ticks], marks, names)


def _write(path: Path, title: str, ticks: list[tuple[float, float]], marks: list[str], names: Iterable[str]) -> None:
    drawn = [_text(_LEFT - 50, 24, title, "start", 'font-weight="600" font-size="15"')]
    for index, name in enumerate(names):
        row, column = divmod(index, _LEGEND_COLUMNS)
        x, baseline = _LEFT - 50 + column * 235, 46 + row * 20
        drawn.append(f'<rect x="{x}" y="{baseline - 10}" width="11" height="11" fill="{_COLOURS[name]}"/>')
        drawn.append(_text(x + 16, baseline, name, "start"))
    for tick, share in ticks:
        y = _y(share)
        drawn.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - 20}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        drawn.append(_text(_LEFT - 8, y + 4, f"{tick:,g}", "end"))
    size = f'width="{_WIDTH}" height="{_TOP + _HEIGHT + 36}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">'
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([head, f'<rect {size} fill="#fff"/>', *drawn, *marks, "</svg>", ""]))


def _y(share: float) -> float:
    return _TOP + _HEIGHT * (1 - share)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#374151" {more}>{text}</text>'
