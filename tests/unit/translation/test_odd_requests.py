"""A valid request with any one value replaced by another is translated or rejected, in either direction."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from chat.errors import InvalidRequest
from chat.formats.chat_completions import ChatCompletionsFormat
from chat.formats.responses import ResponsesFormat
from chat.settings import Settings
from chat.translation import request_to_chat, request_to_responses
from chat.upstream.request_body import encode_body, make_body

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
IMAGE = "https://example.com/a.png"
RESPONSES_REQUEST: dict[str, Any] = {
    "instructions": "Be kind.",
    "input": [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "function", "name": "g", "parameters": SCHEMA}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                {"type": "input_file", "file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
            "encrypted_content": "a",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
        },
        {"type": "function_call", "call_id": "1", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "2", "name": "c", "input": "x"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "a"}]},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "b"},
    ],
    "max_output_tokens": 100,
    "temperature": 1.0,
    "top_logprobs": 2,
    "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "d"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f", "namespace": "n"}]},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["message.output_text.logprobs"],
    "metadata": {"a": "b"},
    "stream_options": {"include_obfuscation": False},
    "stream": True,
}
CHAT_REQUEST: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": IMAGE}}]},
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a"}}],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            "refusal": "c",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "2", "type": "custom", "custom": {"name": "c", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "a"}]},
        {"role": "tool", "tool_call_id": "2", "content": "b"},
    ],
    "max_completion_tokens": 100,
    "max_tokens": 50,
    "temperature": 1.0,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {},
    "stop": [],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
    "verbosity": "low",
    "reasoning_effort": "low",
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
        {
            "type": "custom",
            "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}}},
        },
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "metadata": {"a": "b"},
    "stream_options": {"include_usage": True},
    "stream": True,
}
ODD_VALUES: list[object] = [
    None,
    0,
    -1,
    1.5,
    10**30,
    True,
    "",
    "a",
    "json_schema",
    [],
    [None],
    [5],
    {},
    {"type": "a"},
    {"a": 1},
]
ABSENT = object()


def translate_responses(body: bytes) -> None:
    request = ResponsesFormat().parse_request(body, 1000)
    translated, _ = request_to_chat.translate_request(make_body(request, Settings(openai_base_url="http://localhost:1/v1")))
    encode_body(translated)


def translate_chat(body: bytes) -> None:
    request = ChatCompletionsFormat().parse_request(body, 1000)
    with suppress(request_to_responses.Untranslatable):
        encode_body(
            request_to_responses.translate_request(make_body(request, Settings(openai_base_url="http://localhost:1/v1")))
        )


@pytest.mark.parametrize(
    ("valid", "translate"),
    [(RESPONSES_REQUEST, translate_responses), (CHAT_REQUEST, translate_chat)],
    ids=["responses", "chat"],
)
def test_any_one_value_may_be_odd(valid: dict[str, Any], translate: Any) -> None:
    translate(json.dumps(valid).encode())
    for path in paths(valid):
        for odd in (ABSENT, *ODD_VALUES):
            body = json.dumps(replaced(valid, path, odd)).encode()
            try:
                translate(body)
            except InvalidRequest:
                pass
            except Exception as error:
                error.add_note(f"{path} = {odd!r}")
                raise
    # A number that is out of range is valid JSON, which Python reads as infinity.
    for path in paths(valid):
        body = json.dumps(replaced(valid, path, "OUT OF RANGE")).replace('"OUT OF RANGE"', "1e999").encode()
        with suppress(InvalidRequest):
            translate(body)


def paths(value: object) -> Iterator[tuple[int | str, ...]]:
    """The path of each value in a value."""
    elements = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, element in elements:
        yield (key,)
        for path in paths(element):
            yield (key, *path)


def replaced(value: Any, path: tuple[int | str, ...], new: object) -> Any:
    """A copy of a value, with one value in it replaced, or removed."""
    key, *rest = path
    copy = value.copy()
    if rest:
        copy[key] = replaced(value[key], tuple(rest), new)
    elif new is ABSENT:
        del copy[key]
    else:
        copy[key] = new
    return copy
