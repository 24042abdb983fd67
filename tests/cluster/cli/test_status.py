"""`aibudget status` against a real API server: both kinds, an exit code that answers, JSON for machines."""

import json

import pytest

from cluster.cli.conftest import Desk, condition

pytestmark = pytest.mark.cluster

LIMIT = "{limit: {amount: 1000, currency: USD}}"
OVER = {
    "conditions": [
        condition("WithinBudget", "False", "LimitExceeded"),
        condition("DataFresh", "True", "Fresh"),
    ],
    "spend": {"amount": "1010.50", "usedPercent": 101},
}
WITHIN = {
    "conditions": [condition("WithinBudget", "True", "BelowThreshold")],
    "spend": {"amount": "1.00", "usedPercent": 0},
}


def test_both_kinds_stand_in_one_table(desk: Desk) -> None:
    """The budgets of the namespace, and those that reach over it."""
    desk.put("AIBudget", "training", LIMIT, OVER)
    everywhere = "{limit: {amount: 80000, currency: USD}, scope: {namespaceSelector: {}}}"
    desk.put("ClusterAIBudget", "research", everywhere, WITHIN, everywhere=True)

    ran = desk.aibudget("status", "-n", desk.namespace)

    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ran.exit_code == 0
    assert [
        desk.namespace,
        "AIBudget",
        "training",
        "1000",
        "USD",
        "1010.50",
        "101%",
        "-",
        "LimitExceeded",
    ] in [line[:9] for line in lines]
    assert ["-", "ClusterAIBudget", "research", "80000", "USD", "1.00", "0%", "-", "BelowThreshold"] in [
        line[:9] for line in lines
    ]


@pytest.mark.parametrize(("name", "code"), [("training", 1), ("chat", 0)])
def test_the_exit_code_answers_for_the_budgets_shown(desk: Desk, name: str, code: int) -> None:
    """A pipeline asks about its own budget, not about its neighbour's."""
    desk.put("AIBudget", "training", LIMIT, OVER)
    desk.put("AIBudget", "chat", LIMIT, WITHIN)

    ran = desk.aibudget("status", name, "-n", desk.namespace, "--exit-code")

    assert ran.exit_code == code
    assert name in ran.stdout


def test_json_is_the_objects_themselves(desk: Desk) -> None:
    """What jq gets is what `kubectl get -o json` would give it."""
    desk.put("AIBudget", "training", LIMIT, OVER)

    ran = desk.aibudget("status", "training", "-n", desk.namespace, "-o", "json")

    (item,) = json.loads(ran.stdout)["items"]
    assert item["status"]["spend"]["amount"] == "1010.50"
    assert "managedFields" not in item["metadata"]


def test_a_name_that_is_not_there_is_no_empty_success(desk: Desk) -> None:
    """Exit code 2, and where it was looked for."""
    ran = desk.aibudget("status", "trainign", "-n", desk.namespace)

    assert ran.exit_code == 2
    assert "'trainign'" in ran.stderr
    assert desk.namespace in ran.stderr
