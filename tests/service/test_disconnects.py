"""Clients that disconnect, at any point and in any way, that read slowly, and that are many."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import azure.functions as func
import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from chat.api.handler import CompletionResponse
from chat.formats.ndjson import NdjsonFormat
from testing.behaviours import never_responds, responds, stalls_after, streams, streams_bytes
from testing.chat_completions import COMPLETION, DONE, OPENAI, chunk, event
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import Behaviour, Exchange, ModelServer

CLOSED_WITHIN = 1.0

type Disconnect = Callable[[asyncio.StreamWriter], None]


def by_fin(writer: asyncio.StreamWriter) -> None:
    writer.close()


def by_rst(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


disconnecting = pytest.mark.parametrize("disconnect", [by_fin, by_rst], ids=["FIN", "RST"])


@asynccontextmanager
async def connected(
    service: Service, body: Any = QUESTION, missing: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client with a socket of its own that has sent a request but for `missing` bytes of a body that is being read."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 26)
    data = json.dumps(body).encode()
    expect = "expect: 100-continue\r\n" if missing else ""
    head = "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}{expect}content-length: {len(data)}\r\n\r\n".encode())
    if expect:
        await reader.readuntil(b"100 Continue\r\n\r\n")
    writer.write(data[: len(data) - missing])
    try:
        yield reader, writer
    finally:
        writer.close()


async def closed(exchange: Exchange) -> None:
    async with asyncio.timeout(CLOSED_WITHIN):
        await exchange.closed.wait()


@disconnecting
@pytest.mark.parametrize("complete", [False, True], ids=["streamed", "complete"])
@pytest.mark.parametrize(
    "behaviour", [never_responds, stalls_after(), stalls_after(b": hold on\n\n")], ids=["nothing", "headers", "comment"]
)
async def test_disconnect_before_first_byte_closes_upstream(
    service: Service, model: ModelServer, logged: Logged, disconnect: Disconnect, behaviour: Behaviour, complete: bool
) -> None:
    model.respond_with(behaviour)
    async with connected(service, {**QUESTION, "stream": not complete}) as (_, writer):
        exchange = await model.arrived()
        disconnect(writer)
        await closed(exchange)
    await model.idle()
    assert [line["outcome"] for line in await logged()] == ["disconnected"]


@disconnecting
@pytest.mark.parametrize("sent", [1, 3])
async def test_disconnect_mid_stream_closes_upstream(
    service: Service, model: ModelServer, logged: Logged, disconnect: Disconnect, sent: int
) -> None:
    model.respond_with(stalls_after(*(event(value) for value in OPENAI[:sent])))
    async with connected(service) as (reader, writer):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        for _ in range(sent):
            await reader.readuntil(b"}\n")
        disconnect(writer)
        await closed(model.exchanges[0])
    await model.idle()
    (line,) = await logged()
    assert line["outcome"] == "disconnected"
    assert line["status"] == 200
    assert line["chunks"] == sent


@disconnecting
async def test_disconnect_while_chunks_flow_closes_upstream(
    service: Service, model: ModelServer, disconnect: Disconnect
) -> None:
    async def flows(exchange: Exchange) -> None:
        await exchange.begin()
        while not exchange.closed.is_set():
            await exchange.chunk(event(OPENAI[1]))

    model.respond_with(flows)
    async with connected(service) as (reader, writer):
        for _ in range(100):
            await reader.readuntil(b"}\n")
        disconnect(writer)
        await closed(model.exchanges[0])


async def test_disconnect_between_retries_ends_them(service: Service, model: ModelServer) -> None:
    model.respond_with(responds(500, b""))
    async with connected(service) as (_, writer):
        await model.arrived()
        await model.idle()
        writer.close()
    model.respond_with(streams(OPENAI))
    assert (await service.send())[0] == 200  # its own request would be the third, had the first client's been retried
    assert len(model.requests) == 2


async def test_disconnect_within_the_request_sends_nothing_upstream(
    service: Service, model: ModelServer, logged: Logged
) -> None:
    async with connected(service, missing=5) as (_, writer):
        await writer.drain()
        by_fin(writer)
    model.respond_with(streams(OPENAI))
    while not (lines := await logged()):
        await service.session.get(service.url)  # any round trip: the host has seen the disconnect by one of them
    assert [line["outcome"] for line in lines] == ["disconnected"]
    assert model.requests == []


async def send_without_reading(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a question with a client that receives a few KB more than it reads."""
    parts = urlsplit(service.url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(slow, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=slow, limit=8192)
    body = json.dumps(QUESTION)
    head = f"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n{body}".encode())
    return reader, writer


