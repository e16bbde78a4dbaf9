"""A request of the Responses API becomes one of Chat Completions that any model server accepts, or is rejected."""

from typing import Any

import pytest

from chat.errors import InvalidRequest
from chat.translation.request_to_chat import translate_request
from chat.translation.tools import Tool
from tests.unit.translation.streams import OPERATORS_PROMPT, Object, request

SYSTEM = {"role": "system", "content": OPERATORS_PROMPT}
USER = {"type": "message", "role": "user", "content": "Hi"}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}


def messages(*items: Object, **parameters: Any) -> Any:
    """The messages after the system message."""
    translated = translate_request(request(*items, **parameters))[0]["messages"]
    assert translated[0] == SYSTEM
    return translated[1:]


def parameters_of(**parameters: Any) -> Object:
    body, _ = translate_request(request(USER, **parameters))
    assert body.pop("model") == "a-model"
    assert body.pop("stream") is True
    assert body.pop("messages") == [SYSTEM, {"role": "user", "content": "Hi"}]
    return body


def call(call_id: str, name: str = "f", arguments: str = "{}", **more: str) -> Object:
    return {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": arguments, **more}


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> Object:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def call_output(call_id: str, output: Any = "1") -> Object:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def chat_output(call_id: str, content: str = "1") -> Object:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_leading_system_text_is_one_message() -> None:
    body, _ = translate_request(
        request(
            {"type": "additional_tools", "role": "developer", "tools": []},
            {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"role": "system", "content": "Be honest."},
            USER,
            {"role": "developer", "content": "Now be quick."},
            instructions="Be brief.",
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": f"{OPERATORS_PROMPT}\n\nBe brief.\n\nBe kind.\n\nBe honest."},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Now be quick."},
    ]


def test_empty_system_prompt_is_no_message() -> None:
    body = request(USER)
    body["input"][0]["content"] = ""
    assert translate_request(body)[0]["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("content", "translated"),
    [
        ("Hi", "Hi"),
        ([{"type": "input_text", "text": "Hi"}], "Hi"),
        ([{"type": "input_text", "text": "Hi"}, IMAGE], [{"type": "text", "text": "Hi"}, CHAT_IMAGE]),
        ([{"type": "input_file", "file_data": "a"}], [{"type": "file", "file": {"file_data": "a"}}]),
        ([{"type": "input_image", "image_url": "a"}], [{"type": "image_url", "image_url": {"url": "a"}}]),
        (
            [{"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}],
            [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}],
        ),
    ],
)
def test_content_of_the_user(content: Any, translated: Any) -> None:
    assert messages({"role": "user", "content": content}) == [{"role": "user", "content": translated}]


@pytest.mark.parametrize("kind", [{}, {"type": "message"}, {"type": "message", "id": None, "status": None}])
@pytest.mark.parametrize(
    "content", ["Hello", [{"type": "output_text", "text": "Hel"}, {"type": "output_text", "text": "lo"}]]
)
def test_content_of_the_assistant(kind: Object, content: Any) -> None:
    assert messages({**kind, "role": "assistant", "content": content}) == [{"role": "assistant", "content": "Hello"}]


def test_refusal_of_the_assistant() -> None:
    item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
    assert messages(item) == [{"role": "assistant", "content": "", "refusal": "I can't."}]


def test_calls_and_the_message_before_them_are_one_message() -> None:
    answer = {"role": "assistant", "content": "Let me see."}
    assert messages(
        USER, answer, call("1"), call("2", "g", '{"a":1}'), call_output("1"), call_output("2", "2"), call("3")
    ) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [chat_call("1"), chat_call("2", "g", '{"a":1}')]},
        chat_output("1"),
        chat_output("2", "2"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("3")]},
    ]


def test_message_between_a_call_and_its_output_joins_the_call() -> None:
    assert messages(call("1"), {"role": "assistant", "content": "Let me see."}, call_output("1")) == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [chat_call("1")]},
        chat_output("1"),
    ]


def test_messages_of_the_assistant_stay_apart() -> None:
    first, second = {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}
    assert messages(first, second) == [first, second]


@pytest.mark.parametrize("following", [{"role": "assistant", "content": "Hello"}, call("1")])
def test_reasoning_goes_to_the_next_message_of_the_assistant(following: Object) -> None:
    (message,) = messages(REASONING, following)
    assert message["reasoning_content"] == "Hm."


def test_reasoning_between_calls_is_kept() -> None:
    (message,) = messages(REASONING, call("1"), REASONING, call("2"))
    assert message["reasoning_content"] == "Hm.\n\nHm."
    assert len(message["tool_calls"]) == 2


