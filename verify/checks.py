"""The checks that need nothing but the instance's address and key: each is a function that returns what it measured."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any
from urllib.parse import urljoin

import openai

from verify.instance import LONG_QUESTION, QUESTION, CheckFailed, CheckSkipped, Instance, Stream, expect, question

type Check = Callable[[Instance], Awaitable[str]]

CHECKS: dict[str, Check] = {}

_AT_ONCE = 20
_DEFAULT_MAX_BYTES = 8 * 1024 * 1024

# A response that was buffered arrives within some milliseconds, after all of it was made.
_MIN_STREAMED_SHARE = 0.2

# A response that takes less time does not show how it was streamed.
_MIN_RESPONSE_SECONDS = 0.5

_LINES_AFTER_DISCONNECT = 20


def check(name: str) -> Callable[[Check], Check]:
    """Adds a check, with the name that the table shows."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


@check("cold: the first request streams")
async def _cold(instance: Instance) -> str:
    stream = await _streamed(instance, question())
    return f"first chunk after {_ms(stream.first)}"


@check("warm: the time to the first chunk")
async def _warm(instance: Instance) -> str:
    times = [(await _streamed(instance, question())).first for _ in range(3)]
    return f"first chunk after {_ms(median(times))}, median of {len(times)}"


@check("chunks arrive one by one")
async def _one_by_one(instance: Instance) -> str:
    async with instance.streaming("chat", question(LONG_QUESTION)) as (stream, reads):
        async for _ in reads:
            if stream.reads >= 100 and stream.last - stream.first > 1:
                break  # enough has been seen
    expect(stream.status == 200, _received(stream))
    _skip_if_brief(stream)
    lines = stream.body.count(b"\n")
    expect(lines > 2, f"only {lines} lines")
    spread = stream.last - stream.first
    arrived = f"{lines} lines in {stream.reads} reads, {_ms(spread)} from the first to the last, after {_ms(stream.first)}"
    expect(
        stream.reads > 2 and spread >= _MIN_STREAMED_SHARE * stream.last,
        f"{arrived}: something between the model server and here buffers the response, such as a proxy",
    )
    return f"{lines} lines, one every {_ms(median(stream.gaps))}"


@check("NDJSON: chunks, their order and their end")
async def _ndjson(instance: Instance) -> str:
    stream = await _streamed(instance, question())
    _expect_type(stream.headers["content-type"], "application/x-ndjson")
    expect(stream.body.endswith(b"\n"), "the last line has no line feed")
    lines = stream.lines
    expect(not lines[-1].get("error"), f"it ended with the error {lines[-1]}")
    finished = [choice["finish_reason"] for line in lines for choice in line["choices"] if choice.get("finish_reason")]
    expect(finished, "no chunk has a finish_reason")
    content = "".join(choice.get("delta", {}).get("content") or "" for line in lines for choice in line["choices"])
    expect(content, "no chunk has content")
    return f"{len(lines)} chunks, {finished[-1]!r}"


@check("event streams, by the Accept header")
async def _event_streams(instance: Instance) -> str:
    counts: list[str] = []
    for path in ("chat", "chat-protocol/stream"):
        response = await instance.post(path, question(), headers={"accept": "text/event-stream"})
        expect(response.status_code == 200, f"{path}: {response.status_code} {response.text[:200]}")
        _expect_type(response.headers["content-type"], "text/event-stream")
        expect("accept" in response.headers.get("vary", "").lower(), f"{path}: Vary is {response.headers.get('vary')}")
        *events, end, rest = response.text.split("\n\n")
        expect((end, rest) == ("data: [DONE]", ""), f"{path}: the stream ends with {response.text[-100:]!r}")
        for event in events:
            expect(not json.loads(event.removeprefix("data: ")).get("error"), f"{path}: it has the event {event}")
        counts.append(str(len(events)))
    return f"{' and '.join(counts)} events"


@check("NDJSON: a complete response")
async def _complete(instance: Instance) -> str:
    response = await instance.post("chat", question(stream=False))
    expect(response.status_code == 200, f"{response.status_code} {response.text[:200]}")
    _expect_type(response.headers["content-type"], "application/json")
    expect(response.json()["choices"][0]["message"]["content"], "no content")
    return str(response.json()["choices"][0].get("finish_reason"))


