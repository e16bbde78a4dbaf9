"""docs/errors.md has the outcome of every fault that the tests try."""

from collections.abc import Iterable

from local.settings import APP_DIR
from testing.faults import FAULTS, Outcome

PAGE = (APP_DIR / "docs" / "errors.md").read_text()


def summary(outcomes: Iterable[Outcome]) -> str:
    """What clients receive, in alternatives: outcomes of one shape together."""
    complete: list[str] = []
    streamed: list[str] = []
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        if not outcome.error:
            complete.append("the completion")
        elif outcome.status == 200:
            streamed.append(f"`{outcome.error}`")
        else:
            after = " with `Retry-After`" if outcome.retry_after else ""
            failed.setdefault(f"`{outcome.error}`{after}", []).append(str(outcome.status))
    parts = list(dict.fromkeys(complete))
    if streamed:
        parts.append(f"every chunk that arrived, then {_either(streamed)}")
    parts += [f"{_either(statuses)} {error}" for error, statuses in failed.items()]
    return ", or ".join(parts)


def _either(names: list[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} or {last}" if others else last


def test_page_has_the_outcome_of_every_fault() -> None:
    kinds = dict.fromkeys(fault.kind for fault in FAULTS)
    rows = [f"| {kind} | {summary(fault.outcome for fault in FAULTS if fault.kind == kind)} |" for kind in kinds]
    table = "| the model server … | the client receives |\n| --- | --- |\n" + "\n".join(rows) + "\n\n"
    assert table in PAGE, f"the table should be:\n{table}"
