"""Estimates for completions whose usage never arrived: at least what the model server would have counted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.budgets.token_estimate import estimate_input, estimate_output
from testing.chat_completions import chunk, event


def encoded(content: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}]}, separators=(",", ":")).encode()


def test_text_counts_by_its_bytes() -> None:
    words = "The quick brown fox jumps over the lazy dog. "  # ten tokens
    assert 10_000 <= estimate_input(encoded(words * 1000)) <= 16_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4_000_000}},
        {"type": "input_image", "image_url": "data:image/jpeg;base64," + "A" * 4_000_000},
        {"type": "image_url", "image_url": {"url": "https://images.example/1.png", "detail": "high"}},
    ],
)
def test_image_does_not_count_as_text(part: dict[str, Any]) -> None:
    assert 5_000 <= estimate_input(encoded([part, part])) <= 5_100


def test_text_that_looks_like_an_image_counts_as_text() -> None:
    text = '"url":"data:image/png;base64,' + "words " * 100_000
    assert estimate_input(encoded(text)) >= 200_000


@pytest.mark.parametrize(
    "part",
    [{"url": "http"}, {"url": "http " + "words " * 1000}, {"image_url": {"url": "https://a.example"}}],
    ids=["no URL", "text", "URLs"],
)
def test_no_request_counts_more_than_the_largest_context(part: dict[str, Any]) -> None:
    body = encoded([part] * (8_000_000 // len(encoded(part))))
    assert 500_000 <= estimate_input(body) <= 1_000_000


def test_text_after_what_looks_like_a_url_counts_as_text() -> None:
    assert estimate_input(encoded([{"url": "http " + "words " * 100_000}])) >= 200_000


@given(st.binary(max_size=1000), st.binary(max_size=1000))
def test_more_input_never_counts_less(begin: bytes, more: bytes) -> None:
    assert estimate_input(begin) <= estimate_input(begin + b" " + more) + 1


def received(texts: list[str]) -> int:
    return sum(len(event(chunk({"content": text}))) for text in texts)


def test_chunk_of_one_token_counts_as_one() -> None:
    texts = [" capital"] * 500
    assert estimate_output(len(texts), received(texts), 2) == 500


def test_chunk_of_many_tokens_counts_by_its_text() -> None:
    texts = ["The quick brown fox jumps over the lazy dog. " * 40] * 10  # 4,000 tokens
    assert 4_000 <= estimate_output(len(texts), received(texts), 2) <= 6_500


def test_large_chunks_count_no_more_than_a_model_can_write() -> None:
    assert estimate_output(1000, 1000 * 3000, 10) == 31_000
    assert estimate_output(2, 100_000, 1) == 3_002


def test_time_without_a_chunk_counts_as_reasoning() -> None:
    assert estimate_output(0, 0, 60) == 6_000
    assert estimate_output(1, 300, 60) == 6_000


@given(st.integers(0, 10_000), st.integers(0, 10**8), st.floats(0, 220))
def test_output_is_at_least_a_token_for_each_chunk(chunks: int, received_bytes: int, seconds: float) -> None:
    assert estimate_output(chunks, received_bytes, seconds) >= chunks
    assert estimate_output(chunks, received_bytes + 1, seconds) >= estimate_output(chunks, received_bytes, seconds)
