"""What the tables of `status` and `holds` say, from objects as the API server gives them."""

import json
from decimal import Decimal
from typing import Any

import pytest
import yaml

from aibudget.api.hold import Claim, Hold
from aibudget.cli import explain, holds, status
from aibudget.cli.output import objects
from aibudget.reporting.explanation import Explanation
from aibudget.reporting.table import table

CONDITION = {"message": "Known spend has reached the limit.", "lastTransitionTime": "2026-11-21T10:00:00Z"}
NAME = "AIBudget team-vision/training"
BUDGET: dict[str, Any] = {
    "apiVersion": "aibudget.io/v1alpha1",
    "kind": "AIBudget",
    "metadata": {"name": "training", "namespace": "team-vision", "managedFields": [{"manager": "kubectl"}]},
    "spec": {"limit": {"amount": "12000.00", "currency": "USD"}},
    "status": {
        "conditions": [
            {"type": "WithinBudget", "status": "False", "reason": "LimitExceeded", **CONDITION},
            {"type": "DataFresh", "status": "True", "reason": "Fresh", **CONDITION},
        ],
        "period": {
            "id": "2026-11@Europe/Berlin",
            "startTime": "2026-10-31T23:00:00Z",
            "endTime": "2026-11-30T23:00:00Z",
        },
        "spend": {"amount": "12010.55", "usedPercent": 100, "coveragePercent": 99},
        "holds": {"active": 2, "pending": 1},
    },
}
HOLD = Hold.read(
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "Hold",
        "metadata": {"name": "deployment-llm-3b9f0c12", "namespace": "team-vision"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": "t"},
            "action": "ScaleDown",
            "claims": [
                {
                    "kind": "AIBudget",
                    "name": "training",
                    "uid": "b",
                    "periodId": "2026-11@Europe/Berlin",
                    "threshold": "over",
                    "decision": "Approved",
                    "noticeTime": "2026-11-21T10:00:00Z",
                }
            ],
            "original": [{"path": "/spec/replicas", "json": "6"}],
        },
        "status": {
            "conditions": [{"type": "Applied", "status": "True", "reason": "Held", **CONDITION}],
            "enforcedTime": "2026-11-21T10:15:02Z",
        },
    }
)


def test_a_table_is_kubectl_s() -> None:
    """Upper case, padded, no line; what is empty is a dash, and no line ends in spaces."""
    assert table(["name", "used%"], [["chat", ""], ["training", "7%"]]) == (
        "NAME       USED%\nchat       -\ntraining   7%"
    )


def test_a_budget_s_row_reads_its_status() -> None:
    """Money with its currency, and the reasons of the conditions as words."""
    row = dict(zip(status.WIDE, status.Standing.of(BUDGET).row(wide=True), strict=True))

    assert row["limit"] == "12000.00 USD"
    assert (row["used"], row["used%"]) == ("12010.55", "100%")
    assert (row["state"], row["data"], row["held"]) == ("LimitExceeded", "Fresh", "2")
    assert row["resets"] == "2026-11-30T23:00:00Z"
    assert row["message"] == "Known spend has reached the limit."


def test_caps_stand_in_the_wide_table() -> None:
    """What is used of each, and a question mark where nothing tells; the limit is the one in force."""
    told = {
        "limit": {"amount": "10800.00", "currency": "USD"},
        "measures": [
            {"name": "limit", "unit": "USD", "limit": "10800", "used": "5000"},
            {"name": "hours", "unit": "GPU-Hours", "limit": "1500", "used": "980.25"},
            {"name": "tokens", "unit": "Tokens", "limit": "1000"},
        ],
    }
    row = status.Standing.of({**BUDGET, "status": {**BUDGET["status"], **told}}).row(wide=True)
    found = dict(zip(status.WIDE, row, strict=True))
    assert found["limit"] == "10800.00 USD"
    assert found["caps"] == "hours 980.25/1500 GPU-Hours, tokens ?/1000 Tokens"

    alone = {**BUDGET, "spec": {"caps": []}, "status": {}}
    assert status.Standing.of(alone).row(wide=False)[status.COLUMNS.index("limit")] == ""


def test_unknown_is_neither_zero_nor_over() -> None:
    """A budget that nobody has evaluated yet shows dashes and is not over."""
    fresh = status.Standing.of({**BUDGET, "status": {"observedGeneration": -1}})
    row = dict(zip(status.COLUMNS, fresh.row(wide=False), strict=True))

    assert (row["used"], row["used%"], row["held"]) == ("", "", "")
    assert not fresh.over


def test_zero_is_a_fact() -> None:
    """0 spent is shown, unlike nothing known."""
    spent = {**BUDGET["status"], "spend": {"amount": "0", "usedPercent": 0}, "holds": {"active": 0}}
    row = dict(
        zip(status.COLUMNS, status.Standing.of({**BUDGET, "status": spent}).row(wide=False), strict=True)
    )

    assert (row["used"], row["used%"], row["held"]) == ("0", "0%", "0")


