"""Everything that a model server can do wrong, or in an unusual way, and what the client receives: `docs/errors.md`."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from testing.behaviours import never_responds, responds, stalls_after, streams, streams_bytes
from testing.chat_completions import COMPLETION, DONE, OPENAI, chunk, event
from testing.client import KEY
from testing.model_server import Behaviour, Exchange

EVENTS = [event(value) for value in OPENAI]
STREAM = b"".join(EVENTS) + DONE


@dataclass(frozen=True)
class Outcome:
    """What the client receives: a status, how many chunks, and the type of the error in the body or on the last line."""

    status: int
    chunks: int = 0
    error: str | None = None
    retry_after: bool = False

    def __str__(self) -> str:
        if not self.error:
            return f"{self.status}, the completion"
        after = " with `Retry-After`" if self.retry_after else ""
        if self.status == 200:
            return f"200, all chunks received, then the error `{self.error}`"
        return f"{self.status}{after} `{self.error}`"


REJECTED = "invalid_request_error"
UPSTREAM = "upstream_error"
FAILED = Outcome(502, error=UPSTREAM)
TIMED_OUT = Outcome(504, error="timeout_error")
STREAMED = Outcome(200, chunks=len(OPENAI))
COMPLETED = Outcome(200)
SIZE_LIMIT = "exceeds a size limit"


def fails_after(chunks: int, error: str = UPSTREAM) -> Outcome:
    """The outcome of an error after this many chunks."""
    return Outcome(200, chunks, error)


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind` is the row of the table; `requests` is how many requests the model server receives, retries included.
    `previous` is its behaviour with another client's request, and `stray` what it sends on the connection afterwards.
    """

    kind: str
    name: str
    behaviours: tuple[Behaviour, ...]
    outcome: Outcome
    complete: bool = False
    requests: int = 1
    chunks: list[Any] | None = None
    message: str | None = None
    code: str | None = None
    previous: Behaviour | None = None
    stray: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}{' (complete)' if self.complete else ''}"


def _both(kind: str, name: str, *behaviours: Behaviour, outcome: Outcome, **more: Any) -> Iterator[Fault]:
    for complete in (False, True):
        yield Fault(kind, name, behaviours, outcome, complete=complete, **more)


