"""Deployments worth testing, and what Microsoft's Bicep compiler predicts for them: `make infra` writes infra/snapshots.

Each deployment has a parameter file, made from main.parameters.json as azd does it, and the compiler's snapshot. main.json
is the compiled template, digest.txt says which sources and files belong together.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from tests.infra.template import INFRA, SNAPSHOTS, compiled, parameters

_AZD = {"AZURE_ENV_NAME": "test", "AZURE_LOCATION": "swedencentral", "AZURE_PRINCIPAL_ID": "developer"}
_EXISTING = {
    "MODEL_SOURCE": "existing",
    "AZURE_OPENAI_EXISTING_ACCOUNT": "theirs",
    "AZURE_OPENAI_EXISTING_RESOURCE_GROUP": "rg-theirs",
}
_KEYS = {"CHAT_API_KEYS": "alice=0123456789abcdefghij"}

DEPLOYMENTS: dict[str, dict[str, str]] = {
    "default": _AZD,
    "backend": _AZD | _KEYS | {"NETWORK_ACCESS": "backend", "CHAT_DAILY_TOKENS_PER_CLIENT": "100000"},
    "private": _AZD | {"NETWORK_ACCESS": "private", "ASSIGN_DEVELOPER_ROLE": "false", "OPENAI_API_KEY": "of-another-source"},
    "existing": _AZD | _EXISTING | {"NETWORK_ACCESS": "backend"},
    "existing-in-a-pipeline": _AZD | _EXISTING | {"AZURE_PRINCIPAL_TYPE": "ServicePrincipal"},
    "endpoint": _AZD
    | {
        "MODEL_SOURCE": "endpoint",
        "AZURE_OPENAI_EXISTING_ENDPOINT": "https://elsewhere.openai.azure.com",
        "AZURE_OPENAI_API_KEY": "azure-openai-secret",
        "NETWORK_ACCESS": "private",
    },
    "openai": _AZD
    | {
        "MODEL_SOURCE": "openai",
        "OPENAI_API_KEY": "openai-secret",
        "OPENAI_BASE_URL": "https://models.example/v1",
        "OPENAI_MODEL": "small",
        "OPENAI_RESPONSES_API": "true",
    },
    "sign-in": _AZD | {"SIGN_IN_CLIENT_ID": "00000000-0000-0000-0000-000000000003"},
    "tuned": _AZD
    | {
        "AZURE_OPENAI_LOCATION": "eastus2",
        "AZURE_OPENAI_MODEL": "m",
        "AZURE_OPENAI_MODEL_VERSION": "v",
        "AZURE_OPENAI_MODEL_FORMAT": "Mistral AI",
        "AZURE_OPENAI_SKU": "Standard",
        "AZURE_OPENAI_CAPACITY": "5",
        "AZURE_OPENAI_CHAT_DEPLOYMENT": "mine",
        "CHAT_SYSTEM_PROMPT": "You are a %22pirate%22.%0AAnswer in one sentence.",
        "CHAT_MAX_COMPLETION_TOKENS": "500",
        "CHAT_REASONING_EFFORT": "none",
        "CHAT_TIMEOUT": "30",
        "CHAT_MAX_MESSAGES": "7",
        "CHAT_MAX_REQUEST_BYTES": "4096",
        "CHAT_DAILY_TOKENS": "5000000",
        "CHAT_DAILY_TOKENS_PER_CLIENT": "200000",
        "CHAT_AUTH_LEVEL": "anonymous",
        "CORS_ALLOWED_ORIGINS": "https://a.example, https://b.example",
        "ALERT_EMAIL": "operator@example.com",
        "MONTHLY_BUDGET": "50",
        "MONTHLY_BUDGET_START": "2026-12-01",
        "LOG_RETENTION_DAYS": "90",
        "LOG_DAILY_CAP_GB": "1",
        "REQUESTS_PER_INSTANCE": "250",
        "INSTANCE_MEMORY_MB": "4096",
        "MAXIMUM_INSTANCES": "5",
        "ALWAYS_READY_INSTANCES": "2",
        "SITE_UPDATE_STRATEGY": "RollingUpdate",
    },
}
"""The environment's values of each deployment, by its name."""

