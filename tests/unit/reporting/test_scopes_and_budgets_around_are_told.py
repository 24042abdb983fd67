"""What a scope cannot tell, which budget binds, limits that do not fit, costly work: told, and no illness."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import find_condition
from aibudget.api.unitcost import UnitCost
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.hierarchy import NOWHERE, Place
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.unitcost import UnitCosting, UnitCostState
from aibudget.reporting.events import overcommitted, unit_costs
from aibudget.reporting.facts import Facts
from aibudget.reporting.status import outline, render

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]
AROUND = Place(BudgetKey("ClusterAIBudget", None, "research", "u"))
TOO_MUCH = Place(committed=Decimal(120), children=2, largest=BudgetKey("AIBudget", "team", "one", "uid-one"))


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
    inside = "2 budgets inside it (the largest: AIBudget team/one)"
    assert f"{inside} add up to 120.00 USD, more than its own 100.00 USD" in event.message
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


def costing(amount: str | None, state: UnitCostState, name: str = "tokens") -> UnitCosting:
    """A million tokens at this price, with a ceiling of 2.50."""
    spec = UnitCost.model_validate({"name": name, "meter": "tokens", "per": 1_000_000, "ceiling": "2.50"})
    return UnitCosting(spec, None if amount is None else Fraction(amount), state)


def test_costly_work_is_told(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """In the status, by a condition, and by one Event as it comes above its ceiling."""
    costly = evaluation(unit_costs=(costing("2.6666666", "Above"), costing(None, "Unknown", "cached")))
    status = render(facts(costly))
    assert status.to_dict()["unitCosts"] == [
        {"name": "tokens", "amount": "2.666667", "per": 1_000_000, "ceiling": "2.50", "state": "Above"},
        {"name": "cached", "per": 1_000_000, "ceiling": "2.50", "state": "Unknown"},
    ]
    words = "tokens: 2.666667 USD per 1000000 of tokens, with a ceiling of 2.50 USD."
    assert told(status, "UnitCostsWithin") == ("False", "CeilingExceeded", words)
    (event,) = unit_costs(BudgetStatus(), costly)
    assert (event.reason.value, event.message) == (
        "UnitCostExceeded",
        f"{words} Nothing is stopped for that.",
    )
    assert unit_costs(status, costly) == ()
    assert Memory.from_status(status).above == {"tokens"}


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        (("Within", "Unknown"), ("True", "WithinCeilings")),
        (("Unknown", "Unknown"), ("Unknown", "TooLittleWork")),
        ((), None),
    ],
)
def test_unit_costs_that_nobody_knows_are_not_within(
    evaluation: EvaluationMaker,
    facts: FactsMaker,
    states: tuple[UnitCostState, ...],
    wanted: tuple[str, str] | None,
) -> None:
    """And who has none is told nothing of them."""
    costings = tuple(
        costing("2" if state == "Within" else None, state, f"n{n}") for n, state in enumerate(states)
    )
    said = told(render(facts(evaluation(unit_costs=costings))), "UnitCostsWithin")
    assert (said and said[:2]) == wanted
