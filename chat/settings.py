"""The settings: environment variables, read once, here and nowhere else."""

from functools import cache
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chat.errors import NotConfigured, redact

DEFAULT_MODEL = "gpt-5.4-mini"

Provider = Literal["azure", "openai", "compatible"]


class Settings(BaseSettings):
    """Where the model is and what the service allows. An empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    azure_openai_endpoint: AnyHttpUrl | None = Field(
        None,
        description="an Azure OpenAI or Foundry resource, `https://NAME.openai.azure.com`; set, it selects Azure",
    )
    azure_openai_chat_deployment: str | None = Field(None, description="the deployment to ask; required with the endpoint")
    azure_openai_api_key: SecretStr | None = Field(
        None, description="a key; without it the client is keyless, through Microsoft Entra ID"
    )
    azure_client_id: str | None = Field(None, description="the user-assigned managed identity to use")
    azure_tenant_id: str | None = Field(None, description="the tenant for a developer's own sign-in")
    openai_api_key: SecretStr | None = Field(None, description="OpenAI's key")
    openai_base_url: AnyHttpUrl | None = Field(
        None,
        description="any OpenAI-compatible server (llama.cpp, Ollama, vLLM, …); needs no key",
    )
    openai_model: str = Field(DEFAULT_MODEL, description="the model to ask, at OpenAI or a compatible server")
    chat_system_prompt: str = Field("You are a helpful assistant.", description="the system prompt")
    chat_max_completion_tokens: PositiveInt | None = Field(None, description="a cap on an answer's length")
    chat_timeout: PositiveFloat = Field(
        60, description="seconds of silence from the model's server that are too many", allow_inf_nan=False
    )
    chat_max_messages: PositiveInt = Field(1000, description="messages in one request")
    chat_max_request_bytes: PositiveInt = Field(1024 * 1024, description="bytes in one request's body")

    identity_endpoint: str | None = Field(None, exclude=True, description="set by Azure where there is a managed identity")

    @model_validator(mode="after")
    def _check_model_is_named(self) -> Self:
        if self.azure_openai_endpoint and not self.azure_openai_chat_deployment:
            raise NotConfigured("AZURE_OPENAI_ENDPOINT is set, so set AZURE_OPENAI_CHAT_DEPLOYMENT too.")
        if not (self.azure_openai_endpoint or self.openai_base_url or self.openai_api_key):
            raise NotConfigured(
                "No model is configured: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_CHAT_DEPLOYMENT, "
                "or OPENAI_API_KEY, or OPENAI_BASE_URL."
            )
        return self

    @property
    def provider(self) -> Provider:
        """Who serves the model."""
        if self.azure_openai_endpoint:
            return "azure"
        return "compatible" if self.openai_base_url else "openai"

    @property
    def model(self) -> str:
        """The model, or on Azure the deployment, to ask."""
        return (self.azure_openai_endpoint and self.azure_openai_chat_deployment) or self.openai_model

    @property
    def secrets(self) -> list[str]:
        """What no response and no log may repeat: the keys, and where the model's server is."""
        keys = [key.get_secret_value() for key in (self.azure_openai_api_key, self.openai_api_key) if key]
        urls = [str(url).rstrip("/") for url in (self.azure_openai_endpoint, self.openai_base_url) if url]
        return [*keys, *urls, *(urlsplit(url).netloc for url in urls)]


@cache
def get_settings() -> Settings:
    """The settings, read at the first call; raises `NotConfigured`, which names every setting that is no good."""
    try:
        return Settings()
    except ValidationError as error:
        raise NotConfigured(" ".join(_named(error))) from None


def _named(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, fault['loc'])).upper()}: {_shown(fault['input'])} is no good: {fault['msg']}."
        for fault in error.errors(include_url=False)
    ]


def _shown(value: object) -> str:
    """A bad value, short, and not at all where it could be a key that was put in the wrong place."""
    return repr(redact(str(value), ())[:60])
