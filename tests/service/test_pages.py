"""The pages and what they load, as HTTP sees them."""

import pytest

from tests.client import Service


@pytest.mark.parametrize("name", ["chat", "docs"])
async def test_a_page_lets_only_its_own_files_run(service: Service, name: str) -> None:
    async with service.session.get(f"{service.url}/api/{name}") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert response.headers["Referrer-Policy"] == "no-referrer"
        html = await response.text()
    assert "<style" not in html
    assert " style=" not in html
    assert html.count("<script") == html.count('<script type="module" src=') + html.count("<script defer src=")


@pytest.mark.parametrize("path", ["chat", "assets/chat.css", "assets/swagger-ui.css"])
async def test_a_browser_that_has_a_file_is_not_sent_it_again(service: Service, path: str) -> None:
    url = f"{service.url}/api/{path}"
    async with service.session.get(url) as response:
        body = await response.read()
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Encoding"] == "gzip"
    assert body
    async with service.session.get(url, headers={"If-None-Match": f'"other", {etag}'}) as response:
        assert response.status == 304
        assert await response.read() == b""
    async with service.session.get(url, headers={"If-None-Match": '"other"', "Accept-Encoding": "identity"}) as response:
        assert response.status == 200
        assert "Content-Encoding" not in response.headers
        assert await response.read() == body


@pytest.mark.parametrize("name", ["nothing.js", "chat.html", "..%2Fmodels.py", "%2e%2e%2fsettings.py"])
async def test_other_files_are_not_served(service: Service, name: str) -> None:
    async with service.session.get(f"{service.url}/api/assets/{name}") as response:
        assert response.status == 404
