"""What is translated into the other API and back is what it was, for any stream, completion and request."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.translation.events_to_chunks import CompletionBuilder
from chat.translation.request_to_chat import translate_request as translate_to_chat
from chat.translation.request_to_responses import translate_request as translate_to_responses
from testing.chat_completions import OPENAI, TOOL_CALL, USAGE, chunk
from tests.unit.translation.streams import Object, check_response, encode, merge, response_builder, to_chunks, to_events

texts = st.text(st.sampled_from('ab "\\/{\n\x00é巴\u2028🗼'), min_size=1, max_size=8)
finish_reasons = st.sampled_from(["stop", "tool_calls", "length", "content_filter"])
counts = st.integers(min_value=0, max_value=10**9)
usages = st.builds(
    lambda prompt, completion, cached, written, reasoning: {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    },
    *[counts] * 5,
)
tokens = st.builds(
    lambda token, logprob, other: {
        "token": token,
        "logprob": logprob,
        "bytes": list(token.encode()),
        "top_logprobs": [{"token": other, "logprob": logprob - 1, "bytes": list(other.encode())}],
    },
    texts,
    st.floats(min_value=-100, max_value=0),
    texts,
)


@st.composite
def streams(draw: st.DrawFn) -> list[Object]:
    """The chunks of any completion, with the arguments of parallel calls interleaved."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    calls = 0
    for kind in draw(
        st.lists(st.sampled_from(["content", "refusal", "reasoning_content", "call", "arguments"]), max_size=12)
    ):
        text = draw(texts)
        delta: Object
        if kind == "call":
            function = {"name": text, "arguments": draw(st.sampled_from(["", text]))}
            delta = {"tool_calls": [{"index": calls, "id": f"call_{calls}", "type": "function", "function": function}]}
            calls += 1
        elif kind == "arguments" and calls:
            index = draw(st.integers(min_value=0, max_value=calls - 1))
            delta = {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        elif kind == "arguments":
            delta = {"content": ""}
        else:
            delta = {kind: text}
        chunks.append(chunk(delta))
        if kind == "content" and draw(st.booleans()):
            chunks[-1]["choices"][0]["logprobs"] = {"content": draw(st.lists(tokens, max_size=2)), "refusal": None}
    chunks.append(chunk({}, draw(finish_reasons)))
    return [*chunks, *draw(st.sampled_from([[], [chunk(choices=[], usage=draw(usages))]]))]


def normalized(merged: Object) -> Object:
    """A completion as it comes back: calls have arguments, and the finish reason says whether there are calls."""
    finish_reason, calls = merged["finish_reason"], merged["tool_calls"]
    incomplete = finish_reason in ("length", "content_filter")
    for call in calls:
        call["arguments"] = call["arguments"] or "{}"
    return {**merged, "finish_reason": finish_reason if incomplete else "tool_calls" if calls else "stop"}


@settings(deadline=None)
@given(streams())
def test_stream_comes_back_from_events(chunks: list[Object]) -> None:
    received = to_chunks(to_events(chunks))
    assert received[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert normalized(merge(received)) == normalized(merge(chunks))


@settings(deadline=None)
@given(streams())
def test_completion_comes_back_from_a_response(chunks: list[Object]) -> None:
    merged = normalized(merge(chunks))
    message = {"role": "assistant", "content": merged["content"] or None, "refusal": merged["refusal"] or None}
    if merged["reasoning_content"]:
        message["reasoning_content"] = merged["reasoning_content"]
    if merged["tool_calls"]:
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in merged["tool_calls"]
        ]
    elif not merged["refusal"]:
        message["content"] = merged["content"]
    logprobs = {"content": merged["logprobs"], "refusal": None} if merged["logprobs"] else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": merged["finish_reason"]}
    completion = {"object": "chat.completion", "model": "m", "choices": [choice], "usage": merged["usage"]}

    response = response_builder().complete(encode(completion))
    check_response(json.loads(response))
    received = json.loads(CompletionBuilder().complete(response))

    assert received["choices"] == completion["choices"]
    assert received.get("usage") == completion["usage"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["content", "reasoning_content", "arguments"]), max_size=5), texts, st.data())
