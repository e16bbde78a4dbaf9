"""Budgets of tokens: the error in every format, and what counts, however a request ends."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest

from chat.api import worker_budgets
from testing.behaviours import never_responds, responds, stalls_after, streams, streams_bytes
from testing.chat_completions import COMPLETION, OPENAI, chunk, event, text_chunks
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import Behaviour, Exchange, ModelServer
from tests.conftest import finished

USED = 28
"""The tokens of `OPENAI` and `COMPLETION`."""

V1 = "/api/v1/chat/completions"
V1_QUESTION = {"messages": [{"role": "user", "content": "What is the capital of Japan?"}]}
KEYS = {"alice": "a-key-of-twenty-characters", "bob": "another-key-of-thirty-characters"}

type SetBudgets = Callable[..., None]


@pytest.fixture
def set_budgets(configure: Configure, model: ModelServer) -> SetBudgets:
    """Configures budgets, in a worker that has counted nothing."""

    def set_budgets(**settings: str) -> None:
        configure(OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_MODEL="the-model", CHAT_TIMEOUT="5", **settings)

    return set_budgets


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The service's time, as the one element of a list."""
    times = [datetime(2026, 11, 27, 23, 0, tzinfo=UTC)]
    monkeypatch.setattr(worker_budgets, "utc_now", lambda: times[0])
    return times


def api_key(name: str) -> dict[str, Any]:
    return {"path": V1, "headers": {"authorization": f"Bearer {KEYS[name]}"}}


FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", QUESTION),
    ("/api/chat", QUESTION | {"stream": False}),
    (V1, V1_QUESTION),
    (V1, V1_QUESTION | {"stream": True}),
    ("/api/v1/responses", {"input": "What is the capital of Japan?"}),
    ("/api/v1/responses", {"input": "What is the capital of Japan?", "stream": True}),
    ("/api/chat-protocol", V1_QUESTION),
    ("/api/chat-protocol/stream", V1_QUESTION),
]


@pytest.mark.parametrize(("path", "body"), FORMATS, ids=lambda value: str(value)[:60])
async def test_used_up_budget_is_a_429_in_every_format(
    service: Service,
    model: ModelServer,
    set_budgets: SetBudgets,
    clock: list[datetime],
    logged: Logged,
    path: str,
    body: dict[str, Any],
) -> None:
    set_budgets(CHAT_DAILY_TOKENS=str(USED))
    model.respond_with(streams(OPENAI))
    assert (await service.send())[0] == 200
    async with service.post(body, path) as response:
        status, received = await service.read(response)
        headers = response.headers
    message = "The service's budget of tokens for today is used up. It is renewed at midnight UTC, 2026-11-28T00:00:00Z."
    error = {"code": "insufficient_quota", "message": message}
    more = {} if "protocol" in path else {"type": "rate_limit_error", "param": None}
    assert (status, received) == (429, {"error": error | more})
    assert (headers["retry-after"], headers["x-should-retry"]) == ("3600", "false")
    assert len(model.requests) == 1
    *_, line = await logged()
    assert (line["status"], line["outcome"], line["reason"]) == (429, "failed", "budget used up: CHAT_DAILY_TOKENS")
    assert "budget.tokens" not in line

    clock[0] += timedelta(hours=1)
    assert (await service.send())[0] == 200


async def test_openais_client_does_not_retry(service: Service, model: ModelServer, set_budgets: SetBudgets) -> None:
    set_budgets(CHAT_DAILY_TOKENS="1")
    model.respond_with(streams(OPENAI))
    await service.send()
    async with openai.AsyncOpenAI(base_url=f"{service.url}/api/v1", api_key="anything") as client, asyncio.timeout(5):
        with pytest.raises(openai.RateLimitError) as error:
            await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello"}])
    assert error.value.code == "insufficient_quota"
    assert error.value.response.headers["x-should-retry"] == "false"


async def test_each_key_has_a_budget_and_all_function_keys_share_one(
    service: Service, model: ModelServer, set_budgets: SetBudgets
) -> None:
    set_budgets(CHAT_DAILY_TOKENS_PER_CLIENT=str(USED), CHAT_API_KEYS=",".join(f"{n}={key}" for n, key in KEYS.items()))
    model.respond_with(responds(200, COMPLETION))
    body = V1_QUESTION
    first, second = {**QUESTION, "stream": False}, {"headers": {"x-functions-key": "another"}}
    assert [
        (await service.send(body, **api_key("alice")))[0],
        (await service.send(body, **api_key("alice")))[0],
        (await service.send(body, **api_key("bob")))[0],
        (await service.send(first))[0],
        (await service.send(first, **second))[0],
        (await service.send(body, **api_key("bob")))[0],
    ] == [200, 429, 200, 200, 429, 429]
    _, error = await service.send(body, **api_key("alice"))
    assert error["error"]["message"].startswith("Your budget of tokens for today is used up.")