_OPENAI_ERROR = {"message": "This model's maximum context length is 8192 tokens.", "type": "invalid_request_error"}
_OPENAI_ERROR |= {"param": "messages", "code": "context_length_exceeded"}
_AZURE_ERROR = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
}
_VLLM_ERROR = {
    "object": "error",
    "message": "max_tokens is too large.",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
_HTML = b"<html><head><title>Sorry</title></head><body><h1>Sorry</h1></body></html>"
_NO_MESSAGE = "The model server rejected the request."

_BODIES: dict[str, tuple[Any, str, str | None, str | None]] = {
    "OpenAI's body": ({"error": _OPENAI_ERROR}, "application/json", _OPENAI_ERROR["message"], "context_length_exceeded"),
    "Azure's body": ({"error": _AZURE_ERROR}, "application/json", str(_AZURE_ERROR["message"]), "content_filter"),
    "vLLM's body": (_VLLM_ERROR, "application/json", "max_tokens is too large.", None),
    "vLLM's newer body": ({"error": _VLLM_ERROR}, "application/json", "max_tokens is too large.", None),
    "FastAPI's body": (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
        "application/json",
        "seed: Extra inputs are not permitted",
        None,
    ),
    "Google's body": (
        [{"error": {"code": 400, "message": "Invalid value.", "status": "INVALID_ARGUMENT"}}],
        "application/json",
        "Invalid value.",
        "INVALID_ARGUMENT",
    ),
    "text": (b"No such parameter", "text/plain", "No such parameter", None),
    "HTML": (_HTML, "text/html", _NO_MESSAGE, None),
    "no body": (b"", "text/plain", _NO_MESSAGE, None),
    "an error that is a string": ({"error": "no such thing"}, "application/json", "no such thing", None),
    "an error that is a list": ({"error": [1]}, "application/json", _NO_MESSAGE, None),
    "an error that is null": ({"error": None, "message": "no"}, "application/json", "no", None),
    "an echo of the key": (
        {"error": {"message": f"Bad key {KEY} given", "code": None}},
        "application/json",
        "Bad key *** given",
        None,
    ),
    "a code that is a sentence": (
        {"error": {"message": "No.", "code": "see https://internal.example/?id=7"}},
        "application/json",
        "No.",
        None,
    ),
    "an unknown charset": (b"{}", "application/json; charset=zlib_codec", _NO_MESSAGE, None),
}


def _statuses() -> Iterator[Fault]:
    for status in (400, 413, 422):
        for name, (body, content_type, message, code) in _BODIES.items():
            yield from _both(
                "rejects the content (400, 413, 422)",
                f"{status}, {name}",
                responds(status, body, content_type),
                outcome=Outcome(status, error=REJECTED),
                message=message,
                code=code,
            )
    for status in (401, 403, 404):
        for name, (body, content_type, _, _) in _BODIES.items():
            yield from _both(
                "rejects this service (401, 403, 404)",
                f"{status}, {name}",
                responds(status, body, content_type),
                outcome=FAILED,
                message="The model server rejected this service.",
            )
    for status in (500, 502, 504, 529, 408, 409):
        for name, (body, content_type, _, _) in _BODIES.items():
            yield Fault(
                "responds 408, 409 or 5xx three times",
                f"{status}, {name}",
                (responds(status, body, content_type, retry_after_ms="1"),),
                FAILED,
                requests=3,
            )
    kind = "responds 408, 409 or 5xx three times"
    yield Fault(kind, "503 without Retry-After", (responds(503, b""),), FAILED, requests=3)
    kind = "responds with another status"
    for status in (402, 405, 418, 451):
        yield from _both(kind, str(status), responds(status, {"error": _OPENAI_ERROR}), outcome=FAILED)
    not_modified = sends(b"HTTP/1.1 304 Not Modified\r\n\r\n", chunked=False)
    yield from _both(kind, "304", not_modified, outcome=FAILED)
    redirect = responds(307, b"", location="http://192.0.2.1/", set_cookie="a=b")
    yield from _both(kind, "a redirect", redirect, outcome=FAILED)
    yield Fault(kind, "101 without Upgrade", (sends(b"HTTP/1.1 101 OK\r\n\r\n", chunked=False),), FAILED)
    limit = {
        "error": {"message": f"Rate limit reached for org-1 with {KEY}", "type": "tokens", "code": "rate_limit_exceeded"}
    }
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for name, header in [("30 seconds", "30"), ("half an hour", "1800"), ("a date", soon), ("3.5 seconds", "3.5")]:
        for status, error in [(429, "rate_limit_error"), (503, UPSTREAM)]:
            yield Fault(
                f"responds {status} with a Retry-After of more than 2 seconds",
                name,
                (responds(status, limit, retry_after=header),),
                Outcome(status, error=error, retry_after=True),
            )
    yield from _both(
        "responds 503 with a shorter Retry-After three times",
        "a millisecond",
        responds(503, b"", retry_after_ms="1"),
        outcome=Outcome(503, error=UPSTREAM, retry_after=True),
        requests=3,
    )
    kind = "responds 429 three times"
    yield from _both(
        kind,
        "for a short time",
        responds(429, limit, retry_after_ms="1"),
        outcome=Outcome(429, error="rate_limit_error", retry_after=True),
        requests=3,
        message="Rate limit reached for org-1 with ***",
        code="rate_limit_exceeded",
    )
    yield from _both(
        kind, "without Retry-After", responds(429, limit), outcome=Outcome(429, error="rate_limit_error"), requests=3
    )
    for name, header in [("a Retry-After in UTF-8", "später"), ("a Retry-After with a key", KEY)]:
        yield Fault(
            kind, name, (responds(429, limit, retry_after=header),), Outcome(429, error="rate_limit_error"), requests=3
        )


def _recoveries() -> Iterator[Fault]:
    kind = "fails once or twice, then responds"
    good, complete = streams(OPENAI), responds(200, COMPLETION)
    first: dict[str, Behaviour] = {
        "500": responds(500, _HTML, retry_after_ms="1"),
        "409": responds(409, _VLLM_ERROR, retry_after_ms="1"),
        "429 with a wait of a second": responds(429, b"", retry_after="1"),
        "503 with a date in the past": responds(503, b"", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        "a reset": _resets_at_once,
        "closed": _closes_at_once,
    }
    for name, behaviour in first.items():
        yield Fault(kind, name, (behaviour, good), STREAMED, requests=2)
    yield Fault(kind, "500", (first["500"], complete), COMPLETED, complete=True, requests=2)
    yield Fault(kind, "twice 500", (first["500"], first["500"], good), STREAMED, requests=3)


async def _resets_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def _closes_at_once(exchange: Exchange) -> None:
    exchange.close()


def sends(*pieces: bytes, then: str = "close", chunked: bool = True) -> Behaviour:
    """Begins a response, sends these pieces of its body, and closes or resets the connection, or stalls."""

    async def behave(exchange: Exchange) -> None:
        if chunked:
            await exchange.begin()
        for piece in pieces:
            await (exchange.chunk if chunked else exchange.send)(piece)
        if then == "reset":
            exchange.reset()
        elif then == "stall":
            await exchange.wait_closed()

    return behave


def _connections() -> Iterator[Fault]:
    kind = "cannot be reached three times"
    yield from _both(kind, "resets the connection", _resets_at_once, outcome=FAILED, requests=3)
    yield from _both(kind, "closes the connection", _closes_at_once, outcome=FAILED, requests=3)
    yield Fault(
        kind, "sends something that is not HTTP", (sends(b"SSH-2.0-OpenSSH_9.6\r\n", chunked=False),), FAILED, requests=3
    )
    kind = "sends no chunk in time"
    yield from _both(kind, "no headers", never_responds, outcome=TIMED_OUT)
    yield from _both(kind, "no body", stalls_after(), outcome=TIMED_OUT)
    yield Fault(kind, "half an event", (stalls_after(EVENTS[0][:50]),), TIMED_OUT)
    yield Fault(kind, "one comment", (stalls_after(b": hold on\n\n"),), TIMED_OUT)
    yield Fault(kind, "comments again and again", (_repeats(b": hold on\n\n"),), TIMED_OUT)
    yield Fault(kind, "an event byte by byte", (_repeats(b" ", first=b"data:"),), TIMED_OUT)
    yield Fault(kind, "half a body", (stalls_after(json.dumps(COMPLETION).encode()[:50]),), TIMED_OUT, complete=True)
    yield Fault(kind, "a body byte by byte", (_repeats(b" "),), TIMED_OUT, complete=True)
    yield from _both(kind, "half the body of an error", _stalls_in_an_error, outcome=TIMED_OUT)
    kind = "stops sending mid-stream"
    timed_out = "timeout_error"
    yield Fault(kind, "between chunks", (stalls_after(*EVENTS[:2]),), fails_after(2, timed_out))
    yield Fault(kind, "in a chunk", (stalls_after(*EVENTS[:2], EVENTS[2][:70]),), fails_after(2, timed_out))
    yield Fault(kind, "before [DONE]", (stalls_after(*EVENTS),), fails_after(len(EVENTS), timed_out))
    yield Fault(
        kind, "but for comments", (_repeats(b": hold on\n\n", first=b"".join(EVENTS[:2])),), fails_after(2, timed_out)
    )
    kind = "closes the connection mid-stream"
    for then in ("close", "reset"):
        name = {"close": "FIN", "reset": "RST"}[then]
        yield Fault(kind, f"{name} between chunks", (sends(*EVENTS[:2], then=then),), fails_after(2))
        yield Fault(kind, f"{name} in a chunk", (sends(*EVENTS[:2], EVENTS[2][:70], then=then),), fails_after(2))
        half = EVENTS[2].index("巴".encode()) + 1
        yield Fault(kind, f"{name} in a character", (sends(*EVENTS[:2], EVENTS[2][:half], then=then),), fails_after(2))
        yield Fault("closes the connection before the first chunk", name, (sends(EVENTS[0][:40], then=then),), FAILED)
        half_completion = sends(json.dumps(COMPLETION).encode()[:80], then=then)
        yield Fault("closes the connection in a complete response", name, (half_completion,), FAILED, complete=True)
    yield Fault(kind, "a proper end", (streams_bytes(*EVENTS[:2]),), fails_after(2))
    yield Fault(kind, "a proper end after an event", (streams_bytes(*EVENTS[:2], EVENTS[2].strip()),), fails_after(3))
    yield Fault(kind, "a proper end in an event", (streams_bytes(*EVENTS[:2], EVENTS[2][:-9]),), fails_after(2))
    yield Fault(kind, "FIN before a blank line", (sends(*EVENTS[:2], EVENTS[2][:-1], then="close"),), fails_after(2))
    yield Fault(kind, "an empty HTTP chunk", (sends(*EVENTS[:2], b"", then="close"),), fails_after(2))


def _repeats(piece: bytes, first: bytes = b"") -> Behaviour:
    """Sends a piece again and again, sooner than any timeout."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk(first + piece)
        while not exchange.closed.is_set():
            await exchange.chunk(piece)
            with suppress(TimeoutError):
                await asyncio.wait_for(exchange.wait_closed(), 0.02)

    return behave


async def _stalls_in_an_error(exchange: Exchange) -> None:
    await exchange.begin(500, "application/json")
    await exchange.chunk(b'{"error": ')
    await exchange.wait_closed()


def _error_events() -> Iterator[Fault]:
    busy = {"message": f"The engine is overloaded, {KEY}", "type": "server_error", "code": None}
    for name, data, error, status in [
        ("OpenAI's", event({"error": busy}), UPSTREAM, 502),
        ("beside choices", event({"error": busy, "choices": []}), UPSTREAM, 502),
        ("named error", b"event: error\n" + event(busy), UPSTREAM, 502),
        ("named error, wrapped", b"event: error\n" + event({"error": busy}), UPSTREAM, 502),
        ("a string", event({"error": "boom"}), UPSTREAM, 502),
        ("of lists", event({"error": {"type": ["a"], "code": {"b": 1}, "message": [2]}}), UPSTREAM, 502),
        ("llama.cpp's", event({"error": {"code": 500, "message": "no slot", "type": "server_error"}}), UPSTREAM, 502),
        ("vLLM's rejection", event({"error": _VLLM_ERROR}), REJECTED, 400),
        ("Azure's content filter", event({"error": _AZURE_ERROR}), REJECTED, 400),
        (
            "OpenAI's rate limit",
            event({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}),
            "rate_limit_error",
            429,
        ),
        ("a rejected key", event({"error": {"code": 401, "message": f"bad key {KEY}"}}), UPSTREAM, 502),
        ("of 2 MiB", event({"error": {"message": "x" * (2 << 20)}}), UPSTREAM, 502),
    ]:
        yield Fault("sends an error as its first event", name, (streams_bytes(data, DONE),), Outcome(status, error=error))
        yield Fault(
            "sends an error mid-stream",
            name,
            (streams_bytes(*EVENTS[:3], data, *EVENTS[3:], DONE),),
            fails_after(3, error),
        )
    yield Fault("responds 200 with an error", "OpenAI's", (responds(200, {"error": busy}),), FAILED, complete=True)
    yield Fault("responds 200 with an error", "as JSON", (responds(200, {"error": busy}),), FAILED)


def _nonsense() -> Iterator[Fault]:
    for name, data in [
        ("words", b"data: Hello there\n\n"),
        ("half an object", b'data: {"choices": [\n\n'),
        ("two objects", b'data: {"a": 1}{"b": 2}\n\n'),
        ("a number", b"data: 123\n\n"),
        ("a list", b"data: [1]\n\n"),
        ("a string", b'data: "[DONE]"\n\n'),
        ("null", b"data: null\n\n"),
        ("NaN", b'data: {"choices": [], "score": NaN}\n\n'),
        ("Infinity", b'data: {"choices": [], "score": -Infinity}\n\n'),
        ("a tab in a string", b'data: {"choices": [], "a": "\t"}\n\n'),
        ("invalid UTF-8", b'data: {"choices": [], "a": "\xff\xfe"}\n\n'),
        ("a half character", b'data: {"choices": [], "a": "\xe5\xb7"}\n\n'),
        ("a surrogate as bytes", b'data: {"choices": [], "a": "\xed\xa0\x80"}\n\n'),
        ("a lone surrogate and more", b'data: {"choices": [], "a": "\\ud800"}}\n\n'),
        ("deep nesting", b'data: {"a": ' + b"[" * 200_000 + b"\n\n"),
    ]:
        yield Fault("first sends an event that is not a JSON object", name, (streams_bytes(data, *EVENTS, DONE),), FAILED)
        yield Fault(
            "sends an event that is not a JSON object mid-stream",
            name,
            (streams_bytes(*EVENTS[:2], data, *EVENTS[2:], DONE),),
            fails_after(2),
        )
    for name, body in [
        ("HTML", _HTML),
        ("nothing", b""),
        ("[DONE] alone", DONE),
        ("comments alone", b": nothing\n\n"),
        ("a field name alone", b"data:"),
    ]:
        yield Fault("responds 200 without a chunk", name, (responds(200, body, "text/html"),), FAILED)
    for name, body in [
        ("HTML", _HTML),
        ("nothing", b""),
        ("half an object", b'{"choices": ['),
        ("a list", b"[]"),
        ("choices that are null", b'{"choices": null}'),
        ("another object", b'{"hello": "world"}'),
        ("invalid UTF-8", b'{"choices": ["\xff"]}'),
        ("NaN", b'{"choices": [NaN]}'),
    ]:
        yield Fault(
            "responds 200 with something that is not a completion", name, (responds(200, body),), FAILED, complete=True
        )


def _unusual() -> Iterator[Fault]:
    kind = "responds in an unusual but valid way"
    yield Fault(kind, "CRLF", (streams_bytes(STREAM.replace(b"\n", b"\r\n")),), STREAMED)
    yield Fault(kind, "CR", (streams_bytes(STREAM.replace(b"\n", b"\r")),), STREAMED)
    yield Fault(kind, "a BOM", (streams_bytes(b"\xef\xbb\xbf" + STREAM),), STREAMED)
    yield Fault(kind, "comments", (streams_bytes(*(b": ping\n\n" + data for data in EVENTS), DONE),), STREAMED)
    yield Fault(kind, "events without data", (streams_bytes(*(b"data:\n\n" + data for data in EVENTS), DONE),), STREAMED)
    yield Fault(kind, "ids and retries", (streams_bytes(*(b"id: 7\nretry: 10\n" + e for e in EVENTS), DONE),), STREAMED)
    yield Fault(kind, "only a retry", (streams_bytes(b"retry: 1000\n\n", STREAM),), STREAMED)
    yield Fault(kind, "named events", (streams_bytes(*(b"event: chunk\n" + e for e in EVENTS), DONE),), STREAMED)
    yield Fault(kind, "no space after data:", (streams_bytes(STREAM.replace(b"data: ", b"data:")),), STREAMED)
    yield Fault(kind, "a space after [DONE]", (streams_bytes(*EVENTS, b"data: [DONE] \n\n"),), STREAMED)
    nulls = [{**value, "error": None} for value in OPENAI]
    yield Fault(kind, "errors that are null", (streams(nulls),), STREAMED, chunks=nulls)
    yield Fault(kind, "an error that is null", (responds(200, {**COMPLETION, "error": None}),), COMPLETED, complete=True)
    lines = b"".join(
        b"".join(b"data: " + line + b"\n" for line in json.dumps(value, indent=1).encode().splitlines()) + b"\n"
        for value in OPENAI
    )
    yield Fault(kind, "data on several lines", (streams_bytes(lines, DONE),), STREAMED)
    yield Fault(kind, "each byte a packet", (streams_bytes(*(STREAM[i : i + 1] for i in range(len(STREAM)))),), STREAMED)
    yield Fault(kind, "all in one packet", (streams_bytes(STREAM),), STREAMED)
    yield Fault(kind, "events after [DONE]", (streams_bytes(STREAM, *EVENTS, b"data: junk\n\n"),), STREAMED)
    yield Fault(kind, "never closed after [DONE]", (stalls_after(STREAM),), STREAMED)
    yield Fault(kind, "reset after [DONE]", (sends(STREAM, then="reset"),), STREAMED)
    yield Fault(kind, "no [DONE]", (streams_bytes(*EVENTS),), STREAMED)
    yield Fault(kind, "no [DONE], and a FIN", (_until_closed(b"".join(EVENTS)),), STREAMED)
    for end in (b"", b"\n", b"\r\n"):
        last = (streams_bytes(*EVENTS[:-1], EVENTS[-1].strip() + end),)
        yield Fault(kind, f"no [DONE], and {end!r} after the last event", last, STREAMED)
        yield Fault(kind, f"[DONE] with {end!r} after it", (streams_bytes(*EVENTS, DONE.strip() + end),), STREAMED)
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    others = ping + b"data: {}\n\n" + event(chunk(choices=None))
    yield Fault(
        kind, "objects that are not chunks", (streams_bytes(*(others + data for data in EVENTS), others, DONE),), STREAMED
    )
    offsets = {"index": 0, "finish_reason": "content_filter", "content_filter_offsets": {"check_offset": 44}}
    choices = [{"index": 0, "message": {"content": "Par"}}, {"index": 0, "delta": None}, offsets]
    deltas = [{"index": 0, "delta": {"content": "Par"}}, {"index": 0, "delta": {}}, {**offsets, "delta": {}}]
    yield Fault(
        kind,
        "choices without a delta",
        (streams([chunk(choices=[choice]) for choice in choices]),),
        Outcome(200, 3),
        chunks=[chunk(choices=[choice]) for choice in deltas],
    )
    whole: dict[str, Any] = {**COMPLETION, "object": "chat.completion.chunk"}
    whole["choices"] = [
        {"delta" if key == "message" else key: value for key, value in choice.items()} for choice in whole["choices"]
    ]
    yield Fault(kind, "complete, though streamed", (responds(200, COMPLETION),), Outcome(200, 1), chunks=[whole])
    yield Fault(kind, "until the connection closes", (_until_closed(STREAM),), STREAMED)
    odd = [
        chunk({"content": "line\u2028paragraph\u2029next\u0085line\u000b\u000c\u001c end"}),
        chunk({"content": '\u2028"\\u2028'}),
        chunk({"content": "NaN, Infinity and -Infinity"}),
        chunk({"content": "\x00\x7f\ufeff\uffff"}),
        chunk({"content": "a" * (1 << 20)}),
        chunk({"content": "error", "error": {"not": "at the top"}}, error=None),
        chunk({}, "stop"),
    ]
    yield Fault(kind, "odd characters and a chunk of 1 MiB", (streams(odd),), Outcome(200, len(odd)), chunks=odd)
    half = chunk({"content": "\ud83d half \udc00"})
    escaped = b"data: " + json.dumps(half).encode() + b"\n\n"
    yield Fault(
        kind, "lone surrogates", (streams_bytes(escaped, STREAM),), Outcome(200, 1 + len(OPENAI)), chunks=[half, *OPENAI]
    )
    many = [*(chunk({"content": f" {number}"}) for number in range(20_000)), chunk({}, "stop")]
    stream = b"".join(map(event, many)) + DONE
    yield Fault(kind, "20,000 chunks in a burst", (streams_bytes(stream),), Outcome(200, len(many)), chunks=many)
    yield Fault(
        kind, "100 Continue", (sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + _HEAD + STREAM, chunked=False),), STREAMED
    )


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def _until_closed(body: bytes) -> Behaviour:
    return sends(_HEAD + body, chunked=False)


def _too_much() -> Iterator[Fault]:
    """Bodies that would fill the memory."""
    kind = SIZE_LIMIT
    yield Fault(kind, "an event", (_endless(b"x" * 65536, first=b"data: "),), FAILED)
    yield Fault(kind, "an event of empty lines", (_endless(b"data:\n" * 10_000),), FAILED)
    yield Fault(kind, "an event mid-stream", (_endless(b"data:\n" * 10_000, first=b"".join(EVENTS[:2])),), fails_after(2))
    yield Fault(kind, "a body", (_endless(b" " * 65536),), FAILED, complete=True)
    yield Fault(kind, "interim responses", (_sends_interim_responses,), FAILED, requests=3)
    rejected = Outcome(400, error=REJECTED)
    yield from _both(kind, "an error", _endless(b" " * 65536, status=400), outcome=rejected, message=_NO_MESSAGE)
    kind = "compresses its response"
    for coding, body in [("gzip", gzip.compress(STREAM)), ("br", STREAM), ("gzip, gzip", STREAM), (f"x-{KEY}", STREAM)]:
        yield Fault(kind, coding.replace(KEY, "key"), (streams_bytes(body, content_encoding=coding),), FAILED)
    yield Fault(kind, "gzip", (responds(200, gzip.compress(STREAM), content_encoding="gzip"),), FAILED, complete=True)
    yield from _both(
        kind,
        "an error",
        responds(400, gzip.compress(json.dumps({"error": _OPENAI_ERROR}).encode()), content_encoding="gzip"),
        outcome=rejected,
        message=_NO_MESSAGE,
    )


def _endless(piece: bytes, first: bytes = b"", status: int = 200) -> Behaviour:
    """Sends a piece again and again, far beyond every limit, until the service closes the connection."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin(status)
        await exchange.chunk(first + piece)
        for _ in range((256 << 20) // len(piece)):
            if exchange.closed.is_set():
                return
            await exchange.chunk(piece)
        await exchange.wait_closed()

    return behave


async def _sends_interim_responses(exchange: Exchange) -> None:
    """Sends responses that announce another one, until the service closes the connection."""
    for _ in range(10_000):
        if exchange.closed.is_set():
            return
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000)
        await asyncio.sleep(0)
    await exchange.wait_closed()


def _on_idle_connections() -> Iterator[Fault]:
    kind = "sends something on an idle connection"
    body = event(chunk({"content": "for another client"}, "stop")) + DONE
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    strays = {
        "a response": head + body,
        "three responses": (head + body) * 3,
        "half a response": (head + body)[:30],
        "the head of a response": head,
        "101 without Upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n",
        "a line break": b"\r\n",
    }
    for name, stray in strays.items():
        together = _streams_together_with(stray)
        yield Fault(kind, f"{name}, in one packet with the last", (streams(OPENAI),), STREAMED, previous=together)
    strays["something that is not HTTP"] = b"\x00\xff"
    for name, stray in strays.items():
        yield Fault(kind, name, (streams(OPENAI),), STREAMED, previous=streams(OPENAI), stray=stray)
    complete = responds(200, COMPLETION)
    yield Fault(kind, "a response", (complete,), COMPLETED, complete=True, previous=streams(OPENAI), stray=head + body)

    async def sets_a_cookie(exchange: Exchange) -> None:
        await exchange.begin(set_cookie="session=of-another-client; Path=/")
        await exchange.chunk(STREAM)
        await exchange.end()

    yield Fault("sets cookies", "in another client's response", (streams(OPENAI),), STREAMED, previous=sets_a_cookie)


def _streams_together_with(stray: bytes) -> Behaviour:
    """Sends a completion, and in the same packet something that no request asked for."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.chunk(STREAM)
        exchange.finished = True
        await exchange.send(b"0\r\n\r\n" + stray)

    return behave


FAULTS = [
    *_statuses(),
    *_recoveries(),
    *_connections(),
    *_error_events(),
    *_nonsense(),
    *_too_much(),
    *_on_idle_connections(),
    *_unusual(),
]
