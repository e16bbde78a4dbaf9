"""Everything a model's server does wrong, or right in a rare way, and what a caller gets for it: the table of the README."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.client import KEY
from tests.fakes.model_server import Behaviour, Exchange
from tests.fakes.responses import (
    DONE,
    OPENAI,
    WHOLE,
    chunk,
    event,
    keeps_silent,
    responds,
    stalls_after,
    streams,
    streams_bytes,
)

EVENTS = [event(value) for value in OPENAI]
STREAM = b"".join(EVENTS) + DONE


@dataclass(frozen=True)
class Outcome:
    """What a caller gets: a status, how many chunks, and the type of the error, in the body or in the last line."""

    status: int
    chunks: int = 0
    error: str | None = None
    retry_after: bool = False

    def __str__(self) -> str:
        if not self.error:
            return f"{self.status}, the whole answer"
        after = " with `Retry-After`" if self.retry_after else ""
        if self.status == 200:
            return f"200, what came, then a line `{self.error}`"
        return f"{self.status}{after} `{self.error}`"


REFUSED = "invalid_request_error"
UPSTREAM = "upstream_error"
FAILED = Outcome(502, error=UPSTREAM)
SILENT = Outcome(504, error="timeout_error")
ANSWERED = Outcome(200, chunks=len(OPENAI))
ANSWERED_WHOLE = Outcome(200)


def broken_after(chunks: int, error: str = UPSTREAM) -> Outcome:
    return Outcome(200, chunks, error)


@dataclass(frozen=True)
class Fault:
    """`kind` is the row of the table; `requests` is how often the server is asked, retries included."""

    kind: str
    name: str
    behaviours: tuple[Behaviour, ...]
    outcome: Outcome
    whole: bool = False
    requests: int = 1
    chunks: list[Any] | None = None
    message: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}{' (whole)' if self.whole else ''}"


def _both(kind: str, name: str, *behaviours: Behaviour, outcome: Outcome, **more: Any) -> Iterator[Fault]:
    for whole in (False, True):
        yield Fault(kind, name, behaviours, outcome, whole=whole, **more)


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

_BODIES: dict[str, tuple[Any, str, str | None, str | None]] = {
    "OpenAI's body": ({"error": _OPENAI_ERROR}, "application/json", _OPENAI_ERROR["message"], "context_length_exceeded"),
    "Azure's body": ({"error": _AZURE_ERROR}, "application/json", str(_AZURE_ERROR["message"]), "content_filter"),
    "vLLM's body": (_VLLM_ERROR, "application/json", "max_tokens is too large.", None),
    "vLLM's newer body": ({"error": _VLLM_ERROR}, "application/json", "max_tokens is too large.", None),
    "HTML": (_HTML, "text/html", "The model's server refused the request.", None),
    "no body": (b"", "text/plain", "The model's server refused the request.", None),
    "an error that is a string": ({"error": "no such thing"}, "application/json", "no such thing", None),
    "an error that is a list": ({"error": [1]}, "application/json", "The model's server refused the request.", None),
    "the key echoed": (
        {"error": {"message": f"Bad key {KEY} given", "code": None}},
        "application/json",
        "Bad key *** given",
        None,
    ),
}


def _statuses() -> Iterator[Fault]:
    for status in (400, 413, 422):
        for name, (body, content_type, message, code) in _BODIES.items():
            yield from _both(
                "refuses the content (400, 413, 422)",
                f"{status}, {name}",
                responds(status, body, content_type),
                outcome=Outcome(status, error=REFUSED),
                message=message,
                code=code,
            )
    for status in (401, 403, 404):
        for name, (body, content_type, _, _) in _BODIES.items():
            yield from _both(
                "refuses this service (401, 403, 404)",
                f"{status}, {name}",
                responds(status, body, content_type),
                outcome=FAILED,
                message="The model's server refused this service.",
            )
    for status in (500, 502, 504, 529, 408, 409):
        for name, (body, content_type, _, _) in _BODIES.items():
            yield Fault(
                "fails (5xx, 408, 409), three times",
                f"{status}, {name}",
                (responds(status, body, content_type, retry_after_ms="1"),),
                FAILED,
                requests=3,
            )
    yield Fault("fails (5xx, 408, 409), three times", "503, and says no time", (responds(503, b""),), FAILED, requests=3)
    for status in (402, 405, 418, 451):
        yield from _both(
            "answers with another status", str(status), responds(status, {"error": _OPENAI_ERROR}), outcome=FAILED
        )
    not_modified = sends(b"HTTP/1.1 304 Not Modified\r\n\r\n", chunked=False)
    yield from _both("answers with another status", "304", not_modified, outcome=FAILED)
    quota = {
        "error": {"message": f"Rate limit reached for org-1 with {KEY}", "type": "tokens", "code": "rate_limit_exceeded"}
    }
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for name, header in [("30 seconds", "30"), ("half an hour", "1800"), ("a date", soon), ("3.5 seconds", "3.5")]:
        for status, error in [(429, "rate_limit_error"), (503, UPSTREAM)]:
            yield from _both(
                f"is out of quota or busy ({status}) for more than 2 s",
                name,
                responds(status, quota, retry_after=header),
                outcome=Outcome(status, error=error, retry_after=True),
            )
    yield from _both(
        "is out of quota (429), three times",
        "with a short wait",
        responds(429, quota, retry_after_ms="1"),
        outcome=Outcome(429, error="rate_limit_error", retry_after=True),
        requests=3,
        code="rate_limit_exceeded",
    )
    yield from _both(
        "is out of quota (429), three times",
        "and says no time",
        responds(429, quota),
        outcome=Outcome(429, error="rate_limit_error"),
        requests=3,
    )


def _recoveries() -> Iterator[Fault]:
    kind = "fails once or twice, then answers"
    good, whole = streams(OPENAI), responds(200, WHOLE)
    first: dict[str, Behaviour] = {
        "500": responds(500, _HTML, retry_after_ms="1"),
        "409": responds(409, _VLLM_ERROR, retry_after_ms="1"),
        "429 with a wait of a second": responds(429, b"", retry_after="1"),
        "503 with a date that is past": responds(503, b"", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        "a reset": _resets_at_once,
        "closed": _closes_at_once,
    }
    for name, behaviour in first.items():
        yield Fault(kind, name, (behaviour, good), ANSWERED, requests=2)
    yield Fault(kind, "500", (first["500"], whole), ANSWERED_WHOLE, whole=True, requests=2)
    yield Fault(kind, "twice 500", (first["500"], first["500"], good), ANSWERED, requests=3)


async def _resets_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def _closes_at_once(exchange: Exchange) -> None:
    exchange.close()


def sends(*pieces: bytes, then: str = "close", chunked: bool = True) -> Behaviour:
    """Begins an answer, sends these pieces of its body, and breaks off."""

    async def behave(exchange: Exchange) -> None:
        if chunked:
            await exchange.begin()
        for piece in pieces:
            await (exchange.chunk if chunked else exchange.send)(piece)
        if then == "reset":
            exchange.reset()
        elif then == "silence":
            await exchange.until_gone()

    return behave


def _connections() -> Iterator[Fault]:
    kind = "is unreachable, three times"
    yield from _both(kind, "resets the connection", _resets_at_once, outcome=FAILED, requests=3)
    yield from _both(kind, "closes the connection", _closes_at_once, outcome=FAILED, requests=3)
    yield Fault(kind, "answers what is not HTTP", (sends(b"SSH-2.0-OpenSSH_9.6\r\n", chunked=False),), FAILED, requests=3)
    kind = "is silent before its first chunk"
    yield from _both(kind, "no headers", keeps_silent, outcome=SILENT)
    yield from _both(kind, "no body", stalls_after(), outcome=SILENT)
    yield Fault(kind, "half an event", (stalls_after(EVENTS[0][:50]),), SILENT)
    yield Fault(kind, "comments alone", (stalls_after(b": hold on\n\n"),), SILENT)
    yield Fault(kind, "half a body", (stalls_after(json.dumps(WHOLE).encode()[:50]),), SILENT, whole=True)
    yield from _both(kind, "half an error's body", _stalls_in_an_error, outcome=SILENT)
    kind = "falls silent in mid-stream"
    yield Fault(kind, "between chunks", (stalls_after(*EVENTS[:2]),), broken_after(2, "timeout_error"))
    yield Fault(kind, "in a chunk", (stalls_after(*EVENTS[:2], EVENTS[2][:70]),), broken_after(2, "timeout_error"))
    yield Fault(kind, "before [DONE]", (stalls_after(*EVENTS),), broken_after(len(EVENTS), "timeout_error"))
    kind = "breaks off in mid-stream"
    for then in ("close", "reset"):
        name = {"close": "FIN", "reset": "RST"}[then]
        yield Fault(kind, f"{name} between chunks", (sends(*EVENTS[:2], then=then),), broken_after(2))
        yield Fault(kind, f"{name} in a chunk", (sends(*EVENTS[:2], EVENTS[2][:70], then=then),), broken_after(2))
        half = EVENTS[2].index("巴".encode()) + 1
        yield Fault(kind, f"{name} in a character", (sends(*EVENTS[:2], EVENTS[2][:half], then=then),), broken_after(2))
        yield Fault("breaks off before its first chunk", name, (sends(EVENTS[0][:40], then=then),), FAILED)
        yield Fault(
            "breaks off in a whole answer", name, (sends(json.dumps(WHOLE).encode()[:80], then=then),), FAILED, whole=True
        )
    yield Fault(kind, "a clean end", (streams_bytes(*EVENTS[:2]),), broken_after(2))
    yield Fault(kind, "a clean end in an event", (streams_bytes(*EVENTS[:2], EVENTS[2].strip()),), broken_after(2))
    yield Fault(kind, "not as HTTP says", (sends(*EVENTS[:2], b"", then="close"),), broken_after(2))


async def _stalls_in_an_error(exchange: Exchange) -> None:
    await exchange.begin(500, "application/json")
    await exchange.chunk(b'{"error": ')
    await exchange.until_gone()


def _error_events() -> Iterator[Fault]:
    busy = {"message": f"The engine is overloaded, {KEY}", "type": "server_error", "code": None}
    for name, data, error, status in [
        ("OpenAI's", event({"error": busy}), UPSTREAM, 502),
        ("with choices beside it", event({"error": busy, "choices": []}), UPSTREAM, 502),
        ("named error", b"event: error\n" + event(busy), UPSTREAM, 502),
        ("named error, wrapped", b"event: error\n" + event({"error": busy}), UPSTREAM, 502),
        ("a string", event({"error": "boom"}), UPSTREAM, 502),
        ("of lists", event({"error": {"type": ["a"], "code": {"b": 1}, "message": [2]}}), UPSTREAM, 502),
        ("llama.cpp's", event({"error": {"code": 500, "message": "no slot", "type": "server_error"}}), UPSTREAM, 502),
        ("vLLM's refusal", event({"error": _VLLM_ERROR}), REFUSED, 400),
        ("Azure's content filter", event({"error": _AZURE_ERROR}), REFUSED, 400),
        (
            "OpenAI's rate limit",
            event({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}),
            "rate_limit_error",
            429,
        ),
        ("with a key refused", event({"error": {"code": 401, "message": f"bad key {KEY}"}}), UPSTREAM, 502),
    ]:
        yield Fault("sends an error as its first event", name, (streams_bytes(data, DONE),), Outcome(status, error=error))
        yield Fault(
            "sends an error event in mid-stream",
            name,
            (streams_bytes(*EVENTS[:3], data, *EVENTS[3:], DONE),),
            broken_after(3, error),
        )
    yield Fault("answers 200 with an error", "OpenAI's", (responds(200, {"error": busy}),), FAILED, whole=True)
    yield Fault("answers 200 with an error", "as JSON", (responds(200, {"error": busy}),), FAILED)


def _nonsense() -> Iterator[Fault]:
    for name, data in [
        ("words", b"data: Hello there\n\n"),
        ("half an object", b'data: {"choices": [\n\n'),
        ("two objects", b'data: {"a": 1}{"b": 2}\n\n'),
        ("a number", b"data: 123\n\n"),
        ("a list", b"data: [1]\n\n"),
        ("a string", b'data: "[DONE]"\n\n'),
        ("null", b"data: null\n\n"),
        ("nothing", b"data:\n\n"),
        ("NaN", b'data: {"choices": [], "score": NaN}\n\n'),
        ("Infinity", b'data: {"choices": [], "score": -Infinity}\n\n'),
        ("a tab in a string", b'data: {"choices": [], "a": "\t"}\n\n'),
        ("invalid UTF-8", b'data: {"choices": [], "a": "\xff\xfe"}\n\n'),
        ("a half character", b'data: {"choices": [], "a": "\xe5\xb7"}\n\n'),
        ("a surrogate as bytes", b'data: {"choices": [], "a": "\xed\xa0\x80"}\n\n'),
    ]:
        yield Fault("sends what is no JSON object, at first", name, (streams_bytes(data, *EVENTS, DONE),), FAILED)
        yield Fault(
            "sends what is no JSON object, in mid-stream",
            name,
            (streams_bytes(*EVENTS[:2], data, *EVENTS[2:], DONE),),
            broken_after(2),
        )
    for name, body in [
        ("HTML", _HTML),
        ("nothing", b""),
        ("a whole answer", json.dumps(WHOLE).encode()),
        ("[DONE] alone", DONE),
        ("comments alone", b": nothing\n\n"),
        ("a head alone", b"data:"),
    ]:
        yield Fault("answers 200 without a chunk", name, (responds(200, body, "text/html"),), FAILED)
    yield Fault("answers 200 without a chunk", "an event too large", (streams_bytes(b"data: " + b"x" * (17 << 20)),), FAILED)
    for name, body in [
        ("HTML", _HTML),
        ("nothing", b""),
        ("half an object", b'{"choices": ['),
        ("a list", b"[]"),
        ("no choices", b'{"choices": null}'),
        ("another object", b'{"hello": "world"}'),
        ("invalid UTF-8", b'{"choices": ["\xff"]}'),
        ("NaN", b'{"choices": [NaN]}'),
    ]:
        yield Fault("answers 200 with what is no answer", name, (responds(200, body),), FAILED, whole=True)


def _rarities() -> Iterator[Fault]:
    kind = "answers in a rare but right way"
    yield Fault(kind, "CRLF", (streams_bytes(STREAM.replace(b"\n", b"\r\n")),), ANSWERED)
    yield Fault(kind, "CR", (streams_bytes(STREAM.replace(b"\n", b"\r")),), ANSWERED)
    yield Fault(kind, "a BOM", (streams_bytes(b"\xef\xbb\xbf" + STREAM),), ANSWERED)
    yield Fault(kind, "comments", (streams_bytes(*(b": ping\n\n" + data for data in EVENTS), DONE),), ANSWERED)
    yield Fault(kind, "ids and retries", (streams_bytes(*(b"id: 7\nretry: 10\n" + e for e in EVENTS), DONE),), ANSWERED)
    yield Fault(kind, "only a retry", (streams_bytes(b"retry: 1000\n\n", STREAM),), ANSWERED)
    yield Fault(kind, "named events", (streams_bytes(*(b"event: chunk\n" + e for e in EVENTS), DONE),), ANSWERED)
    yield Fault(kind, "no space after data:", (streams_bytes(STREAM.replace(b"data: ", b"data:")),), ANSWERED)
    lines = b"".join(
        b"".join(b"data: " + line + b"\n" for line in json.dumps(value, indent=1).encode().splitlines()) + b"\n"
        for value in OPENAI
    )
    yield Fault(kind, "data on several lines", (streams_bytes(lines, DONE),), ANSWERED)
    yield Fault(kind, "each byte a packet", (streams_bytes(*(STREAM[i : i + 1] for i in range(len(STREAM)))),), ANSWERED)
    yield Fault(kind, "all in one packet", (streams_bytes(STREAM),), ANSWERED)
    yield Fault(kind, "events after [DONE]", (streams_bytes(STREAM, *EVENTS, b"data: junk\n\n"),), ANSWERED)
    yield Fault(kind, "never closed after [DONE]", (stalls_after(STREAM),), ANSWERED)
    yield Fault(kind, "reset after [DONE]", (sends(STREAM, then="reset"),), ANSWERED)
    yield Fault(kind, "no [DONE]", (streams_bytes(*EVENTS),), ANSWERED)
    yield Fault(kind, "no [DONE], and a FIN", (_until_closed(b"".join(EVENTS)),), ANSWERED)
    yield Fault(kind, "until the connection closes", (_until_closed(STREAM),), ANSWERED)
    yield Fault(kind, "compressed", (streams_bytes(gzip.compress(STREAM), content_encoding="gzip"),), ANSWERED)
    packed = gzip.compress(STREAM)
    yield Fault(
        kind,
        "compressed, each byte a packet",
        (streams_bytes(*(packed[i : i + 1] for i in range(len(packed))), content_encoding="gzip"),),
        ANSWERED,
    )
    yield Fault(
        "breaks off before its first chunk",
        "what says it is compressed and is not",
        (streams_bytes(STREAM, content_encoding="gzip"),),
        FAILED,
    )
    body = json.dumps(WHOLE).encode()
    yield Fault(
        kind, "compressed", (responds(200, gzip.compress(body), content_encoding="gzip"),), ANSWERED_WHOLE, whole=True
    )
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
        kind, "half surrogates", (streams_bytes(escaped, STREAM),), Outcome(200, 1 + len(OPENAI)), chunks=[half, *OPENAI]
    )
    many = [chunk({"content": f" {number}"}) for number in range(20_000)]
    stream = b"".join(event(value) for value in [*many, chunk({}, "stop")]) + DONE
    yield Fault(
        kind, "20,000 chunks in a burst", (streams_bytes(stream),), Outcome(200, 20_001), chunks=[*many, chunk({}, "stop")]
    )


def _until_closed(body: bytes) -> Behaviour:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return sends(head + body, chunked=False)


FAULTS = [
    *_statuses(),
    *_recoveries(),
    *_connections(),
    *_error_events(),
    *_nonsense(),
    *_rarities(),
]
