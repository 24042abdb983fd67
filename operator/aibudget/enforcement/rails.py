"""The rails: how much may be stopped in any span of time, in the whole cluster, for whatever reason. Pure.

A wrong price, a wrong limit or a fault of our own would stop everything at once. The rails let the first in
the plan's order go and the rest wait, so that people see it, and have time for the kill switch. What was
stopped lately is counted from the Holds, so that a restart or another leader does not begin anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from aibudget.api.hold import Hold
from aibudget.enforcement.hold import Step, next_step, original_of, workload_of
from aibudget.enforcement.kinds import PARENTS
from aibudget.enforcement.live import Live
from aibudget.enforcement.pods import Pods
from aibudget.enforcement.wish import Wish
from aibudget.inventory.workload import Workload

SMALL: Final = 16
"""So many pods may be stopped whatever their share is: in a small cluster one workload is a large part."""


@dataclass(frozen=True, slots=True)
class Rails:
    """At most `stops` workloads and `percent` of the cluster's accelerator pods, in any `seconds`."""

    stops: int = 50
    percent: int = 25
    seconds: int = 300

    def __str__(self) -> str:
        return (
            f"at most {self.stops} workloads and {self.percent} % of the cluster's accelerator pods are "
            f"stopped in {self.seconds} s"
        )


@dataclass(frozen=True, slots=True)
class Paced:
    """The wishes, in their order; those in `queued` are not due any more in this cycle."""

    wishes: tuple[Wish, ...]
    queued: tuple[Wish, ...]


def would_act(wish: Wish) -> bool:
    """Whether carrying it out now writes a stop to its workload."""
    if not wish.due or wish.live is None:
        return False
    if wish.hold is None:
        return not wish.live.stopped
    step = next_step(wish.hold, wish.live, wanted=wish.wanted, may_act=True)
    return step in (Step.ACT, Step.COUNT)


def pace(
    wishes: Sequence[Wish],
    lives: Mapping[Workload, Live | None],
    pods: Pods | None,
    rails: Rails,
    now: datetime,
) -> Paced:
    """Let as many stops go, from the first on, as the rails have room for; nobody overtakes.

    A workload that is larger than the rails goes alone. While the pods are not known nothing goes.
    """
    if pods is None:
        return _none(
            wishes, "Its notice is over; the cluster's pods cannot be read, so that nothing is stopped."
        )
    holds = [wish.hold for wish in wishes if wish.hold is not None]
    since = now - timedelta(seconds=rails.seconds)
    lately = [hold for hold in holds if _acted_since(hold, lives.get(workload_of(hold)), since)]
    stops, stopped = len(lately), sum(map(pods_of, lately))
    room = max(SMALL, _cluster(holds, pods) * rails.percent // 100)
    done: list[Wish] = []
    queued: list[Wish] = []
    for wish in wishes:
        if not would_act(wish):
            done.append(wish)
            continue
        assert wish.live is not None, "it would act"
        # The pods of a CronJob are counted with its Jobs.
        size = 0 if wish.live.kind.name in PARENTS else len(pods.of(wish.live.uid))
        fits = stops < rails.stops and (stopped + size <= room or stops == 0)
        if queued or not fits:
            queued.append(wish)
            done.append(_kept(wish, f"Its notice is over; it waits for its turn: {rails}."))
            continue
        stops, stopped = stops + 1, stopped + size
        done.append(wish)
    return Paced(tuple(done), tuple(queued))


def _none(wishes: Sequence[Wish], said: str) -> Paced:
    queued = tuple(filter(would_act, wishes))
    return Paced(tuple(_kept(wish, said) if would_act(wish) else wish for wish in wishes), queued)


def _kept(wish: Wish, said: str) -> Wish:
    return replace(wish, due_for=frozenset(), waits=said)


def pods_of(hold: Hold) -> int:
    """How many accelerator pods the Hold took away: as counted at the act, else as its original says."""
    if hold.spec.target_ref.kind in PARENTS:
        return 0
    if hold.status.accelerator_pods is not None:
        return hold.status.accelerator_pods
    original = original_of(hold)
    value = original[0] if original is not None else None
    return int(value) if value is not None and value.isascii() and value.isdigit() else 1


def _acted_since(hold: Hold, live: Live | None, since: datetime) -> bool:
    if not hold.spec.original:
        return False
    if hold.status.enforced_time is not None:
        return hold.status.enforced_time > since
    # Killed between the act and its record: whatever has stopped it, it counts as ours and as new.
    return live is not None and live.stopped


def _cluster(holds: Sequence[Hold], pods: Pods) -> int:
    """All accelerator pods of the cluster, with those that we have taken away."""
    return pods.total + sum(_gone(holds, pods))


def _gone(holds: Sequence[Hold], pods: Pods) -> Iterator[int]:
    for hold in holds:
        if hold.status.enforced_time is not None:
            yield max(0, pods_of(hold) - len(pods.of(hold.spec.target_ref.uid)))
