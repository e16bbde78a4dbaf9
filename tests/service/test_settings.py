"""The settings: what is read, and what an invalid value leads to."""

import pytest

from chat.errors import ConfigurationError
from chat.settings import get_settings
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer

AZURE = {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com", "AZURE_OPENAI_CHAT_DEPLOYMENT": "d"}
OPENAI = {"OPENAI_API_KEY": "k"}

type Environment = dict[str, str]

INVALID: list[tuple[Environment, list[str]]] = [
    ({}, ["AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL"]),
    ({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}, ["OPENAI_API_KEY"]),
    ({"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com"}, ["AZURE_OPENAI_CHAT_DEPLOYMENT"]),
    ({**AZURE, "AZURE_OPENAI_ENDPOINT": "name.openai.azure.com"}, ["AZURE_OPENAI_ENDPOINT: Input should be a valid URL"]),
    ({**AZURE, "AZURE_OPENAI_ENDPOINT": "ftp://name"}, ["AZURE_OPENAI_ENDPOINT: URL scheme should be 'http' or 'https'"]),
    (
        {**AZURE, "AZURE_OPENAI_ENDPOINT": "https://user:hunter2@name"},
        ["AZURE_OPENAI_ENDPOINT: must not contain a user name"],
    ),
    ({**AZURE, "AZURE_OPENAI_ENDPOINT": "https://name/?code=hunter2"}, ["AZURE_OPENAI_ENDPOINT: must not contain a query"]),
    ({**AZURE, "AZURE_OPENAI_ENDPOINT": "https://name..example"}, ["AZURE_OPENAI_ENDPOINT: invalid host name"]),
    ({**AZURE, "AZURE_OPENAI_ENDPOINT": f"https://{'n' * 64}.example"}, ["AZURE_OPENAI_ENDPOINT: invalid host name"]),
    ({**AZURE, "AZURE_OPENAI_API_KEY": "a key"}, ["AZURE_OPENAI_API_KEY: must not contain white space"]),
    ({**AZURE, "AZURE_TENANT_ID": "a/b"}, ["AZURE_TENANT_ID: must be a tenant's ID or domain name"]),
    ({"OPENAI_BASE_URL": "localhost"}, ["OPENAI_BASE_URL: Input should be a valid URL"]),
    ({"OPENAI_BASE_URL": "http://user:hunter2@host:99999"}, ["OPENAI_BASE_URL: Input should be a valid URL"]),
    ({"OPENAI_API_KEY": "key\n"}, ["OPENAI_API_KEY: must not contain white space"]),
    ({"OPENAI_API_KEY": "schlüssel"}, ["OPENAI_API_KEY: must not contain white space, control characters or"]),
    ({"OPENAI_API_KEY": "\udce9"}, ["OPENAI_API_KEY"]),
    ({**OPENAI, "OPENAI_MODEL": "\udce9"}, ["OPENAI_MODEL"]),
    ({**OPENAI, "CHAT_SYSTEM_PROMPT": "\udce9"}, ["CHAT_SYSTEM_PROMPT"]),
    ({**OPENAI, "CHAT_API_KEYS": "hunter2-hunter2-hunter2"}, ["CHAT_API_KEYS: must be name=key pairs"]),
    ({**OPENAI, "CHAT_API_KEYS": "a=hunter2-hunter2-hunter2,"}, ["CHAT_API_KEYS: must be name=key pairs"]),
    ({**OPENAI, "CHAT_API_KEYS": "a b=hunter2-hunter2-hunter2"}, ["CHAT_API_KEYS: must be name=key pairs"]),
    ({**OPENAI, "CHAT_API_KEYS": "a=hunter2"}, ["CHAT_API_KEYS: each key must have at least 20"]),
    ({**OPENAI, "CHAT_API_KEYS": "a=hunter2 hunter2 hunter2"}, ["CHAT_API_KEYS: each key must have at least 20"]),
    ({**OPENAI, "CHAT_API_KEYS": f"a={'hunter2' * 3},a={'hunter3' * 3}"}, ["CHAT_API_KEYS: each name and each key must be"]),
    ({**OPENAI, "CHAT_API_KEYS": f"a={'hunter2' * 3},b={'hunter2' * 3}"}, ["CHAT_API_KEYS: each name and each key must be"]),
    (
        {**OPENAI, "CHAT_API_KEYS": "@Microsoft.KeyVault(VaultName=kv-hunter2;SecretName=chat-api-keys)"},
        ["CHAT_API_KEYS: unresolved Key Vault reference"],
    ),
    (
        {"OPENAI_API_KEY": "@Microsoft.KeyVault(VaultName=kv-hunter2;SecretName=openai-api-key)"},
        ["OPENAI_API_KEY: unresolved Key Vault reference"],
    ),
    ({**OPENAI, "CHAT_AUTH_LEVEL": "admin"}, ["CHAT_AUTH_LEVEL: Input should be 'function' or 'anonymous'"]),
    ({**OPENAI, "CHAT_DAILY_TOKENS": "0"}, ["CHAT_DAILY_TOKENS: Input should be greater than 0"]),
    ({**OPENAI, "CHAT_DAILY_TOKENS_PER_CLIENT": "1e6"}, ["CHAT_DAILY_TOKENS_PER_CLIENT: Input should be a valid integer"]),
    ({**OPENAI, "CHAT_BUDGET_STORAGE_ENDPOINT": "hunter2"}, ["CHAT_BUDGET_STORAGE_ENDPOINT: Input should be a valid URL"]),
    ({**OPENAI, "CHAT_TIMEOUT": "soon"}, ["CHAT_TIMEOUT: Input should be a valid number"]),
    ({**OPENAI, "CHAT_TIMEOUT": "0"}, ["CHAT_TIMEOUT: Input should be greater than 0"]),
    ({**OPENAI, "CHAT_TIMEOUT": "inf"}, ["CHAT_TIMEOUT: Input should be a finite number"]),
    ({**OPENAI, "CHAT_MAX_MESSAGES": "-1"}, ["CHAT_MAX_MESSAGES: Input should be greater than 0"]),
    ({**OPENAI, "CHAT_MAX_REQUEST_BYTES": "1 MB"}, ["CHAT_MAX_REQUEST_BYTES: Input should be a valid integer"]),
    ({**OPENAI, "CHAT_MAX_COMPLETION_TOKENS": "1.5"}, ["CHAT_MAX_COMPLETION_TOKENS: Input should be a valid integer"]),
    ({**OPENAI, "CHAT_TIMEOUT": "x", "CHAT_MAX_MESSAGES": "y"}, ["CHAT_TIMEOUT: ", "CHAT_MAX_MESSAGES: "]),
]


@pytest.mark.parametrize(("environment", "messages"), INVALID, ids=lambda value: str(value)[:60])
async def test_invalid_setting_is_named_and_its_value_is_not_sent(
    service: Service,
    model: ModelServer,
    configure: Configure,
    logged: Logged,
    environment: Environment,
    messages: list[str],
) -> None:
    configure(**environment)
    status, response = await service.send(QUESTION)
    assert (status, response["error"]["type"]) == (500, "configuration_error")
    for message in messages:
        assert message in response["error"]["message"]
    for value in environment.values():
        assert not value or len(value) < 3 or value not in str(response)
    assert "hunter2" not in str(response)
    assert model.requests == []
    (line,) = await logged()
    assert "hunter2" not in line["reason"]


async def test_invalid_value_is_logged(service: Service, configure: Configure, logged: Logged) -> None:
    configure(**OPENAI, CHAT_TIMEOUT="soon")
    await service.send(QUESTION)
    (line,) = await logged()
    assert "CHAT_TIMEOUT: invalid value 'soon': Input should be a valid number" in line["reason"]


@pytest.mark.parametrize("name", ["AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "CHAT_TIMEOUT", "AZURE_TENANT_ID"])
async def test_key_in_the_wrong_setting_is_not_shown(
    service: Service, configure: Configure, logged: Logged, name: str
) -> None:
    key = "5f2b8c1d9e3a47f6b0c4d8e2a1f5b9c3/"
    configure(**OPENAI, **{name: key})
    _, response = await service.send(QUESTION)
    assert name in response["error"]["message"]
    assert key not in str(response)
    assert key not in str(await logged())


@pytest.mark.usefixtures("configure")
def test_corrected_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that started with invalid settings does not keep the error."""
    with pytest.raises(ConfigurationError):
        get_settings()
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert get_settings().provider == "openai"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://[fd00::a1]:8080/v1", {"[fd00::a1]:8080", "fd00::a1"}),
        ("https://models.example/v1", {"models.example"}),
        ("http://ollama:11434/v1", {"ollama:11434"}),
        ("http://ollama/v1", set()),
    ],
)
def test_hosts_of_the_model_server_are_secrets(configure: Configure, url: str, hosts: set[str]) -> None:
    configure(OPENAI_BASE_URL=url)
    assert set(get_settings().secrets) == {url, *hosts}


@pytest.mark.parametrize(
    ("environment", "provider", "model"),
    [
        ({**AZURE, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x", "OPENAI_MODEL": "m"}, "azure", "d"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x", "OPENAI_MODEL": "m"}, "compatible", "m"),
        ({"OPENAI_BASE_URL": "http://[::1]:8080/v1"}, "compatible", "gpt-6-luna"),
        ({"OPENAI_API_KEY": "k"}, "openai", "gpt-6-luna"),
    ],
)
def test_provider_follows_from_the_settings(
    configure: Configure, environment: Environment, provider: str, model: str
) -> None:
    configure(**environment)
    assert (get_settings().provider, get_settings().model) == (provider, model)