@check("headers against caching and sniffing")
async def _headers(instance: Instance) -> str:
    for body in (question(), question(stream=False), {}):
        headers = (await instance.post("chat", body)).headers
        expect(headers.get("cache-control") == "no-store", f"Cache-Control: {headers.get('cache-control')}")
        expect(headers.get("x-content-type-options") == "nosniff", "no X-Content-Type-Options: nosniff")
    return "no-store, nosniff"


@check("AI Chat Protocol: complete")
async def _protocol(instance: Instance) -> str:
    session = {"turn": 1, "who": [None, "ünï"]}
    response = await instance.post("chat-protocol", question(sessionState=session))
    expect(response.status_code == 200, f"{response.status_code} {response.text[:200]}")
    received = response.json()
    expect(received["message"]["role"] == "assistant" and received["message"]["content"], f"{received}")
    expect(received["sessionState"] == session, "sessionState was not returned as sent")
    return "role, content, sessionState"


@check("AI Chat Protocol: streamed")
async def _protocol_stream(instance: Instance) -> str:
    stream = await instance.stream("chat-protocol/stream", question(sessionState=1))
    expect(stream.status == 200, _received(stream))
    _expect_type(stream.headers["content-type"], "application/jsonl")
    first, *rest = stream.lines
    expect(first == {"delta": {"role": "assistant"}, "sessionState": 1}, f"the first line is {first}")
    expect("".join(line["delta"]["content"] for line in rest), "no content")
    return f"{len(rest) + 1} lines"


@check("OpenAI API: a stream, with OpenAI's client")
async def _v1_stream(instance: Instance) -> str:
    async with instance.openai as client:
        stream = await client.chat.completions.create(model="any", messages=question()["messages"], stream=True)
        chunks = [chunk async for chunk in stream]
    expect(all(chunk.choices for chunk in chunks), "a chunk without choices")
    expect("".join(chunk.choices[0].delta.content or "" for chunk in chunks), "no content")
    expect(chunks[-1].choices[0].finish_reason, "the last chunk has no finish_reason")
    return f"{len(chunks)} chunks"


@check("OpenAI API: a completion, with OpenAI's client")
async def _v1_complete(instance: Instance) -> str:
    async with instance.openai as client:
        completion = await client.chat.completions.create(model="any", messages=question()["messages"])
    expect(completion.choices[0].message.content, "no content")
    return str(completion.choices[0].finish_reason)


@check("OpenAI API: a streamed response, with OpenAI's client")
async def _v1_response_stream(instance: Instance) -> str:
    async with instance.openai as client:
        stream = await client.responses.create(model="any", input=QUESTION, stream=True)
        events = [event async for event in stream]
    expect(events[0].type == "response.created", f"the first event is {events[0].type}")
    expect(events[-1].type in {"response.completed", "response.incomplete"}, f"the last event is {events[-1].type}")
    numbers = [event.sequence_number for event in events]
    expect(numbers == list(range(len(events))), f"the sequence numbers are {numbers}")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    expect(text, "no text")
    return f"{len(events)} events"


@check("OpenAI API: a complete response, with OpenAI's client")
async def _v1_response(instance: Instance) -> str:
    async with instance.openai as client:
        response = await client.responses.create(model="any", input=QUESTION)
    expect(response.output_text, "no text")
    return str(response.status)


@check("OpenAI API: the list of models")
async def _v1_models(instance: Instance) -> str:
    async with instance.openai as client:
        models = [model.id async for model in client.models.list()]
    expect(len(models) == 1, f"{len(models)} models")
    return models[0]


@check("OpenAI API: the model by its name")
async def _v1_model(instance: Instance) -> str:
    async with instance.openai as client:
        (model,) = [model async for model in client.models.list()]
        expect(await client.models.retrieve(model.id) == model, "it is not the model in the list")
        try:
            await client.models.retrieve(f"not-{model.id}")
        except openai.NotFoundError as error:
            expect(error.code == "model_not_found", f"code is {error.code!r}")
            return "model_not_found for another"
    raise CheckFailed("there is another model")


@check("OpenAI API: an unknown route is OpenAI's error")
async def _v1_unknown(instance: Instance) -> str:
    async with instance.openai as client:
        try:
            await client.embeddings.create(model="any", input=QUESTION)
        except openai.NotFoundError as error:
            expect(error.code == "unknown_url", f"code is {error.code!r}")
            return error.code or ""
    raise CheckFailed("embeddings were accepted")


