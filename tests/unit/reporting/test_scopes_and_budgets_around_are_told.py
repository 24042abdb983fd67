"""What a scope cannot tell, which budget binds, and limits that do not fit: told once, and of no health."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import find_condition
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.hierarchy import NOWHERE, Place
from aibudget.reporting.events import overcommitted
from aibudget.reporting.facts import Facts
from aibudget.reporting.status import outline, render

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]
AROUND = Place(BudgetKey("ClusterAIBudget", None, "research", "u"))
TOO_MUCH = Place(committed=Decimal(120), children=2)


def told(status: BudgetStatus, kind: str) -> tuple[str, str, str] | None:
    """Status, reason and message of a condition that is there."""
    found = find_condition(status.conditions, kind)
    return None if found is None else (found.status, found.reason, found.message)


@pytest.mark.parametrize(
    ("unknown", "reason", "words"),
    [
        ({"unlabelled": ("app/part", "team")}, "LabelsUnknown", "-allowlist=pods=[app/part,team]"),
        ({"unmetered": ("energy",)}, "MetersNotRead", "meters energy of its scope"),
    ],
)
def test_what_a_scope_cannot_tell_is_told_with_the_way_out(
    evaluation: EvaluationMaker, facts: FactsMaker, unknown: dict[str, object], reason: str, words: str
) -> None:
    """Ready stays: an exporter is no fault of the budget's."""
    status = render(facts(evaluation(**unknown)))
    said = told(status, "ScopeUnclear")
    assert said is not None
    assert said[:2] == ("True", reason)
    assert words in said[2]
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "True"
    assert told(render(facts(evaluation(), before=status)), "ScopeUnclear") is None


def test_the_binding_budget_is_named(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """And no more once there is none."""
    status = render(facts(evaluation(), place=AROUND))
    assert status.to_dict()["binding"] == {"kind": "ClusterAIBudget", "name": "research"}
    assert "binding" not in render(facts(evaluation(), before=status)).to_dict()


def test_limits_that_do_not_fit_are_a_warning_once(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """With both sums; and again when it happens again with others."""
    now = evaluation()
    (event,) = overcommitted(BudgetStatus(), now, TOO_MUCH)
    assert (event.reason.value, event.reason.kind) == ("BudgetOvercommitted", "Warning")
    assert "2 budgets inside it add up to 120.00 USD, more than its own 100.00 USD" in event.message
    status = render(facts(now, place=TOO_MUCH))
    assert told(status, "Overcommitted") == ("True", "LimitsExceedLimit", event.message)
    assert overcommitted(status, now, TOO_MUCH) == ()
    assert overcommitted(BudgetStatus(), now, AROUND) == ()
    (other,) = overcommitted(BudgetStatus(), now, replace(TOO_MUCH, committed=Decimal(130)))
    assert other.name != event.name


def test_a_budget_that_rests_wakes_for_another_place(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Figures may wait, who binds may not."""
    seen = {outline(facts(evaluation(), place=place)) for place in (NOWHERE, AROUND, TOO_MUCH)}
    seen |= {outline(facts(evaluation(unlabelled=("a",)))), outline(facts(evaluation("20")))}
    assert len(seen) == 4
