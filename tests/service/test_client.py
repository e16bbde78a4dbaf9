"""Which model's server is asked, and with which key: every choice of provider."""

import gc
import json
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from azure.identity.aio import ManagedIdentityCredential

from chat.client import get_client
from tests.client import Service
from tests.fakes.model_server import Exchange, ModelServer
from tests.fakes.responses import AZURE, OPENAI, streams

TOKEN = "an.entra.token"

type Configure = Callable[..., None]


@pytest.fixture(autouse=True)
async def credentials_are_closed() -> AsyncIterator[None]:
    """A worker keeps its credential for as long as it lives; these tests have several in one process."""
    yield
    for credential in [thing for thing in gc.get_objects() if isinstance(thing, ManagedIdentityCredential)]:
        await credential.close()


async def test_openai(configure: Configure) -> None:
    configure(OPENAI_API_KEY="sk-1")
    client = get_client()
    assert str(client.base_url) == "https://api.openai.com/v1/"
    assert client.api_key == "sk-1"
    assert get_client() is client


@pytest.mark.parametrize(("key", "sent"), [("", "Bearer none"), ("sk-2", "Bearer sk-2")])
async def test_a_compatible_server(service: Service, model: ModelServer, configure: Configure, key: str, sent: str) -> None:
    configure(OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_API_KEY=key, OPENAI_MODEL="qwen3")
    model.answers(streams(OPENAI))
    assert await service.ask() == (200, OPENAI)
    (request,) = model.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == sent
    assert request.headers["accept-encoding"] == "identity"
    assert request.json["model"] == "qwen3"


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
async def test_a_proxy_of_the_environment(
    service: Service, model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """The stand-in is the proxy as well: as that it is asked for the whole URL."""
    monkeypatch.setenv("http_proxy", model.url)
    monkeypatch.setenv("no_proxy", no_proxy)
    configure(OPENAI_BASE_URL=f"{model.url}/v1")
    model.answers(streams(OPENAI))
    assert await service.ask() == (200, OPENAI)
    path = "/v1/chat/completions"
    assert model.requests[0].path == (path if no_proxy else model.url + path)


@pytest.mark.parametrize("suffix", ["", "/", "/openai/v1", "/openai/v1/"])
async def test_azure_with_a_key(service: Service, model: ModelServer, configure: Configure, suffix: str) -> None:
    configure(
        AZURE_OPENAI_ENDPOINT=model.url + suffix,
        AZURE_OPENAI_CHAT_DEPLOYMENT="my-deployment",
        AZURE_OPENAI_API_KEY="azure-key",
        OPENAI_BASE_URL="http://127.0.0.1:9/not-asked",
        OPENAI_API_KEY="sk-not-sent",
    )
    model.answers(streams(AZURE))
    assert await service.ask() == (200, AZURE)
    (request,) = model.requests
    assert request.path == "/openai/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer azure-key"
    assert request.json["model"] == "my-deployment"


async def test_azure_keyless_with_a_managed_identity(
    service: Service, model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-platform")
    configure(
        AZURE_OPENAI_ENDPOINT=model.url,
        AZURE_OPENAI_CHAT_DEPLOYMENT="d",
        AZURE_CLIENT_ID="the-identity",
        IDENTITY_ENDPOINT=f"{model.url}/msi/token",
    )

    async def azure_and_its_identity(exchange: Exchange) -> None:
        if exchange.request.path.startswith("/msi/token"):
            assert exchange.request.headers["x-identity-header"] == "secret-of-the-platform"
            token = {
                "access_token": TOKEN,
                "expires_on": str(int(time.time()) + 86400),
                "resource": "r",
                "token_type": "Bearer",
            }
            await exchange.respond(200, json.dumps(token).encode())
        else:
            await streams(AZURE)(exchange)

    model.answers(azure_and_its_identity)
    for _ in range(3):
        assert await service.ask() == (200, AZURE)
    token_request, *chats = model.requests
    assert "resource=https://cognitiveservices.azure.com" in token_request.path
    assert "client_id=the-identity" in token_request.path
    assert [chat.path for chat in chats] == ["/openai/v1/chat/completions"] * 3
    assert {chat.headers["authorization"] for chat in chats} == {f"Bearer {TOKEN}"}


async def test_azure_keyless_with_a_developers_sign_in(
    service: Service, model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`azd` is a stand-in on the PATH; the credential that calls it is the real one."""
    azd = tmp_path / "azd"
    token = json.dumps({"token": TOKEN, "expiresOn": "2099-01-01T00:00:00Z"})
    azd.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\necho '{token}'\n")
    azd.chmod(azd.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tenant = "11111111-2222-3333-4444-555555555555"
    configure(AZURE_OPENAI_ENDPOINT=model.url, AZURE_OPENAI_CHAT_DEPLOYMENT="d", AZURE_TENANT_ID=tenant)
    model.answers(streams(AZURE))
    assert await service.ask() == (200, AZURE)
    assert model.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    asked = (tmp_path / "asked").read_text()
    assert "--scope https://cognitiveservices.azure.com/.default" in asked
    assert f"--tenant-id {tenant}" in asked


async def test_nobody_is_signed_in(
    service: Service,
    model: ModelServer,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    logged: Callable[[], list[dict[str, str]]],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    configure(AZURE_OPENAI_ENDPOINT=model.url, AZURE_OPENAI_CHAT_DEPLOYMENT="d")
    status, answer = await service.ask()
    assert (status, answer["error"]["type"]) == (502, "upstream_error")
    assert model.requests == []
    assert "azd auth login" in logged()[0]["why"]
