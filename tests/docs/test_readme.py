"""The README says what the code does: its settings, its commands, and the outcome of every fault."""

import re
from typing import Any

from chat.settings import Settings
from local.serve import QUESTION
from local.settings import APP_DIR
from tests.fakes.faults import FAULTS

README = (APP_DIR / "README.md").read_text()


def rows(*header: str) -> list[list[str]]:
    """The cells of the table with this header."""
    _, _, after = README.partition("| " + " | ".join(header) + " |\n")
    table = after.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_settings() -> None:
    def shown(default: Any) -> str:
        return "" if default is None else f"`{default}`"

    documented = [
        [f"`{name.upper()}`", field.description, shown(field.default)]
        for name, field in Settings.model_fields.items()
        if not field.exclude
    ]
    assert rows("setting", "meaning", "default") == documented


def fault_table() -> list[list[str]]:
    """A row for each kind of fault: how many there are of it, and what a caller gets."""
    table = []
    for kind in dict.fromkeys(fault.kind for fault in FAULTS):
        faults = [fault for fault in FAULTS if fault.kind == kind]
        outcomes = dict.fromkeys(str(fault.outcome) for fault in faults)
        table.append([kind, "; ".join(outcomes), str(len(faults))])
    return table


def test_faults() -> None:
    expected = fault_table()
    shown = "\n".join("| " + " | ".join(row) + " |" for row in expected)
    assert rows("the model's server …", "the caller gets", "tests") == expected, f"the table should be:\n{shown}"


def test_make_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (APP_DIR / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", README, re.DOTALL))
    mentioned = set(re.findall(r"\bmake ([a-z]+)", code))
    assert mentioned >= {"run", "test", "lint"}
    assert mentioned <= targets


def test_modules() -> None:
    documented = [cell.strip("`") for cell, _ in rows("module", "what it does")]
    modules = [str(path.relative_to(APP_DIR)) for path in (APP_DIR / "chat").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(documented) == sorted(["function_app.py", *modules])


def test_the_line_to_paste() -> None:
    assert f"curl -N http://localhost:7071/api/chat -H 'content-type: application/json' -d '{QUESTION}'" in README
