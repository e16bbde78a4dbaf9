"""The model server that receives the request, and the key: every choice of provider."""

import asyncio
import gc
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.identity.aio import ManagedIdentityCredential

from chat.upstream.client import get_client
from chat.upstream.transport import _Guard
from testing.behaviours import never_responds, responds, streams
from testing.chat_completions import AZURE, OPENAI
from testing.client import Configure, Logged, Service
from testing.faults import sends
from testing.model_server import Exchange, ModelServer

TOKEN = "an.entra.token"


async def test_client_for_openai_has_its_url_and_key(configure: Configure) -> None:
    configure(OPENAI_API_KEY="sk-1")
    client = get_client()
    assert str(client.base_url) == "https://api.openai.com/v1/"
    assert client.api_key == "sk-1"
    assert get_client() is client


@pytest.mark.parametrize(("key", "sent"), [("", "Bearer none"), ("sk-2", "Bearer sk-2")])
async def test_request_to_a_compatible_server(
    service: Service, model: ModelServer, configure: Configure, key: str, sent: str
) -> None:
    configure(OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_API_KEY=key, OPENAI_MODEL="qwen3")
    model.respond_with(streams(OPENAI))
    assert await service.send() == (200, OPENAI)
    (request,) = model.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == sent
    assert request.headers["accept-encoding"] == "identity"
    assert request.json["model"] == "qwen3"


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_proxy_of_the_environment(
    service: Service, model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch, no_proxy: str, scheme: str
) -> None:
    """The fake model server is the proxy, too: as such it receives the whole URL."""
    monkeypatch.setenv("http_proxy", scheme + urlsplit(model.url).netloc)
    monkeypatch.setenv("no_proxy", no_proxy)
    configure(OPENAI_BASE_URL=f"{model.url}/v1")
    model.respond_with(streams(OPENAI))
    assert await service.send() == (200, OPENAI)
    path = "/v1/chat/completions"
    assert model.requests[0].path == (path if no_proxy else model.url + path)


async def test_host_name_is_removed_from_messages_of_the_model_server(service: Service, model: ModelServer) -> None:
    message = f"127.0.0.1 rejected the request to {model.url}"
    model.respond_with(responds(400, {"error": {"message": message}}))
    _, body = await service.send()
    assert body["error"]["message"] == "*** rejected the request to http://***"


async def test_host_name_without_a_dot_is_not_removed_from_words(
    service: Service, model: ModelServer, configure: Configure
) -> None:
    configure(OPENAI_BASE_URL=model.url.replace("127.0.0.1", "localhost"))
    model.respond_with(responds(400, {"error": {"message": "not a localhosted model"}}))
    _, body = await service.send()
    assert body["error"]["message"] == "not a localhosted model"


@pytest.mark.parametrize("suffix", ["", "/", "/openai/v1", "/openai/v1/"])
async def test_azure_with_a_key(service: Service, model: ModelServer, configure: Configure, suffix: str) -> None:
    configure(
        AZURE_OPENAI_ENDPOINT=model.url + suffix,
        AZURE_OPENAI_CHAT_DEPLOYMENT="my-deployment",
        AZURE_OPENAI_API_KEY="azure-key",
        OPENAI_BASE_URL="http://127.0.0.1:9/unused",
        OPENAI_API_KEY="sk-unused",
    )
    model.respond_with(streams(AZURE))
    assert await service.send() == (200, AZURE)
    (request,) = model.requests
    assert request.path == "/openai/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer azure-key"
    assert request.json["model"] == "my-deployment"


