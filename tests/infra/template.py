"""The template as azd deploys it: from an environment's values to resources and outputs."""

import json
import re
from functools import cache
from typing import Any

import yaml

from local.settings import APP_DIR
from tests.infra.bicep import Deployment, Resource, Value, read

MAIN = APP_DIR / "infra" / "main.bicep"
ENVIRONMENT = {
    "AZURE_ENV_NAME": "test",
    "AZURE_LOCATION": "swedencentral",
    "AZURE_PRINCIPAL_ID": "developer",
    "AZURE_OPENAI_EXISTING_ACCOUNT": "theirs",
    "AZURE_OPENAI_EXISTING_RESOURCE_GROUP": "rg-theirs",
    "AZURE_OPENAI_EXISTING_ENDPOINT": "https://elsewhere.openai.azure.com",
    "AZURE_OPENAI_API_KEY": "azure-openai-secret",
    "OPENAI_API_KEY": "openai-secret",
    "OPENAI_BASE_URL": "https://models.example/v1",
    "OPENAI_MODEL": "small",
}
"""A value for everything that one of the model sources needs."""


class PromptError(Exception):
    """azd would prompt for this parameter, or fail with `--no-prompt`."""


def load(path: str) -> Value:
    """A YAML file of the project, every scalar as a string: `on` is a key of workflows, not a boolean."""
    return yaml.load((APP_DIR / path).read_text(), Loader=yaml.BaseLoader)


@cache
def parameters_file() -> dict[str, tuple[str, str]]:
    """For each parameter the name of its environment value, and the default, which may be empty."""
    found = {}
    for name, entry in json.loads((APP_DIR / "infra" / "main.parameters.json").read_text())["parameters"].items():
        match = re.fullmatch(r"\$\{(\w+)(?:=(.+))?\}", entry["value"])
        assert match, f"{name}: {entry['value']}"
        found[name] = match[1], match[2] or ""
    return found


def parameters(environment: dict[str, str]) -> dict[str, Value]:
    """The parameters that azd passes, as in its `bicep_provider.go` (`loadParameters`, `ensureParameters`).

    A value is pasted into the JSON text of its parameter; a set but empty one counts as not set. A number or boolean that
    does not parse is dropped. Raises `PromptError` for a missing parameter without a default, `ValueError` for a value that
    breaks the JSON.
    """
    passed = {}
    for name, (key, default) in parameters_file().items():
        declared = read(MAIN).parameters[name]
        value = json.loads(f'"{environment.get(key) or default}"')
        if declared.type == "int":
            value = int(value) if re.fullmatch(r"[+-]?\d+", value) else None
        elif declared.type == "bool":
            value = {"true": True, "false": False}.get(value)
        if value not in {None, ""}:
            passed[name] = value
        elif declared.default is None:
            raise PromptError(name)
    return passed


def deploy(**environment: str) -> Deployment:
    """What `azd provision` deploys with these environment values over `ENVIRONMENT`."""
    return Deployment(MAIN, parameters(ENVIRONMENT | environment))


def of_type(deployment: Deployment, kind: str) -> list[Resource]:
    """The deployed resources of this type."""
    return [resource for resource in deployment.resources() if resource.type == kind and not resource.existing]


def properties(deployment: Deployment, kind: str) -> dict[str, Any]:
    """The properties of the only resource of this type."""
    (resource,) = of_type(deployment, kind)
    found: dict[str, Any] = resource.body["properties"]
    return found


def app_settings(deployment: Deployment) -> dict[str, str]:
    """The application settings of the function app."""
    settings = properties(deployment, "Microsoft.Web/sites")["siteConfig"]["appSettings"]
    assert len({setting["name"] for setting in settings}) == len(settings)
    return {setting["name"]: setting["value"] for setting in settings}