@pytest.mark.parametrize(("sign_in", "statuses"), [("True", [200, 429, 200]), ("", [200, 429, 429])], ids=["on", "off"])
async def test_each_signed_in_person_has_a_budget_and_a_forged_header_none(
    service: Service, model: ModelServer, set_budgets: SetBudgets, sign_in: str, statuses: list[int]
) -> None:
    set_budgets(CHAT_DAILY_TOKENS_PER_CLIENT=str(USED), WEBSITE_AUTH_ENABLED=sign_in)
    model.respond_with(streams(OPENAI))
    ids = [f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 1, 2)]
    assert [(await service.send(headers={"x-ms-client-principal-id": each}))[0] for each in ids] == statuses


@pytest.mark.parametrize("body", [QUESTION, QUESTION | {"stream": False}], ids=["streamed", "complete"])
async def test_usage_of_the_model_server_counts(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged, body: dict[str, Any]
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="1000", CHAT_DAILY_TOKENS_PER_CLIENT="500")
    model.respond_with(streams(OPENAI) if body.get("stream", True) else responds(200, COMPLETION))
    assert (await service.send(body))[0] == 200
    (line,) = await logged()
    assert [line[f"budget.{name}"] for name in ("tokens", "service", "client")] == [USED, 1000, 500]


