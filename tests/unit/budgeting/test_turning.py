"""A period begins once and ends once, in every zone, whatever way its clock is set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.budget import AIBudget, Budget, PeriodType
from aibudget.budgeting.memory import Memory, Remembered
from aibudget.budgeting.share import Shares
from aibudget.budgeting.turning import (
    CLOCK_SECONDS,
    ClockBehind,
    Turn,
    ended,
    is_known,
    is_overdue,
    recalled,
    turned,
)
from aibudget.ledger.periodrow import PeriodRow
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.usage import Coverage
from unit.budgeting.test_periods import ZONES, at

DAY = 86_400
TYPES = [name for name in get_args(PeriodType) if name != "Fixed"]
SPRING, AUTUMN, SKIPPED = at("2026-03-27T00:00Z"), at("2026-10-23T00:00Z"), at("2011-12-28T00:00Z")


def budget(kind: str, zone: str) -> Budget:
    """With such a period."""
    return AIBudget.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {"name": "b", "namespace": "team", "uid": "u", "generation": 1},
            "spec": {
                "limit": {"amount": 1, "currency": "USD"},
                "period": {"type": kind, "timeZone": zone},
            },
        }
    )


@dataclass
class Past:
    """The rows of one budget as a ledger keeps them, and how often each period was opened."""

    budget: Budget
    rows: dict[str, PeriodRow] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    @property
    def sorted(self) -> list[PeriodRow]:
        """In the order of time."""
        return sorted(self.rows.values(), key=lambda row: row.interval.start)

    def turn(self, now: int, memory: Memory) -> Turn:
        """One cycle by this clock."""
        turn = turned(self.budget, self.sorted, memory, now)
        self.rows |= {row.id: row for row in turn.changed}
        self.opened += [turn.period.id] if turn.opened else []
        return turn


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(TYPES),
    zone=st.sampled_from(ZONES),
    begin=st.sampled_from([SPRING, AUTUMN, SKIPPED]),
    steps=st.lists(
        st.one_of(
            st.integers(1, 7200),
            st.sampled_from([-DAY, -3600, -60, 3600, DAY, 8 * DAY, 40 * DAY, -40 * DAY]),
        ),
        min_size=3,
        max_size=20,
    ),
    lost=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_periods_tile_time_and_none_is_gone_back_to(
    kind: str, zone: str, begin: int, steps: list[int], lost: list[bool]
) -> None:
    """Over changes of the clocks, jumps both ways and statuses that are lost: never two that run, never one
    twice, none that overlaps or leaves time out, and always refused where the clock is behind.
    """
    past, now, told = Past(budget(kind, zone)), begin, Memory()
    for step, status_is_lost in zip([0, *steps], [False, *lost], strict=False):
        now += step
        told = Memory() if status_is_lost else told
        newest = past.sorted[-1] if past.rows else None
        if newest is not None and newest.interval.start - now > CLOCK_SECONDS:
            with pytest.raises(ClockBehind):
                past.turn(now, told)
            continue
        turn = past.turn(now, told)
        told = Memory(1, turn.period.id, turn.period.interval.start)
        assert now in turn.period.interval or turn.period.interval.start - now <= CLOCK_SECONDS
        rows = past.sorted
        assert [row.state for row in rows if row.state == "Open"] == ["Open"]
        assert rows[-1].state == "Open"
        assert newest is None or rows[-1].interval.start >= newest.interval.start
        assert len(set(past.opened)) == len(past.opened)
        for earlier, later in pairwise(rows):
            assert earlier.interval.end <= later.interval.start
    for earlier, later in pairwise(past.sorted[-12:]):
        assert earlier.interval.end == later.interval.start


def test_a_fixed_period_that_is_over_does_not_run_again(make_budget: Callable[..., Budget]) -> None:
    """Its dates are its own; a clock that is set back does not make it run a second time."""
    dates = {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-02T00:00:00Z"}
    past = Past(make_budget(period={"type": "Fixed", **dates}))
    start, end = at(dates["startTime"]), at(dates["endTime"])
    assert past.turn(start - 60, Memory()).row is None
    assert past.turn(start, Memory()).opened
    assert past.turn(end, Memory()).row == past.sorted[0]
    assert past.sorted[0].state == "Settling"
    with pytest.raises(ClockBehind, match="which has ended already"):
        past.turn(end - 3600, Memory())
    assert past.turn(end + 60, Memory()).period.standing == "Over"


def test_without_rows_the_status_is_asked_as_before(make_budget: Callable[..., Budget]) -> None:
    """A ledger that was lost knows no periods: an hour back is not believed, more is."""
    november = at("2026-11-01T00:00Z")
    told = Memory(1, "2026-11@UTC", november)
    past = Past(make_budget())
    assert past.turn(november - 120, told).period.id == "2026-11@UTC"
    past = Past(make_budget())
    assert past.turn(november - DAY, told).period.id == "2026-10@UTC"


def remembered(state: str) -> Memory:
    """A status of November, in which the threshold stands so."""
    return Memory(1, "2026-11@UTC", at("2026-11-01T00:00Z"), {"full": Remembered(state, None)})  # type: ignore[arg-type]


def test_what_a_budget_remembers_is_of_its_period(make_budget: Callable[..., Budget]) -> None:
    """By its status, or else by the row; and a cycle that was killed amid the turn is done again."""
    past, noon = Past(make_budget()), at("2026-11-20T12:00Z")
    begun = past.turn(noon, Memory())
    assert recalled(begun, Memory()) == Memory(), "a budget that nobody has looked at"
    row = past.rows[begun.period.id]
    past.rows[row.id] = row = PeriodRow(
        row.owner,
        row.id,
        row.interval,
        "Open",
        "USD",
        noon,
        generation=3,
        thresholds={"full": ("Active", noon)},
        told=True,
    )
    again = past.turn(noon + 60, Memory())
    assert recalled(again, remembered("Waiting")) == remembered("Waiting")
    lost = recalled(again, Memory())
    assert (lost.generation, lost.period_id) == (3, "2026-11@UTC")
    assert lost.thresholds == {"full": Remembered("Active", noon)}

    december = at("2026-12-01T00:00Z")
    opened = past.turn(december, Memory())
    assert recalled(opened, Memory()).period_id == "2026-11@UTC", "the period before is known by its row"
    killed = past.turn(december + 60, remembered("Active"))
    assert not killed.opened
    assert recalled(killed, remembered("Active")) == remembered("Active"), "its turn is told again"


@pytest.mark.parametrize(
    ("priced", "as_of", "complete", "known"),
    [
        ({"gpu", "tokens"}, 0, True, True),
        ({"gpu", "tokens"}, -900, True, False),
        ({"gpu", "tokens"}, 0, False, False),
        ({"gpu", "tokens"}, None, False, False),
        ({"gpu"}, -900, False, True),
    ],
)
def test_a_period_is_known_when_no_priced_meter_is_still_to_be_read(
    make_line: Callable[..., SpendLine], priced: set[str], as_of: int | None, complete: bool, known: bool
) -> None:
    """What a meter has not told yet may be the budget's, though no line of it says so."""
    one = budget("Daily", "UTC")
    turn = turned(one, [], Memory(), SPRING)
    assert turn.row is not None
    end = turn.row.interval.end
    whole = Coverage(DAY, DAY)
    statements = {
        "gpu": Statement((make_line(5),), whole, end, complete=True),
        "tokens": Statement((), whole, None if as_of is None else end + as_of, complete),
    }
    share = Shares(statements, {}, frozenset(priced)).of(one)
    assert is_known(turn.row, share) is known
    # What is read has a day for its gaps, and what is not a day of a process that reads it.
    over = ended(turn.row, end)
    assert [is_overdue(over, share, end + 3 * DAY, watched) for watched in (0, DAY)] == [known, True]
    assert not is_overdue(over, share, end + DAY - 1, DAY)
