"""The hooks, run for real against a stand-in `azd`; the PowerShell ones, where there is no `pwsh`, held against them."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

from chat.request import ChatRequest
from local.settings import LocalSettings
from tests.infra.test_bicep import ROOT, deploy

HOOKS = ["postprovision", "postdeploy"]
AZURE = {
    "MODEL_SOURCE": "new",
    "AZURE_OPENAI_ENDPOINT": "https://oai.openai.azure.com/",
    "AZURE_OPENAI_CHAT_DEPLOYMENT": "chat",
    "AZURE_TENANT_ID": "a-tenant",
    "AZURE_RESOURCE_GROUP": "rg-test",
    "AZURE_FUNCTION_NAME": "func-test",
    "AZURE_SUBSCRIPTION_ID": "a-subscription",
    "CHAT_URL": "https://func-test.azurewebsites.net/api/chat",
    "OPENAI_BASE_URL": "",
    "OPENAI_MODEL": "",
}
OPENAI = AZURE | {"MODEL_SOURCE": "openai", "OPENAI_BASE_URL": 'https://x/"v1"\\', "OPENAI_MODEL": "small"}


class Project:
    """A copy of the hooks in a folder of its own, and the commands that they find there."""

    def __init__(self, folder: Path, outputs: dict[str, str]) -> None:
        self.folder = folder / "a project"
        self._bin = folder / "bin"
        shutil.copytree(ROOT / "infra" / "hooks", self.folder / "infra" / "hooks")
        self._bin.mkdir()
        self.command(
            "azd",
            f"outputs = {outputs!r}\n"
            "assert sys.argv[1:3] == ['env', 'get-value'], sys.argv\n"
            "assert sys.argv[4:] == ['--environment', 'test env'], sys.argv\n"
            "if sys.argv[3] not in outputs:\n"
            "    print('ERROR: key not found')\n"
            "    sys.exit(1)\n"
            "print(outputs[sys.argv[3]])\n",
        )

    def command(self, name: str, code: str) -> None:
        path = self._bin / name
        path.write_text(f"#!{sys.executable}\nimport json, sys\n{code}")
        path.chmod(0o755)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self._bin),
            "AZURE_ENV_NAME": "test env",
        }
        return subprocess.run(command, cwd=self._bin, env=environment, capture_output=True, text=True, check=False)

    def hook(self, name: str) -> str:
        done = self.run("sh", str(self.folder / "infra" / "hooks" / f"{name}.sh"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def settings(self) -> Path:
        return self.folder / "local.settings.json"


def test_the_local_app_is_pointed_at_the_deployed_model(tmp_path: Path) -> None:
    project = Project(tmp_path, AZURE)
    assert "no key" in project.hook("postprovision")
    assert LocalSettings.read(project.folder).Values == {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "",
        "AZURE_OPENAI_ENDPOINT": "https://oai.openai.azure.com/",
        "AZURE_OPENAI_CHAT_DEPLOYMENT": "chat",
        "AZURE_TENANT_ID": "a-tenant",
    }


def test_the_local_app_is_pointed_at_a_compatible_server(tmp_path: Path) -> None:
    project = Project(tmp_path, OPENAI)
    assert "OPENAI_API_KEY" in project.hook("postprovision")
    assert LocalSettings.read(project.folder).Values == {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "",
        "OPENAI_BASE_URL": 'https://x/"v1"\\',
        "OPENAI_MODEL": "small",
        "OPENAI_API_KEY": "",
    }


def test_it_is_otherwise_the_sample(tmp_path: Path) -> None:
    project = Project(tmp_path, AZURE)
    project.hook("postprovision")
    written, sample = (json.loads(path.read_text()) for path in (project.settings, ROOT / "local.settings.json.sample"))
    assert written.keys() == sample.keys()
    assert written["Host"] == sample["Host"]
    common = ("FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage")
    assert [written["Values"][name] for name in common] == [sample["Values"][name] for name in common]


def test_settings_that_are_there_are_left_alone(tmp_path: Path) -> None:
    project = Project(tmp_path, AZURE)
    project.settings.write_text("mine")
    assert "left as it is" in project.hook("postprovision")
    assert project.settings.read_text() == "mine"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_missing_output_stops_the_hook_before_it_does_anything(hook: str, tmp_path: Path) -> None:
    project = Project(tmp_path, {"MODEL_SOURCE": "new", "CHAT_URL": "https://x/api/chat"})
    done = project.run("sh", str(project.folder / "infra" / "hooks" / f"{hook}.sh"))
    assert done.returncode != 0
    assert not project.settings.exists()
    assert "curl" not in done.stdout


def test_the_last_words_get_the_key_and_call_the_chat(tmp_path: Path) -> None:
    project = Project(tmp_path, AZURE)
    commands = project.hook("postdeploy").split("\n\n", 1)[1]
    project.command(
        "az",
        "line = ' '.join(sys.argv[1:])\n"
        "assert line == 'functionapp keys list --subscription a-subscription --resource-group rg-test --name func-test '"
        "'--query functionKeys.default --output tsv', line\n"
        "print('the-key')\n",
    )
    project.command("curl", "print(json.dumps(sys.argv[1:]))")
    called = project.run("sh", "-eu", "-c", commands)
    assert called.returncode == 0, called.stderr
    arguments = json.loads(called.stdout)
    headers = [value for option, value in itertools.pairwise(arguments) if option == "-H"]
    assert arguments[:2] == ["-N", AZURE["CHAT_URL"]]
    assert headers == ["x-functions-key: the-key", "content-type: application/json"]
    request = ChatRequest.model_validate_json(arguments[arguments.index("-d") + 1])
    assert request.stream


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_asks_only_for_what_is_there(hook: str) -> None:
    asked = set(re.findall(r"\$\(output (\w+)\)", sh(hook)))
    assert asked
    assert asked <= deploy().outputs.keys()


@pytest.mark.parametrize("hook", HOOKS)
def test_the_powershell_hook_parses_and_says_the_same(hook: str) -> None:
    source = powershell(hook)
    assert not Parser(Language(tree_sitter_powershell.language())).parse(source.encode()).root_node.has_error
    assert re.findall(r"Get-Output '(\w+)'", source) == re.findall(r"\$\(output (\w+)\)", sh(hook))
    assert source.partition("\n")[0] == sh(hook).split("\n")[1]


def test_the_powershell_hook_writes_the_same_settings(tmp_path: Path) -> None:
    for outputs in (AZURE, OPENAI):
        project = Project(tmp_path / outputs["MODEL_SOURCE"], outputs)
        project.hook("postprovision")
        for name in LocalSettings.read(project.folder).Values:
            assert re.search(rf"\b{name} = ", powershell("postprovision")), name


def test_the_powershell_hook_prints_the_same_commands(tmp_path: Path) -> None:
    printed = Project(tmp_path, AZURE).hook("postdeploy")
    names = {"url": "CHAT_URL", "group": "AZURE_RESOURCE_GROUP", "app": "AZURE_FUNCTION_NAME"}
    names["subscription"] = "AZURE_SUBSCRIPTION_ID"
    (text,) = re.findall(r'@"\n(.*)\n"@', powershell("postdeploy"), re.DOTALL)
    for variable, output in names.items():
        text = re.sub(rf"\$\{{?{variable}\b\}}?", AZURE[output], text)
    assert text.replace("`$key = ", "key=$(").replace("`$", "$").replace("--output tsv", "--output tsv)") == printed.rstrip(
        "\n"
    )


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="no PowerShell here")
@pytest.mark.parametrize("outputs", [AZURE, OPENAI], ids=["azure", "openai"])
def test_the_powershell_hooks_run(outputs: dict[str, Any], tmp_path: Path) -> None:
    by_sh, by_pwsh = Project(tmp_path / "sh", outputs), Project(tmp_path / "pwsh", outputs)
    by_sh.hook("postprovision")
    done = by_pwsh.run("pwsh", "-NoProfile", str(by_pwsh.folder / "infra" / "hooks" / "postprovision.ps1"))
    assert done.returncode == 0, done.stderr
    assert json.loads(by_pwsh.settings.read_text()) == json.loads(by_sh.settings.read_text())


def sh(hook: str) -> str:
    return (ROOT / "infra" / "hooks" / f"{hook}.sh").read_text()


def powershell(hook: str) -> str:
    return (ROOT / "infra" / "hooks" / f"{hook}.ps1").read_text()
