"""Thresholds with basis Forecast: crossed by several forecasts, left by several, and fast while they stop."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import Budget, Threshold
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.forecast import Forecast
from aibudget.budgeting.foreseen import (
    CROSSING,
    LEAVING,
    LEAVING_PERCENT,
    UNFORESEEN,
    Capped,
    Foreseen,
    runs,
)
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Shares
from aibudget.budgeting.verdict import Moment, evaluate
from unit.budgeting.conftest import NOON

TELL = [{"name": "ahead", "percent": 100, "basis": "Forecast", "actions": ["Notify"]}]
STOP = [{"name": "ahead", "percent": 100, "basis": "Forecast", "actions": ["Notify", "ScaleDown"]}]
ENFORCE = {"mode": "Enforce"}
AHEAD = Threshold(name="ahead", percent=100, basis="Forecast", actions=("Notify",))

Told = Callable[..., Evaluation]


def forecasts(
    amounts: Iterable[float], before: Foreseen = UNFORESEEN, *, edited: bool = False, limit: int = 100
) -> list[Foreseen]:
    """One forecast after another, as the hours make them; `edited` is the first of them."""
    found = []
    for amount in amounts:
        known = {} if edited else before.runs
        running = runs([AHEAD], Fraction(amount) / limit, known)
        before = Foreseen(Forecast(amount, None, None, None, None, "m"), "", NOON, running, edited)
        found.append(before)
        edited = False
    return found


@pytest.fixture
def tell(make_line: Callable[..., Any], make_statement: Callable[..., Any]) -> Told:
    """A budget of 100 that has spent 50, evaluated with one forecast after another."""

    def do(
        budget: Budget, several: Iterable[Foreseen], before: Evaluation | None = None, fresh: bool = True
    ) -> Evaluation:
        share = Shares({"gpu": make_statement(make_line(50))}, {}, frozenset({"gpu"})).of(budget)
        period = current(budget.spec.period, NOON)
        for foreseen in several:
            memory = Memory.of(before) if before else Memory()
            moment = Moment(NOON, Gate(fresh), gates={"gpu": Gate(fresh)}, foreseen=foreseen)
            before = evaluate(budget, period, share, memory, moment)
        assert before is not None
        return before

    return do


def standing(evaluation: Evaluation) -> str:
    """How its only threshold stands."""
    return evaluation.thresholds[0].standing


def test_one_forecast_is_noise_and_several_in_a_row_are_a_crossing(
    make_budget: Callable[..., Budget], tell: Told
) -> None:
    """Up and down: the second crosses, and three that are well below it leave it again."""
    budget = make_budget(thresholds=TELL)
    below = tell(budget, forecasts([80]))
    assert standing(below) == "Below"
    rising = forecasts([110] * CROSSING)
    assert [standing(tell(budget, rising[: n + 1], below)) for n in range(CROSSING)] == ["Below", "Crossed"]
    crossed = tell(budget, rising, below)
    falling = forecasts([97, *[100 - LEAVING_PERCENT - 1] * LEAVING], rising[-1])
    stood = [standing(tell(budget, falling[: n + 1], crossed)) for n in range(len(falling))]
    assert stood == ["Crossed", "Crossed", "Crossed", "Below"]


def test_what_stops_is_held_fast_until_somebody_edits(make_budget: Callable[..., Budget], tell: Told) -> None:
    """To let go by a forecast alone would start again what it had stopped; another limit is a word."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = tell(budget, [*forecasts([80]), *forecasts([110] * CROSSING)])
    assert standing(active) == "Active"
    assert active.active("ScaleDown") is not None
    low = forecasts([10] * 5)
    assert standing(tell(budget, low, active)) == "Active"
    raised = forecasts([110], edited=True, limit=1000)
    assert standing(tell(make_budget("1000", 2, thresholds=STOP, enforcement=ENFORCE), raised, active)) == (
        "Below"
    )


def test_what_an_edit_makes_of_the_forecast_waits(make_budget: Callable[..., Budget], tell: Told) -> None:
    """A limit that is cut below what is foreseen stops nothing in this period."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    below = tell(budget, forecasts([80]))
    cut = tell(
        make_budget(generation=2, thresholds=STOP, enforcement=ENFORCE), forecasts([110], edited=True), below
    )
    assert standing(cut) == "Waiting"


def test_a_new_budget_learns_first_what_is_so(make_budget: Callable[..., Budget], tell: Told) -> None:
    """Nothing is known of it before a forecast; what the first one crosses was crossed before."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    assert standing(tell(budget, [UNFORESEEN])) == "Unknown"
    assert standing(tell(budget, [UNFORESEEN, *forecasts([110])])) == "Waiting"
    assert standing(tell(budget, [UNFORESEEN, *forecasts([90])])) == "Below"


