"""A completion of Chat Completions becomes the response, and the events, that clients of the Responses API expect."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from chat.errors import IncompleteResponse, InvalidResponse
from testing.chat_completions import USAGE, chunk, text_chunks
from tests.unit.translation.streams import Object, check_events, encode, request, response_builder, to_events

RESPONSE_FIELDS = (
    "id object created_at status completed_at error incomplete_details instructions max_output_tokens max_tool_calls model "
    "output parallel_tool_calls previous_response_id prompt_cache_key reasoning safety_identifier service_tier store "
    "temperature text tool_choice tools top_logprobs top_p truncation usage user metadata background presence_penalty "
    "frequency_penalty"
)
"""What the SDK's types or the Open Responses schema require."""


def call_chunk(*calls: Object) -> Object:
    return chunk({"tool_calls": list(calls)})


def fragment(index: Any, name: str | None = None, arguments: Any = None, call_id: Any = None) -> Object:
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": call_id, "function": {key: value for key, value in function.items() if value is not None}}
    return {key: value for key, value in call.items() if value is not None}


def output(*chunks: Object, finish_reason: str = "stop", **parameters: Any) -> list[Object]:
    """The output items without their ids."""
    items: list[Object] = to_events([*chunks, chunk({}, finish_reason)], **parameters)[-1]["response"]["output"]
    for item in items:
        del item["id"]
    return items


def types(events: list[Object]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def text_part(text: str, logprobs: list[Object] | None = None) -> Object:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def message(*content: Object, status: str = "completed") -> Object:
    return {"type": "message", "status": status, "role": "assistant", "content": list(content)}


def function_call(call_id: str, name: str, arguments: str, **more: str) -> Object:
    return {"type": "function_call", "status": "completed", "call_id": call_id, "name": name, "arguments": arguments, **more}


def test_text_has_the_events_of_openais_api() -> None:
    events = to_events(text_chunks("The capital", " is Paris."))
    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[-1]["response"]["model"] == "gpt-6-luna-2026-09-22"
    assert events[-1]["response"]["output"][0]["content"] == [text_part("The capital is Paris.")]


def test_events_of_a_chunk_come_with_it() -> None:
    builder = response_builder()
    assert len(builder.feed(encode(chunk({"role": "assistant", "content": ""})))) == 2
    assert len(builder.feed(encode(chunk({"content": "a"})))) == 3
    assert len(builder.feed(encode(chunk({"content": "b"})))) == 1
    assert builder.feed(encode(chunk({}, "stop"))) == []


def test_refusal_is_a_part_of_the_message() -> None:
    refusal = {"type": "refusal", "refusal": "I can't."}
    assert output(chunk({"refusal": "I "}), chunk({"refusal": "can't."})) == [message(refusal)]
    assert output(chunk({"content": "No:"}), chunk({"refusal": "I can't."})) == [message(text_part("No:"), refusal)]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_is_an_item_that_ends_before_the_message(key: str) -> None:
    events = to_events([chunk({key: "Hm"}), chunk({key: "m."}), *text_chunks("Paris.")])
    reasoning, answer = events[-1]["response"]["output"]
    assert reasoning["id"].startswith("rs_")
    assert (reasoning["summary"], reasoning["content"]) == ([], [{"type": "reasoning_text", "text": "Hmm."}])
    assert answer["content"] == [text_part("Paris.")]
    done, added = [event for event in events if event["type"].startswith("response.output_item.")][1:3]
    assert (done["item"], added["item"]["type"]) == (reasoning, "message")


def test_content_may_be_an_array_of_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, {"type": "text", "text": "m."}]}
    reasoning, answer = output(chunk({"content": [thinking]}), chunk({"content": [{"type": "text", "text": "Paris."}]}))
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hmm."}]
    assert answer["content"] == [text_part("Paris.")]


