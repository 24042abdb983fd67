"""While a head grows only its newest instants are asked for, and it is what a whole reading would be."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from aibudget.metering.asking import over_range
from aibudget.metering.coverage import Grid
from aibudget.metering.recall import Recall
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import Result, Series, TooManySamples

SLOT, STEP, LAG = 1_795_000_500, 60, 120
Told = dict[str, dict[int, float]]


class Source:
    """Tells what it has been told so far, of at most `most` instants at once; `asked` counts them."""

    def __init__(self) -> None:
        self.told: Told = {}
        self.most = 10_000
        self.asked: list[int] = []

    def time(self) -> float:
        raise AssertionError("nobody asks for the time")

    def query(self, promql: str, at: float) -> Result:
        raise AssertionError("nobody asks for one instant")

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        instants = range(start, end + 1, step)
        if len(instants) > self.most:
            raise TooManySamples("too many")
        self.asked += instants
        found = []
        for pod, samples in self.told.items():
            here = [t for t in instants if t in samples]
            if here:
                labels = {"pod": pod, "query": promql} if pod != "odd" else {"query": promql}
                found.append(Series(labels, array("d", here), array("d", (samples[t] for t in here))))
        return Result(found)


def samples(source: Source | Recall, promql: str, grid: Grid) -> dict[tuple[str, float], float]:
    found = {}
    for labels, times, values in over_range(source, promql, grid).series:
        for t, value in zip(times, values, strict=True):
            key = (labels.get("pod", "odd"), t)
            assert key not in found
            found[key] = value
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(20, 400), st.booleans(), st.sampled_from([5, 40, 10_000]), st.integers(0, 2**32)
        ),
        min_size=1,
        max_size=14,
    )
)
def test_what_is_recalled_is_what_a_whole_reading_says(cycles: list[tuple[int, bool, int, int]]) -> None:
    """Samples come up to the lag late, pods come and go, slots are posted, Prometheus refuses too much."""
    source, now, start = Source(), SLOT + 100, SLOT
    recall = Recall(source)
    for seconds, wide, most, seed in cycles:
        now += seconds
        source.most = most
        settled = now - LAG
        for number, pod in enumerate(("a", "b", "odd")):
            if seed >> number & 1:
                told = source.told.setdefault(pod, {})
                for t in range(SLOT - 3600, now + 1, STEP):
                    # What is settled does not change any more; what is not may yet come.
                    if t > settled - seconds and seed >> (t // STEP % 29) & 1:
                        told.setdefault(t, float(seed % 7 if pod == "b" else 1))
        ended = settled // SLOT_SECONDS * SLOT_SECONDS
        recall.remember(settled, whole=start < ended)
        grid = Grid(Interval(start, now), STEP)
        grid = grid.wider() if wide else grid
        for promql in ("x", "y") if seed % 3 else ("x",):
            whole = samples(source, promql, grid)
            assert samples(recall, promql, grid) == whole
        start = max(start, ended)


class Sharing(Source):
    """Series of one answer that have the same samples share their arrays, as those that are parsed do."""

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        shared: dict[tuple[float, ...], array[float]] = {}

        def one(samples: "array[float]") -> "array[float]":
            return shared.setdefault(tuple(samples), samples)

        answer = super().query_range(promql, start, end, step)
        return Result([Series(labels, one(times), one(values)) for labels, times, values in answer.series])


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=6, max_size=6), min_size=4, max_size=4))
def test_series_that_share_samples_are_put_together_each_for_itself(cycles: list[list[float]]) -> None:
    """Pods that were alike for one cycle and differ in the next, with nothing told in between for some."""
    source = Sharing()
    recall = Recall(source)
    for number, values in enumerate(cycles):
        now = SLOT + 4 * STEP * (number + 1)
        for pod, value in enumerate(values):
            told = source.told.setdefault(f"p{pod}", {})
            told |= dict.fromkeys(range(now - 3 * STEP, now + 1, STEP), value) if value else {}
        recall.remember(now)
        grid = Grid(Interval(SLOT, now), STEP)
        assert samples(recall, "x", grid) == samples(source, "x", grid)


def test_times_stay_shared_after_what_is_old_is_forgotten() -> None:
    """Devices that are each busy in their own way are told at the same times: these are there once."""
    source = Sharing()
    recall = Recall(source)
    for number in range(40):
        now = SLOT + STEP * number
        for pod in range(5):
            source.told.setdefault(f"p{pod}", {})[now] = number + pod / 10
        recall.remember(now - LAG)
        start = max(SLOT, (now - LAG) // SLOT_SECONDS * SLOT_SECONDS)
        told = recall.query_range("x", start, now, STEP).series
    assert start > SLOT
    assert {series.times.tobytes() for series in told} == {told[0].times.tobytes()}
    assert len({id(series.times) for series in told}) == 1
    assert len({series.values.tobytes() for series in told}) == 5


def test_only_what_may_still_change_is_asked_for() -> None:
    """A cycle costs Prometheus a few steps, however long the head has grown, and after a posting too."""
    source, start = Source(), SLOT
    source.told = {"a": dict.fromkeys(range(SLOT - 3600, SLOT + 7200, STEP), 1.0)}
    recall, seldom = Recall(source), []
    for now in range(SLOT + 180, SLOT + 3600, STEP):
        settled = now - LAG
        ended = settled // SLOT_SECONDS * SLOT_SECONDS
        source.asked.clear()
        recall.remember(settled, whole=start < ended)
        over_range(recall, "x", Grid(Interval(start, now), STEP).wider())
        if not start < ended and now > SLOT + 180:
            assert source.asked[0] == settled
        else:
            seldom.append(now)
        start = max(start, ended)
    assert len(seldom) == 4


def test_what_is_posted_is_read_whole() -> None:
    """What came later than the lag is in it; the next meter of the same cycle asks for nothing twice."""
    source, recall = Source(), None
    source.told = {"a": {SLOT + 60: 1.0}}
    recall = Recall(source)
    grid = Grid(Interval(SLOT, SLOT + 900), STEP)
    recall.remember(SLOT + 840)
    over_range(recall, "x", grid)
    source.told["a"][SLOT + 120] = 1.0
    for _ in range(2):
        recall.remember(SLOT + 900, whole=True)
        assert len(samples(recall, "x", grid)) == 2
    assert source.asked.count(SLOT + 60) == 2


def test_the_past_is_not_remembered() -> None:
    """Reading back keeps nothing: its memory stays flat."""
    source = Source()
    recall = Recall(source)
    recall.remember(None)
    for _ in range(2):
        over_range(recall, "x", Grid(Interval(SLOT, SLOT + 60), STEP))
    assert source.asked == [SLOT + 60] * 2