async def test_client_that_stops_reading_counts_as_disconnected(
    service: Service, model: ModelServer, configure: Configure, logged: Logged
) -> None:
    async def flows(exchange: Exchange) -> None:
        await exchange.begin()
        while not exchange.closed.is_set():
            await exchange.chunk(event(chunk({"content": "x" * 4000})))

    configure(OPENAI_BASE_URL=model.url, CHAT_TIMEOUT="0.3")
    model.respond_with(flows)
    _, writer = await send_without_reading(service)
    exchange = await model.arrived()
    async with asyncio.timeout(30):
        await exchange.closed.wait()
    assert [line["outcome"] for line in await logged()] == ["disconnected"]
    writer.close()


@pytest.mark.parametrize(
    "behaviour", [streams(OPENAI), streams_bytes(event(OPENAI[0]), b"data: 5\n\n")], ids=["completed", "failed"]
)
async def test_client_that_stops_reading_before_the_end_counts_as_disconnected(
    model: ModelServer, configure: Configure, behaviour: Behaviour
) -> None:
    """Called as the web server does, since how much it has room for when the completion ends is not for a test to decide."""
    requests = [{"type": "http.request", "body": json.dumps(QUESTION).encode()}]
    sent: list[str] = []

    async def receive() -> Message:
        return requests.pop() if requests else await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if not message.get("body", b"-") or not message.get("more_body", True):  # all chunks have been sent
            await asyncio.Future()

    configure(OPENAI_BASE_URL=model.url, CHAT_TIMEOUT="0.2")
    model.respond_with(behaviour)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")], "app": FastAPI()}
    context = SimpleNamespace(invocation_id="an-id", function_name="chat", trace_context=SimpleNamespace(trace_parent=None))
    response = CompletionResponse(Request(scope, receive), NdjsonFormat(""), cast("func.Context", context))
    async with asyncio.timeout(10):
        await response(scope, receive, send)
    assert len(sent) > 1


async def test_slow_reader_loses_nothing_and_fills_no_memory(service: Service, model: ModelServer) -> None:
    chunks = [chunk({"content": f"{number} " + "x" * 4000}) for number in range(20_000)] + [chunk({}, "stop")]
    sent = 0

    async def bursts(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.begin()
        for value in chunks:
            data = event(value)
            await exchange.chunk(data)
            sent += len(data)
        await exchange.chunk(DONE)
        await exchange.end()

    model.respond_with(bursts, streams(OPENAI))
    reader, writer = await send_without_reading(service)
    received = [await reader.read(1024)]
    for _ in range(100):
        assert await service.send() == (200, OPENAI)
        received.append(await reader.read(1024))
    total = sum(len(event(value)) for value in chunks)
    assert sent < total / 2, "what the slow reader has not read is held somewhere"
    while data := await reader.read(1 << 16):
        received.append(data)
    writer.close()
    _, _, rest = b"".join(received).partition(b"\r\n\r\n")
    text = b"".join(_dechunk(rest)).decode()
    assert [json.loads(line) for line in text.splitlines()] == chunks


def _dechunk(body: bytes) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    while True:
        end = body.index(b"\r\n", start)
        size = int(body[start:end], 16)
        if not size:
            return parts
        parts.append(body[end + 2 : end + 2 + size])
        start = end + 2 + size + 2


async def test_500_requests_at_once_stay_apart(service: Service, model: ModelServer) -> None:
    all_arrived = asyncio.Event()

    async def echoes(exchange: Exchange) -> None:
        words = exchange.request.json["messages"][1]["content"].split()
        await exchange.begin()
        await exchange.chunk(event(chunk({"content": words[0]})))
        if len(model.exchanges) == 500:
            all_arrived.set()
        await all_arrived.wait()
        for word in words[1:]:
            await exchange.chunk(event(chunk({"content": word})))
            await asyncio.sleep(0)
        await exchange.chunk(DONE)
        await exchange.end()

    model.respond_with(echoes)

    async def send(number: int) -> None:
        words = [f"{number}.{word}" for word in range(20)]
        status, lines = await service.send({"messages": [{"content": " ".join(words)}]})
        assert status == 200
        assert [line["choices"][0]["delta"]["content"] for line in lines] == words

    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(send(number))


async def test_disconnect_does_not_disturb_others(service: Service, model: ModelServer) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])), streams(OPENAI))
    async with connected(service) as (reader, writer):
        await reader.readuntil(b"}\n")
        async with service.post() as response:
            by_rst(writer)
            assert await service.read(response) == (200, OPENAI)


async def test_connection_is_reused_for_the_next_request(service: Service, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI), responds(200, COMPLETION), streams_bytes(*map(event, OPENAI)), streams(OPENAI))
    for complete in (False, True, False, False):
        await service.send({**QUESTION, "stream": not complete})
        await model.idle()
    assert model.connections == 1
