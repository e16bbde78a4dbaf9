"""azure.yaml, the parameters and the outputs: what azd reads and writes, held against each other."""

import json
import re

import pytest
import yaml

from chat.settings import DEFAULT_MODEL
from tests.infra.bicep import Deployment, Value, read
from tests.infra.test_bicep import GIVEN, MAIN, ROOT, deploy, of_type

KNOWN_TO_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}


def load(path: str) -> Value:
    return yaml.load((ROOT / path).read_text(), Loader=yaml.BaseLoader)  # `on` stays a word


def parameters_file() -> dict[str, tuple[str, str | None]]:
    """Each parameter's environment value, and what it is where that is not set."""
    found = {}
    for name, entry in json.loads((ROOT / "infra/main.parameters.json").read_text())["parameters"].items():
        match = re.fullmatch(r"\$\{(\w+)(?:=(.+))?\}", entry["value"])
        assert match, f"{name}: {entry['value']}"
        found[name] = match[1], match[2]
    return found


def test_every_parameter_can_be_set_by_azd() -> None:
    assert list(parameters_file()) == list(read(MAIN).parameters)
    values = [value for value, _ in parameters_file().values()]
    assert len(values) == len(set(values))


def test_a_parameter_is_named_for_its_environment_value() -> None:
    renamed = {"environmentName": "AZURE_ENV_NAME", "location": "AZURE_LOCATION"}
    renamed |= {"principalId": "AZURE_PRINCIPAL_ID", "principalType": "AZURE_PRINCIPAL_TYPE"}
    for name, (value, _) in parameters_file().items():
        expected = renamed.get(name, value)
        assert value == expected
        if name not in renamed:
            assert name.lower() == value.replace("_", "").lower()


def test_the_defaults_are_the_templates_own() -> None:
    template = read(MAIN)
    blank = Deployment(MAIN, {"environmentName": "test", "location": "swedencentral"})
    for name, (_, default) in parameters_file().items():
        declared = template.parameters[name].default
        if declared is None:
            assert default is None, f"{name} is required"
        else:
            assert str(blank.evaluate(declared)) == (default or ""), name


def test_the_default_model_is_the_services_own() -> None:
    assert parameters_file()["azureOpenAiModel"] == ("AZURE_OPENAI_MODEL", DEFAULT_MODEL)


def test_no_output_changes_what_the_next_deployment_is_given() -> None:
    # An output becomes an environment value. One that a parameter reads must say what that parameter was.
    by_value = {value: name for name, (value, _) in parameters_file().items()}
    for source in ("new", "existing", "endpoint", "openai"):
        given = GIVEN | {"modelSource": source}
        first = Deployment(MAIN, given)
        again = {by_value[name]: value for name, value in first.outputs.items() if name in by_value}
        assert again
        assert Deployment(MAIN, given | again).outputs == first.outputs
        assert all(given.get(name, value) == value for name, value in again.items())


def test_the_service_is_the_one_that_the_template_tags() -> None:
    (name,) = load("azure.yaml")["services"]
    (site,) = of_type(deploy(), "Microsoft.Web/sites")
    assert site.body["tags"] == {"azd-env-name": "test", "azd-service-name": name}
    assert load("azure.yaml")["services"][name] == {"project": ".", "language": "python", "host": "function"}


@pytest.mark.parametrize("network", ["public", "private"])
def test_every_resource_bears_the_environments_tag(network: str) -> None:
    deployment = deploy(modelSource="openai", networkAccess=network)
    for resource in deployment.resources():
        if "location" in resource.body:
            assert resource.body["tags"]["azd-env-name"] == "test", resource.symbol


def test_the_hooks_are_files_for_both_kinds_of_shell() -> None:
    hooks = load("azure.yaml")["hooks"]
    assert hooks.keys() == {"postprovision", "postdeploy"}
    for name, hook in hooks.items():
        assert (hook["posix"]["shell"], hook["posix"]["run"]) == ("sh", f"infra/hooks/{name}.sh")
        assert (hook["windows"]["shell"], hook["windows"]["run"]) == ("pwsh", f"infra/hooks/{name}.ps1")
        assert all((ROOT / each["run"]).is_file() for each in hook.values())


def test_the_pipeline_is_handed_every_parameter() -> None:
    pipeline = load("azure.yaml")["pipeline"]
    values = {value: name for name, (value, _) in parameters_file().items()}
    secure = {value for value, name in values.items() if read(MAIN).parameters[name].secure}
    assert set(pipeline["secrets"]) == secure
    assert set(pipeline["variables"]) == values.keys() - secure - KNOWN_TO_AZD


def test_what_is_only_for_deploying_is_not_deployed() -> None:
    ignored = (ROOT / ".funcignore").read_text().split("\n")
    assert {"azure.yaml", "infra/", "docs/", "local.settings.json", ".*"} <= set(ignored)
