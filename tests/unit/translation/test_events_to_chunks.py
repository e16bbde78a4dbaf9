"""A response of the Responses API becomes the completion, and the chunks, that clients of Chat Completions expect."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from chat.errors import IncompleteResponse, InvalidResponse
from chat.translation.events_to_chunks import CompletionBuilder
from tests.unit.translation.streams import Object, encode, merge, to_chunks

USAGE = {
    "input_tokens": 25,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 28,
}
CHAT_USAGE = {
    "prompt_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
    "completion_tokens": 3,
    "completion_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 28,
}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'}
CUSTOM_CALL = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": text} for text in ("Hm.", "Ah.")],
}


def response(*output: Object, status: str = "completed", **more: Any) -> Object:
    return {"id": "resp_1", "object": "response", "model": "gpt-6-luna", "status": status, "output": list(output), **more}


def event(event_type: str, **fields: Any) -> Object:
    return {"type": f"response.{event_type}", "sequence_number": 0, **fields}


def begun() -> Object:
    return event("created", response=response(status="in_progress", usage=None))


def ended(status: str = "completed", **more: Any) -> Object:
    return event(status, response=response(status=status, **{"usage": USAGE, **more}))


def text_event(text: str, **more: Any) -> Object:
    return event("output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text, logprobs=[], **more)


def stream(*events: Object) -> list[Object]:
    """The chunks of a stream, which the SDK accepts; it ends with `response.completed` if with nothing else."""
    has_end = events[-1]["type"] in ("response.completed", "response.incomplete")
    chunks = to_chunks([begun(), *events] if has_end else [begun(), *events, ended()])
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return chunks


def test_text_has_the_chunks_of_openais_api() -> None:
    chunks = stream(text_event("The capital"), text_event(" is Paris."))
    assert [chunk["choices"] and chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "The capital"},
        {"content": " is Paris."},
        {},
        [],
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("chatcmpl-1", "gpt-6-luna", "chat.completion.chunk")
    }
    assert chunks[-1]["usage"] == CHAT_USAGE


def test_chunks_come_with_their_event() -> None:
    builder = CompletionBuilder()
    assert len(builder.feed(encode(begun()))) == 1
    assert builder.feed(encode(event("in_progress", response=response()))) == []
    assert len(builder.feed(encode(text_event("a")))) == 1
    assert len(builder.feed(encode(ended()))) == 2
    assert builder.feed(encode(text_event("a"))) == []


def test_refusal() -> None:
    merged = merge(stream(event("refusal.delta", delta="I can't.")))
    assert (merged["refusal"], merged["content"], merged["finish_reason"]) == ("I can't.", "", "stop")


def test_parts_of_a_reasoning_summary_are_paragraphs() -> None:
    events: list[Object] = []
    for index, text in enumerate(["Hm.", "Ah."]):
        events.append(event("reasoning_summary_part.added", summary_index=index))
        events.append(event("reasoning_summary_text.delta", summary_index=index, delta=text))
    assert merge(stream(*events))["reasoning_content"] == "Hm.\n\nAh."


def test_reasoning_text() -> None:
    assert merge(stream(event("reasoning_text.delta", delta="Hm.")))["reasoning_content"] == "Hm."


def test_calls_are_counted_among_themselves() -> None:
    second = CALL | {"id": "fc_2", "call_id": "call_2"}
    chunks = stream(
        event("output_item.added", output_index=0, item=REASONING),
        event("output_item.added", output_index=1, item=CALL | {"arguments": ""}),
        event("output_item.added", output_index=2, item=second | {"arguments": ""}),
        event("function_call_arguments.delta", item_id="fc_2", output_index=2, delta="{}"),
        event("function_call_arguments.delta", item_id="fc_1", output_index=1, delta='{"city":'),
        event("function_call_arguments.delta", item_id="fc_1", output_index=1, delta='"Paris"}'),
        event("output_item.done", output_index=1, item=CALL),
        event("output_item.done", output_index=2, item=second | {"arguments": "{}"}),
    )
    merged = merge(chunks)
    assert merged["tool_calls"] == [
        {"id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'},
        {"id": "call_2", "name": "weather", "arguments": "{}"},
    ]
    assert merged["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("added", "done"),
    [({"id": None}, {"id": None}), ({"id": "fc_1"}, {"id": "fc_9"})],
    ids=["no item ids", "changing item ids"],
)
def test_calls_are_identified_by_their_place_in_the_output(added: Object, done: Object) -> None:
    calls = [CALL | {"call_id": f"call_{index}"} for index in range(2)]
    opened = [
        event("output_item.added", output_index=index, item=call | added | {"arguments": ""})
        for index, call in enumerate(calls)
    ]
    deltas = [
        event("function_call_arguments.delta", output_index=index, delta=CALL["arguments"], item_id=done["id"])
        for index in (1, 0)
    ]
    closed = [event("output_item.done", output_index=index, item=call | done) for index, call in enumerate(calls)]
    assert merge(stream(*opened, *deltas, *closed))["tool_calls"] == [
        {"id": call["call_id"], "name": "weather", "arguments": CALL["arguments"]} for call in calls
    ]


def test_calls_without_a_place_in_the_output_are_identified_by_their_items() -> None:
    items = [CALL | {"id": f"fc_{number}", "call_id": f"call_{number}"} for number in range(2)]
    opened = [event("output_item.added", item=item | {"arguments": ""}) for item in items]
    closed = [event("output_item.done", item=item) for item in items]
    assert [call["arguments"] for call in merge(stream(*opened, *closed))["tool_calls"]] == [CALL["arguments"]] * 2


@pytest.mark.parametrize("per_event", [{"delta": "a" * 2**20}, {"delta": "a" * 2**20, "output_index": 1}])
def test_what_is_kept_of_the_calls_has_a_maximum(per_event: Object) -> None:
    builder = CompletionBuilder()
    for index in range(2):
        item = CALL | {"id": None, "arguments": ""}
        builder.feed(encode(event("output_item.added", output_index=index, item=item)))
    value = event("function_call_arguments.delta", **{"output_index": 0} | per_event)
    for _ in range(15):
        builder.feed(encode(value))
    with pytest.raises(InvalidResponse) as raised:
        [builder.feed(encode(value)) for _ in range(2)]
    assert "more than 16777216 bytes" in raised.value.reason


@pytest.mark.parametrize("sent", [[], [""], ['{"city'], ['{"city":', '"Paris"}']])
def test_arguments_that_no_delta_had_come_at_the_end_of_the_call(sent: list[str]) -> None:
    begin = [event("output_item.added", item=CALL | {"arguments": ""})] if sent else []
    deltas = [event("function_call_arguments.delta", item_id="fc_1", delta=text) for text in sent]
    merged = merge(stream(*begin, *deltas, event("output_item.done", item=CALL)))
    assert merged["tool_calls"] == [{"id": "call_1", "name": "weather", "arguments": CALL["arguments"]}]


def test_arguments_may_be_escaped_in_another_way_at_the_end_of_the_call() -> None:
    builder = CompletionBuilder()
    builder.feed(encode(event("output_item.added", item=CALL | {"arguments": '{"city":"P'})))
    (chunk,) = builder.feed(encode(event("output_item.done", item=CALL)).replace(b"P", rb"\u0050"))
    assert json.loads(chunk)["choices"][0]["delta"]["tool_calls"][0]["function"] == {"arguments": 'aris"}'}


def test_custom_tool_call() -> None:
    chunks = to_chunks(
        [
            begun(),
            event("output_item.added", item=CUSTOM_CALL | {"input": ""}),
            event("custom_tool_call_input.delta", item_id="ctc_1", delta="*** "),
            event("output_item.done", item=CUSTOM_CALL),
            ended(),
        ]
    )
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert calls == [
        {"index": 0, "id": "call_2", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** "}},
        {"index": 0, "custom": {"input": "Begin"}},
    ]


def test_log_probabilities() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97]}
    chunks = stream(text_event("a") | {"logprobs": [{"token": "a", "logprob": -0.5, "top_logprobs": [token]}]})
    assert chunks[1]["choices"][0]["logprobs"] == {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "length"), (None, "length")],
)
def test_reason_of_an_incomplete_response(reason: str | None, finish_reason: str) -> None:
    details = {"reason": reason} if reason else None
    merged = merge(stream(text_event("a"), ended("incomplete", incomplete_details=details)))
    assert (merged["finish_reason"], merged["usage"]) == (finish_reason, CHAT_USAGE)


@pytest.mark.parametrize("usage", [None, [], {}, {"input_tokens": "1"}, {"input_tokens": -1, "output_tokens": 1}])
def test_usage_of_another_shape_is_left_out(usage: Any) -> None:
    assert merge(stream(ended(usage=usage)))["usage"] is None


def test_stream_without_a_last_event_is_an_error() -> None:
    builder = CompletionBuilder()
    builder.feed(encode(begun()))
    builder.feed(encode(text_event("a")))
    with pytest.raises(IncompleteResponse):
        builder.end()


def test_other_events_are_ignored() -> None:
    assert merge(stream(event("web_search_call.searching"), text_event("a")))["content"] == "a"


def test_first_event_need_not_be_the_first_one_of_openais_api() -> None:
    chunks = to_chunks([text_event("a"), ended()])
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[0]["id"] == chunks[-1]["id"]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": 5},
        text_event("") | {"delta": 5},
        event("output_item.added", item=None),
        event("output_item.added", item=CALL | {"name": ""}),
        event("output_item.added", item=CALL | {"arguments": {}}),
        event("completed"),
        event("completed", response={"output": 5}),
    ],
)
def test_event_of_another_shape_is_an_error(value: Object) -> None:
    with pytest.raises(InvalidResponse):
        CompletionBuilder().feed(encode(value))


def complete(*output: Object, **more: Any) -> Object:
    completion: Object = json.loads(CompletionBuilder().complete(encode(response(*output, **{"usage": USAGE, **more}))))
    ChatCompletion.model_validate(completion)
    return completion


def test_complete_response() -> None:
    text = {"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}
    completion = complete(REASONING, message, CALL, CUSTOM_CALL)
    assert completion["id"] == "chatcmpl-1"
    assert completion["object"] == "chat.completion"
    assert completion["usage"] == CHAT_USAGE
    assert completion["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": None,
                "reasoning_content": "Hm.\n\nAh.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": CALL["arguments"]}},
                    {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]


def test_complete_response_that_was_cut_off() -> None:
    completion = complete(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=None)
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["choices"][0]["message"]["content"] == ""
    assert "usage" not in completion


def test_reasoning_and_its_summary_are_paragraphs() -> None:
    content = [{"type": "reasoning_text", "text": "Hm, hm."}]
    message = complete(REASONING | {"content": content})["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm, hm.\n\nHm.\n\nAh."


def test_complete_response_that_is_incomplete_for_an_unknown_reason() -> None:
    assert complete(status="incomplete", incomplete_details=None)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "more", [{"status": "in_progress"}, {"status": "failed"}, {"status": None}, {"output": None}, {"output": [5]}]
)
def test_complete_response_of_another_shape_is_an_error(more: Object) -> None:
    with pytest.raises(InvalidResponse):
        CompletionBuilder().complete(encode(response() | more))


odd = st.sampled_from([None, 0, -1, 10**30, 1.5, True, "", "a", "\ud83d", [], [None], {}, {"a": 1}])
odd_items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "web_search_call"]) | odd},
    optional=dict.fromkeys(("id", "call_id", "name", "arguments", "input", "content", "summary"), odd),
)
odd_responses = st.fixed_dictionaries(
    {},
    optional={
        "id": odd,
        "model": odd,
        "status": st.sampled_from(["completed", "incomplete", "failed"]) | odd,
        "incomplete_details": odd,
        "output": st.lists(odd_items, max_size=3) | odd,
        "usage": odd,
    },
)
event_types = [
    "created",
    "output_item.added",
    "output_item.done",
    "output_text.delta",
    "function_call_arguments.delta",
    "reasoning_summary_part.added",
    "completed",
]
odd_events = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in event_types]) | odd},
    optional={
        "delta": odd,
        "logprobs": odd,
        "item_id": odd,
        "output_index": odd,
        "summary_index": odd,
        "item": odd_items | odd,
        "response": odd_responses | odd,
    },
)


@settings(deadline=None)
@given(st.lists(odd_events, max_size=5))
def test_anything_gives_valid_chunks_or_an_error(events: list[Object]) -> None:
    builder = CompletionBuilder()
    try:
        for value in events:
            for chunk in builder.feed(encode(value)):
                if b'"custom"' not in chunk:  # which OpenAI sends, but its SDK's types do not have
                    ChatCompletionChunk.model_validate_json(chunk)
        builder.end()
    except (InvalidResponse, IncompleteResponse):
        pass


@settings(deadline=None)
@given(odd_responses)
def test_any_complete_response_gives_a_valid_completion_or_an_error(value: Object) -> None:
    try:
        completion = CompletionBuilder().complete(encode(value))
    except InvalidResponse:
        return
    ChatCompletion.model_validate_json(completion)
