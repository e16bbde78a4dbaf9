"""The chunk decoder: agrees with the OpenAI SDK's own parser, and recognizes the end of a completion."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from chat.errors import IncompleteResponse, InvalidResponse, UpstreamErrorObject
from chat.upstream.chunks import ChunkDecoder
from testing.chat_completions import COMPLETION, DONE, OPENAI, USAGE, chunk, event

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
json_objects = st.dictionaries(
    st.text(max_size=6).filter(lambda key: key not in {"error", "usage"}), json_values, max_size=4
)
chunk_objects = st.builds(lambda value, delta: {**value, "choices": [{"delta": delta}]}, json_objects, json_objects)


@given(st.lists(chunk_objects, max_size=8), st.lists(st.integers(min_value=0), max_size=20), st.booleans())
def test_agrees_with_the_sdk(objects: list[dict[str, Any]], cuts: list[int], ascii_only: bool) -> None:
    stream = b"".join(
        b"data: " + json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace") + b"\n\n" for value in objects
    )
    expected = [sse.data for sse in SSEDecoder().iter_bytes(iter([stream]))]
    decoder = ChunkDecoder()
    at = sorted({cut % (len(stream) + 1) for cut in cuts})
    pieces = [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    assert decoder.error is None
    assert decoder.chunk_count == len(chunks)
    assert [json.loads(chunk) for chunk in chunks] == [json.loads(data) for data in expected]
    assert all(len(chunk.decode().splitlines()) == 1 for chunk in chunks)


@given(json_objects, st.lists(json_objects | json_values, max_size=3) | json_values, st.none() | json_objects | json_values)
def test_each_chunk_has_choices_with_a_delta(value: dict[str, Any], choices: Any, usage: Any) -> None:
    decoder = ChunkDecoder()
    chunks = decoder.feed(b"data: " + json.dumps({**value, "choices": choices, "usage": usage}).encode() + b"\n\n")
    assert decoder.error is None
    for decoded in map(json.loads, chunks):
        assert all(isinstance(choice["delta"], dict) for choice in decoded["choices"])
        assert isinstance(decoded.get("usage"), dict | None)


def feed(*values: Any) -> list[Any]:
    decoder = ChunkDecoder()
    chunks = decoder.feed(b"".join(map(event, values)))
    assert decoder.error is None
    return [json.loads(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    "value",
    [{}, {"type": "ping"}, {"choices": None}, {"choices": 5}, {"choices": [7]}, {"choices": {}}, {"usage": "none"}],
    ids=json.dumps,
)
def test_object_that_is_not_a_chunk_is_dropped(value: Any) -> None:
    assert feed(OPENAI[0], value, OPENAI[1]) == OPENAI[:2]


@pytest.mark.parametrize(
    ("choice", "repaired"),
    [
        ({"delta": None}, {"delta": {}}),
        ({"delta": "Par", "finish_reason": 5}, {"delta": {}, "finish_reason": None}),
        (
            {"finish_reason": "content_filter", "content_filter_offsets": {"check_offset": 44}},
            {"delta": {}, "finish_reason": "content_filter", "content_filter_offsets": {"check_offset": 44}},
        ),
        ({"message": {"content": "Par"}}, {"delta": {"content": "Par"}}),
        ({"delta": {"content": "Par"}, "message": None}, {"delta": {"content": "Par"}, "message": None}),
        (
            {"message": {"tool_calls": [{"id": "a"}, {"id": "b", "index": 5}, None]}},
            {"delta": {"tool_calls": [{"id": "a", "index": 0}, {"id": "b", "index": 5}, None]}},
        ),
    ],
    ids=["null", "other types", "a final choice", "a message", "a message that is null", "tool calls"],
)
def test_choice_without_a_delta_has_one(choice: Any, repaired: Any) -> None:
    assert feed(chunk(choices=[choice], future=1.0)) == [chunk(choices=[repaired], future=1.0)]


def test_chunk_with_a_lone_surrogate_stays_the_bytes_received() -> None:
    chunk = '{"choices": [{"delta": {"content": "é\\ud83d", "n": 1.0}}], "usage": null}'.encode()
    assert ChunkDecoder().feed(b"data: %b\n\n" % chunk) == [chunk]


def test_lone_surrogate_in_a_message_is_kept() -> None:
    (received,) = ChunkDecoder().feed(b'data: {"choices":[{"message":{"content":"\\ud83d"}}]}\n\n')
    assert json.loads(received)["choices"] == [{"delta": {"content": "\ud83d"}}]


def test_completion_in_a_stream_becomes_a_chunk() -> None:
    completion: dict[str, Any] = COMPLETION
    (choice,) = completion["choices"]
    delta = {key: value for key, value in choice.items() if key != "message"} | {"delta": choice["message"]}
    assert feed(completion) == [{**completion, "object": "chat.completion.chunk", "choices": [delta]}]


def test_token_usage_without_choices_becomes_a_chunk() -> None:
    assert feed({"usage": USAGE}, {"choices": None, "usage": USAGE}) == [{"usage": USAGE, "choices": []}] * 2


def test_chunk_that_is_repaired_has_a_maximum_size() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(event(chunk(choices=[{"message": {"content": "x" * (1 << 20)}}]))) == []
    assert isinstance(decoder.error, InvalidResponse)


@pytest.mark.parametrize("value", [{"error": "boom"}, {"error": {"message": "boom"}, "choices": [{"delta": None}]}])
def test_error_in_an_object_that_is_not_a_chunk_is_an_error(value: Any) -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(event(OPENAI[0]) + event(value)) == [event(OPENAI[0])[6:-2]]
    assert isinstance(decoder.error, UpstreamErrorObject)


def test_event_without_data_is_a_keep_alive() -> None:
    decoder = ChunkDecoder()
    assert len(decoder.feed(b"data:\n\n" + event(OPENAI[0]) + b"data: \n\n: x\n\ndata\n\n" + event(OPENAI[1]))) == 2
    assert decoder.error is None


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_last_event_of_a_body_counts(end: bytes) -> None:
    decoder = ChunkDecoder()
    last = event(chunk({}, "stop")).removesuffix(b"\n\n")
    assert decoder.feed(last + end) == []
    assert decoder.feed(b"") == [last.removeprefix(b"data: ")]
    assert decoder.end().finish_reasons == ["stop"]


def test_done_at_the_end_of_a_body_counts() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(event(OPENAI[0]) + DONE.strip()) == [event(OPENAI[0])[6:-2]]
    assert decoder.feed(b"") == []
    assert decoder.done


def test_half_an_event_at_the_end_of_a_body_is_discarded() -> None:
    decoder = ChunkDecoder()
    decoder.feed(event(OPENAI[0]) + event(OPENAI[1])[:40])
    assert decoder.feed(b"") == []
    assert decoder.error is None
    with pytest.raises(IncompleteResponse):
        decoder.end()


def test_metadata_may_be_followed_by_any_number_of_chunks() -> None:
    decoder = ChunkDecoder()
    others = [chunk(choices=[], prompt_filter_results=[])] * 20
    decoder.feed(b"".join(map(event, [chunk({}, "stop"), *others, chunk(choices=[], usage=USAGE), *others])))
    metadata = decoder.end()
    assert metadata.finish_reasons == ["stop"]
    assert (metadata.input_tokens, metadata.output_tokens) == (25, 3)


def test_empty_finish_reason_does_not_end_the_completion() -> None:
    decoder = ChunkDecoder()
    decoder.feed(event(chunk({"content": "Par"}, "")))
    with pytest.raises(IncompleteResponse):
        decoder.end()


def test_metadata_is_that_of_the_last_chunks() -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"".join(event(value) for value in OPENAI))
    metadata = decoder.end()
    assert (metadata.input_tokens, metadata.output_tokens) == (25, 3)
    assert metadata.finish_reasons == ["stop"]
    assert metadata.model == "gpt-6-luna-2026-09-22"
