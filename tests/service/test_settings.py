"""The settings: what is read, and what a value that is no good leads to."""

from collections.abc import Callable

import pytest

from chat.errors import NotConfigured
from chat.settings import get_settings
from tests.client import QUESTION, Service
from tests.fakes.model_server import ModelServer

type Configure = Callable[..., None]

AZURE = {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com", "AZURE_OPENAI_CHAT_DEPLOYMENT": "d"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, ["AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL"]),
        ({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}, ["OPENAI_API_KEY"]),
        ({"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com"}, ["AZURE_OPENAI_CHAT_DEPLOYMENT"]),
        ({**AZURE, "AZURE_OPENAI_ENDPOINT": "not a URL"}, ["AZURE_OPENAI_ENDPOINT", "'not a URL'"]),
        ({**AZURE, "AZURE_OPENAI_ENDPOINT": "ftp://name"}, ["AZURE_OPENAI_ENDPOINT", "'ftp://name'"]),
        ({"OPENAI_BASE_URL": "localhost"}, ["OPENAI_BASE_URL", "'localhost'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_TIMEOUT": "soon"}, ["CHAT_TIMEOUT", "'soon'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_TIMEOUT": "0"}, ["CHAT_TIMEOUT", "'0'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_TIMEOUT": "inf"}, ["CHAT_TIMEOUT", "'inf'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_MAX_MESSAGES": "-1"}, ["CHAT_MAX_MESSAGES", "'-1'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_MAX_REQUEST_BYTES": "1 MB"}, ["CHAT_MAX_REQUEST_BYTES", "'1 MB'"]),
        ({"OPENAI_API_KEY": "k", "CHAT_MAX_COMPLETION_TOKENS": "1.5"}, ["CHAT_MAX_COMPLETION_TOKENS", "'1.5'"]),
        (
            {"OPENAI_API_KEY": "k", "CHAT_TIMEOUT": "x", "CHAT_MAX_MESSAGES": "y"},
            ["CHAT_TIMEOUT", "'x'", "CHAT_MAX_MESSAGES", "'y'"],
        ),
    ],
)
async def test_what_is_no_good_is_named(
    service: Service, model: ModelServer, configure: Configure, environment: dict[str, str], named: list[str]
) -> None:
    configure(**environment)
    status, answer = await service.ask(QUESTION)
    assert (status, answer["error"]["type"]) == (500, "configuration_error")
    for name in named:
        assert name in answer["error"]["message"]
    assert model.requests == []


async def test_a_key_in_the_wrong_place_is_not_shown(service: Service, configure: Configure) -> None:
    key = "5f2b8c1d9e3a47f6b0c4d8e2a1f5b9c3"
    configure(AZURE_OPENAI_ENDPOINT=key, AZURE_OPENAI_CHAT_DEPLOYMENT="d")
    _, answer = await service.ask(QUESTION)
    assert "AZURE_OPENAI_ENDPOINT" in answer["error"]["message"]
    assert key not in str(answer)


@pytest.mark.usefixtures("configure")
def test_mended_settings_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that started with bad settings does not keep the failure."""
    with pytest.raises(NotConfigured):
        get_settings()
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert get_settings().provider == "openai"


@pytest.mark.parametrize(
    ("environment", "provider", "model"),
    [
        ({**AZURE, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x", "OPENAI_MODEL": "m"}, "azure", "d"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x", "OPENAI_MODEL": "m"}, "compatible", "m"),
        ({"OPENAI_API_KEY": "k"}, "openai", "gpt-5.4-mini"),
    ],
)
def test_the_choice_of_provider(configure: Configure, environment: dict[str, str], provider: str, model: str) -> None:
    configure(**environment)
    assert (get_settings().provider, get_settings().model) == (provider, model)
