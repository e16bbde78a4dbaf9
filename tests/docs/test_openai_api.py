"""docs/openai-api.md has every parameter that is forwarded."""

import re

import pytest
from pydantic import BaseModel

from chat.formats import chat_completions, responses_request
from local.settings import APP_DIR

PAGE = (APP_DIR / "docs" / "openai-api.md").read_text()


@pytest.mark.parametrize(
    ("section", "parameters"),
    [
        ("Chat Completions", chat_completions.ForwardedParameters),
        ("Responses", responses_request.ForwardedParameters),
    ],
)
def test_page_has_every_forwarded_parameter(section: str, parameters: type[BaseModel]) -> None:
    _, _, text = PAGE.partition(f"\n## {section}\n")
    rows = re.findall(r"^\| forwarded .*", text.partition("\n## ")[0], re.MULTILINE)
    named = re.findall(r"`(\w+)`", "".join(rows))
    assert [name for name in parameters.model_fields if name not in named] == []
