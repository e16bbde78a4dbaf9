"""Prints the table of clients and kinds of model server."""

import pytest

KINDS = ["chat", "responses", "tools-through-responses"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    cells: dict[str, dict[str, str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            properties = dict(report.user_properties)
            if report.when == "call" and "client" in properties:
                cells.setdefault(str(properties["client"]), {})[str(properties["kind"])] = outcome
    if cells:
        terminalreporter.section("clients")
        terminalreporter.line(f"| client | {' | '.join(KINDS)} |")
        terminalreporter.line("| --- | --- | --- | --- |")
        for client, outcomes in cells.items():
            terminalreporter.line(f"| {client} | {' | '.join(outcomes.get(kind, '') for kind in KINDS)} |")
