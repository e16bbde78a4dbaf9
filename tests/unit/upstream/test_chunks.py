"""The chunk decoder: agrees with the OpenAI SDK's own parser, and recognizes the end of a completion."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from chat.errors import IncompleteResponse
from chat.upstream.chunks import ChunkDecoder
from testing.chat_completions import OPENAI, chunk, event

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
    decoder = ChunkDecoder()
    at = sorted({cut % (len(stream) + 1) for cut in cuts})
    pieces = [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    assert decoder.error is None
    assert decoder.count == len(chunks)
    assert [json.loads(chunk) for chunk in chunks] == [json.loads(data) for data in expected]
    assert all(len(chunk.decode().splitlines()) == 1 for chunk in chunks)


@pytest.mark.parametrize("after", range(6))
def test_completion_has_ended_with_a_finish_reason_in_its_last_chunks(after: int) -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"".join(event(value) for value in [chunk({}, "stop"), *[chunk(choices=[])] * after]))
    if after < 4:
        assert decoder.end().finish_reasons == ["stop"]
    else:
        with pytest.raises(IncompleteResponse):
            decoder.end()


def test_empty_finish_reason_does_not_end_the_completion() -> None:
    decoder = ChunkDecoder()
    decoder.feed(event(chunk({"content": "Par"}, "")))
    with pytest.raises(IncompleteResponse):
        decoder.end()


def test_last_chunks_of_any_shape_do_not_end_the_completion() -> None:
    decoder = ChunkDecoder()
    odd = [b'{"choices": 5}', b'{"choices": [7]}', b'{"n": ' + b"1" * 5000 + b"}", b'{"usage": "none"}']
    chunks = decoder.feed(b"".join(b"data: " + data + b"\n\n" for data in odd))
    assert chunks == odd
    with pytest.raises(IncompleteResponse):
        decoder.end()


def test_metadata_is_that_of_the_last_chunks() -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"".join(event(value) for value in OPENAI))
    metadata = decoder.end()
    assert (metadata.input_tokens, metadata.output_tokens) == (25, 3)
    assert metadata.finish_reasons == ["stop"]
    assert metadata.model == "gpt-5.4-mini-2026-03-17"
