"""Sign-in: the deployment, and the script that makes the app registration, with fakes of `az` and `azd`."""

import json
import os
import subprocess
import sys
from ast import parse
from pathlib import Path
from typing import Any

import pytest

from tests.infra.snapshots import DEPLOYMENTS
from tests.infra.template import INFRA, app_settings, compiled, deployment, of_type, properties

CLIENT_ID = DEPLOYMENTS["sign-in"]["SIGN_IN_CLIENT_ID"]
CONFIG = "Microsoft.Web/sites/config"

DEPLOYED = {
    "AZURE_SUBSCRIPTION_ID": "a-subscription",
    "AZURE_FUNCTION_NAME": "func-test",
    "APP_URL": "https://func-test.azurewebsites.net",
    "APP_IDENTITY_PRINCIPAL_ID": "the-identity",
}
CALLBACK = f"{DEPLOYED['APP_URL']}/.auth/login/aad/callback"

# Keep their state in a file, and record the commands that change it.
AZ = """
def option(name):
    return arguments[arguments.index(name) + 1]

def matches(each):
    key, _, value = option("--filter").split(" ", 2)
    return each[key] == value.strip("'")

arguments = arguments[:-2]
match arguments:
    case ["account", "show", *subscription]:
        result = {"tenantId": "a-tenant" if subscription else state["signed in"]}
    case ["ad", "app", "list", *_]:
        result = list(filter(matches, state["apps"]))
    case ["ad", "app", "show", *_]:
        result = next(app for app in state["apps"] if app["appId"] == option("--id"))
    case ["ad", "app", "create", *_]:
        web = {"redirectUris": [], "implicitGrantSettings": {"enableIdTokenIssuance": False}}
        result = {"appId": "new-id", "displayName": option("--display-name"), "web": web}
        state["apps"].append(result)
    case ["ad", "app", "update", *_]:
        web = next(app for app in state["apps"] if app["appId"] == option("--id"))["web"]
        web["redirectUris"] = arguments[arguments.index("--web-redirect-uris") + 1 :]
        web["implicitGrantSettings"]["enableIdTokenIssuance"] = option("--enable-id-token-issuance") == "true"
    case ["ad", "app", "federated-credential", "list", *_]:
        result = state["credentials"]
    case ["ad", "app", "federated-credential", "create" | "update", *_]:
        state["credentials"] = [json.loads(pathlib.Path(option("--parameters")).read_text())]
    case ["ad", "sp", "list", *_]:
        result = list(filter(matches, state["principals"]))
    case ["ad", "sp", "create", *_]:
        state["principals"].append({"appId": option("--id")})
"""
AZD = """
match arguments:
    case ["env", "get-values", "--output", "json"]:
        result = state["values"]
    case ["env", "set", name, value]:
        state["values"][name] = value
"""
FAKE = """#!{python}
import json, pathlib, sys
path = pathlib.Path({state!r})
state, arguments, result = json.loads(path.read_text()), sys.argv[1:], None
{code}
if not {{"list", "show", "get-values"}} & set(arguments):
    state["changes"].append(arguments)
path.write_text(json.dumps(state))
print("" if result is None else json.dumps(result))
"""


