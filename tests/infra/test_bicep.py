"""The Bicep, held against the code that it deploys and against what Flex Consumption allows."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from chat.settings import Settings
from tests.infra.bicep import BicepError, Deployment, Resource, Value, identifiers, read

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = ROOT / "infra" / "main.bicep"
GIVEN: dict[str, Any] = {
    "environmentName": "test",
    "location": "swedencentral",
    "principalId": "developer",
    "azureOpenAiExistingAccount": "theirs",
    "azureOpenAiExistingResourceGroup": "rg-theirs",
    "azureOpenAiExistingEndpoint": "https://elsewhere.openai.azure.com",
    "azureOpenAiApiKey": "azure-openai-secret",
    "openAiApiKey": "openai-secret",
    "openAiBaseUrl": "https://models.example/v1",
    "openAiModel": "small",
}
SOURCES = ["new", "existing", "endpoint", "openai"]
NETWORKS = ["public", "backend", "private"]

APP_IDENTITY = "<identity.properties.principalId>"
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Storage Blob Data Owner", "Microsoft.Storage/storageAccounts"),
    "3913510d-42f4-4e42-8a64-420c390055eb": ("Monitoring Metrics Publisher", "Microsoft.Insights/components"),
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": ("Cognitive Services OpenAI User", "Microsoft.CognitiveServices/accounts"),
    "4633458b-17de-408a-874b-0445c86b69e6": ("Key Vault Secrets User", "Microsoft.KeyVault/vaults"),
}

# What the Functions host and Application Insights document for Flex Consumption with identities.
PLATFORM_SETTINGS = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
FORBIDDEN_SETTINGS = re.compile(
    "FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|FUNCTIONS_WORKER_PROCESS_COUNT|SCM_DO_BUILD_DURING_DEPLOYMENT"
    "|ENABLE_ORYX_BUILD|WEBSITE_RUN_FROM_PACKAGE|WEBSITE_CONTENT.*|AzureWebJobsStorage|AzureWebJobsDashboard"
)
FORBIDDEN_SITE_CONFIG = {"linuxFxVersion", "ftpsState", "functionAppScaleLimit", "appSettings", "alwaysOn"}


def deploy(**parameters: object) -> Deployment:
    return Deployment(MAIN, GIVEN | parameters)


def of_type(deployment: Deployment, kind: str) -> list[Resource]:
    return [resource for resource in deployment.resources() if resource.type == kind and not resource.existing]


def the(deployment: Deployment, kind: str) -> Value:
    (resource,) = of_type(deployment, kind)
    return resource.body["properties"]


def app_settings(deployment: Deployment) -> dict[str, str]:
    settings: dict[str, str] = the(deployment, "Microsoft.Web/sites/config")
    return settings


def contract_settings() -> set[str]:
    return {name.upper() for name, field in Settings.model_fields.items() if not field.exclude}


@pytest.fixture(params=itertools.product(SOURCES, NETWORKS, ["", "secret"]), ids=lambda way: "-".join(filter(None, way)))
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Every source of the model, in every network, with and without keys in the environment."""
    source, network, key = request.param
    return deploy(modelSource=source, networkAccess=network, openAiApiKey=key, azureOpenAiApiKey=key)


@pytest.mark.parametrize("path", sorted((ROOT / "infra").rglob("*.bicep")), ids=lambda path: path.name)
def test_each_file_parses_and_uses_all_that_it_declares(path: Path) -> None:
    template = read(path)
    bodies = [declared.body for declared in (*template.resources.values(), *template.modules.values())]
    conditions = [d.condition for d in (*template.resources.values(), *template.modules.values()) if d.condition]
    used = {
        name
        for node in (*bodies, *conditions, *template.variables.values(), *template.outputs.values())
        for name in identifiers(node)
    }
    assert not (template.parameters.keys() | template.variables.keys()) - used
    modules = [path.parent / module.kind for module in template.modules.values()]
    assert all(module.is_file() for module in modules), "plain files: no registry is needed to compile"


