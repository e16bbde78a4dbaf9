"""The fake model server's Responses API: its events and responses are those that the OpenAI SDK describes."""

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from testing.responses_api import (
    REASONING,
    REFUSAL,
    TEXT,
    TOOL_CALLS,
    Event,
    completed,
    failed,
    failed_with_error,
    incomplete,
    message,
    response,
)

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
STREAMS = {
    "text": completed(*TEXT),
    "function calls": completed(*TOOL_CALLS),
    "reasoning": completed(*REASONING),
    "a refusal": completed(*REFUSAL),
    "a limit": incomplete("max_output_tokens", message("The capital", "incomplete")),
    "a content filter": incomplete("content_filter", message("The capital", "incomplete")),
    "an error": failed_with_error("server_error", "The engine is overloaded.", *TEXT),
    "a failure": failed("server_error", "The engine is overloaded.", *TEXT),
}


@pytest.mark.parametrize("events", STREAMS.values(), ids=STREAMS)
def test_events_have_the_fields_of_the_sdks_types(events: list[Event]) -> None:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        if event["type"] != "error":  # the SDK describes it flat; OpenAI sends it nested
            assert EVENT.validate_python(event).type == event["type"]


def test_response_has_the_fields_of_the_sdks_type() -> None:
    assert Response.model_validate(response(*REASONING)).output_text == TEXT[0]["content"][0]["text"]
