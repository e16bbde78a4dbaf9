"""The keys and outcomes of the service's log line, taken from what it logs."""

import json
import logging

from pydantic import SecretStr

from chat.completion_request import CompletionRequest
from chat.errors import RateLimited
from chat.metadata import Metadata
from chat.settings import Settings
from chat.telemetry.log_writer import flush, logger
from chat.telemetry.request_log import RequestLog


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


def _logged() -> list[dict[str, object]]:
    """A line of each outcome, with everything that may be known of a request."""
    collector = _Collector()
    logger.addHandler(collector)
    settings = Settings(openai_api_key=SecretStr("k"), chat_daily_tokens=2, chat_daily_tokens_per_client=1)
    for outcome in ("completed", "failed", "disconnected"):
        log = RequestLog("an-id", "chat", f"00-{'a' * 32}-{'b' * 16}-01")
        log.set_client("alice", "00000000-0000-0000-0000-000000000001")
        log.set_request(settings, CompletionRequest([], stream=True))
        log.set_first_chunk()
        log.set_chunk_count(1)
        log.set_counted(1, settings)
        if outcome == "completed":
            log.set_completed(Metadata("chatcmpl-1", "m", ["stop"], 1, 1, 1, 1))
        elif outcome == "failed":
            log.set_failed(RateLimited("Rate limit exceeded."))
        log.write()
    flush()
    logger.removeHandler(collector)
    return collector.lines


_LINES = _logged()
LOG_KEYS = list(dict.fromkeys(key for line in _LINES for key in line))
OUTCOMES = [str(line["outcome"]) for line in _LINES]
