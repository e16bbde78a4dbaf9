"""A model server whose completions follow from the conversation, so that any client can be run against it unchanged.

What the last user message contains decides:

- "capital of Japan": a text with the capital, and with the number of answers that the conversation already has;
- names of tools in backticks: calls of these tools, in parallel, and a text with their results once they are there;
- `REJECTED`, `FAILS`, `BREAKS_OFF`, `STREAMS` or `STALLS`: an error, or a response that never ends.

A JSON schema, or a tool that must be called, is answered with values that satisfy it.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from testing.model_server import Exchange

type Json = dict[str, Any]
type Kind = Literal["chat", "responses", "tools-through-responses"]

REJECTED = "Be rejected."
FAILS = "Fail mid-stream."
BREAKS_OFF = "Break off."
STREAMS = "Stream forever."
STALLS = "Never respond."

REJECTION = "The model does not accept this conversation."
FAILURE = "The server had an error while processing the request."
RESULT = "21 degrees"

_CAPITALS = {"Japan": "Tokyo", "France": "Paris"}
_MODEL = "the-model"
_CREATED = 1763800000
_USE_RESPONSES = (
    f"Function tools with reasoning_effort are not supported for {_MODEL} in /v1/chat/completions. "
    "Please use /v1/responses instead."
)
# Values for the tools of codex, which executes what it gets.
_COMMANDS = {"cmd": f"echo {RESULT}", "exec": f'text("{RESULT}")'}


@dataclass
class Tool:
    """A tool that the client executes. A custom tool has no schema, and its input is free text."""

    name: str
    schema: Json | None
    namespace: str | None = None

    def input(self) -> str:
        """What a call passes to the tool."""
        return _COMMANDS.get(self.name, "Tokyo") if self.schema is None else json.dumps(_example(self.schema))


@dataclass
class Conversation:
    """What a request of either API contains."""

    question: str = ""
    answers: int = 0
    results: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    must_call: str | None = None
    schema: Json | None = None

    def ask(self, question: str) -> None:
        """Adds a message of the user's; results of tools before it belong to the question before."""
        self.question = question
        self.results = []

    def calls(self) -> list[Tool]:
        """The tools to call: those that must be, or that the question names."""
        if self.results:
            return []
        if self.must_call:
            return [tool for tool in self.tools if self.must_call in {tool.name, "required", "any"}][:1]
        names = re.findall(r"`(\w+)`", self.question)
        return [tool for tool in self.tools if any(tool.name.endswith(name) for name in names)]

    def text(self) -> str:
        """What the model says."""
        if self.schema is not None:
            return json.dumps(_example(self.schema))
        if self.results:
            return f"The tools returned: {'; '.join(self.results)}."
        capitals = [capital for country, capital in _CAPITALS.items() if country in self.question]
        return f"The answer is {' and '.join(capitals)}, after {self.answers} others."


class InvalidRequest(Exception):
    """A request that OpenAI rejects with 400."""


def _example(schema: Json) -> Any:
    """A value that satisfies a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: _COMMANDS.get(name) or _example(properties[name]) for name in schema.get("required", [])}
        case "integer" | "number":
            return 14
        case "boolean":
            return True
        case "array":
            return []
    return "Tokyo"


def _text(content: Any) -> str:
    """The text of a message's content, which is a string or an array of parts."""
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text", "") for part in content)


def read_chat(body: Json) -> Conversation:
    """Reads a request of Chat Completions; raises `InvalidRequest` as OpenAI would."""
    conversation = Conversation()
    pending: set[str] = set()
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in pending:
                raise InvalidRequest(
                    "A message with role 'tool' must be a response to a preceding message with 'tool_calls'."
                )
            pending.remove(message["tool_call_id"])
            conversation.results.append(_text(message["content"]))
            continue
        if pending:
            raise InvalidRequest("An assistant message with 'tool_calls' must be followed by a tool message for each call.")
        if role == "user":
            conversation.ask(_text(message["content"]))
        elif role == "assistant":
            conversation.answers += bool(message.get("content"))
            pending = {call["id"] for call in message.get("tool_calls") or []}
    conversation.tools = [
        Tool(tool[tool["type"]]["name"], tool["function"].get("parameters", {}) if tool["type"] == "function" else None)
        for tool in body.get("tools") or []
    ]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        conversation.must_call = choice[choice["type"]]["name"]
    elif choice == "required":
        conversation.must_call = choice
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        conversation.schema = response_format["json_schema"]["schema"]
    return conversation


