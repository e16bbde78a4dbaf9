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

from testing import chat_completions, responses_api
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
_USE_RESPONSES = (
    "Function tools with reasoning_effort are not supported for gpt-5.4-mini in /v1/chat/completions. "
    "Please use /v1/responses instead."
)
_REASONING = "Let me think."
_PIECE = re.compile(rb'"(delta|content|arguments|input)":"[^"]')
# Values for the tools of codex, which executes what it gets.
_COMMANDS = {"cmd": f"echo {RESULT}", "input": f'text("{RESULT}")'}


@dataclass
class Tool:
    """A tool that the client executes. A custom tool has no schema, and its input is free text."""

    name: str
    schema: Json | None
    namespace: str | None = None

    def input(self) -> str:
        """What a call passes to the tool."""
        return _COMMANDS["input"] if self.schema is None else json.dumps(_example(self.schema))


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


def _pieces(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def chunks(conversation: Conversation) -> list[Json]:
    """The completion as Chat Completions streams it, the usage last."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}, {"reasoning_content": _REASONING}]
    calls = conversation.calls()
    for index, tool in enumerate(calls):
        deltas.append({"tool_calls": [{"index": index} | _tool_call(tool, index, "")]})
        kind, key = _call_keys(tool)
        deltas += [{"tool_calls": [{"index": index, kind: {key: piece}}]} for piece in _pieces(tool.input())]
    if not calls:
        deltas += [{"content": piece} for piece in _pieces(conversation.text())]
    end = chat_completions.chunk({}, "tool_calls" if calls else "stop")
    usage = chat_completions.chunk(choices=[], usage=chat_completions.USAGE)
    return [*map(chat_completions.chunk, deltas), end, usage]


def completion(conversation: Conversation) -> Json:
    """The completion as Chat Completions returns it complete."""
    calls = [_tool_call(tool, index, tool.input()) for index, tool in enumerate(conversation.calls())]
    message: Json = {"role": "assistant", "content": None if calls else conversation.text(), "reasoning_content": _REASONING}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
    return chat_completions.chunk(object="chat.completion", choices=[choice], usage=chat_completions.USAGE)


def _tool_call(tool: Tool, index: int, text: str) -> Json:
    kind, key = _call_keys(tool)
    return {"id": f"call_{index}_{tool.name}", "type": kind, kind: {"name": tool.name, key: text}}


def _call_keys(tool: Tool) -> tuple[str, str]:
    """The type of the tool's calls in Chat Completions, and the field that has what is passed to the tool."""
    return ("custom", "input") if tool.schema is None else ("function", "arguments")


def items(conversation: Conversation, body: Json) -> list[responses_api.Item]:
    """The output of the Responses API."""
    reasoning = responses_api.reasoning(_REASONING if (body.get("reasoning") or {}).get("summary") else "")
    if "reasoning.encrypted_content" in (body.get("include") or []):
        reasoning["encrypted_content"] = "gAAAAABo"
    calls = []
    for number, tool in enumerate(conversation.calls()):
        call = responses_api.custom_tool_call if tool.schema is None else responses_api.function_call
        calls.append(call(number, tool.name, tool.input()) | ({"namespace": tool.namespace} if tool.namespace else {}))
    return [reasoning, *(calls or [responses_api.message(conversation.text())])]


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
        if not body.get("stream"):
            await self._respond(exchange, conversation, completion(conversation))
            return
        *stream, end, usage = map(chat_completions.event, chunks(conversation))
        ending = [end, usage] if (body.get("stream_options") or {}).get("include_usage") else [end]
        error = {"error": {"message": FAILURE, "type": "server_error", "param": None, "code": None}}
        failing = [chat_completions.event(error)]
        await self._stream(exchange, conversation, stream, [*ending, chat_completions.DONE], failing)

    async def _respond_to_responses(self, exchange: Exchange, body: Json) -> None:
        conversation = read_responses(body)
        output = items(conversation, body)
        if not body.get("stream"):
            await self._respond(exchange, conversation, responses_api.response(*output))
            return
        *stream, end = map(responses_api.event, responses_api.completed(*output))
        failing = list(map(responses_api.event, responses_api.failed_with_error("server_error", FAILURE, *output)))
        await self._stream(exchange, conversation, stream, [end], failing[len(stream) :])

    async def _respond(self, exchange: Exchange, conversation: Conversation, body: Json) -> None:
        """Responds without streaming."""
        if not await self._misbehaves_at_once(exchange, conversation.question):
            await exchange.respond(200, json.dumps(body).encode())

    async def _stream(
        self, exchange: Exchange, conversation: Conversation, stream: list[bytes], ending: list[bytes], failing: list[bytes]
    ) -> None:
        """Streams these events, and then one of two endings, or none."""
        question = conversation.question
        if await self._misbehaves_at_once(exchange, question):
            return
        await exchange.begin()
        if STREAMS in question:
            await self._stream_forever(exchange, stream)
            return
        for event in [*stream, *(failing if FAILS in question else [] if BREAKS_OFF in question else ending)]:
            await exchange.chunk(event)
        await exchange.end()

    async def _stream_forever(self, exchange: Exchange, stream: list[bytes]) -> None:
        """Streams the events up to the first text, or the first piece of a call, and that one again and again."""
        while not exchange.closed.is_set():
            event = stream[0] if _PIECE.search(stream[0]) else stream.pop(0)
            await exchange.chunk(event)
            with suppress(TimeoutError):
                await asyncio.wait_for(exchange.wait_closed(), 0.05)
        self.closed.append(time.time())

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


async def _reject(exchange: Exchange, status: int, message: str, code: str | None = None) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    await exchange.respond(status, json.dumps({"error": error}).encode())