@pytest.mark.parametrize(("standing", "over"), [("True", False), ("False", True), ("Unknown", False)])
def test_over_is_known_to_be_over(standing: str, over: bool) -> None:
    """`--exit-code` must not fail a pipeline for lack of data."""
    condition = {"type": "WithinBudget", "status": standing, "reason": "NoData", **CONDITION}

    assert status.Standing.of({**BUDGET, "status": {"conditions": [condition]}}).over is over


def test_a_stalled_budget_says_so_first() -> None:
    """What waits for a human comes before what was last known."""
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", **CONDITION}
    conditions = [*BUDGET["status"]["conditions"], stalled]
    row = status.Standing.of({**BUDGET, "status": {"conditions": conditions}}).row(wide=False)

    assert row[status.COLUMNS.index("state")] == "InvalidSpec"


def test_a_hold_s_row_tells_who_since_when_and_what_comes_back() -> None:
    """The four questions of the person whose workload is gone."""
    row = dict(zip(holds.COLUMNS, holds.row(HOLD, wide=False), strict=True))

    assert row["target"] == "Deployment/llm"
    assert row["state"] == "Held"
    assert row["since"] == "2026-11-21T10:15:02Z"
    assert row["budgets"] == "AIBudget/training (over)"
    assert row["puts back"] == "/spec/replicas = 6"


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (
            {"decision": "Pending", "expire_time": "2026-11-22T10:00:00Z"},
            "Pending until 2026-11-22T10:00:00Z",
        ),
        ({"decision": "Approved"}, ""),
        ({"decision": "Approved", "decided_by": "alice"}, "Approved by alice"),
        (
            {"decision": "Vetoed", "decided_by": "bob", "decided_until": "2026-11-22T10:00:00Z"},
            "Vetoed by bob until 2026-11-22T10:00:00Z",
        ),
        ({"decision": "Expired", "expire_time": "2026-11-22T10:00:00Z"}, "Expired"),
    ],
)
def test_a_decision_is_told_with_who_or_until_when(claim: dict[str, str], told: str) -> None:
    """Whoever looks at a Hold sees who is to be thanked, and by when somebody must decide."""
    assert holds.decision(Claim(**{**HOLD.spec.claims[0].model_dump(), **claim})) == told


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_machines_get_the_objects_as_kubectl_prints_them(output: str, read: Any) -> None:
    """A List of whole objects, without managedFields."""
    printed = read(objects([BUDGET], output))

    assert (printed["kind"], len(printed["items"])) == ("List", 1)
    assert printed["items"][0]["status"] == BUDGET["status"]
    assert "managedFields" not in printed["items"][0]["metadata"]


@pytest.mark.parametrize(
    ("condition", "quiet"),
    [
        ("SpendAsUsual", "True"),
        ("ReceiversResolved", "True"),
        ("Stalled", None),
        ("ScopeUnclear", None),
        ("Unpriced", None),
    ],
)
def test_what_no_cell_shows_is_said_below_the_table(condition: str, quiet: str | None) -> None:
    """While it lasts, in a sentence; else nothing is said."""
    loud = "False" if quiet else "True"
    told = {**CONDITION, "type": condition, "reason": "Why", "message": "So it is."}
    budget = {**BUDGET, "status": {"conditions": [{**told, "status": loud}]}}
    assert status.Standing.of(budget).remarks == ["AIBudget team-vision/training: So it is."]
    if quiet:
        budget = {**BUDGET, "status": {"conditions": [{**told, "status": quiet}]}}
        assert status.Standing.of(budget).remarks == []
    assert status.Standing.of(BUDGET).remarks == []
    budget = {**BUDGET, "status": {"conditions": [{**told, "status": loud, "message": f"{NAME} is so."}]}}
    assert status.Standing.of(budget).remarks == [f"{NAME} is so."], "nobody is named twice"


def test_the_forecast_shown_is_that_of_what_will_be_used_most() -> None:
    """Money, or a cap with its unit; with its own range, error and end."""
    money = {"amount": "9000.00", "usedPercent": 75}
    cap = {"amount": "1600.00", "usedPercent": 106, "exhaustedTime": "2026-11-29T00:00:00Z"}
    for used, expected in ((106, "1600.00 GPU-Hours"), (70, "9000.00")):
        measures = [
            {"name": "hours", "unit": "GPU-Hours", "limit": "1500", "forecast": cap | {"usedPercent": used}}
        ]
        told = {**BUDGET, "status": {**BUDGET["status"], "forecast": money, "measures": measures}}
        row = dict(zip(status.WIDE, status.Standing.of(told).row(wide=True), strict=True))
        assert row["forecast"] == expected
        assert (row["exhausted"] != "") is (used == 106)


@pytest.mark.parametrize(("currency", "said"), [("EUR", "41.28 EUR per hour"), (None, "41.28 per hour")])
def test_a_cost_has_a_currency_where_it_is_known(currency: str | None, said: str) -> None:
    """Budgets in several currencies may hold a workload together."""
    cost = Decimal("41.28")
    found = Explanation("team", "Deployment", "llm", "Held", None, "h", (), cost, currency, (), (), ())
    assert f"It spent {said} before." in explain.told(found)
