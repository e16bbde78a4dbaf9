"""azure.yaml, the parameters file and the outputs: what azd reads and writes."""

import json
import re
from urllib.parse import unquote

import pytest

from chat.settings import DEFAULT_MODEL
from local.settings import APP_DIR
from tests.infra.snapshots import DEPLOYMENTS
from tests.infra.template import PromptError, compiled, deployment, load, only, parameters, parameters_file

NEW_ENVIRONMENT = {"AZURE_ENV_NAME": "test", "AZURE_LOCATION": "swedencentral"}
SET_BY_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID", "AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}


def environment_values() -> dict[str, str]:
    """The parameter of each environment value."""
    return {value: name for name, (value, _) in parameters_file().items()}


def test_every_parameter_has_an_environment_value_of_its_name() -> None:
    assert list(parameters_file()) == list(compiled()["parameters"])
    azd = {"environmentName": "AZURE_ENV_NAME", "location": "AZURE_LOCATION"}
    azd |= {"principalId": "AZURE_PRINCIPAL_ID", "principalType": "AZURE_PRINCIPAL_TYPE"}
    for name, (value, _) in parameters_file().items():
        assert value == azd.get(name, value)
        assert name in azd or name.lower() == value.replace("_", "").lower()


def test_a_new_environment_needs_no_values_but_azds_own() -> None:
    passed = parameters(NEW_ENVIRONMENT)
    assert passed["azureOpenAiModel"] == DEFAULT_MODEL
    with pytest.raises(PromptError, match="location"):
        parameters({"AZURE_ENV_NAME": "test"})


@pytest.mark.parametrize(
    "name",
    [parameters_file()[name][0] for name, each in compiled()["parameters"].items() if each["type"] in {"int", "bool"}],
)
def test_a_value_that_is_not_a_number_is_not_replaced_by_the_default(name: str) -> None:
    # azd drops it; a default in the template would then be deployed without a word.
    with pytest.raises(PromptError):
        parameters(NEW_ENVIRONMENT | {name: "abc"})


def test_azd_down_deletes_no_input_from_the_environment() -> None:
    # It deletes the values of all outputs.
    assert not compiled()["outputs"].keys() & (environment_values().keys() | SET_BY_AZD)


def pipeline_variable(value: str) -> str:
    """As `azd pipeline config` writes it to GitHub: escaped for JSON (`escapeValuesForPipeline` in its pipeline.go)."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


@pytest.mark.parametrize(
    "prompt",
    ['Answer "in short":\nat most 10% of the question\'s length, no C:\\ paths.', "Réponds en français.", "1 + 1 & <b>"],
)
def test_a_system_prompt_is_spelled_the_same_locally_and_in_a_pipeline(prompt: str) -> None:
    spelled = prompt
    for character, code in {"%": "%25", '"': "%22", "\\": "%5C", "\n": "%0A"}.items():
        spelled = spelled.replace(character, code)
    for value in (spelled, pipeline_variable(spelled)):
        passed = parameters(NEW_ENVIRONMENT | {"CHAT_SYSTEM_PROMPT": value})["chatSystemPrompt"]
        assert unquote(str(passed)) == prompt  # `uriComponentToString` in the template


def test_azd_finds_the_app_by_the_services_name() -> None:
    ((name, service),) = load("azure.yaml")["services"].items()
    site = only(deployment("default"), "Microsoft.Web/sites")
    assert site["tags"] == {"azd-env-name": DEPLOYMENTS["default"]["AZURE_ENV_NAME"], "azd-service-name": name}
    assert service == {"project": ".", "language": "python", "host": "function"}


def test_azd_is_new_enough_not_to_delete_a_resource_group_of_something_else() -> None:
    minimum = re.fullmatch(r">= (\d+)\.(\d+)\.(\d+)", load("azure.yaml")["requiredVersions"]["azd"])
    assert minimum
    assert tuple(map(int, minimum.groups())) >= (1, 31, 2)


def test_every_hook_is_a_python_file() -> None:
    hooks = load("azure.yaml")["hooks"]
    files = {str(path.relative_to(APP_DIR)) for path in (APP_DIR / "infra" / "hooks").glob("*.py")}
    assert {hook["run"] for hook in hooks.values()} == files


def test_the_pipeline_gets_every_parameter() -> None:
    pipeline = load("azure.yaml")["pipeline"]
    declared = compiled()["parameters"]
    secure = {value for value, name in environment_values().items() if declared[name]["type"] == "securestring"}
    assert set(pipeline["secrets"]) == secure
    assert set(pipeline["variables"]) == environment_values().keys() - secure - SET_BY_AZD
