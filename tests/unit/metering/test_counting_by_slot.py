"""Pods that are alike are counted slot by slot: to the same amounts as step by step."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import PodKey
from aibudget.metering import integration
from aibudget.metering.coverage import Grid, Known
from aibudget.metering.devices import Devices
from aibudget.metering.holding import Holding, Samples
from aibudget.metering.integration import Amount, Cell, integrate
from aibudget.metering.nodes import Nodes
from aibudget.metering.slots import Interval
from aibudget.metering.source import Series
from aibudget.metering.utilisation import Span

START, STEP = 1_795_000_500, 60
INSTANTS = [START + STEP * n for n in range(-2, 36)]
GRID = Grid(Interval(START, START + 1800), STEP)


@st.composite
def pods(draw: st.DrawFn) -> tuple[dict[Holding, Samples], list[Series]]:
    """A few pods with one or two containers, and what was seen of their devices; some samples are shared."""
    held: dict[Holding, Samples] = {}
    seen: list[Series] = []
    times = [array("d", sorted(draw(st.sets(st.sampled_from(INSTANTS), min_size=1)))) for _ in range(2)]
    for number in range(draw(st.integers(1, 4))):
        name = f"p{number}"
        for container in "ab"[: draw(st.sampled_from([1, 1, 1, 2]))]:
            mine = draw(st.sampled_from(times))
            levels = draw(st.sampled_from([[1.0], [2.0], [1.0, 2.0], [0.0, 1.0]]))
            units = array("d", (levels[n % len(levels)] for n in range(len(mine))))
            key = Holding(PodKey("team", name, "uid"), container, "node", "nvidia_com_gpu")
            held[key] = Samples(mine, units)
        for device in range(draw(st.integers(0, 2))):
            mine = draw(st.sampled_from(times))
            ratios = draw(st.sampled_from([[0.5], [0.25, 0.75], [0.5, 2.0], [float("nan"), 0.5], [1.0]]))
            values = array("d", (ratios[n % len(ratios)] for n in range(len(mine))))
            uuid = draw(st.sampled_from([f"{number}-{device}", "shared"]))
            seen.append(Series({"UUID": uuid, "namespace": "team", "pod": name}, mine, values))
    return held, seen


def amounts(cells: dict[Cell, Amount]) -> dict[Cell, tuple[object, ...]]:
    """Rounded to a millionth of a millisecond: sums of floats depend on their order."""
    return {
        cell: (
            one.quantity,
            one.estimated,
            *(round(sum_, 6) for sum_ in (one.observed, one.busy, one.settled_observed, one.settled_busy)),
        )
        for cell, one in cells.items()
    }


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """How much of utilisation is asked for, and settled."""
    since, settled = draw(st.sampled_from([-math.inf, *INSTANTS])), draw(st.sampled_from(INSTANTS))
    return Span(since, max(since, settled))


@given(pods(), spans(), st.booleans())
def test_slot_by_slot_is_step_by_step(
    told: tuple[dict[Holding, Samples], list[Series]], span: Span, gap: bool
) -> None:
    """Whoever shares samples with whom, whatever was seen: no amount depends on how it was counted."""
    held, seen = told[0], list(after(told[1], span.since))
    known = Known(GRID, frozenset(INSTANTS), ((START + STEP, START + 4 * STEP),) if gap else ())

    def counted() -> dict[Cell, tuple[object, ...]]:
        devices = Devices(seen, {key.pod[:2] for key in held}, span)
        return amounts(dict(integrate(held, known, Nodes([]), devices)))

    alike = counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integration._Alike, "counted", lambda *_: None)
        assert alike == counted()


def after(seen: Iterable[Series], since: float) -> Iterator[Series]:
    """The same with later samples alone; who shared times shares them still."""
    cut: dict[int, array[float]] = {}
    for labels, times, values in seen:
        place = bisect_right(times, since)
        if place < len(times):
            yield Series(labels, cut.setdefault(id(times), times[place:]), values[place:])


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=2, max_size=5),
    st.integers(1, 40),
)
def test_pods_that_share_samples_are_counted_each_for_itself(
    alike: list[tuple[int, int, bool]], lasting: int
) -> None:
    """Units and courses of utilisation are the same arrays for some pods, and at the same times or not."""
    times = [array("d", INSTANTS[:lasting]), array("d", INSTANTS[:lasting]), array("d", INSTANTS[-lasting:])]
    units = [array("d", [size] * len(times[0])) for size in (1.0, 2.0, 1.0)]
    busy = [array("d", [ratio] * len(times[0])) for ratio in (0.25, 1.0, float("nan"))]
    key = {n: Holding(PodKey("team", f"p{n}", "u"), "main", "node", "nvidia_com_gpu") for n in range(5)}
    held = {key[n]: Samples(times[size], units[size]) for n, (size, _, _) in enumerate(alike)}
    seen = [
        Series({"UUID": f"d{n}", "namespace": "team", "pod": f"p{n}"}, times[0], busy[course])
        for n, (_, course, watched) in enumerate(alike)
        if watched
    ]
    known = Known(GRID, frozenset(INSTANTS), ())
    devices = Devices(seen, {("team", f"p{n}") for n in range(5)})
    alone: dict[Cell, Amount] = {}
    for holding, samples in held.items():
        mine = [one for one in seen if one.labels["pod"] == holding.pod.name]
        alone |= dict(integrate({holding: samples}, known, Nodes([]), Devices(mine, {holding.pod[:2]})))
    assert dict(integrate(held, known, Nodes([]), devices)) == alone
