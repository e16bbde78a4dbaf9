"""The deployed resources: against the code's settings, against what Flex Consumption allows, and for security.

Each test looks at a deployment of tests/infra/snapshots.py, as the compiler predicts it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chat.budgets.table_storage import TABLE
from chat.settings import Settings
from local.settings import APP_DIR
from tests.infra.snapshots import DEPLOYMENTS
from tests.infra.template import (
    INFRA,
    ROLES,
    Deployment,
    app_settings,
    compiled,
    deployment,
    of_type,
    only,
    properties,
    scope,
)

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

SECRETS = {
    "AZURE_OPENAI_API_KEY": ("azureOpenAiApiKey", "azure-openai-api-key"),
    "OPENAI_API_KEY": ("openAiApiKey", "openai-api-key"),
    "CHAT_API_KEYS": ("chatApiKeys", "chat-api-keys"),
}
"""The parameter and the name in the key vault of each secret."""

NETWORKS = {name: environment.get("NETWORK_ACCESS", "public") for name, environment in DEPLOYMENTS.items()}


def service_settings() -> set[str]:
    return {name.upper() for name, field in Settings.model_fields.items() if not field.exclude}


def nested(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A compiled template, and those of its modules."""
    yield template
    resources = template["resources"]
    for resource in resources.values() if isinstance(resources, dict) else resources:
        if resource["type"] == "Microsoft.Resources/deployments":
            yield from nested(resource["properties"]["template"])


def identifier(deployed: Deployment, kind: str) -> str:
    """The id of the only resource of this type."""
    found: str = only(deployed, kind)["id"]
    return found


@pytest.fixture(params=DEPLOYMENTS)
def deployed(request: pytest.FixtureRequest) -> Deployment:
    """Each deployment."""
    return deployment(request.param)


def test_every_module_is_used() -> None:
    files = {path.name: path.read_text() for path in INFRA.rglob("*.bicep")}
    used = re.findall(r"^module \w+ '(?:app/)?([^']+)'", "".join(files.values()), re.MULTILINE)
    assert {*used, "main.bicep"} == files.keys()


def test_the_app_gets_exactly_its_settings_and_the_platforms(deployed: Deployment) -> None:
    settings = app_settings(deployed)
    assert settings.keys() - {"OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"} == service_settings() | PLATFORM_SETTINGS
    assert not [name for name in settings if FORBIDDEN_SETTINGS.fullmatch(name)]
    assert all(isinstance(value, str) for value in settings.values())


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_app_accepts_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, settings = DEPLOYMENTS[name], app_settings(deployment(name))
    source = environment.get("MODEL_SOURCE", "new")
    for setting in service_settings():
        value = settings[setting]
        if value.startswith("["):  # what Azure makes of it
            value = environment.get(setting) or re.sub(r"^\[format\('(.*)\{0\}(.*)', .*", r"\1known\2", value)
        monkeypatch.setenv(setting, re.sub(r"^\[.*\]$", "", value))
    accepted = Settings()
    assert bool(accepted.azure_openai_endpoint) == (source != "openai")
    assert bool(accepted.openai_base_url) == (source == "openai")
    deployment_name = environment.get("AZURE_OPENAI_CHAT_DEPLOYMENT", "chat")
    assert accepted.model == (environment["OPENAI_MODEL"] if source == "openai" else deployment_name)
    keys = {"endpoint": accepted.azure_openai_api_key, "openai": accepted.openai_api_key}
    assert bool(keys.get(source)) == (source in keys)
    assert bool(accepted.api_keys) == ("CHAT_API_KEYS" in environment)


@pytest.mark.parametrize("setting", sorted(DEPLOYMENTS["tuned"].keys() & service_settings() - {"CHAT_SYSTEM_PROMPT"}))
def test_an_environment_value_becomes_the_setting_of_the_same_name(setting: str) -> None:
    value = DEPLOYMENTS["tuned"][setting]
    assert app_settings(deployment("tuned"))[setting] == value
    assert app_settings(deployment("default"))[setting] != value


@pytest.mark.parametrize(
    ("name", "effort"), [("default", "low"), ("existing", ""), ("endpoint", ""), ("openai", ""), ("tuned", "none")]
)
def test_only_a_new_model_gets_a_reasoning_effort_by_default(name: str, effort: str) -> None:
    # A server whose model does not reason may reject the parameter.
    assert app_settings(deployment(name))["CHAT_REASONING_EFFORT"] == effort


