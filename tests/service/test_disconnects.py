"""Callers who leave, at any point and in any way, who read slowly, and who are many."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.client import QUESTION, Service
from tests.fakes.model_server import Behaviour, Exchange, ModelServer
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

CLOSED_WITHIN = 1.0

type Leave = Callable[[asyncio.StreamWriter], None]


def by_fin(writer: asyncio.StreamWriter) -> None:
    writer.close()


def by_rst(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


leaving = pytest.mark.parametrize("leave", [by_fin, by_rst], ids=["FIN", "RST"])


@asynccontextmanager
async def calling(
    service: Service, body: Any = QUESTION, missing: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A caller on a socket of its own, who has sent the request but for `missing` bytes of a body that is being read."""
    at = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=1 << 26)
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
        await exchange.gone.wait()


@leaving
@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "silent", [keeps_silent, stalls_after(), stalls_after(b": hold on\n\n")], ids=["", "headers", "comment"]
)
async def test_before_the_first_byte(
    service: Service,
    model: ModelServer,
    logged: Callable[[], list[dict[str, Any]]],
    leave: Leave,
    silent: Behaviour,
    whole: bool,
) -> None:
    model.answers(silent)
    async with calling(service, {**QUESTION, "stream": not whole}) as (_, writer):
        exchange = await model.arrived()
        leave(writer)
        await closed(exchange)
    await model.idle()
    assert [line["outcome"] for line in logged()] == ["caller left"]


@leaving
@pytest.mark.parametrize("sent", [1, 3])
async def test_in_mid_stream(
    service: Service, model: ModelServer, logged: Callable[[], list[dict[str, Any]]], leave: Leave, sent: int
) -> None:
    model.answers(stalls_after(*(event(value) for value in OPENAI[:sent])))
    async with calling(service) as (reader, writer):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        for _ in range(sent):
            await reader.readuntil(b"}\n")
        leave(writer)
        await closed(model.exchanges[0])
    await model.idle()
    (line,) = logged()
    assert line["outcome"] == "caller left"
    assert line["chunks"] == sent


@leaving
async def test_while_chunks_flow(service: Service, model: ModelServer, leave: Leave) -> None:
    async def flows(exchange: Exchange) -> None:
        await exchange.begin()
        while not exchange.gone.is_set():
            await exchange.chunk(event(OPENAI[1]))

    model.answers(flows)
    async with calling(service) as (reader, writer):
        for _ in range(100):
            await reader.readuntil(b"}\n")
        leave(writer)
        await closed(model.exchanges[0])


async def test_between_retries(service: Service, model: ModelServer) -> None:
    model.answers(responds(500, b""))
    async with calling(service) as (_, writer):
        await model.arrived()
        await model.idle()
        writer.close()
    model.answers(streams(OPENAI))
    assert (await service.ask())[0] == 200  # whose own request would be the third, had the first caller's been retried
    assert len(model.requests) == 2


async def test_in_the_middle_of_the_question(
    service: Service, model: ModelServer, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    async with calling(service, missing=5) as (_, writer):
        await writer.drain()
        by_fin(writer)
    model.answers(streams(OPENAI))
    while not (lines := logged()):
        await service.session.get(service.url)  # any round trip: the host has seen the end by one of them
    assert [line["outcome"] for line in lines] == ["caller left"]
    assert model.requests == []


async def test_a_slow_reader_loses_nothing_and_fills_no_memory(service: Service, model: ModelServer) -> None:
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

    model.answers(bursts, streams(OPENAI))
    at = urlsplit(service.url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(slow, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(sock=slow, limit=8192)
    body = json.dumps(QUESTION)
    head = f"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n{body}".encode())
    received = [await reader.read(1024)]
    for _ in range(100):
        assert await service.ask() == (200, OPENAI)
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
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return parts
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


async def test_500_chats_at_once_stay_apart(service: Service, model: ModelServer) -> None:
    everyone_is_here = asyncio.Event()

    async def echoes(exchange: Exchange) -> None:
        words = exchange.request.json["messages"][1]["content"].split()
        await exchange.begin()
        await exchange.chunk(event(chunk({"content": words[0]})))
        if len(model.exchanges) == 500:
            everyone_is_here.set()
        await everyone_is_here.wait()
        for word in words[1:]:
            await exchange.chunk(event(chunk({"content": word})))
            await asyncio.sleep(0)
        await exchange.chunk(DONE)
        await exchange.end()

    model.answers(echoes)

    async def ask(number: int) -> None:
        words = [f"{number}.{word}" for word in range(20)]
        status, lines = await service.ask({"messages": [{"content": " ".join(words)}]})
        assert status == 200
        assert [line["choices"][0]["delta"]["content"] for line in lines] == words

    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(ask(number))


async def test_a_caller_who_leaves_takes_no_other_along(service: Service, model: ModelServer) -> None:
    model.answers(stalls_after(event(OPENAI[0])), streams(OPENAI))
    async with calling(service) as (reader, writer):
        await reader.readuntil(b"}\n")
        async with service.post() as response:
            by_rst(writer)
            assert await service.read(response) == (200, OPENAI)


async def test_the_connection_is_kept_for_the_next_caller(service: Service, model: ModelServer) -> None:
    model.answers(streams(OPENAI), responds(200, WHOLE), streams_bytes(*map(event, OPENAI)), streams(OPENAI))
    for whole in (False, True, False, False):
        await service.ask({**QUESTION, "stream": not whole})
        await model.idle()
    assert model.connections == 1
