"""The decoder of server-sent events by property: any split of the bytes gives the same events."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.errors import InvalidResponse
from chat.upstream.sse import MAX_EVENT_BYTES, EventDecoder
from testing.chat_completions import chunk, event

line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
texts = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12).map(str.encode)
fields = st.sampled_from([b"data: ", b"data:", b"data", b"event: ", b"id: ", b"retry: ", b": ", b"", b"x", b"data :"])
lines = st.tuples(fields, texts, line_ends).map(b"".join) | line_ends
streams = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(lines, max_size=30)).map(
    lambda s: s[0] + b"".join(s[1])
)


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(stream) + 1) for cut in cuts})
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True) if start < end]


def decode(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def as_specified(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The specification's own steps, a line at a time, with no regard to speed."""
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
    assert decode(split(stream, cuts)) == as_specified(stream)


@given(streams)
def test_each_byte_alone_gives_what_the_specification_says(stream: bytes) -> None:
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == as_specified(stream)


@given(streams, st.lists(st.integers(min_value=0), max_size=20))
@example(b"data: x", [])
@example(b"data: x\r", [])
@example(b"data: x\r\n", [8])
@example(b"data: x\n\n", [])
def test_end_of_the_body_ends_the_last_event(stream: bytes, cuts: list[int]) -> None:
    assert decode([*split(stream, cuts), b""]) == as_specified(stream + b"\n\n")
    assert decode([*split(stream, cuts), b"", b""]) == as_specified(stream + b"\n\n")


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 100_000 + b"\n", b"x" * 100_000, b"data:\n" * 10_000])
def test_event_has_a_maximum_size(piece: bytes) -> None:
    """Also where each line is empty: the decoder never holds more than it may."""
    decoder = EventDecoder()
    assert decoder.feed(b"data: before\n\n" + piece) == [(b"", b"before")]

    def feed_on() -> None:
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            decoder.feed(piece)

    with pytest.raises(InvalidResponse):
        feed_on()


def test_large_event_in_small_pieces_takes_linear_time() -> None:
    """A million pieces of one event: with a copy of the rest for each piece this would take hours."""
    stream = event(chunk({"content": "x" * (1 << 20)}))
    assert len(decode([stream[i : i + 1] for i in range(len(stream))])) == 1
