"""Held, idle, unhealthy and unknown add up to what the nodes had, whatever happens to the cluster."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.capacity import Capacity, Offer, balances
from aibudget.metering.coverage import Grid, Known
from aibudget.metering.devices import Devices
from aibudget.metering.holding import Holding, Samples
from aibudget.metering.integration import integrate
from aibudget.metering.meter import gpu_parts, read_gpu, whole
from aibudget.metering.nodes import Nodes
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from aibudget.metering.totals import Totals
from aibudget.metering.usage import Balance, Reading
from unit.metering.fake import BEGIN, FakePrometheus, Life, Machine, every

SLOTS = 4
END = SLOTS * 900
POOL = "label_karpenter_sh_nodepool"
PRODUCT = "label_nvidia_com_gpu_product"
REPLICAS = "label_nvidia_com_gpu_replicas"
SLICED = {PRODUCT: "L4-SHARED", "label_nvidia_com_gpu_count": "1"}
SCRAPES = every(30, -2400, END + 1200)
WHOLE = Interval(BEGIN, BEGIN + END)


def read(lives: list[Life], machines: list[Machine], scrapes: list[float] | None = None) -> Reading:
    """The hour, through the meter; what is told beside it is `beside[0]`."""
    source = FakePrometheus(lives, SCRAPES if scrapes is None else scrapes, machines=machines)
    return read_gpu(source, WHOLE, MeterSettings())


def machine(name: str = "n", units: float = 4.0, pool: str = "a", **more: object) -> Machine:
    """A node that is there all the time."""
    labels = ((-10_000, {POOL: pool, PRODUCT: "L4"}),)
    return Machine(name, -10_000, 10**6, units, **{"labels": labels, **more})  # type: ignore[arg-type]


def seconds(reading: Reading) -> dict[tuple[str, str | None], int]:
    """Idle usage in GPU-seconds by pool and state."""
    found: Counter[tuple[str, str | None]] = Counter()
    for usage in reading.beside[0].usages:
        found[usage.workload.name, usage.sku.dimension("state")] += usage.quantity // 1000
    return dict(found)


def total(balances: Mapping[tuple[int, str], Balance]) -> Balance:
    """Of all slots and pools."""
    return sum(balances.values(), Balance())


def check(reading: Reading) -> None:
    """The identity, slot by slot and pool by pool, and against what is charged."""
    idle = reading.beside[0]
    for balance in idle.balances.values():
        assert balance.residual == 0
        assert min(balance.idle, balance.unhealthy, balance.unknown, balance.over, balance.capacity) >= 0
    whole = total(idle.balances)
    assert whole.held == sum(usage.quantity for usage in reading.usages)
    assert whole.idle + whole.unhealthy + whole.unknown == sum(usage.quantity for usage in idle.usages)
    assert all(usage.workload.namespace == "" for usage in idle.usages)


# Pods are placed by a scheduler: on a node that is there and has room, for as long as it is there. A node has
# its devices whole, or one of them in as many parts.
nodes = st.lists(
    st.tuples(st.integers(-900, END), st.integers(60, 2 * END), st.integers(1, 8), st.booleans()),
    min_size=1,
    max_size=3,
)
pods = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-900, END), st.integers(1, 3000), st.integers(1, 8)), max_size=8
)
illness = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-300, END), st.integers(10, 2000), st.integers(1, 8)), max_size=2
)
moves = st.lists(st.tuples(st.integers(0, 2), st.integers(0, END), st.sampled_from("abc")), max_size=3)
holes = st.lists(st.tuples(st.integers(-600, END), st.integers(20, 900)), max_size=3)


def cluster(
    drawn: list[tuple[int, int, int, bool]],
    ill: list[tuple[int, int, int, int]],
    moved: list[tuple[int, int, str]],
) -> list[Machine]:
    """Nodes that come and go, fall ill and change their pool's label."""
    machines = []
    for index, (joined, length, units, parts) in enumerate(drawn):
        marks = sorted({since: pool for at, since, pool in moved if at == index}.items())
        what = SLICED | {REPLICAS: str(units)} if parts else {PRODUCT: "L4"}
        labels = tuple((since, {POOL: pool, **what}) for since, pool in [(-10_000, "a"), *marks])
        unwell = tuple((start, start + length, float(lost)) for at, start, length, lost in ill if at == index)
        machines.append(Machine(f"n{index}", joined, joined + length, float(units), unwell, labels))
    return machines


