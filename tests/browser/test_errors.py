"""Errors on the chat page, and what helps with each."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from chat.api.response_writer import error_headers
from chat.budgets.daily_counts import DailyCounts, check_budgets
from chat.errors import BudgetUsedUp
from chat.formats.wire_format import openai_error
from testing.behaviours import echoes, never_responds, responds, stalls_after, streams
from testing.chat_completions import TOOL_CALL, chunk, event, text_chunks
from testing.model_server import Behaviour, Exchange, ModelServer
from tests.browser.chat_page import button, closed, completed, responses, send, sent

REJECTED = responds(400, {"error": {"message": "A reason of the model server"}})
INTERRUPTED = streams([*text_chunks("So far, ", "so good")[:-1], {"error": {"message": "out of memory", "code": 500}}])


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (REJECTED, "A reason of the model server."),
        (responds(429, {}, retry_after="12"), "Try again in 12 seconds."),
        (responds(503, {}, retry_after="1800"), "Try again in 30 minutes."),
        (responds(429, {}, retry_after="10800"), "Try again in 3 hours."),
    ],
)
async def test_an_error_is_a_sentence_with_a_way_to_try_again(
    page: Page, site: str, model_server: ModelServer, behaviour: Behaviour, text: str
) -> None:
    model_server.respond_with(behaviour, streams(text_chunks("Here I am.")))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.get_by_role("alert").locator("p")).to_contain_text(text)
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text("Here I am.")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_used_up_budget_says_when_it_is_renewed(page: Page, site: str) -> None:
    now = datetime(2026, 11, 27, 20, 30, tzinfo=UTC)
    with pytest.raises(BudgetUsedUp) as error:
        check_budgets(DailyCounts(None, 0).of("anyone", now), now)

    async def respond(route: Route) -> None:
        headers = error_headers(error.value)
        await route.fulfill(status=429, headers=headers, content_type="application/json", body=openai_error(error.value))

    await page.goto(f"{site}/chat")
    await page.route("**/api/chat", respond)
    await send(page, "Hello")
    await expect(page.get_by_role("alert").locator("p")).to_have_text(
        "Your budget of tokens for today is used up. It is renewed at midnight UTC, 2026-11-28T00:00:00Z. "
        "Try again in 4 hours."
    )


async def test_an_error_mid_stream_keeps_what_had_arrived(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(INTERRUPTED, streams(text_chunks("Better.")))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(responses(page)).to_have_text("So far, so good")
    await page.reload()
    await expect(page.locator(".failed")).to_be_visible()
    await expect(responses(page)).to_have_text("So far, so good")
    await button(page, "Try again").click()
    await expect(responses(page)).to_have_text("Better.")
    assert sent(model_server) == [("user", "Hello")]


@pytest.mark.parametrize(
    ("finish_reason", "text"),
    [("length", "The response reached its length limit."), ("content_filter", "A content filter ended the response.")],
)
async def test_an_incomplete_response_says_so(
    page: Page, site: str, model_server: ModelServer, finish_reason: str, text: str
) -> None:
    model_server.respond_with(streams(text_chunks("A long", finish_reason=finish_reason)))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.locator(".note")).to_contain_text(text)


async def test_an_empty_response_says_so(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(streams(text_chunks()))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.locator(".note")).to_contain_text("The response is empty.")


async def test_chunks_may_lack_anything(page: Page, site: str, model_server: ModelServer) -> None:
    odd: list[Any] = [
        chunk({"content": "One"}, error=None),
        chunk(choices=[]),
        chunk(choices=None),
        chunk(choices=[{"index": 0}]),
        chunk(choices=[{"index": 0, "delta": None, "finish_reason": None}]),
        chunk(choices=[None]),
        chunk({"content": None, "refusal": ", two"}),
        chunk({"content": "", "reasoning": 5}, model=["a"], usage={"completion_tokens": {}}),
        chunk({"content": [], "tool_calls": [], "images": None, "audio": None}),
        chunk(choices=[{"index": 0, "finish_reason": {"toString": 1, "valueOf": 1}}]),
        {},
        chunk({"content": "."}, "stop"),
    ]
    model_server.respond_with(streams(odd))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await completed(page)
    await expect(responses(page)).to_have_text("One, two.")
    await expect(page.locator(".note")).to_have_count(0)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
UNSHOWN: dict[str, tuple[list[Any], str]] = {
    "tool calls": (TOOL_CALL, "tool calls"),
    "a function call": ([chunk({"function_call": {"name": "weather"}})], "tool calls"),
    "images": ([chunk({"images": [IMAGE]}), chunk({"content": [IMAGE]})], "images"),
    "audio": ([chunk({"audio": {"data": "AAAA"}})], "audio"),
    "unknown parts": (
        [chunk({"content": [{"type": "video"}, {"a": "string"}, 5]})],
        "content of the type “video”, content of an unknown type",
    ),
}


@pytest.mark.parametrize("kind", UNSHOWN)
@pytest.mark.parametrize("text", ["", "Look at this."])
async def test_what_the_page_cannot_show_is_named(
    page: Page, site: str, model_server: ModelServer, kind: str, text: str
) -> None:
    chunks, names = UNSHOWN[kind]
    model_server.respond_with(streams([*text_chunks(text)[:1], *chunks, chunk({}, "stop")]))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    note = page.locator(".note p")
    await expect(note).to_have_text(f"This page cannot show part of the response: {names}.")
    await page.reload()
    await expect(note).to_be_visible()
    await expect(responses(page)).to_have_text(text)


async def test_parts_and_refusals_are_shown_as_text(page: Page, site: str, model_server: ModelServer) -> None:
    parts = [
        {"type": "text", "text": "One"},
        {"type": "output_text", "text": ", two"},
        {"type": "refusal", "refusal": ", three"},
    ]
    model_server.respond_with(streams([chunk({"content": parts}), chunk({"refusal": "."}), chunk({}, "stop")]))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await completed(page)
    await expect(responses(page)).to_have_text("One, two, three.")
    await expect(page.locator(".note")).to_have_count(0)


LINE = '{"choices":[{"delta":{"content":"Hi"}}]}'


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"status": 503, "body": "<h1>Service Unavailable</h1>"}, "The service responded with status 503."),
        ({"status": 500, "body": "null"}, "The service responded with status 500."),
        ({"body": f"{LINE}\n{LINE[:20]}"}, "The connection was lost in the middle of the response."),
        ({"body": f"{LINE}\nnonsense\n"}, "The service sent an invalid response."),
        ({"body": f'{LINE}\n{{"error":"a string"}}\n'}, "a string."),
        ({"body": f'{LINE}\n{{"error":{{"message":{{}}}}}}\n'}, "The response failed."),
        (None, "Could not connect to the service."),
    ],
)
async def test_an_error_between_page_and_service_is_a_sentence(
    page: Page, site: str, response: dict[str, Any] | None, text: str
) -> None:
    async def respond(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
        elif response is None:
            await route.abort()
        else:
            await route.fulfill(**response)

    await page.route("**/api/chat", respond)
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text(text)
    await expect(button(page, "Try again")).to_be_visible()


async def strict_template(exchange: Exchange) -> None:
    """Rejects roles that do not alternate, as many chat templates do, and fails on a question that says so."""
    messages = exchange.request.json["messages"][1:]
    roles = [message["role"] for message in messages]
    if roles != (["user", "assistant"] * len(roles))[: len(roles)]:
        await responds(422, {"error": {"message": "Conversation roles must alternate."}})(exchange)
    elif messages[-1]["content"] == "Fail":
        await REJECTED(exchange)
    elif messages[-1]["content"] == "Stall":
        await never_responds(exchange)
    else:
        await echoes(exchange)


async def test_a_question_without_a_response_is_not_sent_again(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(strict_template)
    await page.goto(f"{site}/chat")
    await send(page, "First")
    await completed(page)
    await send(page, "Fail")
    await expect(page.get_by_role("alert")).to_be_visible()
    await send(page, "Stall")
    await expect(button(page, "Stop")).to_be_visible()
    await expect(page.locator(".unsent").get_by_text("Stall")).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.locator(".note").last).to_contain_text("Stopped.")
    await send(page, "Second")
    await expect(responses(page).last).to_have_text("Second")
    await page.reload()
    await send(page, "Third")
    await expect(responses(page).last).to_have_text("Third")
    assert [content for _, content in sent(model_server)] == ["First", "First", "Second", "Second", "Third"]
    await expect(page.locator(".user.unsent .content")).to_have_text(["Fail", "Stall"])


def too_long(status: int, error: dict[str, Any], max_length: int) -> Behaviour:
    """Rejects messages of more than that many characters, without the system prompt, with this error."""

    async def behave(exchange: Exchange) -> None:
        length = sum(len(message["content"]) for message in exchange.request.json["messages"][1:])
        await (responds(status, {"error": error}) if length > max_length else echoes)(exchange)

    return behave


TOO_LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "OpenAI": (400, {"message": "This model's limit is 8192.", "code": "context_length_exceeded"}),
    "llama.cpp": (
        400,
        {
            "code": 400,
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
        },
    ),
    "vLLM": (
        400,
        {"message": "This model's maximum context length is 8192 tokens.", "type": "BadRequestError", "code": 400},
    ),
    "a gateway": (413, {"message": "Too large"}),
}


@pytest.mark.parametrize("server", TOO_LONG)
async def test_a_conversation_that_is_too_long_continues_without_its_oldest_part(
    page: Page, site: str, model_server: ModelServer, server: str
) -> None:
    model_server.respond_with(too_long(*TOO_LONG[server], max_length=44))
    await page.goto(f"{site}/chat")
    for letter in "abcde":
        await send(page, letter * 5)
        await completed(page)
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.")
    await button(page, "Continue without the oldest messages").click()
    await expect(responses(page).last).to_have_text("eeeee")
    assert [content[0] for _, content in sent(model_server)] == ["c", "c", "d", "d", "e"]
    await expect(responses(page)).to_have_count(5)
    await expect(page.get_by_text("The messages above are no longer sent.")).to_be_visible()
    next_element = page.get_by_text("The messages above are no longer sent.").locator("xpath=following-sibling::*[1]")
    await expect(next_element).to_contain_text("ccccc")

    await page.reload()
    await expect(page.get_by_text("The messages above are no longer sent.")).to_be_visible()
    await send(page, "fffff")
    await expect(responses(page).last).to_have_text("fffff")
    assert [content[0] for _, content in sent(model_server)] == ["c", "c", "d", "d", "e", "e", "f"]
    await button(page, "New chat").click()
    await expect(page.get_by_text("The messages above are no longer sent.")).to_be_hidden()
    await send(page, "g")
    await expect(responses(page)).to_have_text("g")
    await expect(page.get_by_text("The messages above are no longer sent.")).to_be_hidden()


async def test_a_real_model_says_that_a_question_is_too_long(page: Page, real_site: str) -> None:
    await page.goto(f"{real_site}/chat")
    await send(page, "word " * 50_000)
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.", timeout=30_000)


async def test_the_conversation_can_be_shortened_until_it_is_short_enough(
    page: Page, site: str, model_server: ModelServer
) -> None:
    model_server.respond_with(too_long(*TOO_LONG["OpenAI"], max_length=100))
    await page.goto(f"{site}/chat")
    for letter in "abcd":
        await send(page, letter * 10)
        await completed(page)
    await send(page, "e" * 79)
    await button(page, "Continue without the oldest messages").click()
    await expect(button(page, "Continue without the oldest messages")).to_be_visible()
    await button(page, "Continue without the oldest messages").click()
    await expect(responses(page).last).to_have_text("e" * 79)
    assert [content[0] for _, content in sent(model_server)] == ["d", "d", "e"]


async def test_a_question_that_alone_is_too_long_can_be_edited(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(too_long(*TOO_LONG["OpenAI"], max_length=20))
    await page.goto(f"{site}/chat")
    await send(page, "much too long for this model")
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.")
    await button(page, "Edit message").click()
    await expect(page.get_by_label("Your message")).to_have_value("much too long for this model")
    await send(page, "short")
    await expect(responses(page)).to_have_text("short")


@pytest.mark.parametrize("limit", ["messages", "bytes"])
async def test_a_conversation_beyond_the_limits_of_the_service_continues(
    page: Page, site: str, model_server: ModelServer, limit: str
) -> None:
    """The limits here are 1000 messages and a mebibyte."""
    count, size, left = (1002, 1, 501) if limit == "messages" else (100, 12_000, 51)
    messages = [{"role": role, "content": "x" * size} for _ in range(count // 2) for role in ("user", "assistant")]
    await page.goto(f"{site}/docs")
    await page.evaluate(
        "(value) => localStorage.setItem('chat.conversation.long', value)", json.dumps({"messages": messages, "start": 0})
    )
    await page.goto(f"{site}/chat")
    await send(page, "One more")
    await expect(page.get_by_role("alert")).to_contain_text("The conversation is too long.")
    assert not model_server.requests
    await button(page, "Continue without the oldest messages").click()
    await expect(responses(page).last).to_have_text("One more")
    assert len(sent(model_server)) == left


async def test_an_invalid_response_closes_the_request(page: Page, site: str, model_server: ModelServer) -> None:
    await page.goto(f"{site}/chat")
    # The service checks each line: only what stands between the service and the page can send another one.
    await page.evaluate(
        """() => {
            const { parse } = JSON;
            JSON.parse = (text) => (text.includes('"choices"') ? parse("nonsense") : parse(text));
        }"""
    )
    model_server.respond_with(stalls_after(event(chunk({"content": "Hi"}))))
    await send(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text("The service sent an invalid response.")
    await closed(model_server)


async def test_an_error_is_not_markup(page: Page, site: str, model_server: ModelServer) -> None:
    model_server.respond_with(responds(400, {"error": {"message": "<img src=x onerror='window.pwned = 1'>"}}))
    await page.goto(f"{site}/chat")
    await send(page, "Hello")
    await expect(page.get_by_role("alert")).to_contain_text("<img src=x")
    await expect(page.locator("#messages img")).to_have_count(0)