@pytest.mark.parametrize(
    "value",
    [
        chunk({"content": "a" * 2**20}),
        chunk({"reasoning_content": "a" * 2**20}),
        chunk({"refusal": "a" * 2**20}),
        call_chunk(fragment(0, "f", "a" * 2**20, "call_1")),
        call_chunk(*[fragment(None, "f", "")] * 2**10),
        call_chunk(fragment(None, "f" * (2**20 // 3), "")),
        chunk({"content": [{"text": "a"}, {"refusal": "a"}] * 2**9}),
        chunk({"content": [{"text": "a"}, {"thinking": [{"text": "a"}]}] * 2**9}),
    ],
    ids=["content", "reasoning", "refusal", "arguments", "calls", "names", "parts", "items"],
)
def test_what_is_kept_of_a_completion_has_a_maximum(value: Object) -> None:
    builder = response_builder()
    for _ in range(15):
        builder.feed(encode(value))
    with pytest.raises(InvalidResponse) as raised:
        [builder.feed(encode(value)) for _ in range(2)]
    assert "more than 16777216 bytes" in raised.value.reason


@pytest.mark.parametrize("key", ["index", "id"])
def test_indexes_and_ids_of_calls_count_too(key: str) -> None:
    builder = response_builder()
    calls = [fragment(number, "f", "") | {key: f"{number} " + "a" * 2**20} for number in range(17)]
    with pytest.raises(InvalidResponse) as raised:
        [builder.feed(encode(call_chunk(call))) for call in calls]
    assert "more than 16777216 bytes" in raised.value.reason


def test_parallel_calls_may_be_interleaved() -> None:
    calls = output(
        chunk({"content": "Let me see."}),
        call_chunk(fragment(0, "weather", '{"a":', "call_1"), fragment(1, "time", "", "call_2")),
        call_chunk(fragment(1, None, '{"b"'), fragment(0, None, "1}")),
        call_chunk(fragment(1, None, ":2}")),
        finish_reason="tool_calls",
    )
    assert calls == [
        message(text_part("Let me see.")),
        function_call("call_1", "weather", '{"a":1}'),
        function_call("call_2", "time", '{"b":2}'),
    ]


@pytest.mark.parametrize("index", [None, 0])
def test_calls_with_ids_of_their_own_need_no_index(index: int | None) -> None:
    first, second = fragment(index, "f", "{}", "call_1"), fragment(index, "f", "[]", "call_2")
    calls = [function_call("call_1", "f", "{}"), function_call("call_2", "f", "[]")]
    assert output(call_chunk(first), call_chunk(second)) == calls


def test_calls_without_index_and_id_begin_with_a_name() -> None:
    first, second = output(
        call_chunk({"function": {"name": "f"}}, {"function": {"arguments": "{}"}}, {"function": {"name": "g"}})
    )
    assert (first["name"], first["arguments"], second["name"]) == ("f", "{}", "g")
    assert first["call_id"].startswith("call_")
    assert first["call_id"] != second["call_id"]


def test_repeated_id_and_name_continue_the_call() -> None:
    fragments = [fragment(0, "f", text, "call_1") for text in ('{"a":', "1}")]
    assert output(*map(call_chunk, fragments)) == [function_call("call_1", "f", '{"a":1}')]


def test_changed_id_without_a_name_continues_the_call() -> None:
    calls = output(call_chunk(fragment(0, "f", "{", "call_1")), call_chunk(fragment(0, None, "}", "call_2")))
    assert calls == [function_call("call_1", "f", "{}")]


def test_call_takes_its_place_when_its_name_arrives() -> None:
    late, named = fragment(0, None, "{", "call_1"), fragment(1, "g", "{}", "call_2")
    calls = output(call_chunk(late), call_chunk(named), call_chunk(fragment(0, "f", "}")))
    assert calls == [function_call("call_2", "g", "{}"), function_call("call_1", "f", "{}")]


def test_call_without_arguments_has_a_delta() -> None:
    events = to_events([call_chunk(fragment(0, "f", None, "call_1")), chunk({}, "tool_calls")])
    assert [event["delta"] for event in events if "delta" in event] == ["{}"]


def test_arguments_may_be_an_object() -> None:
    assert output(call_chunk(fragment(0, "f", {"a": "é"}, "call_1"))) == [function_call("call_1", "f", '{"a": "\\u00e9"}')]


def test_two_calls_do_not_share_an_id() -> None:
    calls = output(call_chunk(fragment(0, "f", "{}", "same"), fragment(1, "g", "{}", "same")))
    assert len({call["call_id"] for call in calls}) == 2


def test_a_thousand_calls() -> None:
    calls = [fragment(index, "f", "{}", f"call_{index}") for index in range(1000)]
    assert len(output(*map(call_chunk, calls))) == 1000


def test_call_of_a_custom_tool_has_its_input() -> None:
    tools = [{"type": "custom", "name": "patch"}]
    pieces = ['{"inp', 'ut": "a\\n', '\\"é\\ud83d\\ude00"}']
    chunks = [call_chunk(fragment(0, "patch", "", "call_1")), *[call_chunk(fragment(0, None, piece)) for piece in pieces]]
    events = to_events([*chunks, chunk({}, "tool_calls")], tools=tools)
    item = events[-1]["response"]["output"][0]
    assert (item["type"], item["call_id"], item["name"], item["input"]) == ("custom_tool_call", "call_1", "patch", 'a\n"é😀')
    assert types(events)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]


@pytest.mark.parametrize("arguments", ["", "*** Begin", '{"input": 5}', "[1]", "[" * 100_000])
def test_anything_else_that_a_model_writes_for_a_custom_tool_is_its_input(arguments: str) -> None:
    tools = [{"type": "custom", "name": "patch"}]
    assert output(call_chunk(fragment(0, "patch", arguments, "call_1")), tools=tools)[0]["input"] == arguments


def test_call_of_a_tool_in_a_namespace_has_both_names() -> None:
    tool = {"type": "function", "name": "list"}
    tools = [{"type": "namespace", "name": "agents", "description": "", "tools": [tool]}]
    call = call_chunk(fragment(0, "agents__list", "{}", "call_1"))
    assert output(call, tools=tools) == [function_call("call_1", "list", "{}", namespace="agents")]


TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}


@pytest.mark.parametrize("received", [TOKEN, {**TOKEN, "bytes": None}, {"token": "Hi", "logprob": -0.5}])
def test_log_probabilities_have_every_field(received: Object) -> None:
    chunks = text_chunks("Hi", " you")
    chunks[0]["choices"][0]["logprobs"] = {"content": [{**received, "top_logprobs": [received]}], "refusal": None}
    chunks[1]["choices"][0]["logprobs"] = {"content": [received]}
    expected = [{**TOKEN, "top_logprobs": [TOKEN]}, {**TOKEN, "top_logprobs": []}]
    events = to_events(chunks)
    assert events[-1]["response"]["output"][0]["content"] == [text_part("Hi you", expected)]
    assert [event["logprobs"] for event in events if event["type"].endswith("text.delta")] == [expected[:1], expected[1:]]


@pytest.mark.parametrize("logprobs", [{"content": None}, {"content": [5]}, {"tokens": ["a"]}, {"content": [{"token": "a"}]}])
def test_log_probabilities_of_another_shape_are_left_out(logprobs: Object) -> None:
    chunks = text_chunks("Hi")
    chunks[0]["choices"][0]["logprobs"] = logprobs
    assert to_events(chunks)[-1]["response"]["output"][0]["content"] == [text_part("Hi")]


def test_usage_is_that_of_the_last_chunk_that_has_it() -> None:
    early = chunk({"content": "a"}, usage={"prompt_tokens": 25, "completion_tokens": 1})
    events = to_events([early, chunk({}, "stop"), chunk(choices=[], usage=USAGE)])
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 25,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 28,
    }


