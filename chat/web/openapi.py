"""The OpenAPI document, made from the models of what comes in, the table of errors, and answers that were real.

A route is one more entry in `_paths`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chat.errors import (
    BadAnswer,
    BodyTooLarge,
    ChatError,
    ErrorEvent,
    InvalidRequest,
    NotJson,
    UpstreamError,
    UpstreamSilent,
    to_chat_error,
)
from chat.formats import Form, OpenAIForm, ProtocolForm
from chat.request import ChatRequest, ProtocolRequest, parse

type _Json = dict[str, Any]

_EXAMPLES = Path(__file__).parent / "examples"
_SCHEMAS = "#/components/schemas/"
_QUESTION = {"messages": [{"content": "What is the capital of France?"}]}

_CHAT = """\
The service puts its own system prompt before the messages and asks the model. It takes as many messages and bytes as its
settings `CHAT_MAX_MESSAGES` and `CHAT_MAX_REQUEST_BYTES` allow. Fields that are not described here are ignored."""

_CHAT_LINES = """\
Each line is one JSON object and ends with a line feed: a `ChatCompletionChunk`, sent as soon as the model's server has sent
it. There is no `data:` before a line and no `[DONE]` after the last. Once the first line is out the status is 200 for good:
if something fails then, the last line is an `Error`."""

_PROTOCOL = """\
For front ends that speak the protocol. `sessionState` comes back as it was sent, and `context` is not looked at."""

_PROTOCOL_LINES = """\
Each line is one JSON object and ends with a line feed: a `ProtocolDelta`, the first one with the role and the
`sessionState`. If something fails once the first line is out, the last line is a `ProtocolError`."""


@cache
def document() -> bytes:
    """The document, as JSON."""
    return json.dumps(_document(), ensure_ascii=False, indent=2).encode()


def _document() -> _Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chat",
            "version": "1",
            "description": "Streams a language model's answers, a JSON object on each line.",
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {
            "schemas": _request_schemas(ChatRequest, ProtocolRequest) | _ANSWER_SCHEMAS | {"Error": _error_schema()},
            "securitySchemes": {
                "functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "functionKeyInAddress": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "code",
                    "description": "Addresses end up in logs and histories: the header is the better place.",
                },
            },
        },
    }


def _paths() -> _Json:
    chunks = (_EXAMPLES / "answer.ndjson").read_bytes()
    completion = (_EXAMPLES / "answer.json").read_bytes()
    chat, protocol = OpenAIForm(), ProtocolForm(stream=True)
    return {
        "/api/chat": _post(
            "chat",
            "Answer a chat",
            _CHAT,
            request=ChatRequest,
            request_examples={"streamed": _QUESTION, "whole": _QUESTION | {"stream": False}},
            answer={
                chat.stream_type: _lines(_CHAT_LINES, "ChatCompletionChunk", "Error", chat.lines(chunks.splitlines())),
                "application/json": _whole("ChatCompletion", chat.whole(completion)),
            },
            errors=_error_responses("Error", chat),
        ),
        "/api/chat-protocol": _post(
            "chat_protocol",
            "Answer a chat as Microsoft's AI Chat Protocol has it",
            _PROTOCOL,
            request=ProtocolRequest,
            request_examples={"whole": _QUESTION},
            answer={"application/json": _whole("ProtocolAnswer", protocol.whole(completion))},
            errors=_error_responses("ProtocolError", protocol),
        ),
        "/api/chat-protocol/stream": _post(
            "chat_protocol_stream",
            "Answer a chat as a stream of the same protocol",
            _PROTOCOL,
            request=ProtocolRequest,
            request_examples={"streamed": _QUESTION},
            answer={
                protocol.stream_type: _lines(
                    _PROTOCOL_LINES, "ProtocolDelta", "ProtocolError", protocol.lines(chunks.splitlines())
                )
            },
            errors=_error_responses("ProtocolError", protocol),
        ),
    }


def _post(
    name: str,
    summary: str,
    description: str,
    *,
    request: type[BaseModel],
    request_examples: dict[str, _Json],
    answer: _Json,
    errors: _Json,
) -> _Json:
    """A route to post JSON to, with a function key."""
    operation = {
        "operationId": name,
        "tags": ["Chat"],
        "summary": summary,
        "description": description,
        "security": [{"functionKey": []}, {"functionKeyInAddress": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref(request.__name__),
                    "examples": {label: {"value": value} for label, value in request_examples.items()},
                }
            },
        },
        "responses": {"200": {"description": "The answer.", "content": answer}, **errors},
    }
    return {"post": operation}


def _whole(schema: str, example: bytes) -> _Json:
    return {"schema": _ref(schema), "example": json.loads(example)}


def _lines(description: str, line: str, last_line: str, example: bytes) -> _Json:
    """A stream of lines: text to OpenAPI 3.1, which can't describe one line (3.2 does, as `itemSchema`)."""
    return {
        "schema": {"type": "string", "description": description},
        "x-itemSchema": {"anyOf": [_ref(line), _ref(last_line)]},
        "example": example.decode(),
    }