def test_any_split_of_the_text_gives_the_same_response(kinds: list[str], text: str, data: st.DataObject) -> None:
    def stream(split: bool) -> list[Object]:
        chunks = []
        for index, kind in enumerate(kinds):
            at = data.draw(st.integers(min_value=0, max_value=len(text))) if split else 0
            if kind == "arguments":
                begin = {"index": index, "id": f"call_{index}", "function": {"name": "f"}}
                chunks.append(chunk({"tool_calls": [begin]}))
            for piece in (text[:at], text[at:]):
                call = {"index": index, "function": {"arguments": piece}}
                chunks.append(chunk({"tool_calls": [call]} if kind == "arguments" else {kind: piece}))
        return [*chunks, chunk({}, "stop")]

    assert final_response(to_events(stream(split=True))) == final_response(to_events(stream(split=False)))


@pytest.mark.parametrize("chunks", [OPENAI, TOOL_CALL])
def test_stream_and_complete_completion_give_the_same_response(chunks: list[Object]) -> None:
    merged = merge(chunks)
    calls = [{"id": call.pop("id"), "type": "function", "function": call} for call in merged["tool_calls"]]
    choice = {"message": {"content": merged["content"], "tool_calls": calls}, "finish_reason": merged["finish_reason"]}
    completion = {"model": chunks[0]["model"], "choices": [choice], "usage": merged["usage"]}
    response = json.loads(response_builder().complete(encode(completion)))
    assert final_response([{"response": response}]) == final_response(to_events(chunks))


def final_response(events: list[Object]) -> Object:
    """The last event's response without what differs each time: identifiers and times."""
    response: Object = events[-1]["response"]
    key = response["id"].removeprefix("resp_")
    without_key: Object = json.loads(json.dumps(response).replace(key, ""))
    return without_key | {"created_at": 0, "completed_at": 0}


json_objects = st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=2)
names = st.text(st.sampled_from("abc_"), min_size=1, max_size=5)
image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}
user_parts = st.builds(
    lambda text, parts: [{"type": "text", "text": text}, *parts], texts, st.sampled_from([[image], [image, file]])
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Object]:
    messages: list[Object] = [{"role": "system", "content": draw(texts)}]
    for turn in range(draw(st.integers(min_value=1, max_value=3))):
        messages.append({"role": "user", "content": draw(texts | user_parts)})
        if draw(st.booleans()):
            arguments = draw(st.lists(texts, min_size=1, max_size=3))
            calls = [
                {"id": f"call_{turn}_{index}", "type": "function", "function": {"name": draw(names), "arguments": text}}
                for index, text in enumerate(arguments)
            ]
            messages.append({"role": "assistant", "content": draw(st.none() | texts), "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls]
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(texts)})
        elif draw(st.booleans()):
            messages.append({"role": "assistant", "content": "", "refusal": draw(texts)})
        if draw(st.booleans()):
            messages.append({"role": "system", "content": draw(texts)})
            messages.append({"role": "user", "content": draw(texts)})
    return messages


functions: st.SearchStrategy[Object] = st.builds(
    lambda name, strict: {
        "type": "function",
        "function": {
            "name": name,
            "description": "What it does",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            "strict": strict,
        },
    },
    names,
    st.booleans(),
)
parameters: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(min_value=0, max_value=2),
    "top_p": st.floats(min_value=0, max_value=1),
    "max_tokens": st.integers(min_value=16),
    "reasoning_effort": st.sampled_from(["none", "low"]),
    "verbosity": st.sampled_from(["low", "high"]),
    "metadata": st.dictionaries(names, names, max_size=1),
    "user": texts,
    "prompt_cache_key": texts,
    "response_format": st.builds(
        lambda name, schema: {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
        names,
        json_objects,
    )
    | st.just({"type": "json_object"}),
    "stream": st.booleans(),
}


@st.composite
def chat_requests(draw: st.DrawFn) -> Object:
    body = {"model": "a-model", "messages": draw(conversations()), **draw(st.fixed_dictionaries({}, optional=parameters))}
    if tools := draw(st.lists(functions, max_size=3, unique_by=lambda tool: tool["function"]["name"])):
        one = {"type": "function", "function": {"name": tools[0]["function"]["name"]}}
        choice = draw(st.sampled_from([None, "auto", "required", "none", one]))
        body |= {"tools": tools, "parallel_tool_calls": draw(st.booleans())}
        body |= {"tool_choice": choice} if choice else {}
    if draw(st.booleans()):
        body |= {"logprobs": True, "top_logprobs": 3}
    return body


@settings(deadline=None)
@given(chat_requests())
def test_request_comes_back_from_the_other_api(body: Object) -> None:
    translated, _ = translate_to_chat(translate_to_responses(body))
    assert translated == body


def test_usage_comes_back() -> None:
    back = merge(to_chunks(to_events(OPENAI)))["usage"]
    assert back["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 0}
    assert {key: back[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        key: USAGE[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
