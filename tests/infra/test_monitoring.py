"""Alerts, the budget and the logs, of deployments with and without them."""

from pathlib import Path

import pytest

from tests.infra.template import INFRA, compiled, deployment, of_type, only, properties

QUERIES = INFRA / "queries"
ALERTS = sorted((QUERIES / "alerts").glob("*.kql"))
RULES = "Microsoft.Insights/scheduledQueryRules"


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_each_query_alerts_by_email(path: Path) -> None:
    deployed = deployment("tuned")
    recipients = only(deployed, "Microsoft.Insights/actionGroups")
    assert [each["emailAddress"] for each in recipients["properties"]["emailReceivers"]] == ["operator@example.com"]
    (rule,) = [each["properties"] for each in of_type(deployed, RULES) if each["name"].endswith(f"-{path.stem}")]
    assert rule["enabled"] is True
    assert rule["scopes"] == [only(deployed, "Microsoft.Insights/components")["id"]]
    assert rule["actions"]["actionGroups"] == [recipients["id"]]
    (criterion,) = rule["criteria"]["allOf"]
    assert criterion["query"] == (QUERIES / "chat.kql").read_text() + path.read_text()
    assert (criterion["timeAggregation"], criterion["operator"], criterion["threshold"]) == ("Count", "GreaterThan", 0)


def test_there_is_a_rule_for_each_query_and_no_other() -> None:
    assert len(of_type(deployment("tuned"), RULES)) == len(ALERTS) == 3


def test_the_budget_gives_notice_before_and_when_it_is_used_up() -> None:
    budget = properties(deployment("tuned"), "Microsoft.Consumption/budgets")
    assert (budget["amount"], budget["timeGrain"]) == (50, "Monthly")
    # Not the date of the deployment: Azure refuses to change it.
    assert budget["timePeriod"] == {"startDate": "2026-12-01"}
    notices = budget["notifications"].values()
    assert {(notice["threshold"], *notice["contactEmails"]) for notice in notices} == {
        (80, "operator@example.com"),
        (100, "operator@example.com"),
    }
    assert all(notice["enabled"] and notice["thresholdType"] == "Actual" for notice in notices)


def test_a_budget_without_a_recipient_or_a_start_fails_with_a_message() -> None:
    variables, amount = compiled()["variables"], "parameters('monthlyBudget')"
    email, start = ("not(empty(parameters('alertEmail')))", "not(empty(parameters('monthlyBudgetStart')))")
    assert variables["budgetIsComplete"] == f"[or(equals({amount}, 0), and({email}, {start}))]"
    failure = "int('MONTHLY_BUDGET requires ALERT_EMAIL and MONTHLY_BUDGET_START')"
    assert variables["budgetAmount"] == f"[if(variables('budgetIsComplete'), {amount}, {failure})]"


def test_by_default_nobody_gets_email() -> None:
    kinds = {each["type"] for each in deployment("default").resources}
    assert not kinds & {RULES, "Microsoft.Insights/actionGroups", "Microsoft.Consumption/budgets"}


@pytest.mark.parametrize(("name", "days", "gigabytes"), [("default", 30, 5), ("tuned", 90, 1)])
def test_logs_are_kept_for_days_and_capped_per_day(name: str, days: int, gigabytes: int) -> None:
    workspace = properties(deployment(name), "Microsoft.OperationalInsights/workspaces")
    assert workspace["retentionInDays"] == days
    assert workspace["workspaceCapping"] == {"dailyQuotaGb": gigabytes}