def _error_responses(schema: str, form: Form) -> _Json:
    """The responses that the error table promises, in the route's form."""
    responses: _Json = {
        "401": {"description": "The function key is missing or wrong. Azure answers this, without a body."},
    }
    examples = {error.status: json.loads(form.error(error)) for error in _error_examples()}
    for status, kinds in sorted(_error_table().items()):
        content = {"schema": _ref(schema), "example": examples[status]}
        responses[str(status)] = {
            "description": " ".join(_described(kind) for kind in kinds),
            "content": {"application/json": content},
        }
        if status in {429, 503}:
            responses[str(status)]["headers"] = {
                "Retry-After": {
                    "description": "When to come back, where the model's server said so.",
                    "schema": {"type": "string"},
                }
            }
    return responses


def _error_table() -> dict[int, list[type[ChatError]]]:
    table: dict[int, list[type[ChatError]]] = {}
    for kind in _kinds(ChatError):
        for status in (kind.status, *vars(kind).get("other_statuses", ())):
            table.setdefault(status, []).append(kind)
    return table


def _kinds(kind: type[ChatError]) -> list[type[ChatError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _kinds(child))]


def _described(kind: type[ChatError]) -> str:
    if kind is ChatError:
        return to_chat_error(Exception()).message
    return (kind.__doc__ or "").partition("\n")[0]


def _error_examples() -> list[ChatError]:
    """An error for each status, as the service makes it."""
    examples = [
        BodyTooLarge("The body has more than 1048576 bytes."),
        NotJson("The content type must be application/json."),
        to_chat_error(ErrorEvent({"code": 422, "message": "messages: Conversation roles must alternate."})),
        to_chat_error(ErrorEvent({"code": 429})),
        to_chat_error(Exception()),
        BadAnswer("an example"),
        UpstreamError("The model's server is busy.", status=503),
        UpstreamSilent(60),
    ]
    try:
        parse(ChatRequest, b'{"messages": [{"content": ""}]}', max_messages=1)
    except InvalidRequest as error:
        examples.append(error)
    return examples


def _request_schemas(*models: type[BaseModel]) -> _Json:
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_SCHEMAS + "{model}")
    definitions: _Json = schemas["$defs"]
    return definitions


def _error_schema() -> _Json:
    text = {"type": "string"}
    text_or_null = {"type": ["string", "null"]}
    error = {
        "message": text | {"description": "A sentence for a person."},
        "type": text | {"enum": list(dict.fromkeys(kind.type for kind in _kinds(ChatError)))},
        "code": text_or_null | {"description": "The model's server's own word for it, such as `content_filter`."},
        "param": text_or_null | {"description": "The field that is no good."},
    }
    return {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "required": list(error), "properties": error}},
    }


def _ref(schema: str) -> _Json:
    return {"$ref": _SCHEMAS + schema}


def _completion_schema(kind: str, part: str, description: str) -> _Json:
    """OpenAI's object, only as far as every server that calls itself compatible keeps to it."""
    message = {
        "type": "object",
        "properties": {"role": {"type": "string"}, "content": {"type": ["string", "null"]}},
    }
    choice = {
        "type": "object",
        "properties": {
            "index": {"type": "integer"},
            part: message,
            "finish_reason": {"type": ["string", "null"], "description": "`stop`, `length`, `content_filter`, …"},
        },
    }
    return {
        "type": "object",
        "description": f"OpenAI's `{kind}`, as the model's server sent it. {description}",
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string"},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": choice},
            "usage": {
                "type": ["object", "null"],
                "properties": {name: {"type": "integer"} for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
            },
        },
    }


def _object(*required: str, **properties: _Json) -> _Json:
    return {"type": "object", "required": required, "properties": properties}


_TEXT = {"type": "string"}
_ANSWER_SCHEMAS = {
    "ChatCompletionChunk": _completion_schema(
        "chat.completion.chunk", "delta", "`choices` may be empty; the last chunk carries `usage` where the server sent it."
    ),
    "ChatCompletion": _completion_schema("chat.completion", "message", "There is more in it than is described here.")
    | {"required": ["choices"]},
    "ProtocolAnswer": _object("message", message=_object("role", "content", role=_TEXT, content=_TEXT), sessionState={}),
    "ProtocolDelta": _object("delta", delta=_object(role=_TEXT, content=_TEXT), sessionState={}),
    "ProtocolError": _object("error", error=_object("code", "message", code=_TEXT, message=_TEXT)),
}
