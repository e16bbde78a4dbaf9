"""The last line of a test run: which tests were left out, and why."""

from collections import Counter

import pytest


def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not reporter:
        return
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ()))
    left_out = "; ".join(f"{count} ({reason})" for reason, count in reasons.items())
    reporter.write_line(f"Tests left out: {left_out or 'none'}.")