@pytest.mark.parametrize(
    "usage", [None, [], 5, {}, {"prompt_tokens": "1", "completion_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 1}]
)
def test_usage_of_another_shape_is_left_out(usage: Any) -> None:
    assert to_events([*text_chunks("a"), chunk(choices=[], usage=usage)])[-1]["response"]["usage"] is None


@pytest.mark.parametrize(
    ("finish_reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("eos_token", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_finish_reason_gives_the_status(finish_reason: str, status: str, details: Object | None) -> None:
    events = to_events([chunk({"reasoning_content": "Hm."}), *text_chunks("a", finish_reason=finish_reason)])
    response = events[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert [item["status"] for item in response["output"]] == ["completed", status]
    assert (response["completed_at"] is None) == (status == "incomplete")


@pytest.mark.parametrize("finish_reason", ["error", "abort"])
def test_finish_reason_of_a_failure_is_an_error(finish_reason: str) -> None:
    builder = response_builder()
    for value in text_chunks("a", finish_reason=finish_reason):
        builder.feed(encode(value))
    with pytest.raises(IncompleteResponse):
        builder.end()


def test_stream_without_a_chunk_is_an_error() -> None:
    with pytest.raises(IncompleteResponse):
        response_builder().end()


@pytest.mark.parametrize(("finish_reason", "status"), [("stop", "completed"), ("content_filter", "incomplete")])
def test_empty_completion_has_an_empty_message(finish_reason: str, status: str) -> None:
    assert output(chunk({"content": ""}), finish_reason=finish_reason) == [message(text_part(""), status=status)]


def test_call_that_was_cut_off_is_incomplete() -> None:
    calls = output(
        call_chunk(fragment(0, "f", "{}", "call_1"), fragment(1, "g", '{"a', "call_2")),
        finish_reason="length",
    )
    assert [(call["status"], call["arguments"]) for call in calls] == [("completed", "{}"), ("incomplete", '{"a')]


def test_lone_surrogates_are_replaced() -> None:
    data = encode(chunk({"content": "x"})).replace(b'"x"', rb'"a\ud83d \ud83d\ude00 \uDE00"')
    builder = response_builder()
    assert json.loads(builder.feed(data)[-1])["delta"] == "a\ufffd 😀 \ufffd"


def test_line_separators_stay_escaped() -> None:
    builder = response_builder(instructions="a\u2028b")
    events = builder.feed(encode(chunk({"content": "c\u2028d"}))) + builder.end()
    assert all(event.isascii() for event in events)


def test_response_repeats_the_request() -> None:
    tools = [
        {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object"}},
        {"type": "function", "name": "g"},
    ]
    parameters = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "max_output_tokens": 100,
        "metadata": {"a": "b"},
        "tool_choice": "required",
        "text": {"verbosity": "low", "format": None},
        "reasoning": {"effort": "low"},
        "top_p": None,
    }
    for event in to_events(text_chunks("a"), tools=tools, **parameters):
        if response := event.get("response"):
            assert set(RESPONSE_FIELDS.split()) <= response.keys()
            assert {key: response[key] for key in parameters} == parameters | {
                "text": {"verbosity": "low", "format": {"type": "text"}},
                "top_p": 1.0,
            }
            assert response["tools"] == [
                {"type": "function", "name": "f", "description": None, "parameters": {"type": "object"}, "strict": True},
                {"type": "function", "name": "g", "description": None, "parameters": None, "strict": False},
            ]
            assert response["store"] is False


def test_model_is_the_requested_one_where_the_server_names_none() -> None:
    events = to_events([chunk({"content": "a"}, model=""), chunk({}, "stop")])
    assert events[0]["response"]["model"] == events[-1]["response"]["model"] == request()["model"]


def complete(**fields: Any) -> Object:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **fields.pop("message", {})},
        "finish_reason": "stop",
    }
    completion = {"model": "m", "choices": [choice | fields], "usage": USAGE}
    response: Object = json.loads(response_builder().complete(encode(completion)))
    Response.model_validate(response)
    return response


def test_complete_completion() -> None:
    calls = [{"id": "", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    response = complete(
        message={"content": "a", "reasoning_content": "Hm.", "tool_calls": calls}, finish_reason="tool_calls"
    )
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert (response["status"], response["usage"]["total_tokens"]) == ("completed", 28)


def test_complete_completion_that_was_cut_off() -> None:
    response = complete(message={"content": "a"}, finish_reason="length")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    with pytest.raises(IncompleteResponse):
        complete(message={"content": "a"}, finish_reason="error")


@pytest.mark.parametrize("choices", [None, [], 5, [5], [{}], [{"message": None}], [{"message": {"content": 5}}]])
def test_complete_completion_of_another_shape_is_an_error(choices: Any) -> None:
    with pytest.raises(InvalidResponse):
        response_builder().complete(encode({"choices": choices}))


@pytest.mark.parametrize(
    "value",
    [
        {"choices": 5},
        {"choices": [5]},
        {"choices": [{"delta": "a"}]},
        {"choices": [{"delta": {"content": 5}}]},
        {"choices": [{"delta": {"content": ["a"]}}]},
        {"choices": [{"delta": {"refusal": {}}}]},
        {"choices": [{"delta": {"tool_calls": {}}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": 5}}]}}]},
        {"choices": [{"finish_reason": 5}]},
    ],
)
def test_chunk_of_another_shape_is_an_error(value: Object) -> None:
    with pytest.raises(InvalidResponse):
        response_builder().feed(encode(value))


def test_error_leaves_no_gap_in_the_sequence_numbers() -> None:
    builder = response_builder()
    events = builder.feed(encode(chunk({"content": "a"})))
    with pytest.raises(InvalidResponse):
        builder.feed(encode(chunk({"content": "b", "refusal": 5})))
    events += builder.feed(encode(chunk({"content": "c"})))
    assert [json.loads(event)["sequence_number"] for event in events] == list(range(len(events)))


def test_call_that_never_gets_a_name_is_an_error() -> None:
    with pytest.raises(InvalidResponse):
        output(call_chunk(fragment(0, None, "{}", "call_1")))


odd = st.sampled_from([None, 0, -1, 10**30, 1.5, True, "", "a", "\ud83d", [], [None], {}, {"a": 1}])
odd_calls = st.fixed_dictionaries(
    {},
    optional={
        "index": odd,
        "id": odd,
        "function": st.none() | st.fixed_dictionaries({}, optional={"name": odd, "arguments": odd}),
    },
)
odd_deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | st.text(st.sampled_from("ab\ud83d\ude00"), max_size=3) | odd,
        "refusal": odd,
        "reasoning_content": odd,
        "reasoning": odd,
        "tool_calls": st.none() | st.lists(odd_calls | odd, max_size=3),
    },
)
odd_choices = st.fixed_dictionaries(
    {},
    optional={"index": odd, "delta": st.none() | odd_deltas, "message": odd_deltas, "logprobs": odd, "finish_reason": odd},
)
odd_chunks = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(odd_choices, max_size=2) | odd, "usage": odd, "id": odd, "model": odd, "created": odd}
)


@settings(deadline=None)
@given(st.lists(odd_chunks, max_size=5))
def test_anything_gives_valid_events_or_an_error(chunks: list[Object]) -> None:
    builder = response_builder()
    events: list[bytes] = []
    try:
        for value in chunks:
            events += builder.feed(encode(value))
        events += builder.end()
    except (InvalidResponse, IncompleteResponse):
        return
    check_events([json.loads(event) for event in events])


@settings(deadline=None)
@given(odd_chunks)
def test_any_complete_completion_gives_a_valid_response_or_an_error(completion: Object) -> None:
    try:
        response = response_builder().complete(encode(completion))
    except (InvalidResponse, IncompleteResponse):
        return
    Response.model_validate_json(response)