def read_responses(body: Json) -> Conversation:
    """Reads a request of the Responses API; raises `InvalidRequest` as OpenAI would without stored responses."""
    conversation = Conversation()
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    tools = list(body.get("tools") or [])
    called: set[str] = set()
    for item in items:
        match item.get("type", "message"):
            case "message" if item["role"] == "user":
                conversation.ask(_text(item["content"]))
            case "message" if item["role"] == "assistant":
                conversation.answers += 1
            case "function_call" | "custom_tool_call":
                called.add(item["call_id"])
            case "function_call_output" | "custom_tool_call_output":
                if item["call_id"] not in called:
                    raise InvalidRequest(f"No tool call found for function call output with call_id {item['call_id']}.")
                conversation.results.append(_text(item["output"]))
            case "reasoning" if body.get("store") is False and not item.get("encrypted_content"):
                raise InvalidRequest(
                    f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false. "
                    "Try again with `store` set to true, or remove this item from your input."
                )
            case "additional_tools":
                tools += item["tools"]
    conversation.tools = list(_tools(tools))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        conversation.must_call = choice["name"]
    elif choice == "required":
        conversation.must_call = choice
    text_format = (body.get("text") or {}).get("format") or {}
    if text_format.get("type") == "json_schema":
        conversation.schema = text_format["schema"]
    return conversation


def _tools(tools: list[Json], namespace: str | None = None) -> Iterator[Tool]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _tools(tool["tools"], tool["name"])
        elif tool["type"] in {"function", "custom"}:
            yield Tool(tool["name"], tool.get("parameters") or {} if tool["type"] == "function" else None, namespace)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def chunks(conversation: Conversation, *, reasoning: bool) -> list[Json]:
    """The completion as Chat Completions streams it, the usage last, and the reasoning as compatible servers do."""
    deltas: list[Json] = [{"role": "assistant", "content": "", "refusal": None}]
    if reasoning:
        deltas.append({"reasoning_content": "Let me think."})
    calls = conversation.calls()
    for index, tool in enumerate(calls):
        payload = "input" if tool.schema is None else "arguments"
        kind = "custom" if tool.schema is None else "function"
        head = {"id": f"call_{index}_{tool.name}", "type": kind, kind: {"name": tool.name, payload: ""}}
        deltas.append({"tool_calls": [{"index": index, **head}]})
        deltas += [{"tool_calls": [{"index": index, kind: {payload: piece}}]} for piece in _words(tool.input())]
    if not calls:
        deltas += [{"content": word} for word in _words(conversation.text())]
    choices: list[Json] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"})
    envelope: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _MODEL,
        "service_tier": "default",
        "system_fingerprint": None,
    }
    usage: Json = {
        "prompt_tokens": 25,
        "completion_tokens": 8,
        "total_tokens": 33,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
    }
    stream = [{**envelope, "choices": [choice], "usage": None} for choice in choices]
    return [*stream, {**envelope, "choices": [], "usage": usage}]


def completion(conversation: Conversation, *, reasoning: bool) -> Json:
    """The completion as Chat Completions returns it complete."""
    message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if reasoning:
        message["reasoning_content"] = "Let me think."
    calls = conversation.calls()
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{index}_{tool.name}",
                **(
                    {"type": "custom", "custom": {"name": tool.name, "input": tool.input()}}
                    if tool.schema is None
                    else {"type": "function", "function": {"name": tool.name, "arguments": tool.input()}}
                ),
            }
            for index, tool in enumerate(calls)
        ]
    else:
        message["content"] = conversation.text()
    *_, last = chunks(conversation, reasoning=reasoning)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
    return {**last, "object": "chat.completion", "choices": [choice]}


