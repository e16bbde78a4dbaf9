"""The settings: environment variables, read here and nowhere else."""

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from chat.errors import ConfigurationError
from chat.redaction import redact

DEFAULT_MODEL = "gpt-6-luna"

Provider = Literal["azure", "openai", "compatible"]

_HOST = re.compile(r"\[[0-9a-f:.]+\]|(?!.{254})[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII | re.IGNORECASE)
_API_KEY_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_MIN_API_KEY_LENGTH = 20
_TENANT = re.compile(r"[A-Za-z0-9.-]+")
_MAX_SHOWN_CHARACTERS = 60


def _check_url(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.username or url.password:
        raise ValueError("must not contain a user name or a password")
    if url.query or url.fragment:
        raise ValueError("must not contain a query or a fragment")
    if not _HOST.fullmatch(url.host or ""):
        raise ValueError("invalid host name")
    return url


def _is_visible_ascii(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _check_key(key: SecretStr) -> SecretStr:
    if not _is_visible_ascii(key.get_secret_value()):
        raise ValueError("must not contain white space, control characters or characters outside ASCII")
    return key


def _check_api_keys(value: SecretStr) -> SecretStr:
    pairs = list(_api_key_pairs(value))
    names, keys = zip(*pairs, strict=True)
    if not all(names) or not all(keys) or not all(map(_API_KEY_NAME.fullmatch, names)):
        raise ValueError("must be name=key pairs, separated by commas; a name has letters, digits, '.', '_' and '-'")
    if not all(len(key) >= _MIN_API_KEY_LENGTH and _is_visible_ascii(key) for key in keys):
        raise ValueError(f"each key must have at least {_MIN_API_KEY_LENGTH} visible ASCII characters")
    if len(set(names)) < len(names) or len(set(keys)) < len(keys):
        raise ValueError("each name and each key must be unique")
    return value


def _api_key_pairs(value: SecretStr) -> Iterator[tuple[str, str]]:
    for pair in value.get_secret_value().split(","):
        name, _, key = pair.strip().partition("=")
        yield name, key


def _check_text(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be valid UTF-8")
    return text


def _check_tenant(tenant: str) -> str:
    if not _TENANT.fullmatch(tenant):
        raise ValueError("must be a tenant's ID or domain name")
    return tenant


type ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
type Text = Annotated[str, AfterValidator(_check_text)]
type Url = Annotated[AnyHttpUrl, AfterValidator(_check_url)]
type Key = Annotated[SecretStr, AfterValidator(_check_key)]
type ApiKeys = Annotated[SecretStr, AfterValidator(_check_api_keys)]


class Settings(BaseSettings):
    """Where the model is and what the service allows. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    azure_openai_endpoint: Url | None = Field(
        None,
        description="an Azure OpenAI or Foundry resource, `https://NAME.openai.azure.com`; selects Azure",
    )
    azure_openai_chat_deployment: Text | None = Field(None, description="the deployment; required with the endpoint")
    azure_openai_api_key: Key | None = Field(
        None, description="a key; without it the client authenticates through Microsoft Entra ID"
    )
    azure_client_id: str | None = Field(None, description="the user-assigned managed identity")
    azure_tenant_id: Annotated[str, AfterValidator(_check_tenant)] | None = Field(
        None, description="the tenant for a developer's own sign-in"
    )
    openai_api_key: Key | None = Field(None, description="OpenAI's key")
    openai_base_url: Url | None = Field(
        None,
        description="any OpenAI-compatible server (llama.cpp, Ollama, vLLM, …); needs no key",
    )
    openai_model: Text = Field(DEFAULT_MODEL, description="the model, at OpenAI or a compatible server")
    openai_responses_api: bool = Field(
        False, description="`true`: the compatible server implements OpenAI's Responses API, well enough to be relayed"
    )
    chat_system_prompt: Text = Field("You are a helpful assistant.", description="the system prompt")
    chat_max_completion_tokens: PositiveInt | None = Field(
        None, description="limit on the length of a completion, in tokens"
    )
    chat_reasoning_effort: ReasoningEffort | None = Field(
        None, description="the reasoning effort where a client sends none: `none`, `minimal`, `low`, `medium`, `high`, …"
    )
    chat_timeout: PositiveFloat = Field(
        220,
        description="seconds to wait for the request body, the first chunk, each further chunk, or a complete response",
        allow_inf_nan=False,
    )
    chat_max_messages: PositiveInt = Field(1000, description="messages per request")
    chat_max_request_bytes: PositiveInt = Field(8 * 1024 * 1024, description="bytes per request body")
    chat_api_keys: ApiKeys | None = Field(
        None, description="`name=key` pairs, separated by commas; each key at least 20 characters"
    )
    chat_auth_level: Literal["function", "anonymous"] = Field("function", description="`function` or `anonymous`")
    chat_daily_tokens: PositiveInt | None = Field(None, description="budget of tokens per day, UTC, of the service")
    chat_daily_tokens_per_client: PositiveInt | None = Field(
        None, description="the same of each API key and each signed-in person; all other clients share one"
    )
    chat_budget_storage_endpoint: Url | None = Field(
        None,
        description="`https://NAME.table.core.windows.net`, where all workers count; without it, each counts by itself",
    )

    chat_budget_storage_key: Key | None = Field(
        None, exclude=True, description="the storage account's key, for Azurite; without it the app's identity is used"
    )
    azure_functions_environment: str | None = Field(
        None, exclude=True, description="`Development` on a developer's own machine: set by Core Tools and `make run`"
    )
    identity_endpoint: str | None = Field(None, exclude=True, description="set by Azure where there is a managed identity")

    @field_validator("*", mode="before")
    @classmethod
    def _check_key_vault_reference(cls, value: object) -> object:
        # If Azure cannot read the secret, the value is the reference itself, which would be accepted as a key.
        if isinstance(value, str) and value.lower().startswith("@microsoft.keyvault("):
            raise ValueError("unresolved Key Vault reference: check the secret, and the identity's role")
        return value

    @model_validator(mode="after")
    def _check_model_is_configured(self) -> Self:
        if self.azure_openai_endpoint and not self.azure_openai_chat_deployment:
            raise ConfigurationError("AZURE_OPENAI_ENDPOINT requires AZURE_OPENAI_CHAT_DEPLOYMENT.")
        if not (self.azure_openai_endpoint or self.openai_base_url or self.openai_api_key):
            raise ConfigurationError(
                "No model is configured: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_CHAT_DEPLOYMENT, "
                "or OPENAI_API_KEY, or OPENAI_BASE_URL."
            )
        return self

    @property
    def is_development(self) -> bool:
        """Whether the service runs on a developer's own machine."""
        return self.azure_functions_environment == "Development"

    @property
    def provider(self) -> Provider:
        """Who serves the model."""
        if self.azure_openai_endpoint:
            return "azure"
        return "compatible" if self.openai_base_url else "openai"

    @property
    def has_responses_api(self) -> bool:
        """Whether the model server implements the Responses API."""
        return self.provider != "compatible" or self.openai_responses_api

    @property
    def model(self) -> str:
        """The model, or on Azure the deployment."""
        if self.azure_openai_endpoint and self.azure_openai_chat_deployment:
            return self.azure_openai_chat_deployment
        return self.openai_model

    @property
    def api_keys(self) -> dict[str, str]:
        """The API keys of the `v1` routes, by their names; without any, the routes take the function key."""
        return dict(_api_key_pairs(self.chat_api_keys)) if self.chat_api_keys else {}

    @property
    def secrets(self) -> list[str]:
        """The keys and addresses of the model server, which its error messages may repeat and no response may contain."""
        keys = [key.get_secret_value() for key in (self.azure_openai_api_key, self.openai_api_key) if key]
        urls = [str(url).rstrip("/") for url in (self.azure_openai_endpoint, self.openai_base_url) if url]
        parts = [urlsplit(url) for url in urls]
        # A host name without a dot, such as "ollama", identifies nothing outside its network, and may be part of a word.
        hosts = [host for part in parts for host in (part.netloc, part.hostname) if host and ("." in host or ":" in host)]
        return [*keys, *urls, *hosts]


def has_sign_in() -> bool:
    """Whether App Service authentication is on: Azure sets the variable to `True` or `False`.

    It is not one of the `Settings`, because the pages depend on it even while those are invalid.
    """
    return os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"


@cache
def get_settings() -> Settings:
    """Returns the settings, which are read once.

    Raises `ConfigurationError`, which names every invalid setting; the next call then reads them again.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise _configuration_error(error) from None


def _configuration_error(error: ValidationError) -> ConfigurationError:
    """The error for invalid settings. Its message, for clients, has no values; its reason, for the log, has no secrets."""
    messages: list[str] = []
    reasons: list[str] = []
    for detail in error.errors(include_url=False):
        setting, problem = str(detail["loc"][0]), detail["msg"].removeprefix("Value error, ")
        messages.append(f"{setting.upper()}: {problem}.")
        reasons.append(f"{setting.upper()}:{_shown(setting, detail['input'])} {problem}.")
    return ConfigurationError(" ".join(messages), reason=" ".join(reasons))


def _shown(name: str, value: object) -> str:
    """An invalid value for the log; nothing if the setting holds a key or a URL, which may contain one."""
    if name.endswith(("_key", "_keys", "_url", "_endpoint")):
        return ""
    return f" invalid value {redact(str(value), ())[:_MAX_SHOWN_CHARACTERS]!r}:"
