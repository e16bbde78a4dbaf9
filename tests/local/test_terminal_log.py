"""The line for people about a request."""

import json
import logging
from typing import Any

import pytest

from local.terminal_log import TerminalLogFilter, request_line

STREAMED = {
    "invocation_id": "9c58744e-a44b-4b28-949b-3b9b0cc39a7e",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "function": "chat",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.request.stream": True,
    "status": 200,
    "gen_ai.response.time_to_first_chunk": 0.036,
    "duration": 0.2,
    "chunks": 30,
}
USAGE = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 28}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({**STREAMED, **USAGE, "outcome": "completed"}, "200  28 tokens  0.2 s, first chunk 36 ms"),
        ({**STREAMED, "outcome": "completed"}, "200  30 chunks  0.2 s, first chunk 36 ms"),
        (
            {**STREAMED, "outcome": "completed", "gen_ai.response.time_to_first_chunk": 12.345, "duration": 61.04},
            "200  30 chunks  61.0 s, first chunk 12.3 s",
        ),
        (
            {"status": 200, "outcome": "completed", "duration": 0.0421, "gen_ai.usage.output_tokens": 1},
            "200  1 token  42 ms",
        ),
        ({"status": 200, "outcome": "completed", "duration": 0.5}, "200  completed  0.5 s"),
        ({"status": 502, "outcome": "failed", "duration": 0.1, "reason": "could not connect"}, "502  could not connect"),
        ({"status": 500, "outcome": "failed", "duration": 0.1, "error.type": "server_error"}, "500  server_error"),
        ({**STREAMED, "outcome": "failed", "reason": "connection lost"}, "200  connection lost  0.2 s, first chunk 36 ms"),
        (
            {**STREAMED, "outcome": "disconnected", "chunks": 1},
            "200  client disconnected after 1 chunk  0.2 s, first chunk 36 ms",
        ),
        ({"outcome": "disconnected", "duration": 1.26}, "---  client disconnected  1.3 s"),
        ({}, "---  failed"),
    ],
)
def test_shows_the_outcome_of_a_request(entry: dict[str, Any], line: str) -> None:
    assert request_line(entry) == line


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {**STREAMED, "outcome": "disconnected", "chunks": 112},
            "200  interrupted after 112 chunks  0.2 s, first chunk 36 ms",
        ),
        ({"outcome": "disconnected", "duration": 1.26}, "---  interrupted  1.3 s"),
        ({**STREAMED, "outcome": "completed"}, "200  30 chunks  0.2 s, first chunk 36 ms"),
    ],
)
def test_a_disconnect_while_the_service_stops_is_an_interruption(entry: dict[str, Any], line: str) -> None:
    assert request_line(entry, stopping=True) == line


def test_a_reason_cannot_control_the_terminal() -> None:
    line = request_line(
        {"status": 502, "outcome": "failed", "reason": "\x1b]0;title\x07\r\n200  28 tokens\u202e" + "x" * 1000}
    )
    assert line.startswith("502  ?]0;title???200  28 tokens?")
    assert len(line) < 250


def test_the_filter_replaces_the_message_of_a_record() -> None:
    record = logging.makeLogRecord({"msg": "%s", "args": (json.dumps({"status": 502, "reason": "100% lost"}),)})
    assert TerminalLogFilter().filter(record)
    assert record.getMessage() == "502  100% lost"


def test_the_filter_keeps_a_message_that_is_not_json() -> None:
    record = logging.makeLogRecord({"msg": "a bug\n  File %s", "args": ("x",)})
    assert TerminalLogFilter().filter(record)
    assert record.getMessage() == "a bug\n  File x"