def scheduled(machines: list[Machine], drawn: list[tuple[int, int, int, int]]) -> list[Life]:
    """Those pods that find room, as Kubernetes would place them."""
    lives: list[Life] = []
    for number, (at, bound, length, units) in enumerate(drawn):
        node = machines[at % len(machines)]
        start, end = max(bound, node.joined), min(bound + length, node.left)
        others = [one for one in lives if one.node == node.name and one.bound < end and start < one.ended]
        if start < end and sum(one.units for one in others) + units <= node.units:
            lives.append(Life(f"p{number}", start, end, float(units), f"u{number}", node=node.name))
    return lives


@settings(max_examples=50)
@given(nodes, pods, illness, moves, holes, st.integers(0, 29))
def test_everything_adds_up_on_random_clusters(
    drawn: list[tuple[int, int, int, bool]],
    wanted: list[tuple[int, int, int, int]],
    ill: list[tuple[int, int, int, int]],
    moved: list[tuple[int, int, str]],
    missing: list[tuple[int, int]],
    offset: int,
) -> None:
    """Nodes come, go, fall ill and are relabelled, their devices are sliced, pods move, scrapes are missed:
    nothing is lost or doubled, and nothing is held beyond the capacity, since a scheduler placed it.
    """
    machines = cluster(drawn, ill, moved)
    scrapes = every(
        30, -2400, END + 1200, offset, lambda t: any(start <= t < start + length for start, length in missing)
    )
    reading = read(scheduled(machines, wanted), machines, scrapes)
    check(reading)
    assert total(reading.beside[0].balances).over == 0


@settings(max_examples=20)
@given(nodes, pods, illness, holes, st.integers(1, SLOTS - 1))
def test_parts_of_a_range_have_the_idle_time_of_the_whole(
    drawn: list[tuple[int, int, int, bool]],
    wanted: list[tuple[int, int, int, int]],
    ill: list[tuple[int, int, int, int]],
    missing: list[tuple[int, int]],
    cut: int,
) -> None:
    """Where a range is cut must not show in what is posted, but where a part is so full of gaps that the
    scrapes in it look rarer than they are.
    """
    machines = cluster(drawn, ill, [])
    scrapes = every(
        30, -2400, END + 1200, 7, lambda t: any(start <= t < start + length for start, length in missing)
    )
    source = FakePrometheus(scheduled(machines, wanted), scrapes, machines=machines)
    middle = BEGIN + cut * 900
    parts = [
        read_gpu(source, Interval(start, end), MeterSettings())
        for start, end in ((WHOLE.start, middle), (middle, WHOLE.end))
    ]
    one = read_gpu(source, WHOLE, MeterSettings())
    assume(all(part.scrape_interval == one.scrape_interval for part in parts))
    assert whole(WHOLE, [part.beside[0] for part in parts]) == one.beside[0]


@settings(max_examples=20)
@given(nodes, pods, st.lists(st.integers(1, 3), min_size=8, max_size=8))
def test_what_is_held_beyond_the_capacity_is_never_clamped(
    drawn: list[tuple[int, int, int, bool]], wanted: list[tuple[int, int, int, int]], copies: list[int]
) -> None:
    """Pods that are told several times under other uids are charged so, and the residual is all of it."""
    machines = cluster(drawn, [], [])
    lives = scheduled(machines, wanted)
    doubled = [
        Life(one.name, one.bound, one.ended, one.units, f"{one.uid}{copy}", node=one.node)
        for one, times in zip(lives, copies, strict=False)
        for copy in range(times)
    ]
    reading = read(doubled, machines)
    check(reading)
    left = total(reading.beside[0].balances)
    assert left.over >= left.held - left.capacity
    said = any("more than there are" in problem for problem in reading.problems)
    assert said or left.over <= 30_000 * 8 * SLOTS * len(machines)
    assert left.over or not said


def test_a_doubled_kube_state_metrics_shows() -> None:
    """A second exporter that drops the pod's uid doubles what is held; the residual tells all of it."""
    twice = [Life("web", 0, END, 4.0, "u"), Life("web", 0, END, 4.0, "")]
    reading = read(twice, [machine()])
    left = total(reading.beside[0].balances)
    assert (left.capacity, left.held, left.over) == (4 * END * 1000, 8 * END * 1000, 4 * END * 1000)
    assert "4.00 GPU-Hours more than there are were held on n" in " ".join(reading.problems)


@pytest.mark.parametrize(("overlap", "told"), [(30, False), (60, True)])
def test_what_the_step_cannot_tell_is_counted_and_not_complained_of(overlap: int, told: bool) -> None:
    """One pod follows another on a node that is always full: a step of both is how finely it is read."""
    lives = [Life("one", -60, 900 + overlap, 4.0, "1"), Life("two", 900, END + 60, 4.0, "2")]
    reading = read(lives, [machine()])
    assert total(reading.beside[0].balances).over == 4 * overlap * 1000
    assert bool(reading.problems and "more than there are" in " ".join(reading.problems)) is told


