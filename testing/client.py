"""The service as its clients see it."""

import io
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
SECRETS = [KEY]
DONE = "[DONE]"
QUESTION = {"messages": [{"content": "What is the capital of Japan?"}]}


type Configure = Callable[..., None]
type Logged = Callable[[], Awaitable[list[dict[str, Any]]]]


class Service:
    """The service at `url`."""

    def __init__(self, url: str, model_url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.model_url = model_url
        self.session = session

    def post(
        self, body: Any = QUESTION, path: str = "/api/chat", **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Posts JSON, or bytes as they are."""
        if isinstance(body, bytes):
            options = {"data": io.BytesIO(body), "headers": {"content-type": "application/json"}} | options
        else:
            options = {"json": body} | options
        return self.session.post(self.url + path, **options)

    async def send(self, body: Any = QUESTION, **options: Any) -> tuple[int, Any]:
        """Posts a request and returns the status and the body: parsed, as a list of lines or events if it is streamed."""
        async with self.post(body, **options) as response:
            return await self.read(response)

    async def read(self, response: aiohttp.ClientResponse) -> tuple[int, Any]:
        """Reads a response, and checks what holds for all of them."""
        text = await response.text()
        self.check_no_secrets(f"{response.headers}\n{text}")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.content_type == "application/json":
            return response.status, json.loads(text)
        if response.content_type == "text/event-stream":
            *events, rest = text.split("\n\n")
            assert rest == ""
            return response.status, [_data(event) for event in events]
        assert response.content_type == "application/x-ndjson", (response.status, response.headers, text)
        assert text.endswith("\n")
        lines = text.removesuffix("\n").split("\n")
        assert lines == text.splitlines(), "a line that some clients would split"
        return response.status, [json.loads(line) for line in lines]

    def check_no_secrets(self, text: str) -> None:
        """Fails if a key, the endpoint or a stack trace is in a response or a log."""
        for secret in [*SECRETS, urlsplit(self.model_url).netloc, "Traceback", 'File "', "site-packages"]:
            assert secret not in text


def _data(event: str) -> Any:
    """The data of a server-sent event, which is named for its type if it has a name."""
    *names, data = event.split("\n")
    assert data.startswith("data: ")
    value: Any = DONE if data == f"data: {DONE}" else json.loads(data.removeprefix("data: "))
    assert names == [] or names == [f"event: {value['type']}"]
    return value
