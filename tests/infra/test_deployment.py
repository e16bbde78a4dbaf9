"""What Azure installs is enough: the app is built as a remote build would build it, and serves a chat."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from pathspec import GitIgnoreSpec

from local.settings import APP_DIR
from tests.client import Service
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import OPENAI, streams

# Azure's image has the worker; this starts it for the deployed app, with our host in front.
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


def deployed_files() -> list[str]:
    """What a deployment takes of what is or may come into git, and of what lies about besides."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=APP_DIR, check=True, capture_output=True, text=True).stdout.split()
    lying_about = ["local.settings.json", ".env", ".venv/bin/python", "chat/__pycache__/relay.cpython-313.pyc", ".coverage"]
    ignored = GitIgnoreSpec.from_lines((APP_DIR / ".funcignore").read_text().splitlines())
    return [path for path in tracked + lying_about if not ignored.match_file(path)]


def test_nothing_but_the_app_is_deployed() -> None:
    outside = [path for path in deployed_files() if not path.startswith("chat/")]
    assert sorted(outside) == ["function_app.py", "host.json", "requirements.txt"]


def test_every_requirement_is_pinned() -> None:
    lines = (APP_DIR / "requirements.txt").read_text().splitlines()
    requirements = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    assert requirements
    assert [line for line in requirements if "==" not in line] == []


@pytest.mark.timeout(180)
async def test_the_deployment_serves_a_chat(model: ModelServer, tmp_path: Path) -> None:
    model.answers(streams(OPENAI))
    app = tmp_path / "wwwroot"
    for path in deployed_files():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(APP_DIR / path, app / path)
    packages = app / ".python_packages" / "lib" / "site-packages"
    uv = shutil.which("uv") or APP_DIR / ".venv-uv" / "bin" / "uv"
    image = tmp_path / "image"
    worker = next(line for line in (APP_DIR / "requirements-dev.txt").read_text().split() if "functions-runtime==" in line)
    for command in (
        [uv, "venv", "--python", sys.executable, image],
        [uv, "pip", "install", "--python", image / "bin" / "python", worker],
        [uv, "pip", "install", "--python", image / "bin" / "python", "--target", packages, "-r", app / "requirements.txt"],
    ):
        done = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = await done.communicate()
        assert done.returncode == 0, output.decode()

    shutil.copytree(APP_DIR / "local", tmp_path / "stand_in" / "local")
    process = await asyncio.create_subprocess_exec(
        *(image / "bin" / "python", "-c", SERVE, app),
        cwd=app,
        env={**os.environ, "PYTHONPATH": f"{packages}:{tmp_path / 'stand_in'}"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:
            assert await Service(url, model.url, session).ask() == (200, OPENAI)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
