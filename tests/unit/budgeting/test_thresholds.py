"""Thresholds latch: crossed stays crossed until something is changed, and only knowledge lets go."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.budget import Budget, Enforcement, Threshold
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.memory import Memory, Remembered
from aibudget.budgeting.threshold import Known, states

NOVEMBER = 1_793_491_200
DECEMBER = NOVEMBER + 30 * 86_400
STOP = [{"name": "stop", "percent": 100, "actions": ["ScaleDown"]}]
ENFORCE = {"mode": "Enforce"}
AT_ONCE = {"mode": "Enforce", "onAlreadyCrossed": "Enforce"}
Judge = Callable[..., Evaluation]
Make = Callable[..., Budget]


def standing(evaluation: Evaluation) -> str:
    """How the highest threshold stands."""
    return evaluation.thresholds[-1].standing


def test_without_thresholds_there_are_two(judge: Judge, make_budget: Make) -> None:
    """80 and 100 percent; crossing is exact and includes the very percent."""
    budget = make_budget("300")
    states = [
        [(s.threshold.name, s.standing) for s in judge(budget, dollars).thresholds]
        for dollars in ("239.9999", "240", "300")
    ]
    assert states == [
        [("warn", "Below"), ("full", "Below")],
        [("warn", "Crossed"), ("full", "Below")],
        [("warn", "Crossed"), ("full", "Crossed")],
    ]


def test_percent_is_shown_rounded_down(judge: Judge, make_budget: Make) -> None:
    """99.99 % is not 100 %, and a third of a cent is not lost in sums."""
    evaluation = judge(make_budget("300"), "299.9999")
    assert (evaluation.spend.used_percent, str(evaluation.spend.amount)) == (99, "299.9999")
    assert judge(make_budget("0.000000001"), "0.00001").spend.used_percent == 1_000_000
    assert judge(make_budget("0.000000001"), 1_000_000).spend.used_percent == 2**31 - 1


def test_usage_that_crosses_acts_in_enforce(judge: Judge, make_budget: Make) -> None:
    """Below, then crossed by spending: in force at once, and told as a change once."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    below = judge(budget, 50)
    crossed = judge(budget, 100, below, now=below.evaluated + 60)
    again = judge(budget, 101, crossed, now=below.evaluated + 120)
    assert [standing(e) for e in (below, crossed, again)] == ["Below", "Active", "Active"]
    assert [len(e.changes) for e in (below, crossed, again)] == [0, 1, 0]
    assert again.thresholds[0].crossed == below.evaluated + 60
    assert again.active("ScaleDown") == again.thresholds[0]
    assert again.active("Notify") is None


def test_observe_only_tells(judge: Judge, make_budget: Make) -> None:
    """Crossed, never in force."""
    budget = make_budget(thresholds=STOP)
    assert standing(judge(budget, 150, judge(budget, 50))) == "Crossed"


@pytest.mark.parametrize(("enforcement", "wanted"), [(ENFORCE, "Waiting"), (AT_ONCE, "Active")])
def test_what_was_crossed_at_creation_waits(
    judge: Judge, make_budget: Make, enforcement: dict[str, str], wanted: str
) -> None:
    """A new budget over past spend acts next period, or now if it says so."""
    assert standing(judge(make_budget(thresholds=STOP, enforcement=enforcement), 150)) == wanted


@pytest.mark.parametrize(("enforcement", "wanted"), [(ENFORCE, "Waiting"), (AT_ONCE, "Active")])
def test_what_a_cut_crosses_waits(
    judge: Judge, make_budget: Make, enforcement: dict[str, str], wanted: str
) -> None:
    """A limit lowered below what is spent."""
    before = judge(make_budget("200", thresholds=STOP, enforcement=enforcement), 150)
    cut = make_budget("100", generation=2, thresholds=STOP, enforcement=enforcement)
    after = judge(cut, 150, before)
    assert standing(after) == wanted
    assert standing(judge(cut, 160, after)) == wanted, "more spending changes nothing"


