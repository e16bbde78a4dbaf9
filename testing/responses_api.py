"""Responses, and the events of a streamed one, as OpenAI's Responses API sends them."""

import json
from collections.abc import Iterator
from typing import Any

type Event = dict[str, Any]
type Item = dict[str, Any]

USAGE = {
    "input_tokens": 25,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 28,
}


def event(value: Event) -> bytes:
    """An event as a server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (
        value["type"].encode(),
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
    )


def response(*items: Item, **more: Any) -> dict[str, Any]:
    """The complete `response` object with these items of output."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1763800000,
        "status": "completed",
        "background": False,
        "completed_at": 1763800001,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "gpt-6-luna-2026-09-22",
        "output": list(items),
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": "medium", "summary": "detailed"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE,
        "user": None,
        **more,
    }


def message(text: str, status: str = "completed") -> Item:
    """An assistant's message."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": "msg_1", "type": "message", "status": status, "content": [part], "role": "assistant"}


def refusal(text: str) -> Item:
    """A message that refuses."""
    return message("") | {"content": [{"type": "refusal", "refusal": text}]}


def function_call(number: int, name: str, arguments: str) -> Item:
    """A call of a function; the number makes its ids unique."""
    ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
    return {**ids, "type": "function_call", "status": "completed", "arguments": arguments, "name": name}


def custom_tool_call(number: int, name: str, text: str) -> Item:
    """A call of a custom tool, whose input is free text."""
    ids = {"id": f"ctc_{number}", "call_id": f"call_{number}"}
    return {**ids, "type": "custom_tool_call", "status": "completed", "input": text, "name": name}


def reasoning(summary: str = "", text: str = "") -> Item:
    """What the model thought: a summary from OpenAI, the text itself from models with open weights."""
    item: Item = {"id": "rs_1", "type": "reasoning", "summary": []}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": summary}]
    if text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    return item


TEXT = [message("The capital is Paris – 巴黎 🗼.")]
REFUSAL = [refusal("I'm sorry, but I can't help with that.")]
TOOL_CALLS = [
    function_call(1, "weather", '{"city":"Paris"}'),
    function_call(2, "weather", '{"city":"巴黎"}'),
]
REASONING = [
    reasoning("**Recalling a capital**\n\nThe user asks for France.", "France: its capital is Paris."),
    *TEXT,
]


def completed(*items: Item) -> list[Event]:
    """The events of a response that is completed."""
    return _numbered(*_until_end(items), {"type": "response.completed", "response": response(*items)})


def incomplete(reason: str, *items: Item) -> list[Event]:
    """The events of a response that ends early, for `max_output_tokens` or `content_filter`."""
    end = response(*items, status="incomplete", completed_at=None, incomplete_details={"reason": reason})
    return _numbered(*_until_end(items), {"type": "response.incomplete", "response": end})


def failed(code: str, text: str, *items: Item) -> list[Event]:
    """The events of a response that fails after these items: `response.failed` alone."""
    return _numbered(*_until_end(items), _failed(code, text))


def failed_with_error(code: str, text: str, *items: Item) -> list[Event]:
    """The events of a response that fails after these items: a nested `error`, and then `response.failed`."""
    error = {"type": "server_error", "code": code, "message": text, "param": None}
    return _numbered(*_until_end(items), {"type": "error", "error": error}, _failed(code, text))


def _failed(code: str, text: str) -> Event:
    end = response(status="failed", completed_at=None, error={"code": code, "message": text}, usage=None)
    return {"type": "response.failed", "response": end}


def _numbered(*events: Event) -> list[Event]:
    return [{"sequence_number": number, **event} for number, event in enumerate(events)]


def _until_end(items: tuple[Item, ...]) -> Iterator[Event]:
    begun = response(status="in_progress", completed_at=None, service_tier="auto", usage=None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(items):
        yield from _item_events(item, index)


def _item_events(item: Item, index: int) -> Iterator[Event]:
    at = {"item_id": item["id"], "output_index": index}
    empty = {"status": "in_progress", "content": [], "summary": [], "arguments": "", "input": ""}
    begun = item | {name: value for name, value in empty.items() if name in item}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for number, part in enumerate(item.get("summary", [])):
        yield from _part_events("reasoning_summary_part", part, {**at, "summary_index": number})
    for number, part in enumerate(item.get("content", [])):
        yield from _part_events("content_part", part, {**at, "content_index": number})
    if item["type"] == "function_call":
        yield from _deltas("function_call_arguments", "arguments", item["arguments"], at)
    if item["type"] == "custom_tool_call":
        yield from _deltas("custom_tool_call_input", "input", item["input"], at)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(kind: str, part: dict[str, Any], at: dict[str, Any]) -> Iterator[Event]:
    key = "refusal" if part["type"] == "refusal" else "text"
    stem = "reasoning_summary_text" if part["type"] == "summary_text" else part["type"]
    yield {"type": f"response.{kind}.added", **at, "part": part | {key: ""}}
    yield from _deltas(stem, key, part[key], at | ({"logprobs": []} if stem == "output_text" else {}))
    yield {"type": f"response.{kind}.done", **at, "part": part}


def _deltas(stem: str, key: str, text: str, at: dict[str, Any]) -> Iterator[Event]:
    """The text in two pieces, and then as a whole."""
    half = len(text) // 2
    for piece in (text[:half], text[half:]):
        yield {"type": f"response.{stem}.delta", **at, "delta": piece, "obfuscation": "x1aZ90"}
    yield {"type": f"response.{stem}.done", **at, key: text}