@pytest.mark.parametrize("effort", compiled()["parameters"]["chatReasoningEffort"]["allowedValues"][1:])
def test_the_service_accepts_each_reasoning_effort(effort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("CHAT_REASONING_EFFORT", effort)
    assert Settings().model_dump()["chat_reasoning_effort"] == effort


def test_a_compatible_server_is_used_with_its_model() -> None:
    settings = app_settings(deployment("openai"))
    assert settings["OPENAI_BASE_URL"] == "https://models.example/v1"
    assert settings["OPENAI_MODEL"] == "small"


def test_auth_level_defaults_to_function() -> None:
    assert app_settings(deployment("default"))["CHAT_AUTH_LEVEL"] == "function"
    assert app_settings(deployment("tuned"))["CHAT_AUTH_LEVEL"] == "anonymous"


@pytest.mark.parametrize(
    ("setting", "name"), [("AZURE_OPENAI_API_KEY", "endpoint"), ("OPENAI_API_KEY", "openai"), ("CHAT_API_KEYS", "backend")]
)
def test_a_secret_is_stored_in_the_vault_and_referenced(setting: str, name: str) -> None:
    deployed, (parameter, secret) = deployment(name), SECRETS[setting]
    vault = only(deployed, "Microsoft.KeyVault/vaults")
    secrets = {each["name"]: each for each in of_type(deployed, "Microsoft.KeyVault/vaults/secrets")}
    stored = secrets[f"{vault['name']}/{secret}"]
    assert stored["properties"]["value"] == f"[parameters('{parameter}')]"
    assert f"not(empty(parameters('{parameter}')))" in stored["condition"]
    assert f"not(empty(parameters('{parameter}')))" in vault["condition"]
    reference = rf"\[if\(empty\(parameters\('{parameter}'\)\), '', reference\(.*\)\.outputs\.{parameter}Reference\.value\)\]"
    assert re.fullmatch(reference, app_settings(deployed)[setting])
    (output,) = [
        template["outputs"][f"{parameter}Reference"]["value"]
        for template in nested(compiled())
        if f"{parameter}Reference" in template.get("outputs", {})
    ]
    assert output == f"[format('@Microsoft.KeyVault(VaultName={{0}};SecretName={secret})', parameters('name'))]"
    identity = identifier(deployed, "Microsoft.ManagedIdentity/userAssignedIdentities")
    assert properties(deployed, "Microsoft.Web/sites")["keyVaultReferenceIdentity"] == identity


def test_keys_of_another_model_source_are_not_deployed() -> None:
    assert DEPLOYMENTS["private"]["OPENAI_API_KEY"]
    assert not of_type(deployment("private"), "Microsoft.KeyVault/vaults")
    variables = compiled()["variables"]
    assert (
        variables["azureOpenAiKey"]
        == "[if(equals(parameters('modelSource'), 'endpoint'), parameters('azureOpenAiApiKey'), '')]"
    )
    assert variables["openAiKey"] == "[if(equals(parameters('modelSource'), 'openai'), parameters('openAiApiKey'), '')]"
    passed = compiled()["resources"]["vault"]["properties"]["parameters"]
    assert {name: passed[name]["value"] for name, _ in SECRETS.values()} == {
        "azureOpenAiApiKey": "[variables('azureOpenAiKey')]",
        "openAiApiKey": "[variables('openAiKey')]",
        "chatApiKeys": "[parameters('chatApiKeys')]",
    }


def test_every_secret_parameter_is_secure() -> None:
    for template in nested(compiled()):
        for name, parameter in template["parameters"].items():
            assert (parameter["type"] == "securestring") == name.endswith(("ApiKey", "ApiKeys")), name


def test_secrets_are_nowhere_but_in_the_vault(deployed: Deployment) -> None:
    def read(value: object) -> set[str]:
        """The secure parameters whose value, and not only whether there is one, is used."""
        return set(re.findall(r"(?<!empty\()parameters\('(\w+ApiKeys?)'\)", json.dumps(value)))

    assert not read(deployed.outputs)
    assert {each["type"] for each in deployed.resources if read(each)} <= {"Microsoft.KeyVault/vaults/secrets"}


def test_each_role_is_the_one_for_its_resource(deployed: Deployment) -> None:
    for role in of_type(deployed, "Microsoft.Authorization/roleAssignments"):
        name = ROLES[role["properties"]["roleDefinitionId"].rpartition("/")[2]]
        kinds = {
            "Storage Blob Data Owner": "Microsoft.Storage/storageAccounts",
            "Storage Table Data Contributor": "Microsoft.Storage/storageAccounts/[^/]+/tableServices/default/tables",
            "Monitoring Metrics Publisher": "Microsoft.Insights/components",
            "Cognitive Services OpenAI User": "Microsoft.CognitiveServices/accounts",
            "Cognitive Services User": "Microsoft.CognitiveServices/accounts",
            "Key Vault Secrets User": "Microsoft.KeyVault/vaults",
        }
        assert re.search(f"/providers/{kinds[name]}/[^/]+$", scope(role)), name


def granted(name: str) -> set[tuple[str, str]]:
    """Who gets which role: `app` or `developer`, and the role."""
    deployed = deployment(name)
    identity = identifier(deployed, "Microsoft.ManagedIdentity/userAssignedIdentities")
    app = f"[reference('{identity}', '2024-11-30').principalId]"
    principals = {(app, "ServicePrincipal"): "app", ("developer", "User"): "developer"}
    return {
        (principals[each["principalId"], each["principalType"]], ROLES[each["roleDefinitionId"].rpartition("/")[2]])
        for each in (role["properties"] for role in of_type(deployed, "Microsoft.Authorization/roleAssignments"))
    }


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("default", {("app", "Cognitive Services OpenAI User"), ("developer", "Cognitive Services OpenAI User")}),
        ("existing", {("app", "Cognitive Services OpenAI User"), ("developer", "Cognitive Services OpenAI User")}),
        ("private", {("app", "Cognitive Services OpenAI User")}),
        ("existing-in-a-pipeline", {("app", "Cognitive Services OpenAI User")}),
        (
            "tuned",
            {
                ("app", "Cognitive Services User"),
                ("developer", "Cognitive Services User"),
                ("app", "Storage Table Data Contributor"),
            },
        ),
        ("endpoint", {("app", "Key Vault Secrets User")}),
        ("openai", {("app", "Key Vault Secrets User")}),
    ],
)
def test_roles_by_model_source(name: str, more: set[tuple[str, str]]) -> None:
    assert granted(name) == {("app", "Storage Blob Data Owner"), ("app", "Monitoring Metrics Publisher")} | more


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_only_budgets_of_tokens_have_a_table_with_a_role_and_a_private_endpoint(name: str) -> None:
    deployed = deployment(name)
    has_budget = any(setting.startswith("CHAT_DAILY_TOKENS") for setting in DEPLOYMENTS[name])
    tables = of_type(deployed, "Microsoft.Storage/storageAccounts/tableServices/tables")
    assert [table["name"].rpartition("/")[2] for table in tables] == [TABLE] * has_budget
    roles = [
        role
        for role in of_type(deployed, "Microsoft.Authorization/roleAssignments")
        if ROLES[role["properties"]["roleDefinitionId"].rpartition("/")[2]] == "Storage Table Data Contributor"
    ]
    assert [scope(role) for role in roles] == [table["id"] for table in tables]
    endpoints = [
        endpoint for endpoint in of_type(deployed, "Microsoft.Network/privateEndpoints") if "pe-table" in endpoint["name"]
    ]
    assert len(endpoints) == (has_budget and NETWORKS[name] != "public")
    assert bool(app_settings(deployed)["CHAT_BUDGET_STORAGE_ENDPOINT"]) == has_budget