def test_stale_data_lets_a_forecast_tell_but_stop_nothing(
    make_budget: Callable[..., Budget], tell: Told
) -> None:
    """However long the forecast has been over: acts begin by what is known now."""
    several = forecasts([110] * 5)
    for thresholds, enforcement, expected in ((TELL, {}, "Crossed"), (STOP, ENFORCE, "Below")):
        budget = make_budget(thresholds=thresholds, enforcement=enforcement)
        below = tell(budget, forecasts([80]))
        assert standing(tell(budget, several, below, fresh=False)) == expected
    active = tell(budget, several, below)
    assert standing(active) == "Active"
    assert standing(tell(budget, [UNFORESEEN], active)) == "Active"
    assert standing(tell(replaced(budget), [UNFORESEEN], active)) == "Crossed"


def replaced(budget: Budget) -> Budget:
    """The same budget in mode Observe."""
    enforcement = budget.spec.enforcement.model_copy(update={"mode": "Observe"})
    return budget.model_copy(update={"spec": budget.spec.model_copy(update={"enforcement": enforcement})})


@given(st.lists(st.floats(0, 300), max_size=40))
def test_runs_count_what_came_last(amounts: list[float]) -> None:
    """A run ends with the first forecast that is not of it."""
    running = forecasts(amounts)
    for place, foreseen in enumerate(running):
        run = foreseen.runs["ahead"]
        last = amounts[: place + 1][-abs(run) :] if run else []
        assert all(amount >= 100 if run > 0 else amount < 100 - LEAVING_PERCENT for amount in last)
        assert len(last) == abs(run)
        assert replace(foreseen, edited=True).is_over(AHEAD) == (run > 0)


def capped(share: str) -> Capped:
    """A cap of which so much is foreseen to be used."""
    part = Fraction(share)
    return Capped("hours", "GPU-Hours", Forecast(float(part) * 50, None, None, None, None, "m"), part)


@pytest.mark.parametrize(
    ("money", "cap", "expected"),
    [("9/10", "11/10", "hours"), ("11/10", "9/10", None), ("1", "1", None), (None, "1/10", "hours")],
)
def test_what_is_foreseen_to_be_used_most_leads(money: str | None, cap: str, expected: str | None) -> None:
    """As of what is used: the money first where both are the same."""
    foreseen = Foreseen(share=None if money is None else Fraction(money), caps=(capped(cap),))
    found = foreseen.leading_cap
    assert (None if found is None else found.name) == expected
    assert foreseen.is_known


def test_what_is_not_foreseen_may_be_over(make_budget: Callable[..., Budget]) -> None:
    """A threshold is not left while something that is limited has no forecast, however low the others are."""
    low = Fraction(10, 100)
    assert runs([AHEAD], low, {"ahead": 5}) == {"ahead": -1}
    assert runs([AHEAD], low, {"ahead": 5}, whole=False) == {"ahead": 0}
    assert runs([AHEAD], Fraction(2), {"ahead": 5}, whole=False) == {"ahead": 6}


@pytest.mark.parametrize(("share", "everything"), [("11/10", True), ("9/10", False)])
def test_a_cap_that_is_foreseen_to_be_crossed_takes_everything(
    make_budget: Callable[..., Budget], tell: Told, share: str, everything: bool
) -> None:
    """Nobody knows what each workload will use of it; one that is not leaves the choice to the money."""
    hours = {"name": "hours", "meter": "gpu", "quantity": 50, "unit": "GPU-Hours"}
    enforcement = ENFORCE | {"extent": "UntilForecastFits"}
    budget = make_budget(thresholds=STOP, enforcement=enforcement, caps=[hours])
    several = [replace(one, share=Fraction(21, 20), caps=(capped(share),)) for one in forecasts([105] * 3)]
    below = tell(budget, [replace(one, caps=(capped("1/10"),)) for one in forecasts([80])])
    active = tell(budget, several, below)
    assert (standing(active), active.stops_everything) == ("Active", everything)
    assert active.caps_may_stop


def test_a_stop_for_a_cap_begins_by_what_its_meter_tells_now(
    make_budget: Callable[..., Budget], tell: Told
) -> None:
    """The meter of the cap that leads is not read: nothing is stopped, however fresh the money is."""
    hours = {"name": "hours", "meter": "tokens", "quantity": 50, "unit": "Tokens"}
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE, caps=[hours])
    below = tell(budget, [replace(one, caps=(capped("1/10"),)) for one in forecasts([80])])
    over = [replace(one, share=Fraction(1, 2), caps=(capped("2"),)) for one in forecasts([105] * 3)]
    assert standing(tell(budget, over, below)) == "Below"
    assert standing(tell(budget, [replace(one, caps=()) for one in over], below)) == "Active"
