"""Makes the app registration with which people sign in, and sets SIGN_IN_CLIENT_ID in the azd environment.

Run it after `azd provision`, and then `azd provision` again. It changes only what is missing, and may be run again. An
existing registration is used if the environment names it (`azd env set SIGN_IN_CLIENT_ID`). The Azure CLI must be signed in
to the deployment's tenant, as someone who may register applications.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CREDENTIAL = "app-identity"


def run(program: str, *arguments: str) -> str:
    """The command's output; exits with its message if it fails."""
    # On Windows the Azure CLI is a script, which only its full name starts.
    path = shutil.which(program) or sys.exit(f"{program} is not installed.")
    done = subprocess.run([path, *arguments], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        sys.exit(f"`{program} {' '.join(arguments)}` failed.")
    return done.stdout


def az(*arguments: str) -> Any:  # noqa: ANN401 - any JSON value
    """The result of a command of the Azure CLI; None if it prints nothing."""
    output = run("az", *arguments, "--output", "json")
    return json.loads(output) if output.strip() else None


def report(text: str) -> None:
    """Prints what is done next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def find_tenant(subscription: str) -> str:
    """The subscription's tenant; exits if the Azure CLI is signed in to another one."""
    tenant: str = az("account", "show", "--subscription", subscription)["tenantId"]
    if az("account", "show")["tenantId"] != tenant:
        sys.exit(f"The Azure CLI is signed in to another tenant: az login --tenant {tenant}")
    return tenant


def find_or_create_registration(name: str) -> str:
    """The client id of the registration of this name, which is new if there was none."""
    found = az("ad", "app", "list", "--filter", f"displayName eq '{name}'")
    if len(found) > 1:
        sys.exit(f"There are {len(found)} registrations named {name}: set SIGN_IN_CLIENT_ID to the client id of one.")
    if found:
        return str(found[0]["appId"])
    report(f"Creates the app registration {name}, for accounts of this tenant.")
    create = ["ad", "app", "create", "--display-name", name, "--sign-in-audience", "AzureADMyOrg"]
    return str(az(*create, "--requested-access-token-version", "2")["appId"])


def allow_redirect(client_id: str, url: str) -> None:
    """Adds the redirect URI of App Service authentication, and allows the ID tokens that it requests."""
    web = az("ad", "app", "show", "--id", client_id)["web"]
    uris = web["redirectUris"]
    if url not in uris or not web["implicitGrantSettings"]["enableIdTokenIssuance"]:
        report(f"Adds the redirect URI {url}, and enables ID tokens.")
        update = ["ad", "app", "update", "--id", client_id, "--enable-id-token-issuance", "true"]
        az(*update, "--web-redirect-uris", *dict.fromkeys([*uris, url]))


def trust_identity(client_id: str, tenant: str, principal: str) -> None:
    """Lets the app's managed identity act for the registration, in place of a client secret."""
    credentials = az("ad", "app", "federated-credential", "list", "--id", client_id)
    current = next((each for each in credentials if each["name"] == CREDENTIAL), None)
    if current and current["subject"] == principal:
        return
    report("Makes the registration trust the app's managed identity.")
    parameters = {
        "name": CREDENTIAL,
        "issuer": f"https://login.microsoftonline.com/{tenant}/v2.0",
        "subject": principal,
        "audiences": ["api://AzureADTokenExchange"],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "credential.json"
        path.write_text(json.dumps(parameters), encoding="utf-8")
        change = ["update", "--federated-credential-id", CREDENTIAL] if current else ["create"]
        az("ad", "app", "federated-credential", *change, "--id", client_id, "--parameters", str(path))


def add_to_tenant(client_id: str) -> None:
    """Adds the enterprise application, to which people and groups can be assigned."""
    if not az("ad", "sp", "list", "--filter", f"appId eq '{client_id}'"):
        report("Adds the enterprise application.")
        az("ad", "sp", "create", "--id", client_id)


def main() -> None:
    """Exits with an error where the deployment has not set the values."""
    values = json.loads(run("azd", "env", "get-values", "--output", "json"))
    try:
        subscription, name = values["AZURE_SUBSCRIPTION_ID"], values["AZURE_FUNCTION_NAME"]
        url, principal = values["APP_URL"], values["APP_IDENTITY_PRINCIPAL_ID"]
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set: run `azd provision` first.")
    tenant = find_tenant(subscription)
    client_id = values.get("SIGN_IN_CLIENT_ID") or find_or_create_registration(name)
    allow_redirect(client_id, f"{url}/.auth/login/aad/callback")
    trust_identity(client_id, tenant, principal)
    add_to_tenant(client_id)
    run("azd", "env", "set", "SIGN_IN_CLIENT_ID", client_id)
    report(f"SIGN_IN_CLIENT_ID is {client_id}. Run `azd provision` to turn the sign-in on.")


if __name__ == "__main__":
    main()