def test_the_name_of_a_role_assignment_contains_its_principal(deployed: Deployment) -> None:
    # Azure refuses to give an existing assignment another principal, and after `azd down` the identity has another id.
    for role in of_type(deployed, "Microsoft.Authorization/roleAssignments"):
        principal = role["properties"]["principalId"]
        assert principal == "developer" or principal.strip("[]") in role["name"]


def test_the_app_is_on_flex_consumption() -> None:
    deployed = deployment("tuned")
    plan = only(deployed, "Microsoft.Web/serverfarms")
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan["properties"] == {"reserved": True}
    site = only(deployed, "Microsoft.Web/sites")
    identity = identifier(deployed, "Microsoft.ManagedIdentity/userAssignedIdentities")
    assert site["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    config = site["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (APP_DIR / ".python-version").read_text().strip()}
    package = config["deployment"]["storage"]
    storage = identifier(deployed, "Microsoft.Storage/storageAccounts")
    container = only(deployed, "Microsoft.Storage/storageAccounts/blobServices/containers")["name"].rpartition("/")[2]
    assert (
        package["value"]
        == f"[format('{{0}}{{1}}', reference('{storage}', '2025-06-01').primaryEndpoints.blob, '{container}')]"
    )
    assert package["authentication"] == {"type": "UserAssignedIdentity", "userAssignedIdentityResourceId": identity}
    assert config["scaleAndConcurrency"] == {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 5,
        "alwaysReady": [{"name": "http", "instanceCount": 2}],
        "triggers": {"http": {"perInstanceConcurrency": 250}},
    }
    assert not site["properties"]["siteConfig"].keys() & FORBIDDEN_SITE_CONFIG


