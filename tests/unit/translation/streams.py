"""Sends streams through the translation, and puts together what a client receives, as the SDK would."""

import copy
import json
from typing import Any, get_args

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

from chat.translation.chunks_to_events import ResponseBuilder
from chat.translation.events_to_chunks import CompletionBuilder
from chat.translation.request_to_chat import translate_request

type Object = dict[str, Any]

OPERATORS_PROMPT = "You are the operator's assistant."

# The union's models by their type: to try all of them takes pydantic a hundred times as long.
_EVENT_MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}


def request(*items: Object, **parameters: Any) -> Object:
    """The body of a Responses request, as this service completes it."""
    system = {"type": "message", "role": "system", "content": OPERATORS_PROMPT}
    return {"model": "a-model", "stream": True, "store": False, "input": [system, *items], **parameters}


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def response_builder(**parameters: Any) -> ResponseBuilder:
    return ResponseBuilder(translate_request(request(**parameters))[1])


def to_events(chunks: list[Object], **parameters: Any) -> list[Object]:
    """Translates a stream; checks what holds for every stream of events."""
    builder = response_builder(**parameters)
    encoded = [event for chunk in chunks for event in builder.feed(encode(chunk))]
    events = [json.loads(event) for event in [*encoded, *builder.end()]]
    check_events(events)
    return events


def to_chunks(events: list[Object]) -> list[Object]:
    builder = CompletionBuilder()
    chunks = [json.loads(chunk) for event in events for chunk in builder.feed(encode(event))]
    builder.end()
    return chunks


def check_events(events: list[Object]) -> None:
    """Checks the events against the SDK's types and its accumulator, and the final response against the other events."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(_EVENT_MODELS[event["type"]].model_validate(event))
    response = events[-1]["response"]
    assert events[-1]["type"] == f"response.{response['status']}"
    assert response["output"] == rebuild(events)
    assert OPERATORS_PROMPT not in json.dumps(events)


def check_response(response: Object) -> None:
    Response.model_validate(response)


def rebuild(events: list[Object]) -> list[Object]:
    """The output that the deltas make up; checks every event that repeats a part of it."""
    output: list[Object] = []
    for event in copy.deepcopy(events):
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(output)
            output.append(event["item"])
        elif kind == "response.output_item.done":
            item = output[event["output_index"]]
            item["status"] = event["item"]["status"]
            assert item == event["item"]
        elif "item_id" in event:
            _apply(event, output[event["output_index"]])
    return output


def _apply(event: Object, item: Object) -> None:
    assert event["item_id"] == item["id"]
    kind, content_index = event["type"], event.get("content_index")
    if kind == "response.content_part.added":
        assert content_index == len(item["content"])
        item["content"].append(event["part"])
        return
    owner = item if content_index is None else item["content"][content_index]
    if kind == "response.content_part.done":
        assert event["part"] == owner
        return
    key = next(key for key in ("arguments", "input", "refusal", "text") if key in owner)
    if kind.endswith(".delta"):
        owner[key] += event["delta"]
        if "logprobs" in event:
            owner["logprobs"] += event["logprobs"]
    else:
        assert event[key] == owner[key]
        assert event.get("logprobs") == owner.get("logprobs")


def merge(chunks: list[Object]) -> Object:
    """The completion that the chunks make up: its texts, tool calls, log probabilities, finish reason and usage."""
    merged: Object = {"content": "", "refusal": "", "reasoning_content": "", "logprobs": []}
    merged |= {"tool_calls": [], "finish_reason": None, "usage": None}
    for chunk in chunks:
        merged["usage"] = chunk.get("usage") or merged["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for key in ("content", "refusal", "reasoning_content"):
                merged[key] += delta.get(key) or ""
            for call in delta.get("tool_calls") or []:
                _merge_call(call, merged["tool_calls"])
            merged["logprobs"] += (choice.get("logprobs") or {}).get("content") or []
            if choice["finish_reason"]:
                assert merged["finish_reason"] is None
                merged["finish_reason"] = choice["finish_reason"]
    return merged


def _merge_call(fragment: Object, calls: list[Object]) -> None:
    if fragment["index"] == len(calls):
        calls.append({"id": fragment["id"], "name": fragment["function"]["name"], "arguments": ""})
    calls[fragment["index"]]["arguments"] += fragment["function"].get("arguments") or ""
