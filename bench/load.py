"""The load generator: opens streams, reads them to their end, and prints the figures as JSON.

`python -m bench.load URL CONTROL_PORT DIRECT_PORT LOAD`, with a `Load` as JSON. CONTROL_PORT is 0 if there is no worker to
invoke. With no streams it sends 100 requests, one after another, in turn with the fake model server at DIRECT_PORT itself.
"""

import asyncio
import gc
import json
import re
import resource
import statistics
import sys
from dataclasses import asdict, dataclass
from time import monotonic, monotonic_ns
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

_STAMP = re.compile(rb"~(\d{19})")
_REPEATED = b"response.output_text.done"
_TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
_ALONE = 100
_WARM_UP = 10


@dataclass(frozen=True)
class Load:
    """How many streams, and the command for the fake model server in each."""

    streams: int
    command: str
    seconds: float = 120
    """When it ends, whether or not the streams have."""
    ramp: float = 0
    """Over how many seconds the streams begin."""
    window: float = 0
    """For how many seconds after that latency and throughput are measured; 0 is to the end, without throughput."""
    tools: bool = False
    """Whether each request offers a tool."""


@dataclass(frozen=True)
class Seen:
    """The figures of one run; times in ms, `first` and `latency` as median and 99th percentile."""

    lines: int
    lost: int
    unfinished: int
    lines_per_write: float
    lines_per_second: float
    """These two while all streams were open."""
    first: tuple[float, float]
    latency: tuple[float, float]
    direct_first: float
    """The median of the fake model server itself, in a run of one request after another."""
    cores: float
    """The share of a core that this process took."""


class _Stream(asyncio.Protocol):
    """One connection; `send` sends a request on it, and `done` is set when the response has ended."""

    def __init__(self, latencies: list[int]) -> None:
        self.transport: asyncio.Transport
        self.done: asyncio.Future[None]
        self.lines = self.writes = self.first = self.last = 0
        self._latencies = latencies
        self._sent = 0
        self._tail = b""
        self._repeats = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.first = 0
        self._repeats = False
        self._sent = monotonic_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.last = monotonic_ns()
        if self._repeats or (end := data.find(_REPEATED)) >= 0:
            # What a response of the Responses API repeats of its text at its end is not counted again.
            stamped, self._repeats = (b"" if self._repeats else data[:end]), True
        else:
            stamped = data
        if lines := stamped.count(b"~"):
            if not self.first:
                self.first = self.last - self._sent
            self.lines += lines
            self._latencies += [self.last - int(stamp) for stamp in _STAMP.findall(stamped)]
        self.writes += data.count(b"\n\r\n")  # ends each HTTP chunk, since each ends with a line
        self._tail = (self._tail + data[-5:])[-5:]
        if self._tail == b"0\r\n\r\n" and not self.done.done():
            self.writes -= 2  # the end of the head, and of the body
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.done.done():
            self.done.set_exception(ConnectionError("connection lost"))


class _Target:
    """Where requests go, and the worker's control connection, if there is a worker."""

    def __init__(self, url: str, load: Load, control: asyncio.StreamWriter | None = None) -> None:
        self._url = urlsplit(url)
        self._load = load
        self._control = control

    async def connect(self, latencies: list[int]) -> _Stream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: _Stream(latencies), "127.0.0.1", self._url.port or 0)
        return stream

    def send(self, stream: _Stream) -> None:
        invocation_id = str(uuid4())
        if self._control:
            self._control.write(invocation_id.encode() + b"\n")
        stream.send(request(self._url.path, self._load.command, invocation_id, tools=self._load.tools))


def request(path: str, command: str, invocation_id: str, *, tools: bool) -> bytes:
    """A request that every candidate understands."""
    key = "input" if path.endswith("/responses") else "messages"
    fields: dict[str, Any] = {"model": "gpt-5.4-mini", key: [{"role": "user", "content": command}], "stream": True}
    if tools:
        fields["tools"] = [_TOOL]
    body = json.dumps(fields)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer none\r\n"
        f"x-ms-invocation-id: {invocation_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _lines(streams: list[_Stream]) -> int:
    return sum(stream.lines for stream in streams)


def _writes(streams: list[_Stream]) -> int:
    return sum(stream.writes for stream in streams)


def _spread(values: list[int]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    values = sorted(values)
    return statistics.median(values) / 1e6, values[int(len(values) * 0.99)] / 1e6


async def _run(target: _Target, direct: _Target, load: Load) -> Seen:
    latencies: list[int] = []
    firsts: list[int] = []
    direct_firsts: list[int] = []
    streams = [await target.connect(latencies) for _ in range(load.streams)]
    began, cpu_began = monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    lines, writes, window = 0, 0, load.window
    if not streams:
        await _in_turn([(target, firsts), (direct, direct_firsts)], load.seconds)
    for number, stream in enumerate(streams):
        if load.ramp:
            await asyncio.sleep(began + load.ramp * number / load.streams - monotonic())
        target.send(stream)
    if window:
        latencies.clear()
        since, lines, writes = monotonic(), -_lines(streams), -_writes(streams)
        await asyncio.sleep(window)
        window, lines, writes = monotonic() - since, lines + _lines(streams), writes + _writes(streams)
        latencies = latencies.copy()  # without those that follow
    if streams:
        await asyncio.wait([stream.done for stream in streams], timeout=max(0, began + load.seconds - monotonic()))
        firsts = [stream.first for stream in streams if stream.first]
    cpu, took = resource.getrusage(resource.RUSAGE_SELF), monotonic() - began
    expected = int(load.command.rsplit(maxsplit=1)[-1])
    return Seen(
        lines=_lines(streams),
        lost=sum(expected - stream.lines for stream in streams if stream.done.done()),
        unfinished=sum(not stream.done.done() for stream in streams),
        lines_per_write=lines / max(writes, 1),
        lines_per_second=lines / window if window else 0,
        first=_spread(firsts),
        latency=_spread(latencies),
        direct_first=_spread(direct_firsts)[0],
        cores=(cpu.ru_utime + cpu.ru_stime - cpu_began.ru_utime - cpu_began.ru_stime) / took,
    )


async def _in_turn(targets: list[tuple[_Target, list[int]]], seconds: float) -> None:
    connected = [(target, seen, await target.connect([])) for target, seen in targets]
    for number in range(_WARM_UP + _ALONE):
        for target, seen, stream in connected:
            target.send(stream)
            await asyncio.wait_for(stream.done, seconds)
            await asyncio.sleep(0.005)  # until what follows a response has ended
            if number >= _WARM_UP:
                seen.append(stream.first)


async def _main(url: str, control_port: int, direct_port: int, load: Load) -> Seen:
    control = None
    if control_port:
        reader, control = await asyncio.open_connection("127.0.0.1", control_port)
        url = (await reader.readline()).decode().strip() + urlsplit(url).path
    direct = _Target(f"http://127.0.0.1:{direct_port}/v1/chat/completions", load)
    return await _run(_Target(url, load, control), direct, load)


if __name__ == "__main__":
    gc.disable()  # a pause of this process would count as latency
    _url, _control_port, _direct_port, _load = sys.argv[1:]
    print(json.dumps(asdict(asyncio.run(_main(_url, int(_control_port), int(_direct_port), Load(**json.loads(_load)))))))
