"""Packages of npm, each installed in a folder of its own, and scripts that use them."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any


def install(package: str, folder: Path) -> Path:
    """Installs a package in a folder and returns the folder."""
    assert shutil.which("npm"), "the test requires Node.js and npm"
    options = ["--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)]
    subprocess.run(["npm", "install", *options, package], check=True, stdout=subprocess.DEVNULL)
    return folder


async def run_client(folder: Path, script: Path, *arguments: str) -> list[Any]:
    """Runs a script with the package in the folder and returns the lines of JSON that it prints."""
    copy = shutil.copy(script, folder)
    process = await asyncio.create_subprocess_exec("node", copy, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return [json.loads(line) for line in output.splitlines()]
