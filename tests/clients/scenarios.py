"""What each Python client does, and its report: a line of JSON for each scenario. `scenarios.mjs` is its counterpart."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from testing.scripted_model import BREAKS_OFF, FAILS, REJECTED, RESULT, STALLS, STREAMS

FIRST = "What is the capital of Japan?"
SECOND = "And of France?"
TOOLS = "Use `temperature` and `local_time` in Tokyo."
MODEL = "the-model"

type Scenario = Callable[[], Awaitable[Any]]


@dataclass
class Client:
    """A client library: how it asks one question, and what else it can do; each function returns what the user would see."""

    complete: Callable[[str], Awaitable[Any]]
    stream: Callable[[str], AsyncIterator[str]]
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)

    async def read(self, question: str) -> str:
        """Streams the answer to a question and returns it."""
        return "".join([text async for text in self.stream(question)])


def arguments() -> tuple[str, str, str]:
    """The base URL, the key and the API that a script is to use."""
    base_url, key, api = sys.argv[1:]
    return base_url, key, api


def temperature(city: str) -> str:
    """Returns the temperature in a city."""
    return f"{RESULT} in {city}"


def local_time(city: str) -> str:
    """Returns the local time in a city."""
    return f"10:30 in {city}"


def run(client: Client) -> None:
    """Runs the scenarios, one after the other."""
    asyncio.run(_run(client))


async def _run(client: Client) -> None:
    scenarios: dict[str, Scenario] = {
        "complete": lambda: client.complete(FIRST),
        "streamed": lambda: client.read(FIRST),
        **client.scenarios,
        "cancelled before the response": lambda: _cancelled_before_the_response(client),
        "cancelled mid-stream": lambda: _cancelled_mid_stream(client),
        "rejected": lambda: client.complete(REJECTED),
        "rejected, streamed": lambda: client.read(REJECTED),
        "fails mid-stream": lambda: client.read(FAILS),
        "breaks off": lambda: client.read(BREAKS_OFF),
    }
    for name, scenario in scenarios.items():
        try:
            report(name, result=await scenario())
        except Exception as error:
            report(name, error=f"{type(error).__name__}: {error}")


def report(scenario: str, **outcome: Any) -> None:
    """Prints what came of a scenario: its `result` or its `error`."""
    print(json.dumps({"scenario": scenario, **outcome}), flush=True)


async def _cancelled_before_the_response(client: Client) -> float:
    """Gives up after a second, and returns the time."""
    with suppress(TimeoutError):
        await asyncio.wait_for(client.complete(STALLS), 1)
    return time.time()


async def _cancelled_mid_stream(client: Client) -> float:
    """Cancels the task that reads a stream, at its first text, and returns the time."""
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in client.stream(STREAMS):
            begun.set()
        raise EOFError("The stream has ended.")

    reading = asyncio.create_task(read())
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    cancelled_at = time.time()
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    return cancelled_at
