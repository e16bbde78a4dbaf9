"""docs/deploy.md, held against the template and the log."""

import json
import re

import pytest

from chat.request_log import ChatLog
from tests.infra.test_azd import parameters_file
from tests.infra.test_bicep import ROOT

PATH = ROOT / "docs" / "deploy.md"
GUIDE = PATH.read_text()


def section(title: str) -> str:
    (text,) = re.findall(rf"(?<=^## {title}\n).*?(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    return str(text)


def test_the_guide_lists_every_value_with_its_default() -> None:
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", "".join(re.findall(r"^\| `[^|]*\|", section("Settings"), re.MULTILINE))))
    assert listed == {value for value, _ in parameters_file().values()} - {"AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}
    for value, default in parameters_file().values():
        if default and value in listed:
            assert re.search(rf"^\| `{value}` \|.*\| `{re.escape(default)}` \|$", section("Settings"), re.MULTILINE), value


def test_the_queries_ask_for_what_the_log_says(capsys: pytest.CaptureFixture[str]) -> None:
    log = ChatLog("an-invocation")
    log.provider, log.model, log.chunks = "azure", "chat", 7
    log.first_chunk()
    log.finished({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    log.failed(502, "it broke")
    log.write()
    written = json.loads(capsys.readouterr().out)
    queries = "".join(re.findall(r"```kusto\n(.*?)```", section("Logs"), re.DOTALL))
    assert set(re.findall(r"line\.(\w+)", queries)) <= written.keys()
    (fields,) = re.findall(r"what is known of:\n(.*?)\. It holds", section("Logs"), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", fields, flags=re.DOTALL))) == written.keys()
    outcomes = set(re.findall(r"`(finished|failed|caller left)`", fields))
    source = (ROOT / "chat" / "request_log.py").read_text()
    assert outcomes == set(re.findall(r'outcome = "([a-z ]+)"', source))


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", GUIDE):
        assert "://" in target or (PATH.parent / target).exists(), target
