"""A pod that runs to its end is counted by the second, whatever the scrapes saw, and never twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.metering.coverage import Grid, Known
from aibudget.metering.devices import Devices
from aibudget.metering.edges import Edges, edges
from aibudget.metering.holding import holdings
from aibudget.metering.integration import integrate
from aibudget.metering.nodes import Nodes
from aibudget.metering.slots import Interval
from aibudget.metering.source import Series
from unit.metering.fake import series

STEP, WINDOW = 30, 31.5
WHO = {"namespace": "team", "pod": "p", "uid": "u"}
WHAT = {**WHO, "node": "n", "container": "c", "resource": "nvidia_com_gpu"}


def answers(grid: Grid, start: float, end: float, offset: int) -> tuple[list[Series], list[Series]]:
    """What the query gives of a pod's samples and times: scrapes come each 30 s at `offset`."""
    newest = {t: (t - offset) // STEP * STEP + offset for t in grid.instants}
    held = [t for t, scrape in newest.items() if start <= scrape < end]
    began = [t for t, scrape in newest.items() if scrape >= start > t - 2 * STEP - WINDOW]
    ended = [t for t, scrape in newest.items() if scrape >= end > t - 2 * STEP - WINDOW]
    families = (
        series({**WHO, "family": "scheduled"}, began, [start] * len(began)),
        series({**WHO, "family": "completed"}, ended, [end] * len(ended)),
        series({**WHAT, "family": "finished"}, ended, [2.0] * len(ended)),
    )
    return [series(WHAT, held, [2.0] * len(held))] if held else [], [one for one in families if one.times]


def counted(part: Interval, start: float, end: float, offset: int) -> int:
    """The unit-milliseconds of a part that is read alone, with a little of what lies around it."""
    grid = Grid(part, STEP)
    reach = grid.beyond(62)
    held, families = answers(reach, start, end, offset)
    sure = Known(grid, frozenset(reach.instants), ())
    timed = edges(families, WINDOW)
    cells = integrate(holdings(held)[0], sure, Nodes([]), Devices((), ()), timed)
    return sum(amount.quantity for _, amount in cells)


@given(
    start=st.integers(0, 3500),
    lasted=st.integers(1, 1800),
    offset=st.integers(0, 29),
    cut=st.integers(0, 5),
)
def test_a_pod_counts_by_the_second(start: int, lasted: int, offset: int, cut: int) -> None:
    """However short it is, wherever the scrapes fall, and wherever the range is cut in two."""
    end, middle = start + lasted, cut * 900
    parts = (Interval(-900, middle), Interval(middle, 6300))
    assert [counted(part, start, end, offset) for part in parts] == [
        2000 * max(0, min(end, middle) - start),
        2000 * max(0, end - max(start, middle)),
    ]


def of(times: list[int], told: Edges, without: set[int] = frozenset()) -> int:  # type: ignore[assignment]
    """A holding's milliseconds in an hour, of which some instants are not covered."""
    grid = Grid(Interval(0, 3600), STEP)
    sure = Known(grid, frozenset(set(grid.instants) - without), ())
    held, _ = holdings([series(WHAT, times, [1.0] * len(times))])
    return sum(one.quantity for _, one in integrate(held, sure, Nodes([]), Devices((), ()), told))


def test_times_that_contradict_the_samples_are_left_aside() -> None:
    """A clock that is wrong, or a pod's samples that come late, must not make up a bill."""
    times = [600, 630, 660]
    pod = next(iter(holdings([series(WHAT, times, [1.0] * 3)])[0])).pod
    for start, end in ((400.0, 900.0), (605.0, 500.0), (601.0, None), (None, 620.0)):
        told = Edges({} if start is None else {pod: start}, {} if end is None else {pod: end}, reach=WINDOW)
        assert of(times, told) == 90_000


def test_nothing_is_counted_where_the_source_was_away() -> None:
    """What began or ended in a gap began or ended with what was seen."""
    times = [600, 630, 660]
    pod = next(iter(holdings([series(WHAT, times, [1.0] * 3)])[0])).pod
    told = Edges({pod: 560.0}, {pod: 680.0}, reach=WINDOW)
    assert of(times, told) == 120_000
    assert of(times, told, {570, 690}) == 90_000


@pytest.mark.parametrize("offset", [0, 7, 15, 22, 29])
def test_pods_that_are_deleted_do_not_lean_to_one_side(offset: int) -> None:
    """Their start is told and their end is not: wherever the scrapes fall, sums come out right."""
    grid = Grid(Interval(-900, 2700), STEP)
    sure = Known(grid, frozenset(grid.instants), ())
    scraped = {t: float((t - offset) // STEP * STEP + offset) for t in grid.instants}
    quantity, true = 0, 0.0
    for number in range(900):
        start, lasted = 37.3 * number % 900, 60 + 7.1 * number % 30
        held, families = answers(grid, start, start + lasted, offset)
        told = [one for one in families if one.labels["family"] == "scheduled"]
        timed = edges(told, WINDOW, STEP, scraped)
        cells = integrate(holdings(held)[0], sure, Nodes([]), Devices((), ()), timed)
        quantity += sum(amount.quantity for _, amount in cells)
        true += 2000 * lasted
    assert quantity == pytest.approx(true, rel=0.01)
