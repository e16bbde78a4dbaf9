"""The queries in infra/queries, and the workbook that shows them: against the log line and Application Insights' tables."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.settings import APP_DIR
from testing import npm
from tests.infra.log_line import LOG_KEYS, OUTCOMES
from tests.infra.template import deployment, only, properties

COMPILER = "@kusto/language-service-next@12.4.1"
FOLDER = APP_DIR / "infra" / "queries"
REQUESTS = (FOLDER / "chat.kql").read_text()
QUERIES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.kql")) if path.stem != "chat"}
ALERTS = {f"alerts/{path.stem}": path.read_text() for path in sorted((FOLDER / "alerts").glob("*.kql"))}

# The columns that Application Insights documents, as far as they matter here.
_COMMON = (
    "timestamp: datetime, itemType: string, itemCount: int, customDimensions: dynamic, operation_Name: string, "
    "operation_Id: string, operation_ParentId: string, cloud_RoleName: string, cloud_RoleInstance: string"
)
_CALL = "id: string, name: string, success: string, resultCode: string, duration: real"
SCHEMA = {
    "traces": f"({_COMMON}, message: string, severityLevel: int)",
    "requests": f"({_COMMON}, {_CALL}, url: string)",
    "dependencies": f"({_COMMON}, {_CALL}, target: string, type: string, data: string)",
    "exceptions": f"({_COMMON}, problemId: string, type: string, outerMessage: string)",
}


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Microsoft's Kusto compiler installed."""
    return npm.install(COMPILER, tmp_path_factory.mktemp("kusto"))


def diagnostics(compiler: Path, queries: dict[str, str]) -> dict[str, list[str]]:
    """What the compiler reports about each query."""
    command = ["node", str(APP_DIR / "tests" / "infra" / "kql_diagnostics.cjs")]
    given = json.dumps({"schema": SCHEMA, "queries": queries})
    environment = os.environ | {"NODE_PATH": str(compiler / "node_modules")}
    done = subprocess.run(command, input=given, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_every_query_compiles(compiler: Path) -> None:
    queries = {name: REQUESTS + text for name, text in (QUERIES | ALERTS).items()}
    assert diagnostics(compiler, queries) == {name: [] for name in queries}
    broken = diagnostics(
        compiler, {"column": f"{REQUESTS}chat | where nothing == 1", "syntax": "traces | summarise count()"}
    )
    assert all(broken.values()), "the compiler finds what is wrong"


def test_no_variable_has_the_name_of_a_column_which_would_hide_it() -> None:
    columns = set(re.findall(r"(\w+):", "".join(SCHEMA.values())))
    variables = set(re.findall(r"^let (\w+)", "\n".join([REQUESTS, *QUERIES.values(), *ALERTS.values()]), re.MULTILINE))
    assert "invocation" in variables
    assert not variables & columns


def test_the_queries_read_keys_of_the_log_line() -> None:
    read = {bracketed or plain for bracketed, plain in re.findall(r'\bline(?:\["([^"]+)"\]|\.(\w+))', REQUESTS)}
    assert read
    assert read <= set(LOG_KEYS)
    assert not [name for name, text in (QUERIES | ALERTS).items() if "line." in text], "only chat.kql reads the line"


def test_the_queries_know_every_outcome() -> None:
    used = {value for text in QUERIES.values() for value in re.findall(r'\boutcome == "([^"]+)"', text)}
    assert used == set(OUTCOMES)


def test_the_workbook_shows_every_query_but_the_one_of_a_single_request() -> None:
    content = json.loads(properties(deployment("default"), "Microsoft.Insights/workbooks")["serializedData"])
    panels = [item["content"] for item in content["items"] if item["type"] == 3]
    shown = {panel["query"] for panel in panels}
    assert shown == {REQUESTS + text for name, text in QUERIES.items() if name != "request"}
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_the_workbook_is_one_of_application_insights_with_a_time_range() -> None:
    workbook = properties(deployment("default"), "Microsoft.Insights/workbooks")
    source = only(deployment("default"), "Microsoft.Insights/components")["id"]
    assert workbook["sourceId"] == source
    content = json.loads(workbook["serializedData"])
    assert content["fallbackResourceIds"] == [source]
    (parameters,) = [item["content"]["parameters"] for item in content["items"] if item["type"] == 9]
    (time_range,) = [parameter["name"] for parameter in parameters]
    for item in content["items"]:
        if item["type"] == 3:
            assert item["content"]["timeContextFromParameter"] == time_range