class Tenant:
    """A tenant and an azd environment, which fakes of `az` and `azd` change."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self._commands = folder / "bin"
        self._commands.mkdir()
        for name, code in {"az": AZ, "azd": AZD}.items():
            command = self._commands / name
            command.write_text(FAKE.format(python=sys.executable, state=str(self._path), code=code))
            command.chmod(0o755)
        self.state: dict[str, Any] = {
            "values": dict(DEPLOYED),
            "signed in": "a-tenant",
            "apps": [],
            "credentials": [],
            "principals": [],
        }

    def run_script(self) -> "subprocess.CompletedProcess[str]":
        """Runs the script; `state` is then what it made of it, with its `changes`."""
        self._path.write_text(json.dumps(self.state | {"changes": []}))
        environment = os.environ | {"PATH": f"{self._commands}:{os.environ['PATH']}"}
        command = [sys.executable, str(INFRA / "sign_in.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.state = json.loads(self._path.read_text())
        return done


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    return Tenant(tmp_path)


def test_the_script_registers_the_app_without_a_secret(tenant: Tenant) -> None:
    done = tenant.run_script()
    assert done.returncode == 0, done.stderr
    (app,) = tenant.state["apps"]
    assert app["displayName"] == "func-test"
    assert app["web"] == {"redirectUris": [CALLBACK], "implicitGrantSettings": {"enableIdTokenIssuance": True}}
    (credential,) = tenant.state["credentials"]
    assert credential["subject"] == "the-identity"
    assert credential["issuer"] == "https://login.microsoftonline.com/a-tenant/v2.0"
    assert credential["audiences"] == ["api://AzureADTokenExchange"]
    assert tenant.state["principals"] == [{"appId": "new-id"}]
    assert tenant.state["values"]["SIGN_IN_CLIENT_ID"] == "new-id"
    assert not [command for command in tenant.state["changes"] if "credential" in command or "--password" in command]
    assert "azd provision" in done.stdout.splitlines()[-1]


def test_a_second_run_changes_nothing(tenant: Tenant) -> None:
    tenant.run_script()
    done = tenant.run_script()
    assert done.returncode == 0, done.stderr
    assert tenant.state["changes"] == [["env", "set", "SIGN_IN_CLIENT_ID", "new-id"]]
    assert len(done.stdout.splitlines()) == 1


def test_a_registration_of_a_lost_environment_is_found_by_its_name(tenant: Tenant) -> None:
    tenant.run_script()
    del tenant.state["values"]["SIGN_IN_CLIENT_ID"]
    tenant.run_script()
    assert len(tenant.state["apps"]) == 1
    assert tenant.state["values"]["SIGN_IN_CLIENT_ID"] == "new-id"


def test_an_existing_registration_keeps_its_redirect_uris(tenant: Tenant) -> None:
    web = {"redirectUris": ["https://other.example"], "implicitGrantSettings": {"enableIdTokenIssuance": False}}
    tenant.state["apps"].append({"appId": "theirs", "displayName": "Theirs", "web": web})
    tenant.state["values"]["SIGN_IN_CLIENT_ID"] = "theirs"
    assert tenant.run_script().returncode == 0
    (app,) = tenant.state["apps"]
    assert app["web"]["redirectUris"] == ["https://other.example", CALLBACK]


def test_the_identity_of_a_new_deployment_replaces_the_old_one(tenant: Tenant) -> None:
    tenant.run_script()
    tenant.state["values"]["APP_IDENTITY_PRINCIPAL_ID"] = "another-identity"
    tenant.run_script()
    assert [credential["subject"] for credential in tenant.state["credentials"]] == ["another-identity"]


def test_two_registrations_of_the_name_are_an_error(tenant: Tenant) -> None:
    tenant.state["apps"] = [{"appId": name, "displayName": "func-test"} for name in ("one", "two")]
    done = tenant.run_script()
    assert done.returncode == 1
    assert "SIGN_IN_CLIENT_ID" in done.stderr
    assert tenant.state["changes"] == []


def test_another_tenant_is_an_error(tenant: Tenant) -> None:
    tenant.state["signed in"] = "another-tenant"
    done = tenant.run_script()
    assert done.returncode == 1
    assert "az login --tenant a-tenant" in done.stderr
    assert tenant.state["changes"] == []


def test_without_a_deployment_the_script_names_the_missing_value(tenant: Tenant) -> None:
    del tenant.state["values"]["APP_URL"]
    done = tenant.run_script()
    assert done.returncode == 1
    assert "APP_URL is not set" in done.stderr


def test_the_script_runs_on_old_pythons() -> None:
    parse((INFRA / "sign_in.py").read_text(), feature_version=(3, 9))


def test_the_script_reads_outputs_of_the_template() -> None:
    assert DEPLOYED.keys() - {"AZURE_SUBSCRIPTION_ID"} <= compiled()["outputs"].keys()


def authentication() -> dict[str, Any]:
    return properties(deployment("sign-in"), CONFIG)


def test_people_of_the_tenant_sign_in_with_the_registration() -> None:
    settings = authentication()
    assert settings["platform"] == {"enabled": True}
    assert settings["globalValidation"]["requireAuthentication"] is True
    assert settings["globalValidation"]["unauthenticatedClientAction"] == "RedirectToLoginPage"
    provider = settings["identityProviders"]["azureActiveDirectory"]
    assert provider["registration"]["clientId"] == CLIENT_ID
    issuer = "[format('{0}{1}/v2.0', environment().authentication.loginEndpoint, '00000000-0000-0000-0000-000000000002')]"
    assert provider["registration"]["openIdIssuer"] == issuer
    assert provider["validation"]["allowedAudiences"] == [CLIENT_ID, f"api://{CLIENT_ID}"]


def test_the_apps_identity_takes_the_place_of_a_client_secret() -> None:
    settings = app_settings(deployment("sign-in"))
    registration = authentication()["identityProviders"]["azureActiveDirectory"]["registration"]
    assert settings[registration["clientSecretSettingName"]] == settings["AZURE_CLIENT_ID"]
    assert "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID" not in app_settings(deployment("default"))


def test_the_function_key_is_not_needed_with_a_sign_in_and_only_then() -> None:
    assert app_settings(deployment("sign-in"))["CHAT_AUTH_LEVEL"] == "anonymous"
    level = compiled()["variables"]["authLevel"]
    assert level == "[if(empty(parameters('signInClientId')), parameters('chatAuthLevel'), 'anonymous')]"


def test_the_v1_routes_need_no_sign_in_where_the_app_checks_api_keys_and_only_there() -> None:
    assert authentication()["globalValidation"]["excludedPaths"] == ["/api/health"]
    closed, opened = "createArray('/api/health')", "createArray('/api/health', '/api/v1/*')"
    values = f"createObject('value', {closed}), createObject('value', {opened})"
    passed = compiled()["resources"]["signIn"]["properties"]["parameters"]["openPaths"]
    assert passed == f"[if(empty(parameters('chatApiKeys')), {values})]"


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS.keys() - {"sign-in"}))
def test_without_a_registration_nothing_is_configured(name: str) -> None:
    assert not of_type(deployment(name), CONFIG)
