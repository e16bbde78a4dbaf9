"""Counts the tokens of each request against the budgets, if there are any: without one, nothing of them is imported."""

import asyncio
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

import openai
from fastapi import FastAPI
from starlette.requests import ClientDisconnect

from chat.api.upstream_request import AnyCompletion
from chat.errors import UpstreamErrorObject, UpstreamTimeout
from chat.metadata import Metadata
from chat.settings import Settings, get_settings
from chat.telemetry.request_log import RequestLog

if TYPE_CHECKING:
    from chat.budgets.budgets import Budgets
    from chat.budgets.daily_counts import Count

_MAY_HAVE_BEEN_SENT = (ClientDisconnect, asyncio.CancelledError, UpstreamTimeout)
"""What ends a request before the model server has responded, while that may be working on it."""


def client_name(api_key_name: str | None, person_id: str | None) -> str:
    """Whose budget counts: that of an API key's name, or of who has signed in. All others are one client."""
    if api_key_name:
        return f"key:{api_key_name}"
    return f"user:{person_id}" if person_id else "function-key"


@cache
def get_budgets(web_app: FastAPI) -> "Budgets | None":
    """The budgets of this worker, which its web application stops; None if no budget is set."""
    settings = get_settings()
    if settings.chat_daily_tokens is None and settings.chat_daily_tokens_per_client is None:
        return None
    from chat.api.worker_budgets import make_budgets  # noqa: PLC0415

    budgets = make_budgets(settings)
    web_app.router.add_event_handler("shutdown", budgets.stop)
    return budgets


class TokenCount:
    """An async context manager in which a request is sent: admits it, and counts its tokens.

    Those of the input are estimated and count at once, so that many requests at the same time do not use what others may
    use; the count is corrected when the request has ended. `completion` is to be set when the model server has responded.
    Raises `BudgetUsedUp`.
    """

    def __init__(self, web_app: FastAPI, client: str, body: bytes, settings: Settings, log: RequestLog) -> None:
        self.completion: AnyCompletion | None = None
        self._budgets = get_budgets(web_app)
        self._client = client
        self._body = body
        self._settings = settings
        self._log = log
        self._started = perf_counter()
        self._input_tokens = 0
        self._counts: list[Count] = []

    async def __aenter__(self) -> Self:
        if self._budgets:
            from chat.budgets.token_estimate import estimate_input  # noqa: PLC0415

            self._input_tokens = estimate_input(self._body)
            self._counts = self._budgets.admit(self._client, self._input_tokens)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._budgets:
            tokens = self._tokens(exc)
            self._budgets.add(self._counts, tokens - self._input_tokens)
            self._log.set_counted(tokens, self._settings)

    def _tokens(self, error: BaseException | None) -> int:
        """The tokens of the request: the model server's own usage, or an estimate for what it has not sent."""
        if self._is_rejected(error):
            return 0
        from chat.budgets.token_estimate import estimate_output  # noqa: PLC0415

        usage, chunks, received_bytes = Metadata(), 0, 0
        if completion := self.completion:
            usage, chunks, received_bytes = completion.metadata, completion.chunk_count, completion.received_bytes
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        if not input_tokens:  # each request has some: 0 stands for an unknown number
            input_tokens, output_tokens = self._input_tokens, output_tokens or None
        if output_tokens is None:
            # No more than the timeout: the client may have been slow to read.
            seconds = min(perf_counter() - self._started, self._settings.chat_timeout)
            output_tokens = estimate_output(chunks, received_bytes, seconds)
            if limit := self._settings.chat_max_completion_tokens:
                output_tokens = min(output_tokens, limit)
        return input_tokens + output_tokens

    def _is_rejected(self, error: BaseException | None) -> bool:
        """Whether the model server has responded with an error that costs nothing, or the request was not sent."""
        if self.completion is None:
            return not isinstance(error, _MAY_HAVE_BEEN_SENT) and not _is_billed(error)
        return isinstance(error, UpstreamErrorObject) and not self.completion.chunk_count


def _is_billed(error: BaseException | None) -> bool:
    """Whether the model server charges for a request that it has rejected: Azure does for filtered content and timeouts.

    See https://learn.microsoft.com/azure/ai-foundry/openai/how-to/manage-costs.
    """
    return isinstance(error, openai.APIStatusError) and (error.code == "content_filter" or error.status_code == 408)
