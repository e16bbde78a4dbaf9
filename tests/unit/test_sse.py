"""The SSE decoder by property: any split of the bytes gives the same lines, and the SDK's own parser agrees."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from chat.errors import AnswerCutOff, BadAnswer
from chat.sse import MAX_EVENT_BYTES, ChunkStream, EventDecoder
from tests.fakes.responses import OPENAI, chunk, event

line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
texts = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12).map(str.encode)
fields = st.sampled_from([b"data: ", b"data:", b"data", b"event: ", b"id: ", b"retry: ", b": ", b"", b"x", b"data :"])
lines = st.tuples(fields, texts, line_ends).map(b"".join) | line_ends
streams = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(lines, max_size=30)).map(
    lambda s: s[0] + b"".join(s[1])
)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(stream) + 1) for cut in cuts})
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]


def decode(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def by_the_book(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The specification's own words, a line at a time, as slow as it likes."""
    text = stream.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events, event_type, data = [], "", ""
    for line in text.split("\n")[:-1]:
        if line == "":
            if data:
                events.append((event_type.encode(), data.removesuffix("\n").encode()))
            event_type = data = ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
    return events


@given(streams, st.lists(st.integers(min_value=0), max_size=20))
@example(b"\xef\xbb\xbfdata: x\r\n\r\n", [1, 2, 9, 10, 11, 12])
@example(b"data: a\r\rdata: b\n\n\r\n", [8, 9])
def test_any_split_gives_what_the_specification_says(stream: bytes, cuts: list[int]) -> None:
    assert decode(pieces_of(stream, cuts)) == by_the_book(stream)


@given(streams)
def test_each_byte_alone(stream: bytes) -> None:
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == by_the_book(stream)


json_objects = st.dictionaries(
    st.text(max_size=6).filter(lambda key: key != "error"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
    ),
    max_size=4,
)


@given(st.lists(json_objects, max_size=8), st.lists(st.integers(min_value=0), max_size=20), st.booleans())
def test_agrees_with_the_sdk(objects: list[dict[str, Any]], cuts: list[int], ascii_only: bool) -> None:
    stream = b"".join(
        b"data: " + json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace") + b"\n\n" for value in objects
    )
    expected = [sse.data for sse in SSEDecoder().iter_bytes(iter([stream]))]
    got = ChunkStream()
    chunks = [chunk for piece in pieces_of(stream, cuts) for chunk in got.feed(piece)]
    assert got.fault is None
    assert got.chunks == len(chunks)
    assert [json.loads(chunk) for chunk in chunks] == [json.loads(data) for data in expected]
    assert all(len(chunk.decode().splitlines()) == 1 for chunk in chunks)


@pytest.mark.parametrize("after", range(6))
def test_the_answer_has_ended_with_a_finish_reason_in_its_last_chunks(after: int) -> None:
    stream = ChunkStream()
    stream.feed(b"".join(event(value) for value in [chunk({}, "stop"), *[chunk(choices=[])] * after]))
    if after < 4:
        stream.end()
    else:
        with pytest.raises(AnswerCutOff):
            stream.end()


def test_odd_last_chunks_do_not_matter_to_the_end() -> None:
    stream = ChunkStream()
    odd = [b'{"choices": 5}', b'{"choices": [7]}', b'{"n": ' + b"1" * 5000 + b"}", b'{"usage": "none"}']
    chunks = stream.feed(b"".join(b"data: " + data + b"\n\n" for data in odd))
    assert chunks == odd
    assert stream.usage() is None
    with pytest.raises(AnswerCutOff):
        stream.end()


def test_usage_is_the_last_one_sent() -> None:
    stream = ChunkStream()
    stream.feed(b"".join(event(value) for value in OPENAI))
    assert stream.usage() == OPENAI[-1]["usage"]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 100_000 + b"\n", b"x" * 100_000])
def test_an_event_has_a_largest_size(piece: bytes) -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: before\n\n" + piece) == [(b"", b"before")]
    for _ in range(MAX_EVENT_BYTES // len(piece)):
        decoder.feed(piece)
    with pytest.raises(BadAnswer):
        decoder.feed(piece)


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    """A million pieces of one event: with a copy of the rest for each piece this would take hours."""
    stream = event(chunk({"content": "x" * (1 << 20)}))
    assert len(decode([stream[i : i + 1] for i in range(len(stream))])) == 1
