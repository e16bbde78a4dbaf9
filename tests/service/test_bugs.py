"""A bug in the service: the client learns nothing of it, and the log has its stack without the exception's text."""

import asyncio

import pytest

from chat.formats.ndjson import NdjsonFormat
from chat.telemetry.log_writer import flush
from chat.telemetry.request_log import RequestLog
from testing.behaviours import streams
from testing.chat_completions import OPENAI
from testing.client import Service
from testing.model_server import ModelServer

ERROR = {"message": "Internal server error.", "type": "server_error", "code": None, "param": None}


@pytest.mark.parametrize(
    ("place", "method", "status", "sent"),
    [
        (NdjsonFormat, "parse_request", 500, {"error": ERROR}),
        (NdjsonFormat, "encode_stream", 200, [{"error": ERROR}]),
        (RequestLog, "set_completed", 200, OPENAI),
    ],
    ids=["before the response", "mid-stream", "after the response"],
)
async def test_bug_is_logged_with_its_stack(
    service: Service,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    place: type,
    method: str,
    status: int,
    sent: object,
) -> None:
    def bug(*_: object) -> None:
        raise LookupError(content)

    content = "Paris"  # which is not in the line that the stack shows

    monkeypatch.setattr(place, method, bug)
    model.respond_with(streams(OPENAI))
    assert await service.send() == (status, sent)
    await asyncio.to_thread(flush)
    errors = capfd.readouterr().err
    assert "ASGI" not in caplog.text  # the web server reports what follows the end of a response
    caplog.clear()
    assert "a bug: LookupError" in errors
    assert "in bug" in errors
    assert "Paris" not in errors
