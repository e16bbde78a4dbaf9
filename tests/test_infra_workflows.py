"""What GitHub runs, held against what a developer runs and what azd hands over."""

from tests.test_infra_azd import load

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
