"""A copy of the app, to run and to change."""

import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from local.settings import APP_DIR


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    """A copy of the app, in which `make` finds this Python."""
    copy = tmp_path / "app"
    copytree(APP_DIR, copy, ignore=ignore_patterns(".*", "tests", "node_modules", "local.settings.json", "__pycache__"))
    python = copy / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (copy / ".venv" / "run").touch()
    return copy