def test_a_second_exporter_that_tells_the_same_does_not_count() -> None:
    """High availability of kube-state-metrics is no residual."""
    same = [Life("web", 0, END, 4.0, "u"), Life("web", 0, END, 4.0, "u")]
    assert total(read(same, [machine(), machine()]).beside[0].balances).over == 0


def test_what_nobody_held_is_idle_of_its_pool() -> None:
    """Three of four devices for an hour, and the fourth for half of it."""
    reading = read([Life("web", 0, 1800, 1.0, "u")], [machine(pool="h100")])
    assert seconds(reading) == {("h100", "idle"): 3 * END + 1800}
    (workload,) = {usage.workload for usage in reading.beside[0].usages}
    assert workload == Workload("", "NodePool", "h100")
    (of,) = {usage.sku for usage in reading.beside[0].usages}
    assert dict(of.dimensions) == {
        "gpuProduct": "L4",
        "nodePool": "h100",
        "resource": "nvidia.com/gpu",
        "state": "idle",
    }


@pytest.mark.parametrize(
    ("unwell", "held", "expected"),
    [
        ((0, 900, 4.0), 1.0, {("a", "idle"): 3 * 2700, ("a", "unhealthy"): 3 * 900}),
        ((0, 900, 1.0), 1.0, {("a", "idle"): 3 * END - 900, ("a", "unhealthy"): 900}),
        ((300, 600, 4.0), 3.0, {("a", "idle"): END - 300, ("a", "unhealthy"): 300}),
        ((0, END, 1.0), 4.0, {}),
    ],
)
def test_what_nobody_could_use_is_unhealthy(
    unwell: tuple[int, int, float], held: float, expected: dict[tuple[str, str], int]
) -> None:
    """A lost device, a node not ready or cordoned; a device that fails in somebody's hands is theirs."""
    reading = read([Life("web", -60, END + 60, held, "u")], [machine(unwell=(unwell,))])
    assert seconds(reading) == expected
    assert total(reading.beside[0].balances).over == 0


def test_pods_on_a_node_that_is_gone_are_over() -> None:
    """A node was deleted while its pods stayed behind: they are charged, and it is told."""
    gone = machine("gone", units=2.0)
    gone = Machine(gone.name, gone.joined, 1800, gone.units, labels=gone.labels)
    reading = read([Life("left", 0, END, 2.0, "u", node="gone")], [gone, machine()])
    left = total(reading.beside[0].balances)
    assert (left.over, left.idle) == (2 * 1800 * 1000, 4 * END * 1000)
    assert any("held on gone" in problem for problem in reading.problems)


def test_a_pod_that_changes_during_a_gap_leaves_it_unknown() -> None:
    """Who held the device in between nobody saw: neither pod, and not nobody."""
    lives = [Life("one", -900, 1010, 4.0, "1"), Life("two", 1010, END + 60, 4.0, "2")]
    scrapes = every(30, -2400, END + 1200, missing=lambda t: 900 <= t < 1080)
    reading = read(lives, [machine()], scrapes)
    check(reading)
    assert seconds(reading) == {("a", "unknown"): 4 * 180}


def test_a_short_gap_is_filled_by_what_was_free_on_both_sides() -> None:
    """Free before and after is free in between, as an estimate."""
    scrapes = every(30, -2400, END + 1200, missing=lambda t: 900 <= t < 1080)
    reading = read([Life("one", -900, END + 60, 3.0, "1")], [machine()], scrapes)
    check(reading)
    assert seconds(reading) == {("a", "idle"): END}
    assert sum(usage.estimated for usage in reading.beside[0].usages) == 180 * 1000


def test_a_long_gap_is_nobody_s_idle_time() -> None:
    """Twenty minutes without a scrape are not idle, they are not known; coverage says so."""
    scrapes = every(30, -2400, END + 1200, missing=lambda t: 900 <= t < 2100)
    reading = read([], [machine()], scrapes)
    assert seconds(reading) == {("a", "idle"): 4 * (END - 1200)}
    assert sum(c.covered_seconds for c in reading.beside[0].coverage.values()) == END - 1200


def test_without_capacity_nothing_is_known_of_idleness() -> None:
    """An exporter that does not tell of nodes makes no cluster idle, and none overfull."""
    reading = read([Life("web", 0, END, 4.0, "u")], [])
    idle = reading.beside[0]
    assert (idle.usages, dict(idle.balances)) == ((), {})
    assert not any(coverage.covered_seconds for coverage in idle.coverage.values())
    assert "kube_node_status_capacity" in idle.problems[0]
    assert sum(usage.quantity for usage in reading.usages) == 4 * END * 1000


