"""However much a plan wants to stop: no more than the rails let, in the plan's order, and never blindly."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Claim, Hold
from aibudget.api.names import KILL_SWITCH
from aibudget.enforcement import hold as holds
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.pods import AcceleratorPod, Pods, index
from aibudget.enforcement.rails import SMALL, Rails, pace, would_act
from aibudget.enforcement.wish import Wish
from aibudget.inventory.resource import CONFIG_MAPS, HOLDS
from aibudget.reporting import enforcing
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

SYSTEM = "aibudget-system"
CLAIM = Claim(
    kind="AIBudget",
    name="b-1",
    uid="b-1",
    period_id="p",
    threshold="over",
    decision="Approved",
    notice_time=NOW,
)


def live(name: str, replicas: int) -> Live:
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1"}
    return read({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}})


class World:
    """Deployments of these sizes, in the plan's order; what is stopped is known from Holds alone."""

    def __init__(self, sizes: list[int], others: int) -> None:
        self.sizes = {f"d-{number:03}": size for number, size in enumerate(sizes)}
        self.others = others
        self.stopped: dict[str, datetime] = {}
        self.recorded: dict[str, datetime] = {}

    @property
    def pods(self) -> int:
        return sum(self.sizes.values()) + self.others

    def cycle(self, rails: Rails, now: datetime, *, killed: bool) -> tuple[list[str], list[str]]:
        """What went and what had to wait; a killed one leaves no record of its acts."""
        wishes = [self._wish(name) for name in self.sizes]
        lives = {wish.workload: wish.live for wish in wishes}
        paced = pace(wishes, lives, self._pods(), rails, now)
        went = [wish.workload.name for wish in paced.wishes if would_act(wish)]
        waiting = [wish.workload.name for wish in paced.queued]
        self.recorded |= {name: now for name in self.stopped if name not in self.recorded}
        self.stopped |= dict.fromkeys(went, now)
        if not killed:
            self.recorded |= dict.fromkeys(went, now)
        return went, waiting

    def _wish(self, name: str) -> Wish:
        size = self.sizes[name]
        one = live(name, 0 if name in self.stopped else size)
        wish = Wish(one.workload, None, one, (CLAIM,), due_for=frozenset({"b-1"}))
        return wish if name not in self.stopped else replace(wish, hold=self._hold(name, one))

    def _hold(self, name: str, one: Live) -> Hold:
        body = holds.body(one, (CLAIM,))
        body["metadata"] |= {"uid": f"hold-{name}", "resourceVersion": "7"}
        body["spec"]["original"] = holds.original_json("/spec/replicas", str(self.sizes[name]))
        hold = Hold.read(body)
        if name not in self.recorded:
            return hold
        known = {"enforced_time": self.recorded[name], "accelerator_pods": self.sizes[name]}
        return hold.model_copy(update={"status": hold.status.model_copy(update=known)})

    def _pods(self) -> Pods:
        running = [name for name in self.sizes if name not in self.stopped]
        pods = [AcceleratorPod(f"uid-{name}", 1, 0) for name in running for _ in range(self.sizes[name])]
        return index([*pods, *[AcceleratorPod(None, 1, 0)] * self.others], {})


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    others=st.integers(0, 60),
    rails=st.builds(Rails, st.integers(1, 8), st.integers(1, 100), st.integers(10, 120)),
    cycles=st.lists(st.tuples(st.integers(1, 70), st.booleans()), min_size=1, max_size=15),
)
def test_no_span_of_time_sees_more_stops_than_the_rails_let(
    sizes: list[int], others: int, rails: Rails, cycles: list[tuple[int, bool]]
) -> None:
    """By number and by share of the pods, over restarts and kills; one that is larger goes alone."""
    world, now = World(sizes, others), NOW
    for seconds, killed in cycles:
        now += timedelta(seconds=seconds)
        open_ = [name for name in world.sizes if name not in world.stopped]
        went, waiting = world.cycle(rails, now, killed=killed)
        assert [*went, *waiting] == open_, "nobody overtakes, nobody is forgotten"

        window = [n for n, at in world.stopped.items() if at > now - timedelta(seconds=rails.seconds)]
        pods = sum(world.sizes[name] for name in window)
        assert len(window) <= rails.stops
        assert pods <= max(SMALL, world.pods * rails.percent // 100) or len(window) == 1
        assert went or not open_ or _window(world, rails, now), "something goes whenever the rails are free"


def _window(world: World, rails: Rails, now: datetime) -> list[str]:
    return [n for n, at in world.recorded.items() if at > now - timedelta(seconds=rails.seconds)]


def test_unknown_pods_stop_nothing() -> None:
    """A share of an unknown number is unknown; what is not known never stops anything."""
    one = live("a", 3)
    wish = Wish(one.workload, None, one, (CLAIM,), due_for=frozenset({"b-1"}))
    paced = pace([wish], {one.workload: one}, None, Rails(), NOW)
    assert paced.queued == (wish,)
    assert not would_act(paced.wishes[0])


class Cluster:
    """Twelve Deployments of two pods each, over their budget; each cycle is a new process."""

    names: tuple[str, ...] = tuple(f"d-{number:02}" for number in range(12))

    def __init__(self, rails: Rails) -> None:
        self.api = FakeAPI()
        self.rails = rails
        self.leads = True
        self.skew = timedelta(0)
        with_namespace(self.api, "team")
        for name in self.names:
            self.api.deployment(name, "team", 2)

    def cycle(self, now: datetime = NOW) -> Report:
        limits = Limits(SYSTEM, rails=self.rails)
        enforcer = Enforcer(self.api, limits, lambda: self.leads, lambda: (now + self.skew).timestamp())
        return asyncio.run(enforcer.run([make_claimant(*self.names)], now))

    @property
    def stopped(self) -> list[str]:
        found = self.api.objects.items()
        return [
            name for (plural, _, name), o in found if plural == "deployments" and not o["spec"]["replicas"]
        ]


def test_a_new_leader_counts_what_the_last_one_stopped() -> None:
    """The rails are read from Holds; the number of processes does not make them wider."""
    cluster = Cluster(Rails(stops=5, percent=100, seconds=60))
    numbers = []
    for seconds in (0, 1, 30, 60, 61, 120, 180):
        report = cluster.cycle(NOW + timedelta(seconds=seconds))
        numbers.append(len(cluster.stopped))
    assert numbers == [5, 5, 5, 10, 10, 12, 12]
    assert report.queued == ()


def test_what_waits_is_said() -> None:
    """By an Event and a count for its budget, and in the Hold of each; told once an hour, not each cycle."""
    cluster = Cluster(Rails(stops=5, percent=100, seconds=60))
    cluster.cycle()
    written = len(cluster.api.written)
    report = cluster.cycle(NOW + timedelta(seconds=1))
    again = cluster.cycle(NOW + timedelta(seconds=2))

    told = [
        [e.name for e in enforcing.told(r, 7) if e.reason is EventReason.STOPS_PACED] for r in (report, again)
    ]
    assert len(told[0]) == 1
    assert told[0] == told[1]
    assert enforcing.by_budget(report)["b-1"].queued == 7
    assert enforcing.backlog(report) == {"stop": 7, "restore": 0}
    waiting = [o for (plural, _, _), o in cluster.api.objects.items() if plural == HOLDS.plural]
    said = [c["message"] for o in waiting for c in o["status"]["conditions"] if c["reason"] == "Pending"]
    assert len([message for message in said if "waits for its turn" in message]) == 7
    # The five are looked at once more, to see that their pods are gone; those that wait are left as they are.
    assert len(cluster.api.written) - written == 5


def _set_kill_switch(cluster: Cluster) -> None:
    cluster.api.seed(CONFIG_MAPS, KILL_SWITCH, SYSTEM, data={})


def _lose_the_lease(cluster: Cluster) -> None:
    cluster.leads = False


def _jump(cluster: Cluster) -> None:
    cluster.skew = timedelta(minutes=10)


def _jump_back(cluster: Cluster) -> None:
    cluster.skew = timedelta(minutes=-10)


GUARDS: Mapping[str, Callable[[Cluster], None]] = {
    "kill switch": _set_kill_switch,
    "lease": _lose_the_lease,
    "suspended": _jump,
    "clock set back": _jump_back,
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("writes", [0, 1])
def test_each_guard_is_asked_right_before_each_stop(guard: Callable[[Cluster], None], writes: int) -> None:
    """Whenever it comes, also between a Hold's own writes: from then on nothing is stopped."""
    cluster = Cluster(Rails())
    cluster.names = ("d-00",)

    def count() -> None:
        nonlocal writes
        writes -= 1
        if writes < 0:
            guard(cluster)

    cluster.api.before_write = count
    if writes == 0:
        guard(cluster)
    report = cluster.cycle()
    assert cluster.stopped == []
    assert not [act for act in report.acts if act.reason is EventReason.WORKLOAD_SCALED_DOWN]


def test_all_guards_open_it_is_stopped() -> None:
    """What the test above would have seen without its guards."""
    cluster = Cluster(Rails())
    cluster.names = ("d-00",)
    cluster.cycle()
    assert cluster.stopped == ["d-00"]