@pytest.mark.parametrize("reasoning", [{}, {"content": None}, {"summary": [5]}, {"content": [], "summary": []}])
def test_reasoning_may_have_no_text(reasoning: Object) -> None:
    assert messages({"type": "reasoning", **reasoning}, {"role": "assistant", "content": "Hello"}) == [
        {"role": "assistant", "content": "Hello"}
    ]


def test_summary_stands_for_reasoning() -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("Hm.", "Ah.")]
    (message,) = messages({"type": "reasoning", "summary": summary}, {"role": "assistant", "content": "Hello"})
    assert message["reasoning_content"] == "Hm.\n\nAh."


def test_reasoning_before_a_message_of_the_user_is_left_out() -> None:
    answer = {"role": "assistant", "content": "Hello"}
    assert messages(REASONING, USER, answer) == [{"role": "user", "content": "Hi"}, answer]


def test_images_of_outputs_follow_the_tool_messages() -> None:
    text = {"type": "input_text", "text": "a"}
    assert messages(
        call("1"),
        call("2"),
        call_output("1", [text, IMAGE, text]),
        call_output("2", [{"type": "output_text", "text": "b"}]),
        USER,
    ) == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("1"), chat_call("2")]},
        chat_output("1", "a\na"),
        chat_output("2", "b"),
        {"role": "user", "content": [CHAT_IMAGE]},
        {"role": "user", "content": "Hi"},
    ]


def test_images_of_the_last_output_are_sent() -> None:
    assert messages(call("1"), call_output("1", [IMAGE]))[1:] == [
        chat_output("1", ""),
        {"role": "user", "content": [CHAT_IMAGE]},
    ]


def function(name: str, **more: Any) -> Object:
    return {"type": "function", "name": name, **more}


def chat_function(name: str, **more: Any) -> Object:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}, **more}}


def names(*tools: Object) -> list[str]:
    return [tool["function"]["name"] for tool in parameters_of(tools=list(tools))["tools"]]


def namespace(name: str, *tools: Object) -> Object:
    return {"type": "namespace", "name": name, "description": "", "tools": list(tools)}


def test_function_keeps_its_fields() -> None:
    fields = {"description": "It works.", "parameters": {"type": "object"}, "strict": False}
    assert parameters_of(tools=[function("f", **fields), function("g", strict=None, parameters=None)]) == {
        "tools": [chat_function("f", **fields), chat_function("g")]
    }


def test_custom_tool_is_a_function_with_one_parameter() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    tools = [{"type": "custom", "name": "patch", "description": "Patches.", "format": grammar}]
    history = {"type": "custom_tool_call", "call_id": "1", "name": "patch", "input": 'a "b"'}
    history_output = {"type": "custom_tool_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "Done."}]}
    body, echo = translate_request(request(history, history_output, tools=tools))
    schema = {"type": "string", "description": "Text that matches this lark grammar:\nstart: /a/"}
    parameters = {"type": "object", "properties": {"input": schema}, "required": ["input"], "additionalProperties": False}
    assert body["tools"] == [chat_function("patch", description="Patches.", parameters=parameters)]
    assert body["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("1", "patch", '{"input": "a \\"b\\""}')]},
        chat_output("1", "Done."),
    ]
    assert echo.tools == {"patch": Tool("patch", None, custom=True)}


def test_tools_of_namespaces_have_names_of_their_own() -> None:
    tools = [
        namespace("a", function("list"), {"type": "custom", "name": "exec"}),
        namespace("b", function("list")),
        function("list"),
    ]
    history = [call("1", "list", namespace="b"), call("2", "gone", namespace="b")]
    body, echo = translate_request(request(*history, tools=tools))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["list", "a__list", "a__exec", "b__list"]
    assert [item["function"]["name"] for item in body["messages"][1]["tool_calls"]] == ["b__list", "b__gone"]
    assert echo.tools == {
        "a__list": Tool("list", "a"),
        "a__exec": Tool("exec", "a", custom=True),
        "b__list": Tool("list", "b"),
    }


def test_names_of_tools_in_namespaces_are_valid_and_do_not_collide() -> None:
    long = "n" * 60
    tools = [
        function("a__b"),
        namespace("a", function("b")),
        namespace("a__b", function("c")),
        namespace("a", function("b__c")),
        namespace("ä ", function("1")),
        namespace("ö ", function("1")),
        namespace(long, function("long1"), function("long2")),
    ]
    found = names(*tools)
    assert len(set(found)) == len(found) == 8
    assert found[0] == "a__b"
    assert all(name.isascii() and " " not in name and len(name) <= 64 for name in found)
    assert names(*tools) == found


def test_additional_tools_are_offered() -> None:
    item = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [namespace("functions", {"type": "custom", "name": "exec"})],
    }
    body, echo = translate_request(request(USER, item, tools=[function("f")]))
    assert body["messages"] == [SYSTEM, {"role": "user", "content": "Hi"}]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "functions__exec"]
    assert echo.tools["functions__exec"] == Tool("exec", "functions", custom=True)
    assert b"exec" not in echo.fields