def test_a_relabelled_node_is_idle_in_the_pool_of_the_time() -> None:
    """A label that comes late or changes moves the idle time from then on, and no more."""
    labels = ((-10_000, {PRODUCT: "L4"}), (1800, {PRODUCT: "L4", POOL: "late"}))
    reading = read([], [machine(units=1.0, labels=labels)])
    assert seconds(reading) == {("", "idle"): 1800, ("late", "idle"): END - 1800}


def test_devices_of_several_names_are_there_once() -> None:
    """A Neuron node offers its devices and their cores: who holds two cores of four devices leaves three."""
    labels = ((-10_000, {"label_node_kubernetes_io_instance_type": "trn1.32xlarge", POOL: "a"}),)
    offered = [
        machine(units=4.0, labels=labels, resource="aws_amazon_com_neuron"),
        machine(units=8.0, labels=labels, resource="aws_amazon_com_neuroncore"),
    ]
    reading = read([Life("train", -60, END + 60, 2.0, "u", resource="aws_amazon_com_neuroncore")], offered)
    check(reading)
    assert seconds(reading) == {("a", "idle"): 3 * END}
    assert total(reading.beside[0].balances).capacity == 4 * END * 1000


def test_one_query_more_is_asked() -> None:
    """What is left over costs one query, whatever else is read."""
    source = FakePrometheus([Life("web", 0, END, 1.0, "u")], SCRAPES, machines=[machine()])
    list(gpu_parts(Scenes(source, MeterSettings()), WHOLE))
    assert sum("offered" in asked for asked in source.asked) == 1
    assert sum("kube_pod_status_phase" in asked and "group_left" in asked for asked in source.asked) == 1


def test_sevenths_of_a_device_never_add_up_to_more_than_it() -> None:
    """A share is rounded down for each pod, and what that leaves over is idle: a few milliseconds."""
    labels = ((-10_000, SLICED | {POOL: "a", REPLICAS: "7"}),)
    lives = [Life(f"p{n}", -60, END + 60, 1.0, f"u{n}") for n in range(7)]
    reading = read(lives, [machine(units=7.0, labels=labels)])
    check(reading)
    left = total(reading.beside[0].balances)
    assert (left.capacity, left.over) == (END * 1000, 0)
    assert 0 < left.idle < 7 * SLOTS
    assert {usage.sku.dimension("share") for usage in reading.beside[0].usages} == {"1/7"}


@pytest.mark.parametrize(
    ("offered", "held", "expected"),
    [
        (4.0, 1.0, Balance(capacity=120_000, held=30_000, unknown=90_000)),
        (0.0, 2.0, Balance(capacity=60_000, held=60_000)),
    ],
)
def test_where_part_of_the_source_was_away_nothing_follows_from_what_is_missing(
    offered: float, held: float, expected: Balance
) -> None:
    """A step at which a shard told of some pods or of some nodes: not idle, and not held beyond them."""
    grid = Grid(Interval(BEGIN, BEGIN + 900), 30)
    dark, *rest = grid.instants
    known = Known(grid, frozenset(rest), ())
    holding = Holding(PodKey("team", "web", "u"), "main", "n", "nvidia_com_gpu")
    taken = {holding: Samples.of({float(dark): held})}
    # What is told later of the same node settles nothing of that step.
    told = {Offer("n", "nvidia_com_gpu"): Samples.of({float(dark): offered, float(rest[-1]): 1.0})}
    nodes = Nodes(())
    totals = Totals()
    totals.add(integrate(taken, known, nodes, Devices((), ())))
    found, untold = balances(Capacity(told, {}), taken, totals.places(), known, nodes)
    assert (sum(found.values(), Balance()), untold) == (
        expected + Balance(capacity=30_000, idle=30_000),
        frozenset(),
    )


def test_what_is_held_before_any_capacity_is_told_is_not_beyond_it() -> None:
    """An exporter that tells of nodes from the middle of a slot on: what was held before is all there was."""
    late = machine(units=2.0)
    late = Machine(late.name, 600, late.left, late.units, labels=late.labels)
    reading = read([Life("web", -60, END + 60, 2.0, "u")], [late])
    check(reading)
    left = total(reading.beside[0].balances)
    assert (left.capacity, left.over) == (2 * END * 1000, 0)
    assert not any("more than there are" in problem for problem in reading.problems)
