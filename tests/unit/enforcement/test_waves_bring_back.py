"""When much comes back at once: in waves, the affordable first, all of it in time, whatever goes wrong."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.conditions import Condition, ConditionType, Reason, set_condition
from aibudget.api.hold import Hold
from aibudget.api.names import FIELD_MANAGER, HOLD_LABEL, KILL_SWITCH
from aibudget.enforcement import hold as holds
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.live import read
from aibudget.enforcement.pods import AcceleratorPod, index
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.release import Manner, release_all
from aibudget.enforcement.waves import Waves, comes_back, in_order, moment_of, queued, turns
from aibudget.enforcement.wish import Wish
from aibudget.inventory.kubernetes import Forbidden
from aibudget.inventory.resource import AIBUDGETS, DEPLOYMENTS, HOLDS
from aibudget.metering.slots import Interval
from aibudget.reporting import enforcing
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace
from unit.enforcement.test_rails_hold import CLAIM

SYSTEM = "aibudget-system"


def held(name: str, *, pods: int = 1, rate: str | None = "4", **status: Any) -> Wish:
    """A Deployment that is held at 0, and that no budget wants held any more."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "resourceVersion": "1",
    }
    metadata["managedFields"] = [{"manager": FIELD_MANAGER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    live = read({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 0}})
    body = holds.body(live, (CLAIM,))
    body["metadata"] |= {"uid": f"hold-{name}", "resourceVersion": "7"}
    body["spec"]["original"] = holds.original_json("/spec/replicas", str(pods))
    hold = Hold.read(body)
    known = {"accelerator_pods": pods, "accelerators": pods, "avoided_cost_per_hour": rate, **status}
    hold = hold.model_copy(update={"status": hold.status.model_copy(update=known)})
    return Wish(live.workload, hold, live, ())


class Release:
    """Holds that nobody wants any more, released over cycles; each cycle knows only what Holds say."""

    def __init__(
        self,
        sizes: list[int],
        waves: Waves,
        *,
        slow: frozenset[int] = frozenset(),
        stuck: frozenset[int] = frozenset(),
    ) -> None:
        self.waves = waves
        self.sizes = {f"d-{number:03}": size for number, size in enumerate(sizes)}
        self.wishes = {name: held(name, pods=size) for name, size in self.sizes.items()}
        self.slow = {f"d-{number:03}" for number in slow}
        self.stuck = {f"d-{number:03}" for number in stuck}
        self.back: dict[str, datetime] = {}
        self.waited: list[int] = []

    def cycle(self, now: datetime, *, killed: bool) -> list[str]:
        """Who came back; a killed one says nothing in Holds after its writes to workloads."""
        order = in_order(tuple(self.wishes.values()), {}, frozenset(), now)
        taken = turns(tuple(self.wishes.values()), order, self._pods(), self.waves, now)
        seen = Counter(wish.workload.name for wish in (*taken.now, *taken.wave, *taken.queued))
        assert seen == Counter(list(self.wishes)), "each has one turn"
        came = []
        for wish in (*taken.now, *taken.wave):
            came += self._carry_out(wish, now, killed=killed)
        for wish in taken.queued:
            self._say(wish, queued(_hold(wish), self.waves, now), now)
        self.waited.append(len(taken.queued))
        return came

    def _carry_out(self, wish: Wish, now: datetime, *, killed: bool) -> list[str]:
        name = wish.workload.name
        came = []
        if comes_back(wish):
            if name in self.stuck:
                return []
            self.back[name] = now
            came.append(name)
            assert wish.live is not None
            self.wishes[name] = replace(
                wish, live=replace(wish.live, value="1", managers=frozenset()), lingers=False
            )
        if not wish.lingers:
            del self.wishes[name]
        elif not killed:
            for kind, status in ((ConditionType.APPLIED, "False"), (ConditionType.RELEASING, "True")):
                self._say(self.wishes[name], _condition(kind, status, now), now)
        return came

    def _say(self, wish: Wish, condition: Condition, now: datetime) -> None:
        hold = _hold(wish)
        said = set_condition(hold.status.conditions, condition, now)
        status = hold.status.model_copy(update={"conditions": said})
        self.wishes[wish.workload.name] = replace(wish, hold=hold.model_copy(update={"status": status}))

    def _pods(self) -> Any:
        ready = [name for name in self.back if name not in self.slow and name in self.wishes]
        pods = [AcceleratorPod(f"uid-{n}", 1, 0, ready=True) for n in ready for _ in range(self.sizes[n])]
        return index(pods, {})


def _hold(wish: Wish) -> Hold:
    assert wish.hold is not None
    return wish.hold


def _condition(kind: ConditionType, status: Any, now: datetime) -> Condition:
    return Condition(type=kind, status=status, reason=Reason.RELEASING, last_transition_time=now)


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=10)
SOME = st.frozensets(st.integers(0, 9), max_size=4)
PACE = st.builds(Waves, st.integers(1, 60), st.integers(5, 60), st.integers(60, 120))
STEP = st.integers(5, 40)
FEW = settings(max_examples=40)


