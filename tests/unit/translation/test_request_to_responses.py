"""A request of Chat Completions becomes one of the Responses API, or is not translated at all."""

from typing import Any

import pytest

from chat.translation.request_to_responses import Untranslatable, translate_request
from tests.unit.translation.streams import Object


def translate(*messages: Object, **parameters: Any) -> Object:
    """The translated body without the items of the messages."""
    body = translate_request({"model": "m", "messages": list(messages), **parameters})
    assert body.pop("model") == "m"
    assert body.pop("store") is False
    assert body.pop("input") is not None
    return body


def items(*messages: Object) -> Any:
    return translate_request({"model": "m", "messages": list(messages)})["input"]


def test_messages_are_items() -> None:
    assert items(
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": "Hello", "refusal": None},
    ) == [
        {"type": "message", "role": "system", "content": "Be brief."},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
    ]


def test_parts_of_the_users_content() -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
    ]
    assert items({"role": "user", "content": content})[0]["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
    ]


def test_refusal_of_the_assistant() -> None:
    refusal = {"type": "refusal", "refusal": "I can't."}
    for message in ({"content": None, "refusal": "I can't."}, {"content": [refusal]}):
        assert items({"role": "assistant", **message})[0]["content"] == [refusal]


def test_tool_calls_and_their_outputs() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
    ]
    assert items(
        {"role": "assistant", "content": None, "tool_calls": calls, "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "2"}]},
    ) == [
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "2"}]},
    ]


@pytest.mark.parametrize("strict", [None, False, True])
def test_functions_are_strict_only_on_request(strict: bool | None) -> None:
    function = {"name": "f", "description": "It works.", "parameters": {"type": "object"}, "strict": strict}
    body = translate(tools=[{"type": "function", "function": function}])
    assert body == {"tools": [{"type": "function", **function, "strict": bool(strict)}]}


def test_custom_tools() -> None:
    grammar = {"syntax": "lark", "definition": "start: /a/"}
    custom = {"name": "patch", "description": "Patches.", "format": {"type": "grammar", "grammar": grammar}}
    body = translate(tools=[{"type": "custom", "custom": custom}, {"type": "custom", "custom": {"name": "c"}}])
    assert body["tools"] == [
        {"type": "custom", "name": "patch", "description": "Patches.", "format": {"type": "grammar", **grammar}},
        {"type": "custom", "name": "c"},
    ]


FUNCTION_F = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "translated"),
    [
        ("auto", "auto"),
        ("required", "required"),
        (FUNCTION_F, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION_F]}},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_tool_choice(choice: Any, translated: Any) -> None:
    assert translate(tool_choice=choice) == {"tool_choice": translated}


@pytest.mark.parametrize(
    ("parameters", "translated"),
    [
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}, "verbosity": "low"},
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}}, "verbosity": "low"}},
        ),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"max_completion_tokens": 100, "max_tokens": 50}, {"max_output_tokens": 100}),
        ({"max_tokens": 50}, {"max_output_tokens": 50}),
        ({"max_completion_tokens": 1}, {"max_output_tokens": 16}),
        ({"logprobs": True, "top_logprobs": 2}, {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
        ({"logprobs": False}, {}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"temperature": 0, "user": "u", "metadata": {}}, {"temperature": 0, "user": "u", "metadata": {}}),
        ({"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}}, {}),
        ({"stop": None, "seed": None, "temperature": None, "tools": []}, {}),
    ],
)
def test_parameters(parameters: Object, translated: Object) -> None:
    assert translate(**parameters) == translated


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("stop", "."),
        ("seed", 0),
        ("logit_bias", {"1": 5}),
        ("n", 2),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("prediction", {"type": "content", "content": "a"}),
        ("modalities", ["text", "audio"]),
        ("audio", {}),
        ("functions", []),
        ("web_search_options", {}),
        ("tools", [{"type": "function"}]),
        ("tools", [{"type": "web_search"}]),
        ("tool_choice", {"type": "function"}),
        ("tool_choice", {"type": "allowed_tools", "allowed_tools": {}}),
        ("response_format", {"type": "json_schema"}),
    ],
)
def test_what_responses_cannot_express_is_named(param: str, value: Any) -> None:
    with pytest.raises(Untranslatable) as raised:
        translate(**{param: value})
    assert raised.value.param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": 5}]},
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "a"}}]},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function"}]},
        {"role": "assistant", "tool_calls": [5]},
        {"role": "tool", "content": "1"},
    ],
)
def test_message_that_responses_cannot_express(message: Object) -> None:
    with pytest.raises(Untranslatable) as raised:
        items(message)
    assert raised.value.param == "messages"


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_tool_cannot_become_one_that_the_model_server_executes(kind: str) -> None:
    tool = {"type": kind, kind: {"name": "f", "type": "web_search"}}
    translated = translate_request({"model": "m", "stream": False, "messages": [], "tools": [tool]})
    assert translated["tools"][0]["type"] == kind
