"""Conditions, Events, status and `explain` name the measure in the lead, and what makes up a limit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from aibudget.api.budget import AIBudget
from aibudget.api.budgetstatus import BudgetStatus, LimitStatus, MeasureStatus, Spend
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.forecast import Forecast
from aibudget.budgeting.foreseen import Foreseen
from aibudget.budgeting.limits import Allowance, Measure, Rollover
from aibudget.enforcement.live import read
from aibudget.reporting.conditions import foreseen_state, state_of
from aibudget.reporting.explanation import Subject, explain
from aibudget.reporting.facts import Facts
from aibudget.reporting.figures import limits_of
from aibudget.reporting.status import render

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]


def measure(name: str, unit: str, limit: int, used: int | None) -> Measure:
    """One that is known as well as can be, or not at all."""
    known = used is not None
    share = None if used is None else Fraction(used)
    return Measure(name, unit, Fraction(limit), share, share, fresh=known, complete=known)


MONEY = measure("limit", "USD", 100, 10)
HOURS = measure("hours", "GPU-Hours", 50, 45)
TOKENS = measure("tokens", "Tokens", 1000, None)
LIVE = read(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "team", "name": "llm", "uid": "u", "resourceVersion": "1"},
    }
)


@pytest.mark.parametrize(
    ("measures", "limit", "state", "said"),
    [
        ((MONEY, HOURS), "100", "BelowThreshold", "45 of 50 GPU-Hours is used (cap hours, 90 %) in 2026-11"),
        ((MONEY, TOKENS), "100", "BelowThreshold", "of cap tokens nothing is known"),
        ((replace(HOURS, used=Fraction(50)),), None, "LimitExceeded", "50 of 50 GPU-Hours is used"),
        ((TOKENS,), None, "NoData", "unknown, not zero"),
    ],
)
def test_the_condition_speaks_of_the_measure_in_the_lead(
    evaluation: EvaluationMaker, measures: tuple[Measure, ...], limit: str | None, state: str, said: str
) -> None:
    """A cap that is full is as full as a limit, and one that nobody can tell of is named."""
    one = replace(evaluation("10"), measures=measures, limit=None if limit is None else Decimal(limit))
    _, reason, message = state_of(one)
    assert (reason, said in message) == (state, True), message


def test_a_period_begins_with_all_its_limits(evaluation: EvaluationMaker) -> None:
    """As the Event says it."""
    one = replace(evaluation("10"), measures=(MONEY, HOURS))
    assert limits_of(one) == "100.00 USD and 50 GPU-Hours"


def test_status_says_what_makes_up_a_limit(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Its parts add up; a plain limit has none, and a zero that came over is a fact."""
    assert render(facts(evaluation("10"))).limit == LimitStatus(amount=Decimal(100), currency="USD")
    money = Allowance(Decimal(100), Decimal(10), Rollover(Decimal("5.50"), Decimal(70), provisional=True))
    shown = render(facts(replace(evaluation("10"), limit=money.amount, allowance=money))).limit
    assert shown is not None
    assert shown.to_dict() == {
        "amount": "95.50",
        "currency": "USD",
        "base": "100",
        "heldBack": "10",
        "rolledOver": "5.50",
        "provisional": True,
    }
    nothing = Allowance(Decimal(100), rollover=Rollover(Decimal(0), Decimal(0), provisional=False))
    shown = render(facts(replace(evaluation("10"), allowance=nothing))).limit
    assert shown is not None
    assert (shown.rolled_over, shown.provisional, shown.held_back) == (Decimal(0), False, None)


def test_before_anything_is_read_nothing_is_zero(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Neither the money nor a cap."""
    one = replace(evaluation("0", as_of=None), measures=(replace(MONEY, used=Fraction(0)), TOKENS))
    assert state_of(one)[1] == "NoData"
    status = render(facts(one))
    assert [measure.used for measure in status.measures] == [None, None]
    assert status.spend is None or status.spend.used_percent is None


def test_measures_are_shown_with_caps_alone(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """The money among them; what was not judged has no percent, and what is unknown no use."""
    assert render(facts(replace(evaluation("10"), measures=(MONEY,)))).measures == ()
    one = replace(evaluation("10"), measures=(MONEY, HOURS, TOKENS), judged_percents={"limit": 10})
    status = render(facts(one))
    assert [(m.name, m.used, m.used_percent) for m in status.measures] == [
        ("limit", 10, 10),
        ("hours", 45, None),
        ("tokens", None, None),
    ]
    assert status.spend is not None
    assert status.spend.measure == "hours"


@pytest.mark.parametrize(
    ("measure_name", "said"),
    [("hours", "90 % of cap hours (50 GPU-Hours) was used."), ("limit", "90 % of 120.00 USD was spent.")],
)
def test_explain_names_it_too(measure_name: str, said: str) -> None:
    """With the limit in force, which need not be that of the spec."""
    budget = AIBudget.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {"name": "b", "namespace": "team"},
            "spec": {
                "limit": {"amount": 100, "currency": "USD"},
                "caps": [{"name": "hours", "meter": "gpu", "quantity": 50, "unit": "GPU-Hours"}],
            },
        }
    )
    status = BudgetStatus(
        limit=LimitStatus(amount=Decimal(120), currency="USD"),
        measures=(MeasureStatus(name="hours", unit="GPU-Hours", limit=Decimal(50), used=Decimal(45)),),
        spend=Spend(used_percent=90, measure=measure_name),
    )
    told = explain(
        Subject(LIVE, None, None), [budget.model_copy(update={"status": status})], datetime.now(UTC)
    )
    assert said in told.budgets[0].message


@pytest.mark.parametrize(
    ("spent", "said"), [("90", "the limit is reached at 2026-11-21T"), ("110", "the limit is passed.")]
)
def test_a_limit_that_is_passed_is_not_foreseen(evaluation: EvaluationMaker, spent: str, said: str) -> None:
    """The time of the last forecast is not when it happened, and moves with each."""
    foreseen = Foreseen(
        Forecast(150.0, None, None, exhausted=1_795_255_200, error_percent=None, model="mean")
    )
    assert said in foreseen_state(evaluation(spent, foreseen=foreseen))[2]


@pytest.mark.parametrize(
    ("scope", "labels", "verdict"),
    [
        ({"workloadSelector": {"matchLabels": {"app": "chat"}}}, {"app": "batch"}, None),
        ({"workloadSelector": {"matchLabels": {"app": "chat"}}}, {}, None),
        ({"workloadSelector": {"matchLabels": {"app": "chat"}}}, {"app": "chat"}, "StopsNothing"),
        ({"workloadSelector": {"matchLabels": {"app": "chat"}}}, None, "Unknown"),
        (
            {
                "workloadSelector": {"matchLabels": {"app": "chat"}},
                "workloads": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly"}],
            },
            {"app": "batch"},
            "Unknown",
        ),
    ],
    ids=["another label", "no label", "its label", "labels that nobody knows", "it may be part of another"],
)
def test_labels_of_its_pods_say_whether_a_scope_takes_it(
    scope: dict[str, object], labels: dict[str, str] | None, verdict: str | None
) -> None:
    """What plainly does not match is not covered; what nobody can tell stays unknown."""
    budget = AIBudget.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {"name": "b", "namespace": "team"},
            "spec": {"limit": {"amount": 100, "currency": "USD"}, "scope": scope},
        }
    )
    subject = Subject(LIVE, None, None, pod_labels=labels)
    words = explain(subject, [budget], datetime.now(UTC)).budgets
    assert [word.verdict for word in words] == ([] if verdict is None else [verdict])
