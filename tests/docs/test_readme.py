"""The README against the code: its settings, its commands and its links."""

import re
from pathlib import Path
from typing import Any

import pytest

from chat.settings import Settings
from local.serve import QUESTION
from local.settings import APP_DIR

README = (APP_DIR / "README.md").read_text()
PAGES = [*APP_DIR.glob("*.md"), *(APP_DIR / "docs").rglob("*.md")]


def test_settings_are_those_of_the_code() -> None:
    def shown(default: Any) -> str:
        return "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"

    rows = [
        f"| `{name.upper()}` | {field.description} | {shown(field.default)} |"
        for name, field in Settings.model_fields.items()
        if not field.exclude
    ]
    table = "| setting | meaning | default |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
    assert table in README, f"the table should be:\n{table}"


def test_line_to_paste_is_the_one_that_make_run_prints() -> None:
    assert f"curl -N http://localhost:7071/api/chat -H 'content-type: application/json' -d '{QUESTION}'" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(APP_DIR)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (APP_DIR / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(), re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets


def _file(page: Path, target: str) -> Path:
    """The file that a link leads to; GitHub's page of a workflow is relative to /OWNER/NAME/blob/BRANCH/README.md."""
    if workflow := re.fullmatch(r"\.\./\.\./actions/workflows/([^/]+\.yml)(/badge\.svg)?", target):
        return APP_DIR / ".github" / "workflows" / workflow[1]
    return page.parent / target if target else page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(APP_DIR)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, fragment in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
        if "://" in target:
            continue
        path = _file(page, target)
        assert path.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert fragment in anchors, f"{target}#{fragment}"