@pytest.mark.parametrize(("enforcement", "wanted"), [(ENFORCE, "Waiting"), (AT_ONCE, "Active")])
def test_what_was_crossed_before_enforcing_waits(
    judge: Judge, make_budget: Make, enforcement: dict[str, str], wanted: str
) -> None:
    """Observe to Enforce: the same rule."""
    observed = judge(make_budget(thresholds=STOP), 150)
    assert (
        standing(judge(make_budget(generation=2, thresholds=STOP, enforcement=enforcement), 150, observed))
        == wanted
    )


def test_a_threshold_added_under_the_spend_waits(judge: Judge, make_budget: Make) -> None:
    """It was crossed already when it was written."""
    before = judge(make_budget(thresholds=STOP, enforcement=ENFORCE), 90)
    more = [*STOP, {"name": "early", "percent": 50, "actions": ["ScaleDown"]}]
    after = judge(make_budget(generation=2, thresholds=more, enforcement=ENFORCE), 90, before)
    assert {s.threshold.name: s.standing for s in after.thresholds} == {"early": "Waiting", "stop": "Below"}


def test_what_was_active_before_an_edit_stays(judge: Judge, make_budget: Make) -> None:
    """An edit that leaves it crossed, whatever it changes, does not set workloads free."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    edited = make_budget("120", generation=2, thresholds=STOP, enforcement=ENFORCE)
    assert standing(judge(edited, 150, active)) == "Active"


def test_a_raised_limit_lets_go_and_can_be_crossed_again(judge: Judge, make_budget: Make) -> None:
    """Below the new limit it is Below; spending up to that one acts again."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    raised = make_budget("200", generation=2, thresholds=STOP, enforcement=ENFORCE)
    free = judge(raised, 150, active)
    assert (standing(free), len(free.changes), free.thresholds[0].crossed) == ("Below", 1, None)
    assert standing(judge(raised, 200, free)) == "Active"


def test_enforce_to_observe_lets_go(judge: Judge, make_budget: Make) -> None:
    """Still crossed, no longer in force; back in Enforce it was crossed already."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    observed = judge(make_budget(generation=2, thresholds=STOP), 150, active)
    assert standing(observed) == "Crossed"
    again = make_budget(generation=3, thresholds=STOP, enforcement=ENFORCE)
    assert standing(judge(again, 150, observed)) == "Waiting"


@pytest.mark.parametrize("doubt", [{"fresh": False}, {"complete": False}, {"covered": 0}, {"covered": 10}])
def test_doubt_never_lets_go(judge: Judge, make_budget: Make, doubt: dict[str, object]) -> None:
    """Stale, incomplete or mostly uncovered spend looks low; the threshold stays as it was."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    assert standing(judge(budget, 50, active, **doubt)) == "Active"


def test_a_gap_lets_go_where_it_cannot_matter(judge: Judge, make_budget: Make) -> None:
    """A tenth of the period was never measured: with a limit far above, that cannot hold anything back."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    for limit, wanted in (("160", "Active"), ("170", "Below")):
        raised = make_budget(limit, generation=2, thresholds=STOP, enforcement=ENFORCE)
        assert standing(judge(raised, 150, active, covered=90)) == wanted


def test_a_lower_bound_that_crosses_has_crossed(judge: Judge, make_budget: Make) -> None:
    """What is known to be spent is spent, however old the data; the gate tells the others to wait."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    evaluation = judge(budget, 150, judge(budget, 50), fresh=False)
    assert (standing(evaluation), evaluation.fresh) == ("Active", False)


