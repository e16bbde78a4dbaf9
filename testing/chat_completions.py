"""Chunks and completions as OpenAI and Azure send them."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    """A chunk as a server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One `chat.completion.chunk`, as OpenAI sends it."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1763800000,
        "model": "gpt-6-luna-2026-09-22",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": [choice],
        "usage": None,
        **more,
    }


USAGE = {
    "prompt_tokens": 25,
    "completion_tokens": 3,
    "total_tokens": 28,
    "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
}

OPENAI = [
    chunk({"role": "assistant", "content": "", "refusal": None}, obfuscation="x1"),
    chunk({"content": "The capital"}, obfuscation="y"),
    chunk({"content": " is Paris – 巴黎 🗼."}, a_future_key={"deep": [1, 2.5, True]}),
    chunk({}, "stop"),
    chunk(choices=[], usage=USAGE),
]

_FILTERED = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}

AZURE = [
    {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _FILTERED}],
    },
    chunk({"role": "assistant", "content": "", "refusal": None}, obfuscation="x"),
    chunk(
        {"content": "Paris."},
        choices=[{"index": 0, "delta": {"content": "Paris."}, "finish_reason": None, "content_filter_results": _FILTERED}],
    ),
    chunk({}, "stop"),
    chunk(choices=[], usage=USAGE),
]

TOOL_CALL = [
    chunk(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            ],
        }
    ),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]}),
    chunk({}, "tool_calls"),
]

COMPLETION = {
    "id": "chatcmpl-2",
    "object": "chat.completion",
    "created": 1763800000,
    "model": "gpt-6-luna-2026-09-22",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris – 巴黎.", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
    "a_future_key": [None, 1.0],
}


def text_chunks(*texts: str, finish_reason: str = "stop") -> list[dict[str, Any]]:
    """A chunk for each text, and the one that ends the completion."""
    return [chunk({"content": text}) for text in texts] + [chunk({}, finish_reason)]