@pytest.fixture
async def managed_identity(model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The platform's identity endpoint, played by the fake model server, too."""
    credentials: list[ManagedIdentityCredential] = []

    class ClosedCredential(ManagedIdentityCredential):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            credentials.append(self)

    monkeypatch.setattr("chat.upstream.credentials.ManagedIdentityCredential", ClosedCredential)
    monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-platform")
    configure(
        AZURE_OPENAI_ENDPOINT=model.url,
        AZURE_OPENAI_CHAT_DEPLOYMENT="d",
        AZURE_CLIENT_ID="the-identity",
        IDENTITY_ENDPOINT=f"{model.url}/msi/token",
        CHAT_TIMEOUT="2",
    )
    yield
    for credential in credentials:  # a worker keeps one for as long as it runs
        await credential.close()


def token(**changed: Any) -> dict[str, Any]:
    """The identity endpoint's response."""
    expires_on = str(int(time.time()) + 86400)
    return {"access_token": TOKEN, "expires_on": expires_on, "resource": "r", "token_type": "Bearer"} | changed


@pytest.mark.usefixtures("managed_identity")
async def test_azure_with_a_managed_identity(service: Service, model: ModelServer) -> None:
    async def azure_and_its_identity(exchange: Exchange) -> None:
        if exchange.request.path.startswith("/msi/token"):
            assert exchange.request.headers["x-identity-header"] == "secret-of-the-platform"
            await exchange.respond(200, json.dumps(token()).encode())
        else:
            await streams(AZURE)(exchange)

    model.respond_with(azure_and_its_identity)
    for _ in range(3):
        assert await service.send() == (200, AZURE)
    token_request, *requests = model.requests
    assert "resource=https://cognitiveservices.azure.com" in token_request.path
    assert "client_id=the-identity" in token_request.path
    assert [request.path for request in requests] == ["/openai/v1/chat/completions"] * 3
    assert {request.headers["authorization"] for request in requests} == {f"Bearer {TOKEN}"}


MALFORMED: dict[str, Any] = {
    "no token": {},
    "not JSON": b"<html>",
    "a list": [1],
    "a token that is null": token(access_token=None),
    "a token with a line break": token(access_token="a\r\nx-injected: b"),
    "a token that is not ASCII": token(access_token="tökén"),
    "an expiry that is a word": token(expires_on="soon"),
    "nothing": b"",
}


@pytest.mark.usefixtures("managed_identity")
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_token_is_not_a_bug(service: Service, model: ModelServer, logged: Logged, body: Any) -> None:
    model.respond_with(responds(200, body))
    status, response = await service.send()
    assert (status, response["error"]["type"]) == (502, "upstream_error")
    assert response["error"]["message"] == "Could not authenticate with the model server."
    (line,) = await logged()
    assert "Microsoft Entra ID" in line["reason"]
    assert all(request.path.startswith("/msi/token") for request in model.requests)


@pytest.mark.usefixtures("managed_identity")
async def test_identity_endpoint_that_hangs_is_reported_and_recovers(
    service: Service, model: ModelServer, logged: Logged
) -> None:
    model.respond_with(never_responds)
    status, response = await service.send()
    assert (status, response["error"]["message"]) == (502, "Could not authenticate with the model server.")
    (line,) = await logged()
    assert "Microsoft Entra ID" in line["reason"]
    assert "TimeoutError" in line["reason"]

    model.respond_with(responds(200, token()), streams(AZURE))
    assert await service.send() == (200, AZURE)


async def test_azure_with_a_developers_sign_in(
    service: Service, model: ModelServer, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`azd` is a fake on the PATH; the credential that calls it is the real one."""
    azd = tmp_path / "azd"
    output = json.dumps({"token": TOKEN, "expiresOn": "2099-01-01T00:00:00Z"})
    azd.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/arguments\necho '{output}'\n")
    azd.chmod(azd.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tenant = "11111111-2222-3333-4444-555555555555"
    configure(AZURE_OPENAI_ENDPOINT=model.url, AZURE_OPENAI_CHAT_DEPLOYMENT="d", AZURE_TENANT_ID=tenant)
    model.respond_with(streams(AZURE))
    assert await service.send() == (200, AZURE)
    assert model.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    arguments = (tmp_path / "arguments").read_text()
    assert "--scope https://cognitiveservices.azure.com/.default" in arguments
    assert f"--tenant-id {tenant}" in arguments


async def test_no_sign_in_is_reported(
    service: Service,
    model: ModelServer,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    logged: Logged,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    configure(AZURE_OPENAI_ENDPOINT=model.url, AZURE_OPENAI_CHAT_DEPLOYMENT="d")
    status, response = await service.send()
    assert (status, response["error"]["type"]) == (502, "upstream_error")
    assert model.requests == []
    (line,) = await logged()
    assert "azd auth login" in line["reason"]


def client_timer(port: int) -> str:
    """The kernel's timer for the one open connection to a port: what it is for, and in how many ticks it expires."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (timer,) = [fields[5] for fields in sockets if fields[2].endswith(f":{port:04X}") and fields[3] == "01"]
    return timer


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp")
async def test_idle_connection_is_probed_before_azure_forgets_it(service: Service, model: ModelServer) -> None:
    """Azure forgets an outbound connection that is idle for 4 minutes, without closing it."""
    model.respond_with(streams(OPENAI))
    await service.send()
    await model.idle()
    purpose, _, ticks = client_timer(urlsplit(model.url).port or 0).partition(":")
    assert purpose == "02", "no keep-alive timer"
    assert int(ticks, 16) / os.sysconf("SC_CLK_TCK") < 240


async def test_guard_is_on_each_connection_to_the_model_server(service: Service, model: ModelServer) -> None:
    """It overrides methods of aiohttp that are not public API: a release that renames one would silently remove it."""
    model.respond_with(streams(OPENAI))
    assert (await service.send())[0] == 200
    server_address = urlsplit(model.url).hostname, urlsplit(model.url).port
    transports = [value for value in gc.get_objects() if issubclass(type(value), asyncio.Transport)]
    protocols = [type(value.get_protocol()) for value in transports if value.get_extra_info("peername") == server_address]
    assert protocols == [_Guard]


async def test_connection_that_switched_protocols_is_not_used_again(service: Service, model: ModelServer) -> None:
    switches = sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", chunked=False, then="stall")
    model.respond_with(switches, streams(OPENAI))
    assert (await service.send())[0] == 502
    async with asyncio.timeout(5):
        assert await service.send() == (200, OPENAI)