F, G = chat_function("f"), chat_function("g")


@pytest.mark.parametrize(
    ("choice", "translated"),
    [
        ("auto", {"tools": [F, G], "tool_choice": "auto"}),
        ("required", {"tools": [F, G], "tool_choice": "required"}),
        (
            {"type": "function", "name": "f"},
            {"tools": [F, G], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            {"tools": [G], "tool_choice": "required"},
        ),
    ],
)
def test_tool_choice(choice: Any, translated: Object) -> None:
    assert parameters_of(tools=[function("f"), function("g")], tool_choice=choice) == translated


def test_parameters_about_tools_need_tools() -> None:
    assert parameters_of(tools=[], tool_choice="auto", parallel_tool_calls=False) == {}


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("required", "tool_choice"),
        ({"type": "function", "name": "g"}, "tool_choice"),
        ({"type": "web_search"}, "tool_choice"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools"),
    ],
)
def test_choice_of_a_tool_that_is_not_offered_is_rejected(choice: Any, param: str) -> None:
    tools = [] if choice == "required" else [function("f")]
    with pytest.raises(InvalidRequest) as raised:
        parameters_of(tools=tools, tool_choice=choice)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("parameters", "translated"),
    [
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
            {"response_format": {"type": "json_object"}, "verbosity": "low"},
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "strict": True, "schema": {"type": "object"}},
                }
            },
        ),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"context": "all_turns"}}, {}),
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"], "top_logprobs": 0}, {}),
        ({"truncation": "auto", "max_tool_calls": 3, "stream_options": {"include_obfuscation": False}}, {}),
        ({"temperature": 0, "top_p": None, "user": "u"}, {"temperature": 0, "user": "u"}),
    ],
)
def test_parameters(parameters: Object, translated: Object) -> None:
    assert parameters_of(**parameters) == translated


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "computer_call"}, "input[1]"),
        ({"type": "message", "role": "tool", "content": "a"}, "input[1]"),
        ({"role": "user", "content": 5}, "input[1].content"),
        ({"role": "user", "content": ["a"]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[1].content[0].image_url"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "https://a"}]}, "input[1].content[0].file_data"),
        ({"role": "assistant", "content": None}, "input[1].content"),
        ({"role": "assistant", "content": [{"type": "input_image"}]}, "input[1].content[0].text"),
        ({"type": "function_call", "call_id": "1", "name": "f"}, "input[1].arguments"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[1].call_id"),
        ({"type": "custom_tool_call", "call_id": "1", "name": "f"}, "input[1].input"),
        ({"type": "function_call_output", "call_id": "1"}, "input[1].output"),
        ({"type": "function_call_output", "output": "a"}, "input[1].call_id"),
        ({"type": "additional_tools"}, "input[1].tools"),
        ({"type": "additional_tools", "tools": [{"type": "namespace", "name": "a"}]}, "input[1].tools[0].tools"),
    ],
)
def test_item_that_chat_completions_cannot_express_is_rejected(item: Object, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        messages(USER, item)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [namespace("a", function("f"), namespace("b"))]}, "tools[0].tools[1]"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": "json_schema"}}, "text.format"),
        ({"text": {"format": "text"}}, "text.format"),
    ],
)
def test_parameter_that_chat_completions_cannot_express_is_rejected(parameters: Object, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parameters_of(**parameters)
    assert raised.value.param == param


@pytest.mark.parametrize(
    "parameters",
    [{"reasoning": {"summary": float("inf")}}, {"tool_choice": {"type": "function", "name": "f", "x": float("nan")}}],
)
def test_number_that_is_out_of_range_is_not_repeated(parameters: Object) -> None:
    with pytest.raises(InvalidRequest, match="out of range"):
        translate_request(request(USER, tools=[function("f")], **parameters))


@pytest.mark.parametrize("kinds", [("custom", "function"), ("function", "custom")])
def test_last_of_two_tools_with_the_same_name_counts(kinds: tuple[str, str]) -> None:
    body, echo = translate_request(request(USER, tools=[{"type": kind, "name": "f"} for kind in kinds]))
    assert len(body["tools"]) == 1
    assert ("f" in echo.tools) == (kinds[1] == "custom")
