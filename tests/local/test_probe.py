"""Whether a model server, or the proxy for it, can be reached."""

import socket

import pytest

from local.probe import can_connect

UNREACHABLE = "https://192.0.2.1/v1"


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_proxy_is_connected_to(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("https_proxy", f"{scheme}127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        assert await can_connect(UNREACHABLE)
    assert not await can_connect(UNREACHABLE)


async def test_proxy_is_not_connected_to_where_no_proxy_excludes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "localhost")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert await can_connect(f"http://localhost:{server.getsockname()[1]}")