# Not those of the machine: they are part of ids and hashed names.
_FIXED = [
    *("--subscription-id", "00000000-0000-0000-0000-000000000001"),
    *("--tenant-id", "00000000-0000-0000-0000-000000000002"),
    *("--location", "swedencentral"),
    *("--deployment-name", "test"),
]


def find_compiler() -> str | None:
    """The Bicep CLI: `BICEP`, the one on the path, or the one that azd or the Azure CLI has installed."""
    installed = [Path.home() / folder / "bin" / "bicep" for folder in (".azd", ".azure")]
    candidates = [os.environ.get("BICEP", "bicep"), *map(str, installed)]
    return next(filter(None, map(shutil.which, candidates)), None)


def is_version_of_the_snapshots(bicep: str) -> bool:
    """Whether this compiler wrote the snapshots: other versions may write them differently."""
    version = run(bicep, "--version").split()[3]
    written_by: str = compiled()["metadata"]["_generator"]["version"]
    return written_by.startswith(f"{version}.")


def run(bicep: str, *arguments: str | Path) -> str:
    """Runs the compiler; raises `CalledProcessError`, after its messages have been written to standard error."""
    return subprocess.run([bicep, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def build(bicep: str) -> str:
    """The compiled template."""
    return run(bicep, "build", INFRA / "main.bicep", "--stdout")


def write_snapshot(bicep: str, name: str) -> None:
    """Writes the snapshot of a deployment, with its outputs in a fixed order: the compiler's differs from run to run."""
    run(bicep, "snapshot", SNAPSHOTS / f"{name}.bicepparam", "--mode", "overwrite", *_FIXED)
    path = SNAPSHOTS / f"{name}.snapshot.json"
    content = json.loads(path.read_text())
    content["outputs"] = dict(sorted(content["outputs"].items()))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def validate_snapshot(bicep: str, name: str) -> None:
    """Compares the snapshot with a new one; raises `CalledProcessError` if they differ."""
    run(bicep, "snapshot", SNAPSHOTS / f"{name}.bicepparam", "--mode", "validate", *_FIXED)


def parameter_file(environment: dict[str, str]) -> str:
    """The parameters that azd passes for these values, in Bicep."""
    lines = (f"param {name} = {_literal(value)}\n" for name, value in parameters(environment).items())
    return "using '../main.bicep'\n\n" + "".join(lines)


def _literal(value: str | int | bool) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    escaped = re.sub(r"['\\]|\$(?=\{)", r"\\\g<0>", value).replace("\n", "\\n")
    return f"'{escaped}'"


def digest() -> str:
    """A hash of what the compiler reads and what it has written."""
    hashed = sha256()
    for path in sorted(_files()):
        hashed.update(f"{path.relative_to(INFRA).as_posix()}\n{path.read_text()}\n".encode())
    return hashed.hexdigest()


def _files() -> Iterator[Path]:
    yield INFRA / "bicepconfig.json"
    for pattern in ("**/*.bicep", "**/*.kql", "snapshots/*.bicepparam", "snapshots/*.json"):
        yield from INFRA.glob(pattern)


def main() -> None:
    """Lints and compiles the template, and writes infra/snapshots."""
    bicep = find_compiler()
    if bicep is None:
        sys.exit("There is no Bicep CLI on the path: `az bicep install`, or `make infra BICEP=path`.")
    run(bicep, "lint", INFRA / "main.bicep")
    shutil.rmtree(SNAPSHOTS, ignore_errors=True)
    SNAPSHOTS.mkdir()
    (SNAPSHOTS / "main.json").write_text(build(bicep))
    for name, environment in DEPLOYMENTS.items():
        (SNAPSHOTS / f"{name}.bicepparam").write_text(parameter_file(environment))
        write_snapshot(bicep, name)
        sys.stdout.write(f"{name}\n")
    (SNAPSHOTS / "digest.txt").write_text(f"{digest()}\n")


if __name__ == "__main__":
    main()
