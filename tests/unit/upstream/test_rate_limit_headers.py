"""What clients receive of the model server's headers: its rate limits, within bounds."""

import httpx2
import pytest

from chat.upstream.rate_limit_headers import rate_limit_headers

OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
    "x-ratelimit-limit": "10, 10;w=1",
}

SECRETS = ["my-resource.openai.azure.com", "4secret"]


def test_rate_limits_are_passed_on() -> None:
    others = {"x-request-id": "req_1", "set-cookie": "a=b", "retry-after": "5", "ratelimit": "x"}
    assert rate_limit_headers(httpx2.Headers(OPENAI | others), SECRETS) == OPENAI


def test_names_are_lowercase() -> None:
    assert rate_limit_headers(httpx2.Headers({"X-RateLimit-Reset": "1"}), SECRETS) == {"x-ratelimit-reset": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-ratelimit-", "1"),
        ("x-ratelimit-" + "a" * 41, "1"),
        ("x-ratelimit-a_b", "1"),
        ("x-ratelimit-limit", ""),
        ("x-ratelimit-limit", "1" * 101),
        ("x-ratelimit-limit", "1\t2"),
        ("x-ratelimit-limit", "1\r\nset-cookie: a=b"),
        ("x-ratelimit-limit", "é"),
        ("x-ratelimit-key", "sk-abcdefghijklmnop"),
        ("x-ratelimit-key", "0123456789abcdef0123456789abcdef"),
        ("x-ratelimit-host", "https://my-resource.openai.azure.com/"),
        ("x-ratelimit-host", "1.my-resource.openai.azure.com"),
        ("x-ratelimit-4SECRET", "1"),
    ],
)
def test_invalid_header_is_not_passed_on(name: str, value: str) -> None:
    assert rate_limit_headers(httpx2.Headers([(name.encode(), value.encode())]), SECRETS) == {}


def test_number_of_headers_is_limited() -> None:
    assert len(rate_limit_headers(httpx2.Headers({f"x-ratelimit-{number}": "1" for number in range(100)}), SECRETS)) == 12
