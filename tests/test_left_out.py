"""The last line of a test run."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.settings import APP_DIR

TESTS = """
import pytest

@pytest.mark.skipif({skipped}, reason="there is no /proc")
def test_something(): pass

@pytest.mark.skipif({skipped}, reason="there is no /proc")
def test_something_else(): pass
"""


@pytest.mark.parametrize(("skipped", "left_out"), [(True, "2 (there is no /proc)"), (False, "none")])
def test_says_what_was_left_out_and_why(tmp_path: Path, skipped: bool, left_out: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.format(skipped=skipped))
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p tests.left_out\n")
    command = [sys.executable, "-m", "pytest", "--config-file", str(tmp_path / "pytest.ini"), str(tmp_path)]
    done = subprocess.run(command, cwd=APP_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"Tests left out: {left_out}."
