"""The deployed resources: against the code's settings, against what Flex Consumption allows, and for security."""

import itertools
import json
import re

import pytest

from chat.settings import Settings
from local.settings import APP_DIR
from tests.infra.bicep import BicepError, Deployment, read
from tests.infra.template import ENVIRONMENT, MAIN, app_settings, deploy, of_type, properties

SOURCES = ["new", "existing", "endpoint", "openai"]
NETWORKS = ["public", "backend", "private"]

APP_IDENTITY = "<identity.properties.principalId>"
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Storage Blob Data Owner", "Microsoft.Storage/storageAccounts"),
    "3913510d-42f4-4e42-8a64-420c390055eb": ("Monitoring Metrics Publisher", "Microsoft.Insights/components"),
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": ("Cognitive Services OpenAI User", "Microsoft.CognitiveServices/accounts"),
    "4633458b-17de-408a-b874-0445c86b69e6": ("Key Vault Secrets User", "Microsoft.KeyVault/vaults"),
}

# Documented for identity-based connections of the Functions host and Application Insights.
PLATFORM_SETTINGS = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
# Deprecated on Flex Consumption; a deployment with one of them fails.
FORBIDDEN_SETTINGS = re.compile(
    "FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|FUNCTIONS_WORKER_PROCESS_COUNT|SCM_DO_BUILD_DURING_DEPLOYMENT"
    "|ENABLE_ORYX_BUILD|WEBSITE_RUN_FROM_PACKAGE|WEBSITE_CONTENT.*|AzureWebJobsStorage|AzureWebJobsDashboard"
)
FORBIDDEN_SITE_CONFIG = {"linuxFxVersion", "ftpsState", "functionAppScaleLimit", "alwaysOn"}

# Settings that the template passes before `Settings` has them.
RESOLVED = {"CHAT_API_KEYS": "name=a-key-of-twenty-characters"}


def service_settings() -> set[str]:
    return {name.upper() for name, field in Settings.model_fields.items() if not field.exclude}


