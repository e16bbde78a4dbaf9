"""The workflows: that deployment gets what azd hands over, and that actions are pinned."""

import re

from local.settings import APP_DIR
from tests.infra.template import load

SIGN_IN = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_ENV_NAME", "AZURE_LOCATION"}


def test_deployment_gets_every_variable_and_secret_of_the_pipeline() -> None:
    pipeline = load("azure.yaml")["pipeline"]
    (job,) = load(".github/workflows/azure-dev.yml")["jobs"].values()
    variables = SIGN_IN | set(pipeline["variables"])
    assert job["env"] == {name: f"${{{{ vars.{name} }}}}" for name in variables}
    (provision,) = [step for step in job["steps"] if "azd provision" in step.get("run", "")]
    assert provision["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in pipeline["secrets"]}


def test_secrets_are_passed_to_provisioning_only() -> None:
    (job,) = load(".github/workflows/azure-dev.yml")["jobs"].values()
    holders = [step["name"] for step in job["steps"] if "secrets." in str(step)]
    assert holders == ["Provision"]


def test_actions_are_pinned_to_a_commit() -> None:
    for path in (APP_DIR / ".github" / "workflows").iterdir():
        for action in re.findall(r"uses: (.+)", path.read_text()):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
