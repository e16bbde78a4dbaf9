"""The model server that the settings select."""

import pytest

from chat.settings import DEFAULT_MODEL
from local.settings import LocalSettings
from local.upstream_choice import configured_upstream


@pytest.mark.parametrize(
    ("values", "variables", "model", "url", "reason"),
    [
        (
            {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com/", "AZURE_OPENAI_CHAT_DEPLOYMENT": "chat"},
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x"},
            "chat",
            "https://name.openai.azure.com/",
            "Set by AZURE_OPENAI_ENDPOINT in local.settings.json.",
        ),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com/", "OPENAI_MODEL": "m"},
            {},
            "no deployment",
            "https://name.openai.azure.com/",
            "Set by AZURE_OPENAI_ENDPOINT in local.settings.json.",
        ),
        (
            {"OPENAI_BASE_URL": "http://file", "OPENAI_MODEL": "m"},
            {"OPENAI_BASE_URL": "http://user:password@[::1]:8080/v1?key=secret#x", "OPENAI_API_KEY": "k"},
            "m",
            "http://[::1]:8080/v1",
            "Set by OPENAI_BASE_URL and OPENAI_API_KEY in the environment.\n"
            "To run without: env -u OPENAI_BASE_URL -u OPENAI_API_KEY make run",
        ),
        (
            {"OPENAI_BASE_URL": "http://file:1/v1"},
            {"OPENAI_API_KEY": "k"},
            DEFAULT_MODEL,
            "http://file:1/v1",
            "Set by OPENAI_BASE_URL in local.settings.json and OPENAI_API_KEY in the environment.\n"
            "To run without: env -u OPENAI_API_KEY make run",
        ),
        (
            {},
            {"OPENAI_API_KEY": "k"},
            DEFAULT_MODEL,
            "https://api.openai.com/v1",
            "Set by OPENAI_API_KEY in the environment.\nTo run without: env -u OPENAI_API_KEY make run",
        ),
        (
            {},
            {"OPENAI_BASE_URL": "a-key"},
            DEFAULT_MODEL,
            "an invalid URL",
            "Set by OPENAI_BASE_URL in the environment.\nTo run without: env -u OPENAI_BASE_URL make run",
        ),
        (
            {},
            {"OPENAI_BASE_URL": "http://a:b"},
            DEFAULT_MODEL,
            "an invalid URL",
            "Set by OPENAI_BASE_URL in the environment.\nTo run without: env -u OPENAI_BASE_URL make run",
        ),
    ],
)
def test_the_model_and_its_server_are_named_without_credentials(
    values: dict[str, str], variables: dict[str, str], model: str, url: str, reason: str
) -> None:
    upstream = configured_upstream(LocalSettings(Values=values), variables)
    assert upstream
    assert (upstream.model, upstream.url, upstream.local, upstream.reason) == (model, url, False, reason)


def test_nothing_selects_a_model_server() -> None:
    assert configured_upstream(LocalSettings(Values={"OPENAI_API_KEY": ""}), {"OPENAI_MODEL": "m"}) is None