def test_by_default_an_instance_serves_100_requests_and_an_idle_app_has_none() -> None:
    scale = properties(deployment("default"), "Microsoft.Web/sites")["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["triggers"]["http"]["perInstanceConcurrency"] == 100, "the platform's default for Python is 1"
    assert (scale["instanceMemoryMB"], scale["maximumInstanceCount"], scale["alwaysReady"]) == (2048, 40, [])


def test_more_always_ready_instances_than_the_maximum_fail_with_a_message() -> None:
    variables, asked = compiled()["variables"], "parameters('alwaysReadyInstances')"
    assert variables["alwaysReadyFits"] == f"[lessOrEquals({asked}, parameters('maximumInstances'))]"
    failure = "int('ALWAYS_READY_INSTANCES exceeds MAXIMUM_INSTANCES')"
    assert variables["alwaysReady"] == f"[if(variables('alwaysReadyFits'), {asked}, {failure})]"


def test_provisioning_makes_no_avoidable_site_updates() -> None:
    # Each one recreates the running instances and so ends their streams.
    updates = [each["type"] for each in deployment("default").resources if each["type"].startswith("Microsoft.Web/sites")]
    assert updates == ["Microsoft.Web/sites", "Microsoft.Web/sites/basicPublishingCredentialsPolicies"]


def test_rolling_updates_are_opt_in() -> None:
    def strategy(name: str) -> object:
        return properties(deployment(name), "Microsoft.Web/sites")["functionAppConfig"]["siteUpdateStrategy"]

    assert strategy("default") is None
    assert strategy("tuned") == {"type": "RollingUpdate"}


@pytest.mark.parametrize(
    ("parameter", "rule"),
    [
        ("instanceMemoryMB", {"allowedValues": [512, 2048, 4096]}),
        ("maximumInstances", {"minValue": 1, "maxValue": 1000}),
        ("requestsPerInstance", {"minValue": 1, "maxValue": 1000}),
        ("alwaysReadyInstances", {"minValue": 0, "maxValue": 1000}),
        ("azureOpenAiCapacity", {"minValue": 1}),
        ("monthlyBudget", {"minValue": 0}),
        ("logRetentionDays", {"minValue": 30, "maxValue": 730}),
        ("logDailyCapGB", {"minValue": -1, "maxValue": 1000}),
        ("modelSource", {"allowedValues": ["new", "existing", "endpoint", "openai"]}),
        ("networkAccess", {"allowedValues": ["public", "backend", "private"]}),
        ("chatAuthLevel", {"allowedValues": ["function", "anonymous"]}),
        ("siteUpdateStrategy", {"allowedValues": ["Recreate", "RollingUpdate"]}),
    ],
)
def test_a_value_out_of_range_is_rejected(parameter: str, rule: dict[str, object]) -> None:
    declared = compiled()["parameters"][parameter]
    assert {name: declared[name] for name in declared.keys() & {"allowedValues", "minValue", "maxValue"}} == rule


def test_no_access_without_tls_or_with_a_password(deployed: Deployment) -> None:
    storage = properties(deployed, "Microsoft.Storage/storageAccounts")
    assert storage["allowSharedKeyAccess"] is False
    assert storage["allowBlobPublicAccess"] is False
    assert storage["supportsHttpsTrafficOnly"] is True
    assert storage["minimumTlsVersion"] == "TLS1_2"
    site = properties(deployed, "Microsoft.Web/sites")
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == "1.2"
    assert properties(deployed, "Microsoft.Insights/components")["DisableLocalAuth"] is True
    assert properties(deployed, "Microsoft.OperationalInsights/workspaces")["features"]["disableLocalAuth"] is True
    assert properties(deployed, "Microsoft.Web/sites/basicPublishingCredentialsPolicies") == {"allow": False}
    for account in of_type(deployed, "Microsoft.CognitiveServices/accounts"):
        assert account["properties"]["disableLocalAuth"] is True
        assert account["properties"]["customSubDomainName"] == account["name"]
    for vault in of_type(deployed, "Microsoft.KeyVault/vaults"):
        assert vault["properties"]["enableRbacAuthorization"] is True


def test_deleted_blobs_can_be_restored(deployed: Deployment) -> None:
    blobs = properties(deployed, "Microsoft.Storage/storageAccounts/blobServices")
    week = {"enabled": True, "days": 7}
    assert (blobs["deleteRetentionPolicy"], blobs["containerDeleteRetentionPolicy"]) == (week, week)


def test_the_app_speaks_http_2_and_sets_no_affinity_cookie(deployed: Deployment) -> None:
    site = properties(deployed, "Microsoft.Web/sites")
    assert site["siteConfig"]["http20Enabled"] is True
    assert site["clientAffinityEnabled"] is False


def test_a_new_model_is_deployed_with_the_environments_values() -> None:
    deployed = deployment("tuned")
    account = only(deployed, "Microsoft.CognitiveServices/accounts")
    assert (account["kind"], account["location"]) == ("AIServices", "eastus2")
    model = only(deployed, "Microsoft.CognitiveServices/accounts/deployments")
    assert model["name"] == f"{account['name']}/{app_settings(deployed)['AZURE_OPENAI_CHAT_DEPLOYMENT']}"
    assert model["sku"] == {"name": "Standard", "capacity": 5}
    assert model["properties"]["model"] == {"format": "Mistral AI", "name": "m", "version": "v"}
    assert app_settings(deployed)["AZURE_OPENAI_ENDPOINT"] == f"https://{account['name']}.openai.azure.com/"


def test_an_existing_model_is_used_in_its_own_resource_group() -> None:
    deployed = deployment("existing")
    assert not of_type(deployed, "Microsoft.CognitiveServices/accounts")
    account = (
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-theirs"
        "/providers/Microsoft.CognitiveServices/accounts/theirs"
    )
    roles = [scope(role) for role in of_type(deployed, "Microsoft.Authorization/roleAssignments")]
    assert roles.count(account) == 2
    assert app_settings(deployed)["AZURE_OPENAI_ENDPOINT"] == (
        f"[format('https://{{0}}.openai.azure.com/', reference('{account}', '2025-12-01').customSubDomainName)]"
    )


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_local_settings_name_the_same_model(name: str) -> None:
    deployed, local = app_settings(deployment(name)), deployment(name).outputs["LOCAL_SETTINGS"]
    if isinstance(local, str):  # the endpoint is known only after deployment
        names = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_CHAT_DEPLOYMENT", "AZURE_TENANT_ID")
        values = [value.strip("[]") if value.startswith("[") else f"'{value}'" for value in map(deployed.__getitem__, names)]
        pairs = (f"'{setting}', {value}" for setting, value in zip(names, values, strict=True))
        assert local == f"[createObject({', '.join(pairs)})]"
    else:
        assert local == {setting: "" if setting == "OPENAI_API_KEY" else deployed[setting] for setting in local}
        assert local


def test_cors_origins_are_split_at_commas() -> None:
    def cors(name: str) -> object:
        return properties(deployment(name), "Microsoft.Web/sites")["siteConfig"]["cors"]

    assert cors("tuned") == {"allowedOrigins": ["https://a.example", "https://b.example"], "supportCredentials": False}
    assert cors("default") == {"allowedOrigins": [], "supportCredentials": False}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_is_closed_to_the_internet_has_a_private_endpoint(name: str) -> None:
    deployed, network = deployment(name), NETWORKS[name]
    access = {
        each["id"]: each["properties"]["publicNetworkAccess"]
        for each in deployed.resources
        if "publicNetworkAccess" in each.get("properties", {})
    }
    closed = {each for each, value in access.items() if value == "Disabled"}
    site = identifier(deployed, "Microsoft.Web/sites")
    assert (site in closed) == (network == "private")
    assert closed - {site} == (set() if network == "public" else access.keys() - {site})
    for each in deployed.resources:
        if rules := each.get("properties", {}).get("networkAcls"):
            assert rules["defaultAction"] == ("Deny" if each["id"] in closed else "Allow")
    inside = {
        connection["properties"]["privateLinkServiceId"]
        for endpoint in of_type(deployed, "Microsoft.Network/privateEndpoints")
        for connection in endpoint["properties"]["privateLinkServiceConnections"]
    }
    # The vault's id is an output of a module whose condition is an expression.
    vaults = {each["id"] for each in of_type(deployed, "Microsoft.KeyVault/vaults")}
    assert {each for each in inside if "outputs.id.value" not in each} == closed - vaults
    assert len(inside) == len(closed)


ZONES = {
    "blob": ["[format('privatelink.blob.{0}', environment().suffixes.storage)]"],
    "table": ["[format('privatelink.table.{0}', environment().suffixes.storage)]"],
    "account": [
        "privatelink.cognitiveservices.azure.com",
        "privatelink.openai.azure.com",
        "privatelink.services.ai.azure.com",
    ],
    "vault": ["privatelink.vaultcore.azure.net"],
    "sites": ["privatelink.azurewebsites.net"],
}


def test_each_private_endpoint_has_its_zones(deployed: Deployment) -> None:
    subresources = [
        connection["properties"]["groupIds"][0]
        for endpoint in of_type(deployed, "Microsoft.Network/privateEndpoints")
        for connection in endpoint["properties"]["privateLinkServiceConnections"]
    ]
    zones = [zone for subresource in subresources for zone in ZONES[subresource]]
    assert sorted(zones) == sorted(zone["name"] for zone in of_type(deployed, "Microsoft.Network/privateDnsZones"))
    assert len(of_type(deployed, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")) == len(zones)
    groups = of_type(deployed, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    assert len(groups) == len(subresources)
    assert sum(len(group["properties"]["privateDnsZoneConfigs"]) for group in groups) == len(zones)


def test_the_app_joins_a_subnet_that_flex_consumption_accepts() -> None:
    deployed = deployment("backend")
    network, subnet = properties(deployed, "Microsoft.Web/sites")["virtualNetworkSubnetId"].split("/subnets/")
    virtual_network = only(deployed, "Microsoft.Network/virtualNetworks")
    assert network == virtual_network["id"]
    subnets = {each["name"]: each["properties"] for each in virtual_network["properties"]["subnets"]}
    assert subnets[subnet]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in subnet
    for endpoint in of_type(deployed, "Microsoft.Network/privateEndpoints"):
        assert endpoint["properties"]["subnet"]["id"].split("/subnets/")[1] in subnets.keys() - {subnet}
    assert properties(deployment("default"), "Microsoft.Web/sites")["virtualNetworkSubnetId"] is None


def test_diagnostics_go_to_the_workspace(deployed: Deployment) -> None:
    settings = of_type(deployed, "Microsoft.Insights/diagnosticSettings")
    workspace = identifier(deployed, "Microsoft.OperationalInsights/workspaces")
    assert {each["properties"]["workspaceId"] for each in settings} == {workspace}
    kinds = ("Microsoft.Web/sites", "Microsoft.CognitiveServices/accounts", "Microsoft.KeyVault/vaults")
    watched = {each["id"] for kind in kinds for each in of_type(deployed, kind)}
    storage = identifier(deployed, "Microsoft.Storage/storageAccounts")
    assert {scope(each) for each in settings} == watched | {f"{storage}/blobServices/default"}


def test_every_resource_has_the_environments_tag(deployed: Deployment) -> None:
    # `azd down` and `azd deploy` find resources by their tags.
    for resource in deployed.resources:
        if "location" in resource:
            assert resource["tags"]["azd-env-name"] == "test", resource["id"]


def test_names_are_valid_for_their_services() -> None:
    deployed = deployment("backend")
    assert re.fullmatch("[a-z0-9]{3,24}", only(deployed, "Microsoft.Storage/storageAccounts")["name"])
    assert re.fullmatch("[a-z][a-z0-9-]{1,22}[a-z0-9]", only(deployed, "Microsoft.KeyVault/vaults")["name"])