@FEW
@given(sizes=SIZES, waves=PACE, slow=SOME, step=STEP, kills=st.frozensets(st.integers(0, 25)))
def test_everything_is_back_within_the_bound(
    sizes: list[int], waves: Waves, slow: frozenset[int], step: int, kills: frozenset[int]
) -> None:
    """Whatever is slow, however often the operator is killed: one cycle after the bound nothing is held."""
    release, now = Release(sizes, waves, slow=slow), NOW
    number = 0
    while len(release.back) < len(sizes):
        assert now <= NOW + timedelta(seconds=waves.within_seconds + step)
        release.cycle(now, killed=number in kills)
        now, number = now + timedelta(seconds=step), number + 1
    # The Holds that were kept to see pods become ready are let go as well.
    while release.wishes:
        assert now <= NOW + timedelta(seconds=waves.within_seconds + waves.ready_seconds + 3 * step)
        release.cycle(now, killed=False)
        now += timedelta(seconds=step)


@FEW
@given(sizes=SIZES, waves=PACE, step=STEP)
def test_no_wave_is_larger_than_it_must_be(sizes: list[int], waves: Waves, step: int) -> None:
    """Its size, one workload, or what is needed to be done in time; and the next waits until it is ready."""
    release, now = Release(sizes, waves), NOW
    while release.wishes:
        left = sum(size for name, size in release.sizes.items() if name not in release.back)
        possible = max(1, int((waves.within_seconds - (now - NOW).total_seconds()) // waves.ready_seconds))
        came = release.cycle(now, killed=False)
        size = sum(sizes[int(name[2:])] for name in came)
        assert size <= max(waves.accelerators, -(-left // possible)) or len(came) == 1
        now += timedelta(seconds=step)


@FEW
@given(sizes=SIZES, stuck=SOME, waves=PACE)
def test_what_cannot_be_given_back_keeps_nobody(
    sizes: list[int], stuck: frozenset[int], waves: Waves
) -> None:
    """A workload that refuses every write is tried again for ever, and all the others are back in time."""
    release, now = Release(sizes, waves, stuck=stuck), NOW
    while now <= NOW + timedelta(seconds=waves.within_seconds + 10):
        release.cycle(now, killed=False)
        now += timedelta(seconds=10)
    assert set(release.back) == {f"d-{n:03}" for n in range(len(sizes)) if n not in stuck}


def in_december(limit: int = 100) -> Mapping[str, Claimant]:
    """The budget in its next period, ten hours before its end."""
    now = int(NOW.timestamp())
    claimant = make_claimant("llm", standing="Below", period="2026-12@UTC", percent=0)
    period = replace(claimant.evaluation.period, interval=Interval(now - 900, now + 36_000))
    spend = replace(claimant.evaluation.spend, amount=Decimal(0))
    evaluation = replace(
        claimant.evaluation, period=period, spend=spend, limit=Decimal(limit), rate_per_hour=None
    )
    return {"b-1": replace(claimant, evaluation=evaluation)}


def names(wishes: tuple[Wish, ...]) -> list[str]:
    return [wish.workload.name for wish in wishes]


def test_what_the_new_period_affords_comes_first() -> None:
    """The dearest that fits, then what fits beside it; what does not fit is the last, and still comes."""
    wishes = [held("a", rate="3"), held("b", rate="11"), held("c", rate="8"), held("d", rate="2")]
    assert names(in_order(wishes, in_december(), frozenset(), NOW)) == ["c", "d", "b", "a"]
    assert names(in_order(wishes, in_december(1000), frozenset(), NOW)) == ["b", "c", "a", "d"]
    assert names(in_order(wishes, {}, frozenset(), NOW)) == ["b", "c", "a", "d"]


def test_what_spends_already_leaves_less() -> None:
    """The rate of what was never held counts until the period's end."""
    wishes = [held("a", rate="3"), held("b", rate="8")]
    spending = in_december()["b-1"]
    spending = replace(spending, evaluation=replace(spending.evaluation, rate_per_hour=Decimal(6)))
    assert names(in_order(wishes, {"b-1": spending}, frozenset(), NOW)) == ["a", "b"]


def test_unknown_rates_are_not_known_to_fit() -> None:
    """None is not zero."""
    wishes = [held("a", rate=None), held("b", rate="1")]
    assert names(in_order(wishes, in_december(), frozenset(), NOW)) == ["b", "a"]


def test_the_order_is_always_the_same() -> None:
    """Equals are sorted by a hash: by the same one, whoever leads, and not by their names."""
    wishes = [held(f"d-{number}") for number in range(20)]
    found = names(in_order(wishes, {}, frozenset(), NOW))
    assert found == names(in_order(wishes[::-1], {}, frozenset(), NOW))
    assert found != sorted(found)


def test_who_was_refused_a_moment_ago_is_the_last() -> None:
    """Else the first in the order, refused again and again, would be the whole wave each time."""
    wishes = [held("a", rate="9"), held("b", rate="1")]
    assert names(in_order(wishes, {}, frozenset({"hold-a"}), NOW)) == ["b", "a"]


def test_a_wave_is_spread_over_a_few_seconds() -> None:
    """Deterministically: by the Hold's uid."""
    moments = [moment_of(held(f"d-{number}")) for number in range(50)]
    assert moments == [moment_of(held(f"d-{number}")) for number in range(50)]
    assert 0 <= min(moments) < 1
    assert 4 < max(moments) < 5


class World:
    """Nine Deployments of a pod each, held; each cycle is a new process, with waves of three."""

    names = tuple(f"d-{number}" for number in range(9))

    def __init__(self) -> None:
        self.api = FakeAPI()
        self.slept: list[float] = []
        with_namespace(self.api, "team")
        self.api.seed(AIBUDGETS, "b-1", "team", metadata={"uid": "b-1"})
        for name in self.names:
            self.api.deployment(name, "team", 1)
        self.cycle(make_claimant(*self.names))
        self.cycle(make_claimant(*self.names))

    def cycle(self, claimant: Claimant, minutes: float = 0) -> Report:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        limits = Limits(SYSTEM, rails=Rails(100, 100, 60), waves=Waves(3, 120, 900))
        enforcer = Enforcer(self.api, limits, lambda: True, sleep=sleep)
        return asyncio.run(enforcer.run([claimant], NOW + timedelta(minutes=minutes)))

    @property
    def running(self) -> set[str]:
        found = self.api.objects.items()
        return {n for (plural, _, n), o in found if plural == DEPLOYMENTS.plural and o["spec"]["replicas"]}

    @property
    def holds(self) -> list[dict[str, Any]]:
        return [o for (plural, *_), o in self.api.objects.items() if plural == HOLDS.plural]


BELOW = make_claimant(*World.names, standing="Below")
OVER = make_claimant(*World.names)


def test_three_waves_over_restarts() -> None:
    """Three at a time, the next when these are ready; no Hold and no mark is left, and all was told."""
    world = World()
    assert world.running == set()
    counts, told = [], []
    for minute in range(4):
        report = world.cycle(BELOW, minute)
        counts.append(len(world.running))
        told += [act.workload.name for act in report.acts if act.reason == "WorkloadRestored"]
    assert counts == [3, 6, 9, 9]
    assert sorted(told) == sorted(world.names)
    assert world.holds == []
    assert not [o for o in world.api.objects.values() if HOLD_LABEL in (o["metadata"].get("labels") or {})]
    assert len(world.slept) == 9


def test_a_wave_that_is_not_ready_is_waited_for() -> None:
    """Until its time is over."""
    world = World()
    world.api.pods_ready = False
    counts = []
    for minute in range(4):
        world.cycle(BELOW, minute)
        counts.append(len(world.running))
    assert counts == [3, 3, 6, 6]


def test_it_is_said_who_waits() -> None:
    """In the Hold, once; in the budget's status and the metrics, while it lasts."""
    world = World()
    report = world.cycle(BELOW)
    reasons = Counter(
        c["reason"] for hold in world.holds for c in hold["status"]["conditions"] if c["type"] == "Releasing"
    )
    assert reasons == {"Queued": 6, "Releasing": 3}
    assert enforcing.backlog(report)["restore"] == 6
    assert enforcing.by_budget(report)["b-1"].returning == 6
    assert enforcing.states(report)["ScaleDown", "releasing"] == 9
    written = len(world.api.written)
    world.api.pods_ready = False
    world.cycle(BELOW, 1)
    assert len(world.api.written) == written


def test_a_budget_that_is_crossed_again_keeps_what_has_not_come_back() -> None:
    """It would come back only to be stopped; what came back gets its notice anew. Nothing is lost by it."""
    world = World()
    world.cycle(BELOW)
    assert len(world.running) == 3
    notice = make_claimant(*World.names, gracePeriodSeconds=600)
    world.cycle(notice, 1)
    world.cycle(notice, 2)
    assert len(world.running) == 3
    assert len(world.holds) == 9
    assert not [c for hold in world.holds for c in hold["status"]["conditions"] if c["type"] == "Releasing"]
    world.cycle(notice, 12)
    assert world.running == set()
    for minute in range(13, 18):
        world.cycle(BELOW, minute)
    assert world.running == set(World.names)
    assert world.holds == []


def test_one_that_refuses_every_write_keeps_nobody() -> None:
    """Its failure is told, and the others are back as early as without it."""
    world = World()
    (first, *_) = sorted(world.names)
    patch = world.api.patch

    async def refusing(resource: Any, name: str, *given: Any, **more: Any) -> Any:
        if resource is DEPLOYMENTS and name == first:
            raise Forbidden("Forbidden", "a webhook says no")
        return await patch(resource, name, *given, **more)

    world.api.patch = refusing  # type: ignore[method-assign]
    failed = []
    for minute in range(17):
        report = world.cycle(BELOW, minute)
        failed += [act.workload.name for act in report.acts if act.reason == "EnforcementFailed"]
    assert world.running == {*world.names} - {first}
    assert set(failed) == {first}
    world.api.patch = patch  # type: ignore[method-assign]
    world.cycle(BELOW, 18)
    assert world.running == set(world.names)
    assert world.holds == []


def test_a_few_come_back_at_once() -> None:
    """What fits into one wave is no wave: released and forgotten in the same cycle, as ever."""
    world = World()
    for name in sorted(world.names)[3:]:
        world.api.remove(DEPLOYMENTS, name, "team")
    world.cycle(BELOW)
    assert len(world.running) == 3
    assert world.holds == []
    assert world.slept == []


def test_release_all_waits_between_its_waves() -> None:
    """So many at a time; the next when these are ready, or have had their time; one failure keeps nobody."""
    world = World()
    world.api.pods_ready = False
    seen: list[int] = []

    async def sleep(_: float) -> None:
        seen.append(len(world.running))
        world.api.pods_ready = len(seen) > 2

    told: list[str] = []
    manner = Manner(4, 600, lambda act: told.append(act.workload.name), {"uid": "operator"}, sleep)
    acts = asyncio.run(release_all(world.api, SYSTEM, NOW, manner))
    assert seen == [4, 4, 4]
    assert world.running == set(world.names)
    assert told == [act.workload.name for act in acts]
    assert sorted(told) == sorted(world.names)
    (switch,) = [o for o in world.api.objects.values() if o["metadata"]["name"] == KILL_SWITCH]
    assert switch["metadata"]["ownerReferences"] == [{"uid": "operator"}]
