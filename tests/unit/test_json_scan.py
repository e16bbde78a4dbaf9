"""The check accepts exactly what is a JSON object, and the log takes from it only what is safe to write."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import InvalidResponse, UpstreamErrorObject
from chat.json_scan import find_keys, parse
from chat.metadata import Metadata
from testing.client import KEY

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["choices", "usage", "id", "model", "other"])


def is_json_object(data: bytes) -> bool:
    def reject(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(data.decode(), parse_constant=reject), dict)
    except ValueError:
        return False


@given(st.dictionaries(keys, json_values), st.integers(min_value=0), st.binary(max_size=3), st.booleans())
def test_accepts_what_is_a_json_object(data: dict[str, Any], position: int, insertion: bytes, ascii_only: bool) -> None:
    text = json.dumps(data, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    at = position % (len(text) + 1)
    mutated = text[:at] + insertion + text[at:]
    try:
        find_keys(mutated)
    except InvalidResponse:
        assert not is_json_object(mutated)
    except UpstreamErrorObject:
        pass
    else:
        assert is_json_object(mutated)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\udfff\ud83d\ude00"', r'"\\ud800"', r'{"\uD800": "\uDbff"}'])
def test_accepts_lone_surrogates(text: str) -> None:
    assert is_json_object(f'{{"a": {text}}}'.encode())
    find_keys(f'{{"a": {text}, "choices": []}}'.encode())


def test_only_lone_surrogates_are_replaced() -> None:
    text = r'{"error": "caf\u00e9 \ud83d\ude00 C:\\ude x \ud800"}'
    with pytest.raises(UpstreamErrorObject) as raised:
        find_keys(text.encode())
    assert raised.value.error == "café 😀 C:\\ude x \ufffd"


@pytest.mark.parametrize("error", ["null", "false", '""', "{}", "[]", "0"])
def test_empty_error_is_not_an_error(error: str) -> None:
    find_keys(f'{{"error": {error}}}'.encode())


def test_error_is_raised() -> None:
    with pytest.raises(UpstreamErrorObject) as raised:
        find_keys(b'{"error": {"message": "no"}, "choices": []}')
    assert raised.value.error == {"message": "no"}


def test_value_has_a_maximum_size() -> None:
    assert parse(b"[" + b" " * 1000 + b"]", 1002) == []
    with pytest.raises(InvalidResponse):
        parse(b"[" + b" " * 1000 + b"]", 1001)


@given(st.dictionaries(keys, json_values))
def test_metadata_is_safe_for_anything(data: dict[str, Any]) -> None:
    check_is_safe(metadata_of(data))


@pytest.mark.parametrize(
    "data",
    [
        {"id": 5, "model": ["m"], "usage": {"prompt_tokens": KEY, "completion_tokens": True}},
        {"id": "x y", "model": "a\nb", "usage": {"prompt_tokens": -1, "completion_tokens": 1e3}},
        {
            "usage": {
                "prompt_tokens": 10**30,
                "prompt_tokens_details": [],
                "completion_tokens_details": {"reasoning_tokens": "1"},
            }
        },
        {"choices": [{"finish_reason": "an answer: yes"}, {"finish_reason": 5}, 7, {"finish_reason": None}]},
        {"choices": [{"finish_reason": "stop"}] * 100},
        {"id": "i" * 200, "model": "m" * 200},
    ],
    ids=range(6),
)
def test_metadata_has_only_identifiers_and_integers(data: dict[str, Any]) -> None:
    metadata = metadata_of(data)
    check_is_safe(metadata)
    assert metadata.input_tokens is metadata.output_tokens is metadata.reasoning_output_tokens is None
    assert metadata.response_id is metadata.model is None


def metadata_of(data: dict[str, Any]) -> Metadata:
    metadata = Metadata()
    metadata.update(find_keys(json.dumps(data).encode()))
    return metadata


def check_is_safe(metadata: Metadata) -> None:
    text = "".join([metadata.response_id or "", metadata.model or "", *metadata.finish_reasons])
    assert text.isascii()
    assert not set(text) & set(" \n\"'{}")
    assert len(metadata.finish_reasons) <= 8
    for count in (metadata.input_tokens, metadata.cached_input_tokens, metadata.output_tokens):
        assert count is None or type(count) is int
