"""The files that a browser asks for: the chat page, the docs page, and what the two load."""

import gzip
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from fastapi import Request, Response

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
    # Trusted Types: the browser itself refuses to make markup of a string, whoever asks.
    "chat.html": _POLICY.format(images="", trusted_types="; require-trusted-types-for 'script'; trusted-types 'none'"),
    # Swagger UI's stylesheet carries its icons as data.
    "docs.html": _POLICY.format(images=" data:", trusted_types=""),
}


class _File(NamedTuple):
    packed: bytes
    etag: str
    media_type: str


def page(name: str, request: Request) -> Response:
    """One of the pages, which nothing but this app's own files can script or style."""
    return _response(name, request, {"Content-Security-Policy": _PAGES[name], "Referrer-Policy": "no-referrer"})


def asset(name: str, request: Request) -> Response:
    """What a page loads, by its file's name; 404 for any other."""
    return _response(name, request, {}) if name in _ASSETS else Response(status_code=404)


def openapi_document(request: Request) -> Response:
    """The OpenAPI document, which the tests hold against the service."""
    return _response("openapi.json", request, {})


def _response(name: str, request: Request, headers: dict[str, str]) -> Response:
    file = _file(name)
    headers |= {
        # A browser keeps the file and asks each time whether it is still the one: a new version is there at once.
        "Cache-Control": "no-cache",
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(gzip.decompress(file.packed), headers=headers, media_type=file.media_type)
    return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)


@cache
def _file(name: str) -> _File:
    path = _swagger_ui() / name if name in _SWAGGER_UI else _FOLDER / name
    content = path.read_bytes()
    # Weak, because the same tag stands for the file packed and not.
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
    return _File(gzip.compress(content, mtime=0), etag, _MEDIA_TYPES[path.suffix])


def _swagger_ui() -> Path:
    """Swagger UI's files, as the package `fastapi-offline` carries them; its code is not imported."""
    package = find_spec("fastapi_offline")
    if not package or not package.origin:
        raise FileNotFoundError("the package fastapi-offline is not installed")
    return Path(package.origin).parent / "static"
