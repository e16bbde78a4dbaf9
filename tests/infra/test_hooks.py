"""The hooks, run as azd runs them: with the environment's values, in the directory of the script."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from ast import parse
from pathlib import Path

import pytest

from chat.formats.ndjson import ChatRequest
from local.settings import APP_DIR, LocalSettings
from tests.infra.template import compiled

HOOKS = APP_DIR / "infra" / "hooks"
AZURE = {"AZURE_OPENAI_ENDPOINT": "https://oai.openai.azure.com/", "AZURE_OPENAI_CHAT_DEPLOYMENT": "chat"}
OPENAI = {"OPENAI_BASE_URL": 'https://x/"v1"\\', "OPENAI_MODEL": "small", "OPENAI_API_KEY": ""}
DEPLOYED = {
    "AZURE_SUBSCRIPTION_ID": "a-subscription",
    "AZURE_RESOURCE_GROUP": "rg-test",
    "AZURE_FUNCTION_NAME": "func-test",
    "APP_URL": "https://func-test.azurewebsites.net",
}


class Project:
    """A copy of the hooks in a folder of their own, and a folder of commands for what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a project"
        self.commands = folder / "bin"
        self.commands.mkdir()
        shutil.copytree(HOOKS, self.folder / "infra" / "hooks", ignore=shutil.ignore_patterns("hooks_env"))

    @property
    def settings(self) -> Path:
        return self.folder / "local.settings.json"

    def command(self, name: str, code: str) -> None:
        path = self.commands / name
        path.write_text(f"#!{sys.executable}\nimport json, sys\n{code}")
        path.chmod(0o755)

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": f"{self.commands}:{os.environ['PATH']}"} | environment
        folder = self.folder / "infra" / "hooks"
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    def hook(self, name: str, **environment: str) -> str:
        done = self.run(sys.executable, f"{name}.py", **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(("model", "note"), [(AZURE, "no key"), (OPENAI, "OPENAI_API_KEY")], ids=["azure", "openai"])
def test_local_settings_use_the_deployed_model(model: dict[str, str], note: str, project: Project) -> None:
    assert note in project.hook("postprovision", LOCAL_SETTINGS=json.dumps(model))
    assert (
        LocalSettings.read(project.folder).Values
        == {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": "",
        }
        | model
    )


def test_local_settings_have_the_samples_form_and_allow_no_origin(project: Project) -> None:
    project.hook("postprovision", LOCAL_SETTINGS=json.dumps(AZURE))
    written, sample = (json.loads(path.read_text()) for path in (project.settings, APP_DIR / "local.settings.json.sample"))
    assert written.keys() == sample.keys()
    assert written["Host"] == {"LocalHttpPort": sample["Host"]["LocalHttpPort"]}
    assert LocalSettings.read(project.folder).Host.CORS == ""


def test_existing_local_settings_are_not_changed(project: Project) -> None:
    project.settings.write_text("mine")
    assert "not changed" in project.hook("postprovision", LOCAL_SETTINGS=json.dumps(AZURE))
    assert project.settings.read_text() == "mine"


@pytest.mark.parametrize("hook", ["postprovision", "postdeploy"])
def test_a_hook_without_a_deployment_fails_and_names_the_missing_value(hook: str, project: Project) -> None:
    done = project.run(sys.executable, f"{hook}.py")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"^[A-Z_]+ is not set: .*`azd provision`", done.stderr)
    assert not project.settings.exists()


@pytest.mark.parametrize("auth_level", ["function", "anonymous"])
def test_the_printed_commands_send_a_request(auth_level: str, project: Project) -> None:
    printed = project.hook("postdeploy", **DEPLOYED, CHAT_AUTH_LEVEL=auth_level)
    about, _, commands = printed.strip().partition("\n\n")
    assert f"{DEPLOYED['APP_URL']}/api/v1" in about
    project.command(
        "az",
        "assert ' '.join(sys.argv[1:]) == ('functionapp keys list --subscription a-subscription --resource-group rg-test '"
        "'--name func-test --query functionKeys.default --output tsv')\n"
        "print('the-key')\n",
    )
    for command in ("curl", "make"):
        project.command(command, "print(json.dumps(sys.argv[1:]))")
    done = project.run("sh", "-eu", "-c", commands)
    assert done.returncode == 0, done.stderr
    curl, make = (json.loads(line) for line in done.stdout.splitlines())
    headers = [value for option, value in itertools.pairwise(curl) if option == "-H"]
    key = ["x-functions-key: the-key"] if auth_level == "function" else []
    assert curl[:2] == ["-N", f"{DEPLOYED['APP_URL']}/api/chat"]
    assert headers == [*key, "content-type: application/json"]
    assert ChatRequest.model_validate_json(curl[curl.index("-d") + 1]).stream
    assert make == ["verify", f"URL={DEPLOYED['APP_URL']}", *(["KEY=the-key"] if auth_level == "function" else [])]


def test_no_command_is_printed_for_an_app_with_a_sign_in(project: Project) -> None:
    printed = project.hook("postdeploy", **DEPLOYED, SIGN_IN_CLIENT_ID="an-id")
    assert f"{DEPLOYED['APP_URL']}/api/chat" in printed
    assert "curl" not in printed


def test_on_windows_the_commands_are_for_powershell(project: Project) -> None:
    as_windows = "import os, runpy; os.name = 'nt'; runpy.run_path('postdeploy.py')"
    printed = project.run(sys.executable, "-c", as_windows, **DEPLOYED).stdout
    _, *commands = printed.strip().split("\n\n")
    assert [command.split()[0] for command in commands] == ["$key", "curl"]


def test_the_scripts_read_only_values_that_azd_has() -> None:
    read = {name for path in HOOKS.glob("*.py") for name in re.findall(r"environ(?:\.get\(|\[)[\"'](\w+)", path.read_text())}
    read |= set(re.findall(r"values\[\"(\w+)\"\]", (APP_DIR / "infra" / "sign_in.py").read_text()))
    assert read == compiled()["outputs"].keys() | {"AZURE_SUBSCRIPTION_ID", "CHAT_AUTH_LEVEL", "SIGN_IN_CLIENT_ID"}


def test_the_hooks_run_on_old_pythons() -> None:
    # azd runs them with the machine's `python3` or `py`, not with the project's.
    for path in HOOKS.glob("*.py"):
        parse(path.read_text(), feature_version=(3, 9))


def test_azd_installs_no_packages_for_the_hooks(project: Project) -> None:
    # azd takes the nearest file of these names (its project_discovery.go), and installs what it names into a new virtual
    # environment (python_executor.go).
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(APP_DIR / name, project.folder / name)
    folder = project.folder / "infra" / "hooks"
    names = ["pyproject.toml", "requirements.txt", "package.json"]
    assert [name for name in names if (folder / name).exists()] == ["requirements.txt"]
    assert project.run(sys.executable, "-m", "venv", "hooks_env").returncode == 0
    python = str(folder / "hooks_env" / "bin" / "python")
    before = project.run(python, "-m", "pip", "list").stdout
    done = project.run(python, "-m", "pip", "install", "-r", "requirements.txt")
    assert done.returncode == 0, done.stderr
    assert project.run(python, "-m", "pip", "list").stdout == before