@pytest.fixture(params=itertools.product(SOURCES, NETWORKS, ["", "some-secret"]), ids="-".join)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Every model source in every network, with and without secrets in the environment."""
    source, network, secret = request.param
    return deploy(
        MODEL_SOURCE=source,
        NETWORK_ACCESS=network,
        OPENAI_API_KEY=secret,
        AZURE_OPENAI_API_KEY=secret,
        CHAT_API_KEYS=secret and f"alice={secret}",
    )


def test_every_module_is_used() -> None:
    used = {MAIN}
    for path in (APP_DIR / "infra").rglob("*.bicep"):
        used |= {(path.parent / module.kind).resolve() for module in read(path).modules.values()}
    assert set((APP_DIR / "infra").rglob("*.bicep")) == used


def test_the_app_gets_exactly_its_settings_and_the_platforms(deployment: Deployment) -> None:
    settings = app_settings(deployment)
    assert settings.keys() == service_settings() | PLATFORM_SETTINGS
    assert not [name for name in settings if FORBIDDEN_SETTINGS.fullmatch(name)]
    assert all(isinstance(value, str) for value in settings.values())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("key", ["", "a-key"])
def test_the_app_accepts_its_settings(source: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = app_settings(
        deploy(MODEL_SOURCE=source, OPENAI_API_KEY=key, AZURE_OPENAI_API_KEY=key, CHAT_TIMEOUT="30", CHAT_MAX_MESSAGES="7")
    )
    for name in service_settings():
        known = settings[name].replace("<account.properties.endpoint>", "https://oai.openai.azure.com/")
        known = re.sub(r"@Microsoft\.KeyVault\(.*\)", RESOLVED.get(name, "a-key"), known)  # as Azure resolves it
        monkeypatch.setenv(name, re.sub("<.*?>", "resource", known))
    accepted = Settings()
    assert bool(accepted.azure_openai_endpoint) == (source != "openai")
    assert bool(accepted.openai_base_url) == (source == "openai")
    assert accepted.model == ("small" if source == "openai" else "chat")
    assert (accepted.chat_timeout, accepted.chat_max_messages) == (30, 7)
    keys = {"endpoint": accepted.azure_openai_api_key, "openai": accepted.openai_api_key}
    assert bool(keys.get(source)) == (source in keys and key != "")


@pytest.mark.parametrize(
    ("setting", "source"),
    [
        ("AZURE_OPENAI_CHAT_DEPLOYMENT", "new"),
        ("OPENAI_BASE_URL", "openai"),
        ("OPENAI_MODEL", "openai"),
        *((setting, "new") for setting in sorted(service_settings()) if setting.startswith("CHAT_M")),
        ("CHAT_SYSTEM_PROMPT", "new"),
        ("CHAT_TIMEOUT", "new"),
    ],
)
def test_an_environment_value_becomes_the_setting_of_the_same_name(setting: str, source: str) -> None:
    assert app_settings(deploy(**{"MODEL_SOURCE": source, setting: "7"}))[setting] == "7"


def test_auth_level_defaults_to_function() -> None:
    assert app_settings(deploy())["CHAT_AUTH_LEVEL"] == "function"
    assert app_settings(deploy(CHAT_AUTH_LEVEL="anonymous"))["CHAT_AUTH_LEVEL"] == "anonymous"


@pytest.mark.parametrize(
    ("setting", "source", "value"),
    [
        ("AZURE_OPENAI_API_KEY", "endpoint", "azure-openai-secret"),
        ("OPENAI_API_KEY", "openai", "openai-secret"),
        ("CHAT_API_KEYS", "new", "alice=0123456789abcdefghij"),
    ],
)
def test_a_secret_is_stored_in_the_vault_and_referenced(setting: str, source: str, value: str) -> None:
    deployment = deploy(**{"MODEL_SOURCE": source, setting: value})
    (secret,) = of_type(deployment, "Microsoft.KeyVault/vaults/secrets")
    assert secret.body["properties"]["value"] == value
    assert app_settings(deployment)[setting] == f"@Microsoft.KeyVault(VaultName=kv-abcdefghijklm;SecretName={secret.name})"
    assert properties(deployment, "Microsoft.Web/sites")["keyVaultReferenceIdentity"].endswith("/id-abcdefghijklm")


def test_keys_of_another_model_source_are_not_deployed() -> None:
    assert ENVIRONMENT["OPENAI_API_KEY"]
    assert not of_type(deploy(MODEL_SOURCE="new"), "Microsoft.KeyVault/vaults")


def test_secrets_are_nowhere_but_in_the_vault(deployment: Deployment) -> None:
    assert "some-secret" not in json.dumps(deployment.outputs)
    holders = {resource.type for resource in deployment.resources() if "some-secret" in json.dumps(resource.body)}
    assert holders <= {"Microsoft.KeyVault/vaults/secrets"}


def test_every_secret_parameter_is_secure() -> None:
    for path in (APP_DIR / "infra").rglob("*.bicep"):
        for name, parameter in read(path).parameters.items():
            assert parameter.secure == name.endswith(("ApiKey", "ApiKeys")), f"{path.name}: {name}"


def test_each_role_is_a_known_one_on_one_resource(deployment: Deployment) -> None:
    for role in of_type(deployment, "Microsoft.Authorization/roleAssignments"):
        definition = role.body["properties"]["roleDefinitionId"]
        name, kind = ROLES[definition.removeprefix("/Microsoft.Authorization/roleDefinitions/")]
        assert str(role.scope).startswith(f"/{kind}/"), name


def granted(**environment: str) -> set[tuple[str, str]]:
    assignments = of_type(deploy(**environment), "Microsoft.Authorization/roleAssignments")
    return {
        (role["principalId"], ROLES[role["roleDefinitionId"].rpartition("/")[2]][0])
        for role in (assignment.body["properties"] for assignment in assignments)
    }


def test_roles_by_model_source() -> None:
    always = {(APP_IDENTITY, "Storage Blob Data Owner"), (APP_IDENTITY, "Monitoring Metrics Publisher")}
    app, developer = ((principal, "Cognitive Services OpenAI User") for principal in (APP_IDENTITY, "developer"))
    vault = {(APP_IDENTITY, "Key Vault Secrets User")}
    for source in ("new", "existing"):
        assert granted(MODEL_SOURCE=source) == always | {app, developer}
        assert granted(MODEL_SOURCE=source, ASSIGN_DEVELOPER_ROLE="false") == always | {app}
        assert granted(MODEL_SOURCE=source, AZURE_PRINCIPAL_TYPE="ServicePrincipal") == always | {app}
    assert granted(MODEL_SOURCE="endpoint") == always | vault
    assert granted(MODEL_SOURCE="openai", OPENAI_API_KEY="") == always


def test_the_app_is_on_flex_consumption() -> None:
    deployment = deploy(
        ALWAYS_READY_INSTANCES="2", REQUESTS_PER_INSTANCE="250", INSTANCE_MEMORY_MB="4096", MAXIMUM_INSTANCES="5"
    )
    (plan,) = of_type(deployment, "Microsoft.Web/serverfarms")
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan.body["properties"] == {"reserved": True}
    (site,) = of_type(deployment, "Microsoft.Web/sites")
    identity = "/Microsoft.ManagedIdentity/userAssignedIdentities/id-abcdefghijklm"
    assert site.body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    config = site.body["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (APP_DIR / ".python-version").read_text().strip()}
    package = config["deployment"]["storage"]
    assert package["value"] == "<storage.properties.primaryEndpoints.blob>app-package"
    assert package["authentication"] == {"type": "UserAssignedIdentity", "userAssignedIdentityResourceId": identity}
    (container,) = of_type(deployment, "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert package["value"].endswith(container.name)
    assert config["scaleAndConcurrency"] == {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 5,
        "alwaysReady": [{"name": "http", "instanceCount": 2}],
        "triggers": {"http": {"perInstanceConcurrency": 250}},
    }
    assert not site.body["properties"]["siteConfig"].keys() & FORBIDDEN_SITE_CONFIG


def test_by_default_an_instance_serves_100_requests_and_an_idle_app_has_none() -> None:
    scale = properties(deploy(), "Microsoft.Web/sites")["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["triggers"]["http"]["perInstanceConcurrency"] == 100, "the platform's default for Python is 1"
    assert (scale["instanceMemoryMB"], scale["maximumInstanceCount"], scale["alwaysReady"]) == (2048, 40, [])


def test_always_ready_instances_within_the_maximum() -> None:
    deploy(MAXIMUM_INSTANCES="3", ALWAYS_READY_INSTANCES="3")
    with pytest.raises(BicepError, match="ALWAYS_READY_INSTANCES exceeds MAXIMUM_INSTANCES"):
        deploy(MAXIMUM_INSTANCES="3", ALWAYS_READY_INSTANCES="4")


def test_provisioning_makes_no_avoidable_site_updates() -> None:
    # Each one recreates the running instances and so ends their streams.
    updates = [resource for resource in deploy().resources() if resource.type.startswith("Microsoft.Web/sites")]
    assert [(update.type, update.name) for update in updates] == [
        ("Microsoft.Web/sites", "func-abcdefghijklm"),
        ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "scm"),
    ]


def test_rolling_updates_are_opt_in() -> None:
    def strategy(deployment: Deployment) -> object:
        return properties(deployment, "Microsoft.Web/sites")["functionAppConfig"]["siteUpdateStrategy"]

    assert strategy(deploy()) is None
    assert strategy(deploy(SITE_UPDATE_STRATEGY="RollingUpdate")) == {"type": "RollingUpdate"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INSTANCE_MEMORY_MB", "1024"),
        ("MAXIMUM_INSTANCES", "0"),
        ("MAXIMUM_INSTANCES", "1001"),
        ("REQUESTS_PER_INSTANCE", "0"),
        ("REQUESTS_PER_INSTANCE", "1001"),
        ("ALWAYS_READY_INSTANCES", "-1"),
        ("AZURE_OPENAI_CAPACITY", "0"),
        ("MODEL_SOURCE", "elsewhere"),
        ("NETWORK_ACCESS", "closed"),
        ("CHAT_AUTH_LEVEL", "none"),
        ("SITE_UPDATE_STRATEGY", "Slots"),
    ],
)
def test_a_value_out_of_range_is_rejected(name: str, value: str) -> None:
    with pytest.raises(BicepError) as error:
        deploy(**{name: value})
    assert name.replace("_", "").lower() in str(error.value).lower()
    assert value in str(error.value)


def test_no_access_without_tls_or_with_a_password(deployment: Deployment) -> None:
    storage = properties(deployment, "Microsoft.Storage/storageAccounts")
    assert storage["allowSharedKeyAccess"] is False
    assert storage["allowBlobPublicAccess"] is False
    assert storage["supportsHttpsTrafficOnly"] is True
    assert storage["minimumTlsVersion"] == "TLS1_2"
    site = properties(deployment, "Microsoft.Web/sites")
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == "1.2"
    assert properties(deployment, "Microsoft.Insights/components")["DisableLocalAuth"] is True
    assert properties(deployment, "Microsoft.OperationalInsights/workspaces")["features"]["disableLocalAuth"] is True
    policy = properties(deployment, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert policy == {"allow": False}
    for account in of_type(deployment, "Microsoft.CognitiveServices/accounts"):
        assert account.body["properties"]["disableLocalAuth"] is True
        assert account.body["properties"]["customSubDomainName"] == account.name
    for vault in of_type(deployment, "Microsoft.KeyVault/vaults"):
        assert vault.body["properties"]["enableRbacAuthorization"] is True


def test_a_new_model_is_deployed_with_the_environments_values() -> None:
    deployment = deploy(
        AZURE_OPENAI_LOCATION="eastus2",
        AZURE_OPENAI_MODEL="m",
        AZURE_OPENAI_MODEL_VERSION="v",
        AZURE_OPENAI_SKU="Standard",
        AZURE_OPENAI_CAPACITY="5",
    )
    (account,) = of_type(deployment, "Microsoft.CognitiveServices/accounts")
    assert (account.body["kind"], account.body["location"]) == ("OpenAI", "eastus2")
    (model,) = of_type(deployment, "Microsoft.CognitiveServices/accounts/deployments")
    assert model.name == app_settings(deployment)["AZURE_OPENAI_CHAT_DEPLOYMENT"]
    assert model.body["sku"] == {"name": "Standard", "capacity": 5}
    assert model.body["properties"]["model"] == {"format": "OpenAI", "name": "m", "version": "v"}
    assert app_settings(deployment)["AZURE_OPENAI_ENDPOINT"] == "<account.properties.endpoint>"


def test_an_existing_model_is_used_in_its_own_resource_group() -> None:
    deployment = deploy(MODEL_SOURCE="existing")
    accounts = [each for each in deployment.resources() if each.type == "Microsoft.CognitiveServices/accounts"]
    assert all(account.existing for account in accounts)
    assert {(account.name, account.scope) for account in accounts} == {
        ("theirs", "/Microsoft.Resources/resourceGroups/rg-theirs")
    }
    endpoint = "https://<account.properties.customSubDomainName>.openai.azure.com/"
    assert app_settings(deployment)["AZURE_OPENAI_ENDPOINT"] == endpoint


def test_local_settings_name_the_same_model(deployment: Deployment) -> None:
    deployed, local = app_settings(deployment), deployment.outputs["LOCAL_SETTINGS"]
    assert {name: value for name, value in local.items() if value} == {name: deployed[name] for name in local if local[name]}
    assert local.keys() >= ({"OPENAI_MODEL"} if "OPENAI_MODEL" in local else {"AZURE_OPENAI_ENDPOINT", "AZURE_TENANT_ID"})


def test_cors_origins_are_split_at_commas() -> None:
    def cors(deployment: Deployment) -> object:
        return properties(deployment, "Microsoft.Web/sites")["siteConfig"]["cors"]

    two = deploy(CORS_ALLOWED_ORIGINS="https://a.example, https://b.example")
    assert cors(two) == {"allowedOrigins": ["https://a.example", "https://b.example"], "supportCredentials": False}
    assert cors(deploy()) == {"allowedOrigins": [], "supportCredentials": False}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_closed_to_the_internet_has_a_private_endpoint(source: str, network: str) -> None:
    deployment = deploy(MODEL_SOURCE=source, NETWORK_ACCESS=network, CHAT_API_KEYS="alice=0123456789abcdefghij")
    access = {
        f"/{resource.type}/{resource.name}": resource.body["properties"]["publicNetworkAccess"]
        for resource in deployment.resources()
        if not resource.existing and "publicNetworkAccess" in resource.body.get("properties", {})
    }
    inside = {
        connection["properties"]["privateLinkServiceId"]
        for endpoint in of_type(deployment, "Microsoft.Network/privateEndpoints")
        for connection in endpoint.body["properties"]["privateLinkServiceConnections"]
    }
    site = next(name for name in access if name.startswith("/Microsoft.Web/sites/"))
    assert {name for name, each in access.items() if each == "Disabled"} == inside
    assert (access[site] == "Disabled") == (network == "private")
    assert all((each == "Disabled") == (network != "public") for name, each in access.items() if name != site)
    assert len(of_type(deployment, "Microsoft.Network/privateDnsZones")) == len(inside)


def test_the_app_joins_a_subnet_that_flex_consumption_accepts() -> None:
    deployment = deploy(NETWORK_ACCESS="backend")
    network, subnet = properties(deployment, "Microsoft.Web/sites")["virtualNetworkSubnetId"].split("/subnets/")
    (virtual_network,) = of_type(deployment, "Microsoft.Network/virtualNetworks")
    assert network == f"/Microsoft.Network/virtualNetworks/{virtual_network.name}"
    subnets = {each["name"]: each["properties"] for each in virtual_network.body["properties"]["subnets"]}
    assert subnets[subnet]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in subnet
    for endpoint in of_type(deployment, "Microsoft.Network/privateEndpoints"):
        assert endpoint.body["properties"]["subnet"]["id"].split("/subnets/")[1] in subnets.keys() - {subnet}
    assert properties(deploy(), "Microsoft.Web/sites")["virtualNetworkSubnetId"] is None


def test_diagnostics_go_to_the_workspace(deployment: Deployment) -> None:
    watched = {str(resource.scope) for resource in of_type(deployment, "Microsoft.Insights/diagnosticSettings")}
    kinds = ("Microsoft.Web/sites", "Microsoft.CognitiveServices/accounts", "Microsoft.KeyVault/vaults")
    for resource in deployment.resources():
        if resource.type in kinds and not resource.existing:
            assert f"/{resource.type}/{resource.name}" in watched
    for resource in of_type(deployment, "Microsoft.Insights/diagnosticSettings"):
        assert resource.body["properties"]["workspaceId"] == "/Microsoft.OperationalInsights/workspaces/log-abcdefghijklm"


@pytest.mark.parametrize("network", ["public", "private"])
def test_every_resource_has_the_environments_tag(network: str) -> None:
    # `azd down` and `azd deploy` find resources by their tags.
    deployment = deploy(MODEL_SOURCE="openai", NETWORK_ACCESS=network)
    for resource in deployment.resources():
        if "location" in resource.body:
            assert resource.body["tags"]["azd-env-name"] == "test", resource.symbol


def test_names_are_valid_for_their_services() -> None:
    deployment = deploy(MODEL_SOURCE="openai")
    (storage,) = of_type(deployment, "Microsoft.Storage/storageAccounts")
    assert re.fullmatch("[a-z0-9]{3,24}", storage.name)
    (vault,) = of_type(deployment, "Microsoft.KeyVault/vaults")
    assert re.fullmatch("[a-z][a-z0-9-]{1,22}[a-z0-9]", vault.name)