class ResponseEvents:
    """The events of one response of the Responses API, as OpenAI sends them."""

    def __init__(self, body: Json, conversation: Conversation) -> None:
        self.events: list[Json] = []
        self.response = _response(body)
        self._add("response.created", response=self._snapshot())
        self._add("response.in_progress", response=self._snapshot())
        self._reasoning(body)
        calls = conversation.calls()
        for tool in calls:
            self._call(tool)
        if not calls:
            self._message(conversation.text())
        usage: Json = {"input_tokens": 25, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
        usage |= {"output_tokens": 8, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 33}
        self.response |= {"status": "completed", "completed_at": _CREATED + 1, "usage": usage}
        self._add("response.completed", response=self._snapshot())

    def failing(self) -> list[Json]:
        """The events of a response that fails mid-stream: `error`, whose fields OpenAI nests, and `response.failed`."""
        events = self.beginning()
        sequence = len(events)
        error = {"type": "server_error", "code": "server_error", "message": FAILURE, "param": None}
        failed = {**events[0]["response"], "status": "failed", "error": {"code": "server_error", "message": FAILURE}}
        return [
            *events,
            {"type": "error", "sequence_number": sequence, "error": error},
            {"type": "response.failed", "sequence_number": sequence + 1, "response": failed},
        ]

    def beginning(self) -> list[Json]:
        """The events up to the first piece of the text, or of a call."""
        pieces = [number for number, event in enumerate(self.events) if "delta" in event and "summary_index" not in event]
        return self.events[: pieces[0] + 1]

    def _snapshot(self) -> Json:
        return {**self.response, "output": list(self.response["output"])}

    def _add(self, kind: str, **fields: Any) -> None:
        self.events.append({"type": kind, "sequence_number": len(self.events), **fields})

    def _begin(self, item: Json) -> Json:
        """Adds an item and returns what its events refer to it by."""
        position = {"output_index": len(self.response["output"])}
        self._add("response.output_item.added", **position, item=item)
        return {"item_id": item["id"], **position}

    def _end(self, item: Json) -> None:
        self._add("response.output_item.done", output_index=len(self.response["output"]), item=item)
        self.response["output"].append(item)

    def _reasoning(self, body: Json) -> None:
        item: Json = {"id": "rs_1", "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (body.get("include") or []):
            item["encrypted_content"] = "gAAAAABencrypted"
        position = self._begin(item)
        if (body.get("reasoning") or {}).get("summary"):
            position["summary_index"] = 0
            text = "Let me think."
            part = {"type": "summary_text", "text": text}
            self._add("response.reasoning_summary_part.added", **position, part={**part, "text": ""})
            self._add("response.reasoning_summary_text.delta", **position, delta=text, obfuscation="x")
            self._add("response.reasoning_summary_text.done", **position, text=text)
            self._add("response.reasoning_summary_part.done", **position, part=part)
            item = {**item, "summary": [part]}
        self._end(item)

    def _message(self, text: str) -> None:
        item: Json = {"id": "msg_1", "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
        item["phase"] = "final_answer"
        position = {**self._begin(item), "content_index": 0}
        part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self._add("response.content_part.added", **position, part=part)
        for word in _words(text):
            self._add("response.output_text.delta", **position, delta=word, logprobs=[], obfuscation="x")
        part = {**part, "text": text}
        self._add("response.output_text.done", **position, text=text, logprobs=[])
        self._add("response.content_part.done", **position, part=part)
        self._end({**item, "status": "completed", "content": [part]})

    def _call(self, tool: Tool) -> None:
        number = len(self.response["output"])
        kind, payload = ("custom_tool_call", "input") if tool.schema is None else ("function_call", "arguments")
        events = "response.custom_tool_call_input" if tool.schema is None else "response.function_call_arguments"
        prefix = "ctc" if tool.schema is None else "fc"
        item: Json = {"id": f"{prefix}_{number}", "type": kind, "status": "in_progress", payload: "", "name": tool.name}
        item["call_id"] = f"call_{number}_{tool.name}"
        if tool.namespace:
            item["namespace"] = tool.namespace
        position = self._begin(item)
        for piece in _words(tool.input()):
            self._add(f"{events}.delta", **position, delta=piece, obfuscation="x")
        self._add(f"{events}.done", **position, **{payload: tool.input()})
        self._end({**item, "status": "completed", payload: tool.input()})


def _response(body: Json) -> Json:
    """A response as OpenAI begins it: with the parameters of the request, defaults included."""
    text = {"format": {"type": "text"}, "verbosity": "medium"} | (body.get("text") or {})
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": _MODEL,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "prompt_cache_retention": None,
        "reasoning": {"effort": "medium", "summary": None} | (body.get("reasoning") or {}),
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": text,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 0.98,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


class ScriptedModel:
    """The behaviour of one kind of model server, for `ModelServer.respond_with`.

    `closed` has, for each request that never ends, when the client closed it, in seconds since the epoch.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.closed: list[float] = []

    async def __call__(self, exchange: Exchange) -> None:
        """Responds to one request."""
        path = exchange.request.path
        try:
            if path.endswith("/v1/chat/completions"):
                await self._respond_to_chat(exchange, exchange.request.json)
            elif path.endswith("/v1/responses") and self.kind != "chat":
                await self._respond_to_responses(exchange, exchange.request.json)
            else:
                await _reject(exchange, 404, f"Invalid URL ({exchange.request.method} {path})")
        except InvalidRequest as error:
            await _reject(exchange, 400, str(error))

    async def _respond_to_chat(self, exchange: Exchange, body: Json) -> None:
        if self.kind == "tools-through-responses" and body.get("tools"):
            raise InvalidRequest(_USE_RESPONSES)
        if self.kind == "chat" and any(tool["type"] != "function" for tool in body.get("tools") or []):
            raise InvalidRequest("'type' of tool must be 'function'")
        conversation = read_chat(body)
        reasoning = self.kind == "chat"
        if await self._misbehaves_at_once(exchange, conversation.question):
            return
        if not body.get("stream"):
            await exchange.respond(200, json.dumps(completion(conversation, reasoning=reasoning)).encode())
            return
        stream = chunks(conversation, reasoning=reasoning)
        if not (body.get("stream_options") or {}).get("include_usage"):
            stream.pop()
        events = [_event(chunk) for chunk in stream]
        error = {"error": {"message": FAILURE, "type": "server_error", "param": None, "code": None}}
        begun = events[:4]  # with the first piece of the text, or of a call
        await self._stream(exchange, conversation.question, begun, [*events, b"data: [DONE]\n\n"], [*begun, _event(error)])

    async def _respond_to_responses(self, exchange: Exchange, body: Json) -> None:
        conversation = read_responses(body)
        if await self._misbehaves_at_once(exchange, conversation.question):
            return
        response = ResponseEvents(body, conversation)
        if not body.get("stream"):
            await exchange.respond(200, json.dumps(response.response).encode())
            return
        events = [_named_event(event) for event in response.events]
        begun = [_named_event(event) for event in response.beginning()]
        failing = [_named_event(event) for event in response.failing()]
        await self._stream(exchange, conversation.question, begun, events, failing)

    async def _misbehaves_at_once(self, exchange: Exchange, question: str) -> bool:
        """Rejects the request or never responds, if the question says so."""
        if REJECTED in question:
            await _reject(exchange, 400, REJECTION, "invalid_value")
            return True
        if STALLS in question:
            await exchange.wait_closed()
            self.closed.append(time.time())
            return True
        return False

    async def _stream(
        self, exchange: Exchange, question: str, begun: list[bytes], whole: list[bytes], failing: list[bytes]
    ) -> None:
        """Streams one of three lists of events, as the question says: the beginning, all of them, or those with an error."""
        await exchange.begin()
        events = failing if FAILS in question else begun if BREAKS_OFF in question or STREAMS in question else whole
        for event in events:
            await exchange.chunk(event)
        if STREAMS in question:
            while not exchange.closed.is_set():
                await exchange.chunk(begun[-1])
                with suppress(TimeoutError):
                    await asyncio.wait_for(exchange.wait_closed(), 0.05)
            self.closed.append(time.time())
            return
        await exchange.end()


def _event(value: Json) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _named_event(event: Json) -> bytes:
    return f"event: {event['type']}\n".encode() + _event(event)


async def _reject(exchange: Exchange, status: int, message: str, code: str | None = None) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    await exchange.respond(status, json.dumps({"error": error}).encode())
