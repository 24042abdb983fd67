"""Statuses are not made where they would only be thrown away, and nothing that matters is missed by that."""

from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest

from aibudget.api.budget import Threshold
from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.api.conditions import Reason
from aibudget.budgeting.evaluation import (
    BudgetKey,
    Evaluation,
    Spend,
    ThresholdStanding,
    ThresholdState,
    WorkloadSpend,
)
from aibudget.budgeting.forecast import Forecast
from aibudget.budgeting.foreseen import Foreseen
from aibudget.budgeting.period import Period
from aibudget.budgeting.vigil import Anomaly, Watched
from aibudget.controller.turns import Settled, Turns
from aibudget.errors import Stalled
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.reporting.difference import HEARTBEAT_SECONDS, is_quiet, patch
from aibudget.reporting.events import transitions
from aibudget.reporting.facts import DataState, Enforcing, Facts
from aibudget.reporting.status import has_news, outline, render

NOW = 1_795_000_500
PAST = PastPeriod(id="2026-10", limit=Decimal(5), spent=Decimal(1), used_percent=20)
OVER = Threshold(name="over", percent=100, actions=("Notify",))
STALE = DataState(fresh=False, reason=Reason.STALE, message="stale")
SPEND = Spend(Decimal(1), 20, NOW - 30, 99, True, Decimal(0), ())
FORESEEN = Forecast(4.0, None, None, None, None, "level")
UNUSUAL = Anomaly(NOW - 3600, NOW, 9.0, 1.0, ())
EVALUATION = Evaluation(
    budget=BudgetKey("AIBudget", "team", "b", "uid"),
    generation=1,
    period=Period("november", Interval(NOW - 900, NOW + 86_400)),
    limit=Decimal(5),
    currency="USD",
    spend=SPEND,
    rate_per_hour=None,
    thresholds=(ThresholdState(OVER, "Below", None),),
    changes=(),
    workloads=(),
    fresh=True,
    began=False,
    evaluated=NOW,
)
WELL = Facts(
    generation=1,
    before=BudgetStatus(),
    now=NOW,
    evaluation=EVALUATION,
    data=DataState(fresh=True, reason=Reason.FRESH, message="fresh"),
)


def standing(now: ThresholdStanding) -> tuple[ThresholdState, ...]:
    return (ThresholdState(OVER, now, None if now == "Unknown" else NOW),)


FIGURES: dict[str, dict[str, Any]] = {
    "spend": {"spend": replace(SPEND, amount=Decimal(2), used_percent=40, coverage_percent=100)},
    "incomplete": {"spend": replace(SPEND, complete=False)},
    "rate": {"rate_per_hour": Decimal(3)},
    "workloads": {"workloads": (WorkloadSpend(Workload("team", "Job", "a"), Decimal(1), Decimal(1), None),)},
    "words": {"data": replace(WELL.data, message="fresh enough")},
    "too short to foresee": {"foreseen": Foreseen(reason="HistoryTooShort")},
    "learning": {"watched": Watched("Learning")},
    "planned": {"watched": Watched("Planned")},
}
NEWS: dict[str, dict[str, Any]] = {
    "no evaluation": {"evaluation": None},
    "period": {"period": Period("december", Interval(NOW, NOW + 86_400))},
    "limit": {"limit": Decimal(9)},
    "currency": {"currency": "EUR"},
    "nothing known": {"spend": replace(SPEND, as_of=None)},
    "unpriced": {"spend": replace(SPEND, unpriced=("gpu (anything)",))},
    "over the limit": {"spend": replace(SPEND, amount=Decimal(7))},
    "unknown": {"thresholds": standing("Unknown")},
    "crossed": {"thresholds": standing("Crossed")},
    "other thresholds": {"thresholds": ()},
    "changes": {"changes": standing("Below")},
    "began": {"began": True},
    "generation": {"generation": 2},
    "stale": {"data": STALE},
    "other reason": {"data": replace(WELL.data, reason=Reason.STALE)},
    "holds": {"enforcing": Enforcing(active=1)},
    "returning": {"enforcing": Enforcing(returning=1)},
    "problem": {"problem": Stalled("InternalError", "oops")},
    "reading back": {"backfill": "read back to a"},
    "history": {"history": (PAST,)},
    "foreseen": {"foreseen": Foreseen(FORESEEN, "", NOW, share=Fraction(4, 5))},
    "foreseen to exceed": {"foreseen": Foreseen(FORESEEN, "", NOW, share=Fraction(6, 5))},
    "as usual": {"watched": Watched("AsUsual")},
    "unusual": {"watched": Watched("Unusual", (UNUSUAL,), NOW)},
    "no receivers": {"unknown_receivers": ()},
    "unknown receivers": {"unknown_receivers": ("nobody",)},
}