def test_a_new_period_lets_go_by_the_clock(judge: Judge, make_budget: Make) -> None:
    """Also on stale data; what waited or was active may act again when the new period's spend crosses."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    for before in (judge(budget, 150), judge(budget, 150, judge(budget, 50))):
        december = judge(budget, 0, before, now=DECEMBER, fresh=False, complete=False, covered=0)
        assert (standing(december), december.began, len(december.changes)) == ("Below", True, 1)
        later = judge(budget, 100, december, now=DECEMBER + 60)
        assert (standing(later), later.began) == ("Active", False)


def test_a_period_that_is_crossed_when_first_seen_acts(judge: Judge, make_budget: Make) -> None:
    """The operator was down over the boundary: the spend is the new period's own, and the change is told."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    active = judge(budget, 150, judge(budget, 50))
    december = judge(budget, 120, active, now=DECEMBER + 86_400)
    assert (standing(december), len(december.changes)) == ("Active", 1)
    assert december.thresholds[0].crossed == DECEMBER + 86_400


def test_a_budget_made_while_the_ledger_is_filled_is_unknown(judge: Judge, make_budget: Make) -> None:
    """What the back-fill then finds was spent before the budget was made, so it waits."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    filling = judge(budget, 0, complete=False)
    assert (standing(filling), filling.changes) == ("Unknown", ())
    halfway = judge(budget, 150, filling, complete=False)
    assert standing(halfway) == "Waiting"
    found = judge(budget, 150, filling)
    assert standing(found) == "Waiting"
    below = judge(budget, 50, filling)
    assert standing(judge(budget, 100, below)) == "Active", "once judged below, spending crosses"


def test_an_edit_on_stale_data_is_judged_later(judge: Judge, make_budget: Make) -> None:
    """The cut is seen during an outage: what turns out to be crossed after it, waits."""
    before = judge(make_budget("200", thresholds=STOP, enforcement=ENFORCE), 50)
    cut = make_budget("100", generation=2, thresholds=STOP, enforcement=ENFORCE)
    stale = judge(cut, 50, before, fresh=False)
    assert standing(stale) == "Unknown"
    assert standing(judge(cut, 150, stale)) == "Waiting"


def test_new_prices_alone_stop_nothing(judge: Judge, make_budget: Make) -> None:
    """Re-rating that crosses is told, and acts from the next period on."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    repriced = judge(budget, 150, judge(budget, 50), repriced=True)
    assert (standing(repriced), len(repriced.changes)) == ("Waiting", 1)


def test_a_fixed_period_that_is_over_holds_nothing(judge: Judge, make_budget: Make) -> None:
    """Its spend stays on show; nothing is in force any more."""
    period = {"type": "Fixed", "startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-22T00:00:00Z"}
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE, period=period)
    active = judge(budget, 150, judge(budget, 50))
    assert standing(active) == "Active"
    over = judge(budget, 150, active, now=DECEMBER)
    assert (standing(over), over.period.standing, over.began) == ("Crossed", "Over", False)


def test_memory_lost_is_a_new_budget(judge: Judge, make_budget: Make) -> None:
    """A status that was deleted must not cause acts: it is as if the budget had been made now."""
    budget = make_budget(thresholds=STOP, enforcement=ENFORCE)
    assert standing(judge(budget, 150)) == "Waiting"


@settings(max_examples=200)
@given(data=st.data())
def test_within_a_period_nothing_but_edits_lets_go(data: st.DataObject) -> None:
    """However data comes and goes: known spend that only grows never takes a threshold out of force."""
    threshold = Threshold(name="t", percent=100, actions=("Notify",))
    enforcement = Enforcement(mode="Enforce")
    remembered, used, was_active = {"t": Remembered("Below")}, Fraction(0), False
    for step in range(data.draw(st.integers(1, 12))):
        used += Fraction(data.draw(st.integers(0, 40)), 100)
        hidden = data.draw(st.booleans())
        shown = used * Fraction(data.draw(st.integers(0, 100)), 100) if hidden else used
        known = Known(shown, used if not hidden else None, judged=not hidden, edited=False)
        [state] = states((threshold,), enforcement, [known], Memory(1, "p", 0, remembered), step)
        assert not (was_active and state.standing != "Active")
        assert not (state.standing == "Active" and used < 1)
        was_active = state.standing == "Active"
        remembered = {"t": Remembered(state.standing, state.crossed)}
