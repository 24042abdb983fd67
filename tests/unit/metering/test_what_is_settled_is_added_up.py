"""How busy what is held was is asked for once while a head grows, and is what a whole reading would say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.metering.meter import gpu_parts, read_gpu, whole
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.usage import Reading
from unit.metering.fake import BEGIN, FakePrometheus, Life, every

LAG, STEP = 60, 30
SCRAPES = every(STEP, -2400, 9000)


def busy(pod: str, device: int, at: float) -> float:
    """Each device is busy in its own way."""
    return (sum(map(ord, pod)) + 7 * device + at // STEP * 13) % 100 / 100


@st.composite
def lives(draw: st.DrawFn) -> list[Life]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        bound = draw(st.integers(-2000, 3000))
        ended = bound + draw(st.sampled_from([40, 400, 4000]))
        units = draw(st.sampled_from([1.0, 1.0, 2.0]))
        owner = ("StatefulSet", draw(st.sampled_from("ab")))
        found.append(Life(f"p{number}", bound, ended, units, uid=f"u{number}", owner=owner))
    return found


class Head:
    """A meter that reads as the operator does: what is posted whole, and what is newer as it grows."""

    def __init__(self, source: FakePrometheus) -> None:
        self.scenes = Scenes(source, MeterSettings())
        self.start = BEGIN

    def read(self, now: int) -> Reading:
        settled, interval = now - LAG, Interval(self.start, now)
        ended = slot_of(settled)
        self.scenes.forget()
        self.scenes.utilisation.begin(interval, settled if ended < now else None, whole=self.start < ended)
        self.start = max(self.start, ended)
        return whole(interval, gpu_parts(self.scenes, interval))

    def read_past(self) -> Reading:
        """As between two cycles, while history is read backwards."""
        interval = Interval(BEGIN - 1800, BEGIN - 900)
        self.scenes.utilisation.begin(interval, None, whole=True)
        return whole(interval, gpu_parts(self.scenes, interval))


def seen(reading: Reading) -> list[tuple[int, Workload, int, object, object]]:
    """To a millisecond: sums of floats depend on their order."""
    return [
        (
            usage.slot,
            usage.workload,
            usage.quantity,
            None if usage.observed is None else pytest.approx(usage.observed, abs=1),
            None if usage.busy is None else pytest.approx(usage.busy, abs=1),
        )
        for usage in reading.usages
    ]


@given(
    lives(),
    st.lists(st.tuples(st.integers(1, 500), st.booleans(), st.booleans()), min_size=1, max_size=12),
)
def test_a_head_says_what_a_whole_reading_says(
    pods: list[Life], cycles: list[tuple[int, bool, bool]]
) -> None:
    """Pods come and go, slots are posted, the past is read, and the newest instant cannot be for a while."""
    source = FakePrometheus(pods, SCRAPES, busy=busy)
    head, now = Head(source), BEGIN + 90
    for seconds, is_refused, looks_back in cycles:
        now += seconds
        source.refused = {now // STEP * STEP} if is_refused else set()
        if looks_back:
            past = Interval(BEGIN - 1800, BEGIN - 900)
            assert seen(head.read_past()) == seen(read_gpu(source, past, MeterSettings()))
        interval = Interval(head.start, now)
        assert seen(head.read(now)) == seen(read_gpu(source, interval, MeterSettings()))


def test_what_is_settled_is_asked_for_once() -> None:
    """A cycle costs a few instants, however long the head has grown; what is posted is asked for whole."""
    source = FakePrometheus([Life("p", 0, 9000, owner=("StatefulSet", "s"))], SCRAPES, busy=busy)
    head, asked = Head(source), []
    for now in range(BEGIN + 600, BEGIN + 1201, 60):
        source.watched.clear()
        head.read(now)
        asked.append(len(source.watched))
        head.read_past()
    # From the first slot's end and the lag on it is posted, and what lies after it is known already.
    assert asked == [20, 4, 4, 4, 4, 4, 32, 4, 4, 4, 4]