def changed(**changes: Any) -> Facts:
    """All is well but for these, of the facts or of the evaluation."""
    ours = {field.name for field in fields(Facts)}
    facts = replace(WELL, **{name: value for name, value in changes.items() if name in ours})
    rest = {name: value for name, value in changes.items() if name not in ours}
    return replace(facts, evaluation=replace(EVALUATION, **rest)) if rest else facts


@pytest.mark.parametrize("name", FIGURES)
def test_moved_figures_leave_the_outline(name: str) -> None:
    """What would be written is quiet, and there is nothing to tell: its turn will come."""
    facts = changed(**FIGURES[name])
    assert outline(facts) == outline(WELL) is not None
    stored = render(WELL)
    difference = patch(stored.to_dict(), render(replace(facts, before=stored, now=NOW + 600)), NOW + 600)
    assert difference is None or is_quiet(stored.to_dict(), difference)
    assert facts.evaluation is not None
    assert transitions(stored, facts.evaluation, facts.data, enforcing=True) == ()


@pytest.mark.parametrize("name", NEWS)
def test_news_has_an_outline_of_its_own(name: str) -> None:
    """Or none at all, where something is the matter: then the status is made in every cycle."""
    facts = changed(**NEWS[name])
    found = outline(facts)
    assert has_news(facts) or found is None or found != outline(WELL)


@pytest.mark.parametrize("name", ["began", "changes"])
def test_what_was_told_rests_from_then_on(name: str) -> None:
    """What happened is in the status that was written with it: made once more it would say the same."""
    told = changed(**NEWS[name])
    stored = render(told)
    after = replace(WELL, before=stored, now=NOW + 60)
    assert has_news(told)
    assert not has_news(after)
    assert outline(told) == outline(after)
    difference = patch(stored.to_dict(), render(after), NOW + 60)
    assert difference is None or is_quiet(stored.to_dict(), difference)
    assert transitions(stored, EVALUATION, WELL.data, enforcing=True) == ()


def test_what_is_loud_is_news() -> None:
    """Of any two facts with one outline, the difference is quiet: the table above forgets nothing."""
    tables = [changed(**change) for change in (*FIGURES.values(), *NEWS.values())]
    for one, other in permutations([WELL, *tables], 2):
        if outline(one) is None or outline(one) != outline(other):
            continue
        stored = render(one)
        difference = patch(stored.to_dict(), render(replace(other, before=stored)), NOW)
        assert difference is None or is_quiet(stored.to_dict(), difference)


def settled(number: int, stored: str = "text") -> Settled:
    return Settled(stored, (1,), NOW + number, ())


def test_the_oldest_have_their_turn() -> None:
    """Everybody's figures are written in the end."""
    turns = Turns(2)
    for number in range(5):
        turns.settle(str(number), settled(number))
    resting = turns.resting(((str(number), "text", (1,), 7) for number in range(5)), NOW)
    assert set(resting) == {"2", "3", "4"}


def test_what_changed_does_not_rest() -> None:
    """By its outline, or in the API server by whoever it was; nor what was never seen, nor what is unwell."""
    turns = Turns(0)
    for number in range(4):
        turns.settle(str(number), settled(number))
    turns.forget(["0", "1", "2"])
    texts = {"0": "text", "1": "other", "2": "text", "3": "text", "4": "text"}
    objects = [(uid, text, (2,) if uid == "2" else (1,), 7) for uid, text in texts.items()]
    assert set(turns.resting(objects, NOW)) == {"0"}
    assert not turns.resting([("0", "text", None, 7)], NOW)


def test_who_spends_nothing_takes_no_turn_of_who_does() -> None:
    """Until the times in its status are five minutes old: then it is written for these alone."""
    turns = Turns(2)
    for number in range(5):
        turns.settle(str(number), settled(number))
    told = [(str(number), "text", (1,), 7) for number in range(4)]
    for _ in range(2):
        turns.resting([*told, ("4", "text", (1,), 7)], NOW)
    assert "4" not in turns.resting([*told, ("4", "text", (1,), 8)], NOW + 60)
    assert set(turns.resting(told, NOW + HEARTBEAT_SECONDS + 4)) == {"2", "3"}
