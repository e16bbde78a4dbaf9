"""The files that a browser loads: the chat page, the documentation page, what they load, and the OpenAPI document."""

import gzip
import hashlib
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from fastapi import Request, Response
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header, parse_etags

_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_SWAGGER_UI = {"swagger-ui.css", "swagger-ui-bundle.js"}
_ASSETS = {path.name for path in _FOLDER.iterdir() if path.suffix in {".css", ".js", ".svg"}} | _SWAGGER_UI

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'{images}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'{trusted_types}"
)
_PAGES = {
    # With Trusted Types, the browser does not let any script make HTML of a string.
    "chat.html": _POLICY.format(images="", trusted_types="; require-trusted-types-for 'script'; trusted-types 'none'"),
    # Swagger UI's stylesheet contains its icons as data URLs.
    "docs.html": _POLICY.format(images=" data:", trusted_types=""),
}


_ACCOUNT_PLACE = "<!-- account -->"
_ACCOUNT = (
    '<span id="account"><bdi id="person">{name}</bdi> '
    '<a href="/.auth/logout?post_logout_redirect_uri=%2Fapi%2Fchat">Sign out</a></span>'
)


class _File(NamedTuple):
    compressed: bytes
    etag: str
    media_type: str


def page(name: str, request: Request, person: str | None) -> Response:
    """One of the pages, which can load nothing but this app's own files.

    The chat page shows the name of the person who is signed in; it is empty if unknown, and None without a sign-in.
    """
    file = _file(name)
    headers = {"Content-Security-Policy": _PAGES[name], "Referrer-Policy": "no-referrer"}
    if person is not None:
        # App Service authentication rejects what a page posts without a Referer.
        headers |= {"Referrer-Policy": "same-origin", "Cache-Control": "private, no-cache"}
    if person:
        html = gzip.decompress(file.compressed).decode()
        file = _compress(html.replace(_ACCOUNT_PLACE, _ACCOUNT.format(name=escape(person))).encode(), file.media_type)
    return _response(file, request, headers)


def asset(name: str, request: Request) -> Response:
    """A file that a page loads, or 404."""
    return _response(_file(name), request, {}) if name in _ASSETS else Response(status_code=404)


def openapi_document(request: Request) -> Response:
    """The OpenAPI document, which tests compare with the service."""
    return _response(_file("openapi.json"), request, {})


def _response(file: _File, request: Request, headers: dict[str, str]) -> Response:
    headers = {
        # Browsers cache the file and revalidate it each time, so that a new version is loaded at once.
        "Cache-Control": "no-cache",
        # Weak, because it is the same for the compressed file.
        "ETag": f'W/"{file.etag}"',
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    if parse_etags(request.headers.get("if-none-match")).contains_weak(file.etag):
        return Response(status_code=304, headers=headers)
    encodings = parse_accept_header(request.headers.get("accept-encoding"), Accept)
    if encodings.best_match(["gzip", "identity"]) == "gzip":
        return Response(file.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(gzip.decompress(file.compressed), headers=headers, media_type=file.media_type)


@cache
def _file(name: str) -> _File:
    path = _swagger_ui() / name if name in _SWAGGER_UI else _FOLDER / name
    return _compress(path.read_bytes(), _MEDIA_TYPES[path.suffix])


def _compress(content: bytes, media_type: str) -> _File:
    return _File(gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:16], media_type)


def _swagger_ui() -> Path:
    """The folder of Swagger UI's files in the package `fastapi-offline`, whose code is not imported."""
    package = find_spec("fastapi_offline")
    if not package or not package.origin:
        raise FileNotFoundError("the package fastapi-offline is not installed")
    return Path(package.origin).parent / "static"
