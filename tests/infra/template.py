"""The template as azd and the compiler see it: parameters from an environment's values, and the files in infra/snapshots."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from local.settings import APP_DIR

INFRA = APP_DIR / "infra"
SNAPSHOTS = INFRA / "snapshots"

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "a97b65f3-24c7-4388-baec-2e87135dc908": "Cognitive Services User",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
}

type Resource = dict[str, Any]


class PromptError(Exception):
    """azd would prompt for this parameter, or fail with `--no-prompt`."""


@dataclass(frozen=True)
class Deployment:
    """What the compiler predicts. A value that is known only after deployment is an expression in brackets."""

    resources: list[Resource]
    outputs: dict[str, Any]


def load(path: str) -> Any:
    """A YAML file of the project, every scalar as a string: `on` is a key of workflows, not a boolean."""
    return yaml.load((APP_DIR / path).read_text(), Loader=yaml.BaseLoader)


@cache
def compiled() -> dict[str, Any]:
    """The compiled template: the declarations, and the expressions that a snapshot no longer has."""
    template: dict[str, Any] = json.loads((SNAPSHOTS / "main.json").read_text())
    return template


@cache
def parameters_file() -> dict[str, tuple[str, str]]:
    """For each parameter the name of its environment value, and the default, which may be empty."""
    found = {}
    for name, entry in json.loads((INFRA / "main.parameters.json").read_text())["parameters"].items():
        match = re.fullmatch(r"\$\{(\w+)(?:=(.+))?\}", entry["value"])
        assert match, f"{name}: {entry['value']}"
        found[name] = match[1], match[2] or ""
    return found


def parameters(environment: dict[str, str]) -> dict[str, str | int | bool]:
    """The parameters that azd passes, as in its `bicep_provider.go` (`loadParameters`, `ensureParameters`).

    A value is pasted into the JSON text of its parameter; a set but empty one counts as not set. A number or boolean that
    does not parse is dropped. Raises `PromptError` for a missing parameter without a default, `ValueError` for a value that
    breaks the JSON.
    """
    passed = {}
    for name, (key, default) in parameters_file().items():
        declared = compiled()["parameters"][name]
        value = json.loads(f'"{environment.get(key) or default}"')
        if declared["type"] == "int":
            value = int(value) if re.fullmatch(r"[+-]?\d+", value) else None
        elif declared["type"] == "bool":
            value = {"true": True, "false": False}.get(value)
        if value not in {None, ""}:
            passed[name] = value
        elif "defaultValue" not in declared:
            raise PromptError(name)
    return passed


@cache
def deployment(name: str) -> Deployment:
    """The snapshot of this deployment."""
    snapshot = json.loads((SNAPSHOTS / f"{name}.snapshot.json").read_text())
    return Deployment(snapshot["predictedResources"], snapshot["outputs"])


def of_type(deployed: Deployment, kind: str) -> list[Resource]:
    """The resources of this type, including those whose condition is an expression."""
    return [resource for resource in deployed.resources if resource["type"] == kind]


def only(deployed: Deployment, kind: str) -> Resource:
    """The only resource of this type."""
    (resource,) = of_type(deployed, kind)
    return resource


def properties(deployed: Deployment, kind: str) -> dict[str, Any]:
    """The properties of the only resource of this type."""
    found: dict[str, Any] = only(deployed, kind)["properties"]
    return found


def app_settings(deployed: Deployment) -> dict[str, str]:
    """The application settings of the function app."""
    settings = properties(deployed, "Microsoft.Web/sites")["siteConfig"]["appSettings"]
    assert len({setting["name"] for setting in settings}) == len(settings)
    return {setting["name"]: setting["value"] for setting in settings}


def scope(resource: Resource) -> str:
    """The id of the resource that a role assignment or a diagnostic setting is attached to."""
    identifier = re.sub(r"^\[extensionResourceId\('([^']+)'.*", r"\1", resource["id"])
    return identifier.rpartition("/providers/")[0] if identifier == resource["id"] else identifier
