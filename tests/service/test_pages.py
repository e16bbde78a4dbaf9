"""The pages and what they load, over HTTP."""

import gzip
import hashlib

import pytest

from testing.client import Service

PATHS = ["chat", "docs", "openapi.json", "assets/chat.css", "assets/swagger-ui.css"]


@pytest.mark.parametrize("name", ["chat", "docs"])
async def test_a_page_can_load_only_the_files_of_the_app(service: Service, name: str) -> None:
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


@pytest.mark.parametrize("path", PATHS)
async def test_a_stored_file_is_not_sent_again(service: Service, path: str) -> None:
    url = f"{service.url}/api/{path}"
    async with service.session.get(url) as response:
        assert await response.read()
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    tag = etag.removeprefix("W/")
    for stored in (etag, tag, f'"other", {etag}', f'W/"other",{tag}', "*"):
        async with service.session.get(url, headers={"If-None-Match": stored}) as response:
            assert (response.status, response.headers["ETag"]) == (304, etag), stored
            assert await response.read() == b""
    for other in ('"other"', f'"x{tag[1:]}', f'"{tag[1:-1]}x"', f'"a, {tag[1:-1]}"', "", '""'):
        async with service.session.get(url, headers={"If-None-Match": other}) as response:
            assert response.status == 200, other


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("gzip;q=0.5, identity", False),
        ("identity", False),
        ("x-gzip, gzippy", False),
        ("", False),
    ],
)
async def test_a_file_is_compressed_if_the_client_accepts_that(service: Service, accepted: str, *, compressed: bool) -> None:
    url = f"{service.url}/api/assets/chat.css"
    async with service.session.get(url, headers={"Accept-Encoding": "identity"}) as response:
        content = await response.read()
    async with service.session.get(url, headers={"Accept-Encoding": accepted}, auto_decompress=False) as response:
        assert response.headers.get("Content-Encoding") == ("gzip" if compressed else None)
        assert response.headers["Vary"] == "Accept-Encoding"
        body = await response.read()
    assert content == (gzip.decompress(body) if compressed else body)


@pytest.mark.parametrize("path", PATHS)
async def test_head_has_the_headers_of_get(service: Service, path: str) -> None:
    async with service.session.get(f"{service.url}/api/{path}") as response:
        expected = {name: response.headers[name] for name in ("Content-Type", "Content-Encoding", "ETag", "Content-Length")}
    async with service.session.head(f"{service.url}/api/{path}") as response:
        assert response.status == 200
        assert {name: response.headers[name] for name in expected} == expected
        assert await response.read() == b""


@pytest.mark.parametrize("name", ["nothing.js", "chat.html", "openapi.json", "..%2Fmodels.py", "%2e%2e%2fsettings.py"])
async def test_other_files_are_not_served(service: Service, name: str) -> None:
    async with service.session.get(f"{service.url}/api/assets/{name}") as response:
        assert response.status == 404
        if ".." not in name and "%" not in name:  # otherwise the path has another meaning, and reaches no function
            assert response.headers["X-Content-Type-Options"] == "nosniff"


# Of `swagger-ui-dist` 5.32.6 in npm's registry, which `fastapi-offline` carries.
SWAGGER_UI = {
    "swagger-ui.css": "ca238f7d7c2cf4480c1e77a9c3b9da915ab216e96ffd354e69076560c650c6de",
    "swagger-ui-bundle.js": "4b5a9b35a1adf37f00d39c0bae23cdb37007e2946240ef035137cc85b4d55349",
}


@pytest.mark.parametrize("name", SWAGGER_UI)
async def test_swagger_ui_is_the_published_one(service: Service, name: str) -> None:
    async with service.session.get(f"{service.url}/api/assets/{name}") as response:
        assert hashlib.sha256(await response.read()).hexdigest() == SWAGGER_UI[name]
