"""Keys and endpoints are removed from text, and text of any kind takes linear time."""

from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.redaction import MAX_TEXT_LENGTH, redact
from testing.client import KEY

JWT = "eyJhbGciOi.eyJzdWIiOiIx.sig-nature"
GROQ_KEY = "gsk_" + "aB3" * 17
SECRETS = ["hunter2-hunter2", "https://name.openai.azure.com", "name.openai.azure.com", "schlüssel"]


@pytest.mark.parametrize("key", [KEY, JWT, "0123456789abcdef0123456789abcdef", "sk-ant-api03-x_y-z", f"{KEY}.more"])
def test_strings_shaped_like_keys_are_removed(key: str) -> None:
    assert redact(f"Incorrect key {key} given", []) == "Incorrect key *** given"
    assert redact(f'"{key}", ({key})', []) == '"***", (***)'


def test_key_behind_an_underscore_is_removed() -> None:
    assert GROQ_KEY[4:] not in redact(f"key {GROQ_KEY}", [])


@pytest.mark.parametrize("text", ["task-management", "risk-averse-investors", "a5" * 15, "monkeyJumps over-it"])
def test_other_words_stay(text: str) -> None:
    assert redact(text, SECRETS) == text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "echo",
    [
        str,
        str.upper,
        str.title,
        quote,
        lambda secret: quote(secret, safe="").lower(),
        lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    ],
)
def test_own_secrets_are_removed_in_any_case_and_percent_encoding(secret: str, echo: object) -> None:
    assert callable(echo)
    assert redact(f"before <{echo(secret)}> after", SECRETS) == "before <***> after"


@given(st.text() | st.text("eyJ-.sk%_aA0", max_size=200), st.integers(0, 100))
def test_text_is_cut_and_no_secret_with_it(text: str, position: int) -> None:
    assert len(redact(text * 50, SECRETS)) <= MAX_TEXT_LENGTH
    padded = "." * (MAX_TEXT_LENGTH - position) + SECRETS[0] + text
    assert "hunter" not in redact(padded, SECRETS)


@pytest.mark.parametrize("secret", [*SECRETS, KEY, "0123456789abcdef0123456789abcdef", "gateway-key_A1b2.C3d4"])
@pytest.mark.parametrize("before", ["sk-" + "a" * 3200, "hunter2-hunter2 " * 200, f"{KEY} " * 62])
def test_no_part_of_a_secret_moves_into_the_text_when_others_are_removed(secret: str, before: str) -> None:
    for length in range(2000, 3200, 5):
        redacted = redact(f"{before[:length]} ({secret}) and more", [*SECRETS, secret])
        assert secret[:6] not in redacted.replace(before[:6], "")


@pytest.mark.parametrize(
    "unit",
    ["eyJ-", "eyJa.", "sk-", "sk-a-", "a", "a_", "%", "%68unter", "hunter2-", "https://name.", "-", "eyJ" + "a" * 9 + "."],
)
def test_time_does_not_grow_with_the_text(unit: str) -> None:
    """It is cut first: a megabyte takes no longer than 16 KiB, where a quadratic expression would take an hour."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = process_time()
        redact(text, SECRETS)
        return process_time() - started

    redact("", SECRETS)  # compiles the expression
    assert min(seconds(1 << 20) for _ in range(5)) < 10 * min(seconds(1 << 14) for _ in range(5)) + 0.001
