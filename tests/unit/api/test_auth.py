"""The auth levels that the platform enforces, as the function app declares them, in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from chat.settings import Settings
from local.settings import APP_DIR

KEY = "name=a-key-of-twenty-characters"
CHAT = ("chat", "chat_protocol", "chat_protocol_stream")
V1 = ("chat_completions", "responses", "models", "model", "unknown_v1_route")
ANYONE = ("chat_page", "docs", "assets", "openapi", "health")

LIST = """
import json, function_app
functions = function_app.app.get_functions()
print(json.dumps({function.get_function_name(): function.get_trigger().auth_level.name for function in functions}))
"""


def declared(**environment: str) -> tuple[dict[str, str], str]:
    """The auth level of each function, and what was logged."""
    names = {name.upper() for name in Settings.model_fields}
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", LIST], cwd=APP_DIR, env=inherited | environment, check=True, capture_output=True, text=True
    )
    levels: dict[str, str] = json.loads(done.stdout)
    return levels, done.stderr


@pytest.mark.parametrize(
    ("environment", "chat", "v1"),
    [
        ({"OPENAI_API_KEY": "k"}, "FUNCTION", "FUNCTION"),
        ({"OPENAI_API_KEY": "k", "CHAT_API_KEYS": KEY}, "FUNCTION", "ANONYMOUS"),
        ({"OPENAI_API_KEY": "k", "CHAT_AUTH_LEVEL": "anonymous"}, "ANONYMOUS", "ANONYMOUS"),
        ({"OPENAI_API_KEY": "k", "CHAT_AUTH_LEVEL": "nobody"}, "FUNCTION", "FUNCTION"),
        ({"OPENAI_API_KEY": "k", "CHAT_AUTH_LEVEL": "anonymous", "CHAT_TIMEOUT": "soon"}, "FUNCTION", "FUNCTION"),
        ({}, "FUNCTION", "FUNCTION"),
    ],
)
def test_auth_levels_follow_from_the_settings(environment: dict[str, str], chat: str, v1: str) -> None:
    levels, logged = declared(**environment)
    assert levels == dict.fromkeys(CHAT, chat) | dict.fromkeys(V1, v1) | dict.fromkeys(ANYONE, "ANONYMOUS")
    assert ("something else must guard this app" in logged) == (chat == "ANONYMOUS")