REJECTION = {"error": {"message": "No.", "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    "behaviour",
    [
        responds(400, REJECTION),
        responds(401, {}),
        responds(429, {}, retry_after="60"),
        responds(503, {}, retry_after="60"),
        streams([REJECTION]),
    ],
    ids=["400", "401", "429", "503", "200"],
)
async def test_rejected_request_counts_nothing(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged, behaviour: Behaviour
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="1000")
    model.respond_with(behaviour)
    assert (await service.send())[0] >= 400
    (line,) = await logged()
    assert line["budget.tokens"] == 0


async def test_request_that_cannot_be_sent_counts_nothing(service: Service, configure: Configure, logged: Logged) -> None:
    configure(OPENAI_BASE_URL="http://127.0.0.1:1/v1", CHAT_DAILY_TOKENS="1000")
    assert (await service.send(V1_QUESTION, path=V1))[0] == 502
    (line,) = await logged()
    assert line["budget.tokens"] == 0


LONG_QUESTION = {"messages": [{"content": "words " * 2000}]}  # 2,000 tokens
TEXTS = ["capital "] * 300


@pytest.mark.parametrize(
    ("behaviour", "chunks"),
    [
        (never_responds, 0),
        (stalls_after(), 0),
        (stalls_after(*(event(value) for value in text_chunks(*TEXTS)[:-1])), 300),
        (stalls_after(*(event(value) for value in text_chunks(*TEXTS))), 301),
    ],
    ids=["before the head", "before the first chunk", "mid-stream", "before the usage"],
)
async def test_disconnect_counts_what_was_sent_and_received(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged, behaviour: Behaviour, chunks: int
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="1000")
    model.respond_with(behaviour)
    request = asyncio.create_task(service.session.post(f"{service.url}/api/chat", json=LONG_QUESTION))
    exchange = await model.arrived()
    if chunks:
        response = await request
        for _ in range(chunks):
            await response.content.readline()
        response.close()
    else:
        request.cancel()
    await exchange.closed.wait()
    (line,) = await logged()
    assert line["outcome"] == "disconnected"
    assert 2_000 + chunks <= line["budget.tokens"] <= 5_000 + chunks
    assert (await service.send())[0] == 429, "disconnecting is a way around the budget"


@pytest.mark.parametrize(
    "behaviour",
    [
        streams_bytes(*(event(value) for value in text_chunks(*TEXTS)[:-1])),
        streams([*text_chunks(*TEXTS)[:-1], {"error": {"message": "out of memory", "code": 500}}]),
        streams(text_chunks(*TEXTS)),
    ],
    ids=["ends early", "error", "no usage"],
)
async def test_stream_without_usage_counts_an_estimate(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged, behaviour: Behaviour
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="100000")
    model.respond_with(behaviour)
    assert (await service.send(LONG_QUESTION))[0] == 200
    (line,) = await logged()
    assert 2_300 <= line["budget.tokens"] <= 5_500


async def test_waiting_for_reasoning_counts(
    service: Service, model: ModelServer, configure: Configure, logged: Logged
) -> None:
    configure(OPENAI_BASE_URL=f"{model.url}/v1", CHAT_DAILY_TOKENS="100000", CHAT_TIMEOUT="0.5")
    model.respond_with(never_responds)
    assert (await service.send())[0] == 504
    (line,) = await logged()
    assert line["budget.tokens"] >= 50


async def send_at_once(service: Service, model: ModelServer, count: int, behaviour: Behaviour, body: Any) -> list[int]:
    """Sends requests, and lets the model server respond when all that were admitted have arrived; returns the statuses."""
    decided = asyncio.Event()

    async def when_all_are_decided(exchange: Exchange) -> None:
        await decided.wait()
        await behaviour(exchange)

    model.respond_with(when_all_are_decided)
    before = len(model.exchanges)
    requests = [asyncio.create_task(service.send(body)) for _ in range(count)]
    async with asyncio.timeout(10):
        while len(model.exchanges) - before + sum(request.done() for request in requests) < count:
            await asyncio.sleep(0.01)
    decided.set()
    return [status for status, _ in await asyncio.gather(*requests)]


async def test_several_requests_at_once_exceed_the_budget_by_what_they_use(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="2000")
    usage = chunk(choices=[], usage={"prompt_tokens": 20, "completion_tokens": 1000})
    used = streams([*text_chunks("Paris."), usage])
    assert await send_at_once(service, model, 10, used, QUESTION) == [200] * 10
    assert (await service.send())[0] == 429
    assert sum(line.get("budget.tokens", 0) for line in await logged()) == 10 * 1020


async def test_input_of_requests_under_way_counts(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged
) -> None:
    """Otherwise one client could use the service's budget at once, and keep everyone else from it."""
    set_budgets(CHAT_DAILY_TOKENS="100000", CHAT_DAILY_TOKENS_PER_CLIENT="1000")
    statuses = await send_at_once(service, model, 20, streams(OPENAI), LONG_QUESTION)
    assert sorted(statuses) == [200] + [429] * 19
    assert sum(line.get("budget.tokens", 0) for line in await logged()) == USED
    assert (await service.send())[0] == 200, "the estimate is corrected"


async def test_request_counts_to_the_day_on_which_it_was_admitted(
    service: Service, model: ModelServer, set_budgets: SetBudgets, clock: list[datetime]
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="100")
    responding = asyncio.Event()

    async def when_the_day_has_ended(exchange: Exchange) -> None:
        await responding.wait()
        await streams(OPENAI)(exchange)

    model.respond_with(when_the_day_has_ended)
    request = asyncio.create_task(service.send())
    await model.arrived()
    clock[0] += timedelta(hours=1)
    responding.set()
    await request
    model.respond_with(streams(OPENAI))
    assert [(await service.send())[0] for _ in range(5)] == [200] * 4 + [429]


@pytest.mark.parametrize(
    "behaviour",
    [
        responds(400, {"error": {"message": "Filtered.", "code": "content_filter"}}),
        streams([*text_chunks(*TEXTS), chunk(choices=[], usage={"prompt_tokens": 0, "completion_tokens": 0})]),
        streams([*text_chunks(*TEXTS), chunk(choices=[], usage={"prompt_tokens": 10**8, "completion_tokens": 10**8})]),
    ],
    ids=["filtered content", "usage of zeros", "usage that no model can have"],
)
async def test_what_costs_tokens_counts_an_estimate(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged, behaviour: Behaviour
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="100000")
    model.respond_with(behaviour)
    await service.send(LONG_QUESTION)
    (line,) = await logged()
    assert 2_000 <= line["budget.tokens"] <= 5_500


async def test_estimate_of_the_output_is_no_more_than_its_limit(
    service: Service, model: ModelServer, set_budgets: SetBudgets, logged: Logged
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="100000", CHAT_MAX_COMPLETION_TOKENS="10")
    model.respond_with(streams(text_chunks(*TEXTS)))
    await service.send()
    (line,) = await logged()
    assert line["budget.tokens"] <= 10 + 100


async def test_worker_without_storage_says_so_once(
    service: Service, model: ModelServer, set_budgets: SetBudgets, capfd: pytest.CaptureFixture[str]
) -> None:
    set_budgets(CHAT_DAILY_TOKENS="1000")
    model.respond_with(streams(OPENAI))
    for _ in range(3):
        await service.send()
    await finished()
    lines = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("{")]
    assert lines == ["Budgets of tokens: without CHAT_BUDGET_STORAGE_ENDPOINT, this worker counts by itself."]
