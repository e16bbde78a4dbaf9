"""What GitHub and the dev container run, held against what a developer runs and what azd hands over."""

import json
import re

from tests.infra.test_azd import load
from tests.infra.test_bicep import ROOT

SIGN_IN = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}


def test_the_deployment_workflow_passes_them_on() -> None:
    pipeline = load("azure.yaml")["pipeline"]
    workflow = load(".github/workflows/azure-dev.yml")
    (job,) = workflow["jobs"].values()
    variables = set(pipeline["variables"]) | SIGN_IN | {"AZURE_ENV_NAME", "AZURE_LOCATION"}
    assert job["env"] == {name: f"${{{{ vars.{name} }}}}" for name in variables}
    steps = {step.get("run", ""): step for step in job["steps"]}
    secrets = {name: f"${{{{ secrets.{name} }}}}" for name in pipeline["secrets"]}
    assert steps["azd provision --no-prompt"]["env"] == secrets
    assert "azd deploy --no-prompt" in steps
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_ci_runs_what_a_developer_runs() -> None:
    workflow = load(".github/workflows/ci.yml")
    assert workflow["on"].keys() == {"push", "pull_request"}
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in commands
    assert any("bicep build infra/main.bicep" in command for command in commands)
    assert any("bicep lint infra/main.bicep" in command for command in commands)


def test_the_dev_container_has_the_tools_and_sets_up_the_rest() -> None:
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert container["image"].endswith(f"/python:{(ROOT / '.python-version').read_text().strip()}")
    features = {name.split("/")[-1].split(":")[0]: options for name, options in container["features"].items()}
    assert {"azure-cli", "azd", "node"} <= features.keys()
    assert features["azure-cli"] == {"installBicep": True}
    install, setup = container["postCreateCommand"].split(" && ")
    assert install == "npm install --global azure-functions-core-tools@4"
    target = setup.removeprefix("make ")
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    sample = json.loads((ROOT / "local.settings.json.sample").read_text())
    assert container["forwardPorts"] == [sample["Host"]["LocalHttpPort"]]


def test_updates_cover_what_is_pinned() -> None:
    updates = {(update["package-ecosystem"], update["directory"]) for update in load(".github/dependabot.yml")["updates"]}
    assert updates == {("pip", "/"), ("github-actions", "/"), ("devcontainers", "/")}
    for path in (ROOT / ".github" / "workflows").iterdir():
        for action in re.findall(r"uses: (.+)", path.read_text()):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
