"""The guide, docs/deploy, and docs/api-management.md: against the template, the queries and the log line."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local.settings import APP_DIR
from tests.infra.log_line import LOG_KEYS, OUTCOMES
from tests.infra.snapshots import DEPLOYMENTS
from tests.infra.template import app_settings, compiled, deployment, parameters_file

GUIDE = sorted((APP_DIR / "docs" / "deploy").glob("*.md"))
PAGES = [*GUIDE, APP_DIR / "docs" / "api-management.md"]


def section(title: str) -> str:
    """The text of the guide's one section or page of this title, without the sections that follow it."""
    text = "".join(page.read_text() for page in GUIDE)
    (found,) = re.findall(rf"(?<=^{title}\n).*?(?=^##? |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def first_cells(text: str) -> set[str]:
    """The code in the first cells of a text's tables."""
    return set(re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE))))


def test_the_settings_table_lists_every_value_with_its_default() -> None:
    listed = first_cells(section("# Settings"))
    assert listed == {value for value, _ in parameters_file().values()} - {"AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}
    for value, default in parameters_file().values():
        if default and value in listed:
            assert re.search(rf"^\| `{value}` \|.*\| `{re.escape(default)}` \|$", section("# Settings"), re.MULTILINE), value


@pytest.mark.parametrize("value", ["REQUESTS_PER_INSTANCE", "MAXIMUM_INSTANCES", "LOG_RETENTION_DAYS"])
def test_the_settings_table_has_the_templates_ranges(value: str) -> None:
    (name,) = [name for name, (key, _) in parameters_file().items() if key == value]
    declared = compiled()["parameters"][name]
    (row,) = re.findall(rf"^\| `{value}` \|.*$", section("# Settings"), re.MULTILINE)
    assert f"{declared['minValue']}–{declared['maxValue']}" in row


def test_the_example_of_a_system_prompt_is_what_it_says() -> None:
    (prompt,) = re.findall(r"azd env set CHAT_SYSTEM_PROMPT '(.*)'", section("# Settings"))
    assert prompt == DEPLOYMENTS["tuned"]["CHAT_SYSTEM_PROMPT"]
    settings = app_settings(deployment("tuned"))
    assert settings["CHAT_SYSTEM_PROMPT"] == 'You are a "pirate".\nAnswer in one sentence.'


def test_the_log_section_lists_every_key_outcome_and_query() -> None:
    queries = {path.name for path in (APP_DIR / "infra" / "queries").glob("*.kql")}
    listed = first_cells(section("## Logs"))
    assert listed == set(LOG_KEYS) | queries - {"chat.kql"}
    (outcomes,) = re.findall(r"^\| `outcome` \| (.*) \|$", section("## Logs"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", outcomes) == OUTCOMES


def test_the_costs_use_the_price_of_the_queries() -> None:
    prices = (APP_DIR / "infra" / "queries" / "chat.kql").read_text()
    ((model, new, cached, out),) = re.findall(r'^    "([^"]+)", ([\d.]+), ([\d.]+), ([\d.]+),$', prices, re.MULTILINE)
    assert f"${new} in (${cached} cached), ${out} out, per million tokens of `{model}`" in section("## Costs")


@pytest.mark.parametrize("page", [page for page in PAGES if "```" in page.read_text()], ids=lambda page: page.name)
def test_code_blocks_parse(page: Path) -> None:
    blocks = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for language, text in blocks:
        match language:
            case "sh":
                subprocess.run(["bash", "-n"], input=text, check=True, text=True)
            case "xml":
                ElementTree.fromstring(text)
            case "bicep":
                pass  # tests/infra/test_snapshots.py compiles it
            case "python":
                compile(text, page.name, "exec")
            case _:
                raise AssertionError(f"{language}: no parser is known here")