def test_every_module_is_used() -> None:
    used = {MAIN}
    for path in (ROOT / "infra").rglob("*.bicep"):
        used |= {(path.parent / module.kind).resolve() for module in read(path).modules.values()}
    assert set((ROOT / "infra").rglob("*.bicep")) == used


def test_every_setting_is_one_that_somebody_reads(deployment: Deployment) -> None:
    settings = app_settings(deployment)
    assert settings.keys() == contract_settings() | PLATFORM_SETTINGS
    assert not [name for name in settings if FORBIDDEN_SETTINGS.fullmatch(name)]
    assert all(isinstance(value, str) for value in settings.values())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("key", ["", "a-key"])
def test_the_app_accepts_the_settings(source: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = app_settings(
        deploy(modelSource=source, openAiApiKey=key, azureOpenAiApiKey=key, chatTimeout="30", chatMaxMessages="7")
    )
    for name in contract_settings():
        known = settings[name].replace("<account.properties.endpoint>", "https://oai.openai.azure.com/")
        monkeypatch.setenv(name, re.sub("<.*?>", "resource", known))
    read_by_the_app = Settings()
    assert read_by_the_app.provider == ("compatible" if source == "openai" else "azure")
    assert read_by_the_app.model == ("small" if source == "openai" else "chat")
    assert (read_by_the_app.chat_timeout, read_by_the_app.chat_max_messages) == (30, 7)
    held = {"endpoint": read_by_the_app.azure_openai_api_key, "openai": read_by_the_app.openai_api_key}
    assert bool(held.get(source)) == (source in held and key != "")


@pytest.mark.parametrize(
    ("setting", "source", "parameter"),
    [
        ("AZURE_OPENAI_ENDPOINT", "endpoint", "azureOpenAiExistingEndpoint"),
        ("AZURE_OPENAI_CHAT_DEPLOYMENT", "new", "azureOpenAiChatDeployment"),
        ("OPENAI_BASE_URL", "openai", "openAiBaseUrl"),
        ("OPENAI_MODEL", "openai", "openAiModel"),
        ("CHAT_SYSTEM_PROMPT", "new", "chatSystemPrompt"),
        ("CHAT_MAX_COMPLETION_TOKENS", "new", "chatMaxCompletionTokens"),
        ("CHAT_TIMEOUT", "new", "chatTimeout"),
        ("CHAT_MAX_MESSAGES", "new", "chatMaxMessages"),
        ("CHAT_MAX_REQUEST_BYTES", "new", "chatMaxRequestBytes"),
    ],
)
def test_a_parameter_becomes_its_setting(setting: str, source: str, parameter: str) -> None:
    assert app_settings(deploy(modelSource=source, **{parameter: "7"}))[setting] == "7"


def test_those_are_all_settings_but_keys_and_identity() -> None:
    (cases,) = test_a_parameter_becomes_its_setting.pytestmark  # type: ignore[attr-defined]
    tested = {setting for setting, _, _ in cases.args[1]}
    assert contract_settings() - tested == {"AZURE_OPENAI_API_KEY", "OPENAI_API_KEY", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"}


def test_keys_are_held_in_the_vault_and_referred_to() -> None:
    for source, setting, secret in [
        ("endpoint", "AZURE_OPENAI_API_KEY", "azure-openai"),
        ("openai", "OPENAI_API_KEY", "openai"),
    ]:
        deployment = deploy(modelSource=source)
        (held,) = of_type(deployment, "Microsoft.KeyVault/vaults/secrets")
        assert held.body["properties"]["value"] == f"{secret}-secret"
        reference = f"@Microsoft.KeyVault(VaultName=kv-abcdefghijklm;SecretName={held.name})"
        assert app_settings(deployment)[setting] == reference
        assert the(deployment, "Microsoft.Web/sites")["keyVaultReferenceIdentity"].endswith("/id-abcdefghijklm")
    assert not of_type(deploy(modelSource="new"), "Microsoft.KeyVault/vaults"), "a stray key in the shell must go nowhere"


def test_no_secret_leaves_the_vault(deployment: Deployment) -> None:
    assert "secret" not in json.dumps(list(deployment.outputs.values()))
    holders = {resource.type for resource in deployment.resources() if "-secret" in json.dumps(resource.body)}
    assert holders <= {"Microsoft.KeyVault/vaults/secrets"}


@pytest.mark.parametrize("path", sorted((ROOT / "infra").rglob("*.bicep")), ids=lambda path: path.name)
def test_no_output_is_made_of_a_key(path: Path) -> None:
    template = read(path)
    secure = {name for name, parameter in template.parameters.items() if parameter.secure}
    for node in template.outputs.values():
        names = set(identifiers(node))
        assert not names & secure
        assert not any(name.startswith("list") for name in names)
        assert "ConnectionString" not in str(node.text)


def test_whatever_is_a_key_is_a_secure_parameter() -> None:
    for path in (ROOT / "infra").rglob("*.bicep"):
        for name, parameter in read(path).parameters.items():
            assert parameter.secure == name.endswith("ApiKey"), f"{path.name}: {name}"
            assert not (parameter.secure and parameter.default is not None and parameter.default.named_children)


def test_each_role_is_a_known_one_on_one_resource(deployment: Deployment) -> None:
    for role in of_type(deployment, "Microsoft.Authorization/roleAssignments"):
        definition = role.body["properties"]["roleDefinitionId"]
        name, kind = ROLES[definition.removeprefix("/Microsoft.Authorization/roleDefinitions/")]
        assert str(role.scope).startswith(f"/{kind}/"), name
        principal = role.body["properties"]["principalId"], role.body["properties"]["principalType"]
        developer = principal == ("developer", "User")
        assert principal == (APP_IDENTITY, "ServicePrincipal") or (developer and name == "Cognitive Services OpenAI User")


def test_who_gets_which_role() -> None:
    def granted(deployment: Deployment) -> set[tuple[str, str]]:
        return {
            (
                role.body["properties"]["principalId"],
                ROLES[role.body["properties"]["roleDefinitionId"].rpartition("/")[2]][0],
            )
            for role in of_type(deployment, "Microsoft.Authorization/roleAssignments")
        }

    always = {(APP_IDENTITY, "Storage Blob Data Owner"), (APP_IDENTITY, "Monitoring Metrics Publisher")}
    asking = {(APP_IDENTITY, "Cognitive Services OpenAI User"), ("developer", "Cognitive Services OpenAI User")}
    vault = {(APP_IDENTITY, "Key Vault Secrets User")}
    assert granted(deploy(modelSource="new")) == always | asking
    assert granted(deploy(modelSource="existing")) == always | asking
    assert granted(deploy(modelSource="endpoint")) == always | vault
    assert granted(deploy(modelSource="openai", openAiApiKey="")) == always
    pipeline = granted(deploy(principalType="ServicePrincipal"))
    assert pipeline == always | asking - {("developer", "Cognitive Services OpenAI User")}


def test_the_app_is_on_flex_consumption() -> None:
    deployment = deploy(alwaysReadyInstances=2, chatsPerInstance=250, instanceMemoryMB=4096, maximumInstances=50)
    (plan,) = of_type(deployment, "Microsoft.Web/serverfarms")
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan.body["properties"] == {"reserved": True}
    (site,) = of_type(deployment, "Microsoft.Web/sites")
    identity = "/Microsoft.ManagedIdentity/userAssignedIdentities/id-abcdefghijklm"
    assert site.body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    config = site.body["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (ROOT / ".python-version").read_text().strip()}
    package = config["deployment"]["storage"]
    assert package["value"] == "<storage.properties.primaryEndpoints.blob>app-package"
    assert package["authentication"] == {"type": "UserAssignedIdentity", "userAssignedIdentityResourceId": identity}
    (container,) = of_type(deployment, "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert package["value"].endswith(container.name)
    assert config["scaleAndConcurrency"] == {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 50,
        "alwaysReady": [{"name": "http", "instanceCount": 2}],
        "triggers": {"http": {"perInstanceConcurrency": 250}},
    }
    assert not site.body["properties"]["siteConfig"].keys() & FORBIDDEN_SITE_CONFIG


def test_by_default_an_instance_serves_many_chats_and_an_idle_app_has_none() -> None:
    scale = the(deploy(), "Microsoft.Web/sites")["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["triggers"]["http"]["perInstanceConcurrency"] == 100, "the platform's own default for Python is 1"
    assert (scale["instanceMemoryMB"], scale["maximumInstanceCount"], scale["alwaysReady"]) == (2048, 40, [])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("instanceMemoryMB", 1024),
        ("maximumInstances", 39),
        ("maximumInstances", 1001),
        ("chatsPerInstance", 0),
        ("chatsPerInstance", 1001),
        ("alwaysReadyInstances", -1),
        ("azureOpenAiCapacity", 0),
        ("modelSource", "elsewhere"),
        ("networkAccess", "closed"),
        ("environmentName", ""),
        ("location", ""),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameter: str, value: object) -> None:
    with pytest.raises(BicepError, match=parameter):
        deploy(**{parameter: value})


def test_nothing_is_reached_without_tls_or_with_a_password(deployment: Deployment) -> None:
    storage = the(deployment, "Microsoft.Storage/storageAccounts")
    assert storage["allowSharedKeyAccess"] is False
    assert storage["allowBlobPublicAccess"] is False
    assert storage["supportsHttpsTrafficOnly"] is True
    assert storage["minimumTlsVersion"] == "TLS1_2"
    site = the(deployment, "Microsoft.Web/sites")
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == "1.2"
    assert the(deployment, "Microsoft.Insights/components")["DisableLocalAuth"] is True
    assert the(deployment, "Microsoft.OperationalInsights/workspaces")["features"]["disableLocalAuth"] is True
    policies = of_type(deployment, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {policy.name: policy.body["properties"]["allow"] for policy in policies} == {"ftp": False, "scm": False}
    for account in of_type(deployment, "Microsoft.CognitiveServices/accounts"):
        assert account.body["properties"]["disableLocalAuth"] is True
        assert account.body["properties"]["customSubDomainName"] == account.name
    for vault in of_type(deployment, "Microsoft.KeyVault/vaults"):
        assert vault.body["properties"]["enableRbacAuthorization"] is True


def test_a_new_model_is_deployed_as_the_parameters_say() -> None:
    deployment = deploy(
        azureOpenAiLocation="eastus2", azureOpenAiModel="m", azureOpenAiModelVersion="v", azureOpenAiCapacity=5
    )
    (account,) = of_type(deployment, "Microsoft.CognitiveServices/accounts")
    assert (account.body["kind"], account.body["location"]) == ("OpenAI", "eastus2")
    (model,) = of_type(deployment, "Microsoft.CognitiveServices/accounts/deployments")
    assert model.name == app_settings(deployment)["AZURE_OPENAI_CHAT_DEPLOYMENT"]
    assert model.body["sku"] == {"name": "GlobalStandard", "capacity": 5}
    assert model.body["properties"]["model"] == {"format": "OpenAI", "name": "m", "version": "v"}
    assert app_settings(deployment)["AZURE_OPENAI_ENDPOINT"] == "<account.properties.endpoint>"


def test_an_existing_model_is_used_where_it_is() -> None:
    deployment = deploy(modelSource="existing")
    assert not of_type(deployment, "Microsoft.CognitiveServices/accounts")
    accounts = [r for r in deployment.resources() if r.type == "Microsoft.CognitiveServices/accounts"]
    assert {(account.name, account.scope) for account in accounts} == {
        ("theirs", "/Microsoft.Resources/resourceGroups/rg-theirs")
    }
    endpoint = "https://<account.properties.customSubDomainName>.openai.azure.com/"
    assert deployment.outputs["AZURE_OPENAI_ENDPOINT"] == app_settings(deployment)["AZURE_OPENAI_ENDPOINT"] == endpoint


def test_origins_are_listed_one_by_one() -> None:
    cors = the(deploy(corsAllowedOrigins="https://a.example, https://b.example"), "Microsoft.Web/sites")["siteConfig"][
        "cors"
    ]
    assert cors == {"allowedOrigins": ["https://a.example", "https://b.example"], "supportCredentials": False}
    assert the(deploy(), "Microsoft.Web/sites")["siteConfig"]["cors"]["allowedOrigins"] == []


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_door_that_is_shut_has_a_private_endpoint(source: str, network: str) -> None:
    deployment = deploy(modelSource=source, networkAccess=network)
    doors = {
        f"/{resource.type}/{resource.name}": resource.body["properties"]["publicNetworkAccess"]
        for resource in deployment.resources()
        if not resource.existing and "publicNetworkAccess" in resource.body.get("properties", {})
    }
    inside = {
        connection["properties"]["privateLinkServiceId"]
        for endpoint in of_type(deployment, "Microsoft.Network/privateEndpoints")
        for connection in endpoint.body["properties"]["privateLinkServiceConnections"]
    }
    site = next(name for name in doors if name.startswith("/Microsoft.Web/sites/"))
    assert {name for name, door in doors.items() if door == "Disabled"} == inside
    assert (doors[site] == "Disabled") == (network == "private")
    assert all((door == "Disabled") == (network != "public") for name, door in doors.items() if name != site)
    assert len(of_type(deployment, "Microsoft.Network/privateDnsZones")) == len(inside)


def test_the_app_joins_a_subnet_that_flex_consumption_accepts() -> None:
    deployment = deploy(networkAccess="backend")
    network, subnet = the(deployment, "Microsoft.Web/sites")["virtualNetworkSubnetId"].split("/subnets/")
    (virtual_network,) = of_type(deployment, "Microsoft.Network/virtualNetworks")
    assert network == f"/Microsoft.Network/virtualNetworks/{virtual_network.name}"
    subnets = {each["name"]: each["properties"] for each in virtual_network.body["properties"]["subnets"]}
    assert subnets[subnet]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in subnet
    for endpoint in of_type(deployment, "Microsoft.Network/privateEndpoints"):
        assert endpoint.body["properties"]["subnet"]["id"].split("/subnets/")[1] in subnets.keys() - {subnet}
    assert the(deploy(), "Microsoft.Web/sites")["virtualNetworkSubnetId"] is None


def test_diagnostics_go_to_the_workspace(deployment: Deployment) -> None:
    watched = {str(resource.scope) for resource in of_type(deployment, "Microsoft.Insights/diagnosticSettings")}
    kinds = ("Microsoft.Web/sites", "Microsoft.CognitiveServices/accounts", "Microsoft.KeyVault/vaults")
    for resource in deployment.resources():
        if resource.type in kinds and not resource.existing:
            assert f"/{resource.type}/{resource.name}" in watched
    for resource in of_type(deployment, "Microsoft.Insights/diagnosticSettings"):
        assert resource.body["properties"]["workspaceId"] == "/Microsoft.OperationalInsights/workspaces/log-abcdefghijklm"


def test_names_fit_the_services() -> None:
    deployment = deploy(modelSource="openai")
    (storage,) = of_type(deployment, "Microsoft.Storage/storageAccounts")
    assert re.fullmatch("[a-z0-9]{3,24}", storage.name)
    (vault,) = of_type(deployment, "Microsoft.KeyVault/vaults")
    assert re.fullmatch("[a-z][a-z0-9-]{1,22}[a-z0-9]", vault.name)