@check("OpenAI API: an error raises OpenAI's exception")
async def _v1_error(instance: Instance) -> str:
    async with instance.openai as client:
        try:
            await client.chat.completions.create(model="any", messages=question()["messages"], n=2)
        except openai.BadRequestError as error:
            expect(error.param == "n", f"param is {error.param!r}")
            return "BadRequestError with param"
    raise CheckFailed("n=2 was accepted")


@check("400 names the invalid field")
async def _invalid(instance: Instance) -> str:
    for body, param in [
        ({}, "messages"),
        (question(""), "messages[0].content"),
        ({"messages": [{"role": "system", "content": "Obey."}]}, "messages[0].role"),
        (question(stream=1), "stream"),
        (b'{"messages": [', None),
    ]:
        await _expect_error(instance, body, 400, param)
    return "5 requests"


@check("413 for a body that is too large")
async def _too_large(instance: Instance) -> str:
    response = await instance.post("chat", b" " * (_DEFAULT_MAX_BYTES + 1))
    if response.status_code == 400:
        raise CheckSkipped("this instance accepts more than the default of 8 MiB")
    expect(response.status_code == 413, f"{response.status_code} {response.text[:200]}")
    return str(response.json()["error"]["message"])


@check("415 for another content type")
async def _content_type(instance: Instance) -> str:
    await _expect_error(instance, b"Hello", 415, None, headers={"content-type": "text/plain"})
    return "text/plain"


@check("404 for an unknown route and a wrong method")
async def _not_found(instance: Instance) -> str:
    for method, path in [
        ("GET", "nothing"),
        ("POST", "nothing"),
        ("DELETE", "chat"),
        ("PUT", "chat"),
        ("GET", "assets/x.js"),
    ]:
        response = await instance.http.request(method, path, headers=instance.headers)
        expect(response.status_code == 404, f"{method} {path}: {response.status_code}")
    return "5 requests"


@check("401 without a key and with a wrong one")
async def _unauthorized(instance: Instance) -> str:
    if not instance.key and not instance.api_key:
        raise CheckSkipped("no KEY was given")
    tried = []
    for path, key, right in [
        ("chat", "x-functions-key", instance.key),
        ("v1/chat/completions", "api-key", instance.api_key),
    ]:
        if right:
            for headers in ({}, {key: "a-wrong-key-of-thirty-characters"}):
                response = await instance.http.post(path, json=question(), headers=headers)
                expect(response.status_code == 401, f"{path} with {headers or 'no key'}: {response.status_code}")
                expect(right not in response.text, "the response shows the key")
            tried.append(path)
    return ", ".join(tried)


@check("CORS: other origins are not allowed")
async def _cors(instance: Instance) -> str:
    origin = "https://verify.example"
    preflight = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    response = await instance.http.request("OPTIONS", "chat", headers=preflight)
    allowed = response.headers.get("access-control-allow-origin")
    expect(allowed not in {"*", origin}, f"any page may use this instance: Access-Control-Allow-Origin is {allowed}")
    return f"preflight: {response.status_code}, no Access-Control-Allow-Origin"


@check("health")
async def _health(instance: Instance) -> str:
    response = await instance.get("health")
    expect(response.status_code == 200, f"{response.status_code} {response.text[:200]}")
    return str(response.json()["status"])


@check("the chat page and what it loads")
async def _page(instance: Instance) -> str:
    return await _check_page(instance, "chat")


@check("the documentation page and what it loads")
async def _docs(instance: Instance) -> str:
    return await _check_page(instance, "docs")


@check("the OpenAPI document")
async def _openapi(instance: Instance) -> str:
    response = await instance.get("openapi.json")
    expect(response.status_code == 200, f"{response.status_code}")
    document = response.json()
    expect(document["openapi"].startswith("3.2"), f"version {document['openapi']}")
    return f"{len(document['paths'])} paths"


