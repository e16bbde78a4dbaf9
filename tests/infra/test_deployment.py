"""The deployment package: which files it has, and that a remote build of it serves a request."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import aiohttp
import pytest
from pathspec import GitIgnoreSpec

from local.settings import APP_DIR
from testing.behaviours import streams
from testing.chat_completions import OPENAI
from testing.client import Service
from testing.model_server import ModelServer

# On Azure the Functions host starts the worker; this starts it for the deployed app, behind our host.
SERVE = """
import asyncio, sys
from pathlib import Path
from local.host import Host
from local.settings import HostSection
from local.worker import Worker

async def serve():
    worker = await Worker.start(Path(sys.argv[1]))
    print(await Host(worker, "api", HostSection()).start(0), flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""

PATTERNS = [line for line in (APP_DIR / ".funcignore").read_text().splitlines() if line and not line.startswith("#")]
UNTRACKED = [
    ".coverage",
    ".env",
    ".venv/bin/python",
    "chat/__pycache__/relay.cpython-313.pyc",
    "env/pyvenv.cfg",
    "infra/hooks/hooks_env/pyvenv.cfg",
    "local.settings.json",
    "model.gguf",
    "models/model.gguf",
    "secrets.txt",
    "venv/bin/python",
]


def ignored_by_git_rules(path: str) -> bool:
    """As VS Code's Functions extension reads `.funcignore`."""
    return GitIgnoreSpec.from_lines(PATTERNS).match_file(path)


def ignored_by_azd(path: str) -> bool:
    """As azd reads `.funcignore`, with github.com/denormal/go-gitignore: an ignored directory is not searched."""
    parts = path.split("/")
    ways = [("/".join(parts[: depth + 1]), depth + 1 < len(parts)) for depth in range(len(parts))]
    return any(last_match_of_azd(way, is_directory=directory) for way, directory in ways)


def last_match_of_azd(path: str, *, is_directory: bool) -> bool:
    for line in reversed(PATTERNS):
        pattern = line.removeprefix("!")
        if pattern.endswith("/") and not is_directory:
            continue
        name = pattern.strip("/")
        # Without FNM_PATHNAME a `*` matches slashes, too.
        if "**" in name:
            matches = path.startswith(name.removesuffix("**"))
        else:
            assert "/" not in name, "a path pattern; its rule is not written here"
            matches = fnmatchcase(path if pattern.startswith("/") else path.rpartition("/")[2], name)
        if matches:
            return not line.startswith("!")
    return False


def deployed_files(ignored: Callable[[str], bool]) -> list[str]:
    """Of the files that are or may come into git, and of others that may be in the folder, those that are deployed."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=APP_DIR, check=True, capture_output=True, text=True).stdout.split()
    return [path for path in files + UNTRACKED if (APP_DIR / path).exists() or path in UNTRACKED if not ignored(path)]


@pytest.mark.parametrize("ignored", [ignored_by_git_rules, ignored_by_azd])
def test_only_the_app_is_deployed(ignored: Callable[[str], bool]) -> None:
    deployed = deployed_files(ignored)
    assert [path for path in deployed if not path.startswith(("chat/", "web/"))] == [
        "function_app.py",
        "host.json",
        "requirements.txt",
    ]
    files = [path for folder in ("chat", "web") for path in (APP_DIR / folder).rglob("*") if path.is_file()]
    code = {str(path.relative_to(APP_DIR)) for path in files if "__pycache__" not in path.parts}
    assert {path for path in deployed if path.startswith(("chat/", "web/"))} == code


def requirements(name: str) -> list[str]:
    """The requirements of a file, without options, hashes and comments."""
    lines = (APP_DIR / name).read_text().splitlines()
    return [line.removesuffix("\\").strip() for line in lines if re.match(r"\w", line)]


def test_every_requirement_is_pinned() -> None:
    pinned = requirements("requirements.txt")
    assert pinned
    assert [each for each in pinned if not re.fullmatch(r"[\w.\[\]-]+==[\w.]+( ;.*)?", each)] == []


@pytest.mark.timeout(180)
async def test_the_deployed_app_serves_a_request(model: ModelServer, tmp_path: Path) -> None:
    model.respond_with(streams(OPENAI))
    app = tmp_path / "wwwroot"
    for path in deployed_files(ignored_by_azd):
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(APP_DIR / path, app / path)
    packages = app / ".python_packages" / "lib" / "site-packages"
    image = tmp_path / "image"
    uv = [shutil.which("uv") or APP_DIR / ".venv-uv" / "bin" / "uv"]
    into_image = [*uv, "pip", "install", "--python", image / "bin" / "python"]
    commands = [
        [*uv, "venv", "--python", sys.executable, image],
        [*into_image, "--target", packages, "-r", app / "requirements.txt"],
    ]
    worker = "azure-functions-runtime=="
    if not any(each.startswith(worker) for each in requirements("requirements.txt")):
        # Then Azure runs the version of its own image.
        commands.append([*into_image, *(each for each in requirements("requirements-dev.txt") if each.startswith(worker))])
    for command in commands:
        done = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = await done.communicate()
        assert done.returncode == 0, output.decode()

    shutil.copytree(APP_DIR / "local", tmp_path / "host" / "local")
    process = await asyncio.create_subprocess_exec(
        *(image / "bin" / "python", "-c", SERVE, app),
        cwd=app,
        env={**os.environ, "PYTHONPATH": f"{packages}:{tmp_path / 'host'}"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:
            assert await Service(url, model.url, session).send() == (200, OPENAI)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