@check(f"{_AT_ONCE} requests at once all stream before the first one ends")
async def _at_once(instance: Instance) -> str:
    all_started, ended = asyncio.Event(), asyncio.Event()
    firsts: list[float] = []
    complete: list[Stream] = []

    async def request() -> None:
        async with instance.streaming("chat", question(LONG_QUESTION)) as (stream, reads):
            async for _ in reads:
                expect(stream.status == 200, _received(stream))
                if stream.reads == 1:
                    firsts.append(stream.first)
                    if len(firsts) == _AT_ONCE:
                        all_started.set()
                if all_started.is_set():
                    return  # disconnects
            complete.append(stream)
            ended.set()

    tasks = [asyncio.create_task(request()) for _ in range(_AT_ONCE)]
    one_ended = asyncio.create_task(ended.wait())
    all_begun = asyncio.create_task(all_started.wait())
    try:
        waiting = {one_ended, all_begun, *tasks}
        while not (one_ended.done() or all_begun.done()):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done.intersection(tasks):
                task.result()
        if complete:
            _skip_if_brief(complete[0])
        expect(
            all_started.is_set(),
            f"only {len(firsts)} of {_AT_ONCE} had started when the first one ended: the platform runs too few requests "
            "at once on an instance (on Flex Consumption: perInstanceConcurrency, 1 by default)",
        )
    finally:
        for task in [*tasks, one_ended, all_begun]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return f"first chunks after {_ms(min(firsts))} to {_ms(max(firsts))}"


@check("a disconnect does not disturb the others")
async def _disconnect(instance: Instance) -> str:
    disconnected = asyncio.Event()

    async def read_on() -> Stream:
        """Reads a response to its end, or for some lines after the disconnect: a small model may not find an end."""
        lines_after = 0
        async with instance.streaming("chat", question()) as (stream, reads):
            async for data in reads:
                lines_after += data.count(b"\n") if disconnected.is_set() else 0
                if lines_after >= _LINES_AFTER_DISCONNECT:
                    break
        expect(stream.status == 200, _received(stream))
        return stream

    others = [asyncio.create_task(read_on()) for _ in range(3)]
    async with instance.streaming("chat", question(LONG_QUESTION)) as (_, reads):
        async for _ in reads:
            break
    disconnected.set()
    for stream in await asyncio.gather(*others, read_on()):
        for line in stream.body.split(b"\n")[:-1]:  # without the rest of a line
            expect(not json.loads(line).get("error"), f"another stream has the line {line.decode()}")
    return "4 others"


async def _streamed(instance: Instance, body: dict[str, Any]) -> Stream:
    stream = await instance.stream("chat", body)
    expect(stream.status == 200, _received(stream))
    return stream


def _skip_if_brief(stream: Stream) -> None:
    if stream.last < _MIN_RESPONSE_SECONDS:
        raise CheckSkipped(f"the response took only {_ms(stream.last)}")


async def _expect_error(instance: Instance, body: object, status: int, param: str | None, **options: Any) -> None:
    response = await instance.post("chat", body, **options)
    expect(response.status_code == status, f"{response.status_code} {response.text[:200]}")
    error = response.json()["error"]
    expect(error.keys() == {"message", "type", "code", "param"}, f"{error}")
    expect(error["type"] == "invalid_request_error", f"type is {error['type']}")
    expect(error["param"] == param, f"param is {error['param']!r}, not {param!r}")


async def _check_page(instance: Instance, name: str) -> str:
    """A page, its assets, their compression and their ETags."""
    page = await instance.get(name)
    expect(page.status_code == 200, f"{page.status_code}")
    expect("default-src 'none'" in page.headers.get("content-security-policy", ""), "no content security policy")
    paths = [name, *re.findall(r'(?:href|src)="(assets/[^"]+)"', page.text)]
    expect(len(paths) > 1, "the page loads nothing")
    size = 0
    for path in paths:
        packed = await instance.http.get(urljoin(str(page.url), path), headers={"accept-encoding": "gzip"})
        expect(packed.status_code == 200, f"{path}: {packed.status_code}")
        expect(packed.headers.get("content-encoding") == "gzip", f"{path} is not compressed")
        size += packed.num_bytes_downloaded
        again = await instance.http.get(urljoin(str(page.url), path), headers={"if-none-match": packed.headers["etag"]})
        expect(again.status_code == 304, f"{path} with its ETag: {again.status_code}")
    return f"{len(paths)} files, {size / 1000:.0f} KB compressed"


def _expect_type(content_type: str, media_type: str) -> None:
    expect(content_type.partition(";")[0] == media_type, f"Content-Type: {content_type}")


def _received(stream: Stream) -> str:
    if stream.status == 401:
        return "401: the instance requires a key (KEY=…)"
    try:
        return f"{stream.status} {json.loads(stream.body)['error']['message']}"
    except (ValueError, LookupError, TypeError):
        return f"{stream.status} {stream.body[:200]!r}"


def _ms(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:.0f} ms"
