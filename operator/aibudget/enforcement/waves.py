"""Waves: when much comes back at once, whose turn it is. Pure.

At a period's end everything comes back, and if it came at once, nodes, registries and schedulers would see it
all in one minute. So it comes in waves, what the new period affords first, and a wave waits until the pods of
the one before it are ready, or have had their time. Nothing waits longer than `within_seconds`: waves grow as
that time runs out, and at its end all that is left goes. Everything is read from the Holds: since when one
waits, and which were given back and are kept until their pods are ready.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate, chain
from typing import Final

from aibudget.api.conditions import Condition, ConditionType, Reason, find_condition
from aibudget.api.hold import Hold
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.hold import Step, is_true, next_step
from aibudget.enforcement.pods import Pods
from aibudget.enforcement.rails import pods_of
from aibudget.enforcement.wish import Wish

SPREAD_SECONDS: Final = 5.0
"""Within a wave each comes back at a moment of its own, over so long."""


@dataclass(frozen=True, slots=True)
class Waves:
    """`accelerators` come back in one wave, or more where time runs out; after `ready_seconds` the next one
    does not wait any longer; after `within_seconds` nothing does.
    """

    accelerators: int = 64
    ready_seconds: int = 120
    within_seconds: int = 900


@dataclass(frozen=True, slots=True)
class Turns:
    """All wishes by what comes of them now; each is in one of the three.

    `now` are carried out as they are, `wave` likewise, but spread over a few seconds, `queued` wait.
    """

    now: tuple[Wish, ...]
    wave: tuple[Wish, ...] = ()
    queued: tuple[Wish, ...] = ()


def comes_back(wish: Wish) -> bool:
    """Whether carrying it out puts an original back."""
    if wish.wanted or wish.hold is None or wish.live is None:
        return False
    return next_step(wish.hold, wish.live, wanted=False, may_act=False) is Step.RESTORE


def is_returning(wish: Wish) -> bool:
    """Whether it was given back in a wave, and its Hold is kept to see its pods become ready."""
    hold = wish.hold
    if wish.wanted or hold is None or wish.live is None or comes_back(wish):
        return False
    return is_true(hold, ConditionType.RELEASING) and not is_true(hold, ConditionType.APPLIED)


def turns(
    wishes: Sequence[Wish], order: Sequence[Wish], pods: Pods | None, waves: Waves, now: datetime
) -> Turns:
    """`order` are those that come back, the first one first; `wishes` are all, these among them."""
    others = tuple(wish for wish in wishes if not comes_back(wish))
    returning = filter(is_returning, others)
    open_ = {_hold(wish).uid for wish in returning if not _is_settled(wish, pods, waves, now)}
    if sum(map(_size, order)) <= waves.accelerators and not open_:
        # The last wave, or the only one: nobody waits for it.
        begun = any(_since(wish) is not None for wish in order)
        return Turns(others, wave=tuple(order)) if begun else Turns((*others, *order))
    number = _late(order, waves, now) if open_ else _next(order, waves, now)
    return Turns(
        tuple(replace(w, lingers=w.hold is not None and w.hold.uid in open_) for w in others),
        wave=tuple(replace(wish, lingers=not wish.claims) for wish in order[:number]),
        queued=tuple(order[number:]),
    )


def in_order(
    wishes: Sequence[Wish], claimants: Mapping[str, Claimant], last: frozenset[str], now: datetime
) -> tuple[Wish, ...]:
    """Those that come back: what the budgets can afford until their periods end, then the rest.

    Within each the last victims of their budgets come first, then the dearest; equals by a hash, so that no
    namespace is always the last. `last` are the uids of Holds that could not be given back a moment ago: they
    must not keep the others waiting.
    """
    coming = list(filter(comes_back, wishes))
    victims: dict[str, int] = {}
    for uid, rank in chain.from_iterable(_ranks(wish).items() for wish in coming):
        victims[uid] = max(rank, victims.get(uid, 0))
    coming.sort(key=lambda wish: (-_place(wish, victims), *_by_value(wish)))
    rooms = {uid: _room(claimant, now) for uid, claimant in claimants.items()}
    hours = {uid: _hours_left(claimant, now) for uid, claimant in claimants.items()}
    fitting: list[Wish] = []
    beyond: list[Wish] = []
    for wish in coming:
        rate, uids = _rate(wish), {claim.uid for claim in _hold(wish).spec.claims} & rooms.keys()
        if all(rate is not None and rate * hours[uid] <= rooms[uid] for uid in uids):
            for uid in uids:
                rooms[uid] -= (rate or Decimal(0)) * hours[uid]
            fitting.append(wish)
        else:
            beyond.append(wish)
    found = (*fitting, *beyond)
    return tuple(sorted(found, key=lambda wish: _hold(wish).uid in last))


def moment_of(wish: Wish) -> float:
    """When within its wave it comes back: seconds from the wave's beginning."""
    return _fraction(wish) * SPREAD_SECONDS


def queued(hold: Hold, waves: Waves, now: datetime) -> Condition:
    """What a Hold says that waits for its turn; the same for as long as it waits."""
    before = find_condition(hold.status.conditions, ConditionType.RELEASING)
    since = now if before is None else before.last_transition_time
    until = since + timedelta(seconds=waves.within_seconds)
    return Condition(
        type=ConditionType.RELEASING,
        status="True",
        reason=Reason.QUEUED,
        message=f"No budget holds it any more: it comes back in a wave, at {until:%H:%M} UTC at the latest.",
        last_transition_time=since,
        observed_generation=hold.metadata.generation,
    )


def _late(order: Sequence[Wish], waves: Waves, now: datetime) -> int:
    """All of them, once the first to wait has waited for long enough: its wave has taken too long."""
    return len(order) if _time_left(order, waves, now) <= 0 else 0


def _next(order: Sequence[Wish], waves: Waves, now: datetime) -> int:
    """How many go in the next wave: one at least, and so many that the time left is enough for the rest."""
    number = max(1, int(_time_left(order, waves, now) // waves.ready_seconds))
    size = max(waves.accelerators, -(-sum(map(_size, order)) // number))
    sizes = accumulate(map(_size, order))
    return max(1, sum(1 for together in sizes if together <= size))


def _time_left(order: Sequence[Wish], waves: Waves, now: datetime) -> float:
    since = min((at for wish in order if (at := _since(wish)) is not None), default=now)
    return (since + timedelta(seconds=waves.within_seconds) - now).total_seconds()


def _is_settled(wish: Wish, pods: Pods | None, waves: Waves, now: datetime) -> bool:
    hold = _hold(wish)
    applied = find_condition(hold.status.conditions, ConditionType.APPLIED)
    returned = now if applied is None else applied.last_transition_time
    if now >= returned + timedelta(seconds=waves.ready_seconds):
        return True
    ready = () if pods is None else [pod for pod in pods.of(hold.spec.target_ref.uid) if pod.ready]
    return len(ready) >= pods_of(hold)


def _since(wish: Wish) -> datetime | None:
    found = find_condition(_hold(wish).status.conditions, ConditionType.RELEASING)
    return None if found is None else found.last_transition_time


def _size(wish: Wish) -> int:
    """Accelerators that come back with it; never 0, or a wave would have no end."""
    hold = _hold(wish)
    return max(1, hold.status.accelerators or pods_of(hold))


def _ranks(wish: Wish) -> dict[str, int]:
    return {claim.uid: claim.rank for claim in _hold(wish).spec.claims if claim.rank is not None}


def _place(wish: Wish, victims: Mapping[str, int]) -> float:
    """Its place among its budget's victims, as a share, so that small budgets do not wait for large ones."""
    places = [rank / victims[uid] for uid, rank in _ranks(wish).items()]
    return max(places, default=0.0)


def _by_value(wish: Wish) -> tuple[Decimal, float]:
    return -(_rate(wish) or Decimal(0)), _fraction(wish)


def _rate(wish: Wish) -> Decimal | None:
    avoided = _hold(wish).status.avoided_cost_per_hour
    return None if avoided is None else Decimal(avoided)


def _room(claimant: Claimant, now: datetime) -> Decimal:
    """What may be spent beside what spends already, until the period ends, before anything is stopped."""
    evaluation = claimant.evaluation
    percents = [t.threshold.percent for t in evaluation.thresholds if "ScaleDown" in t.threshold.actions]
    if evaluation.limit is None:
        return Decimal("Infinity")
    until = evaluation.limit * min(percents, default=100) / 100
    going = (evaluation.rate_per_hour or Decimal(0)) * _hours_left(claimant, now)
    return until - evaluation.spend.amount - going


def _hours_left(claimant: Claimant, now: datetime) -> Decimal:
    seconds = claimant.evaluation.period.interval.end - int(now.timestamp())
    return Decimal(max(0, seconds)) / 3600


def _fraction(wish: Wish) -> float:
    digest = hashlib.sha256(_hold(wish).uid.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _hold(wish: Wish) -> Hold:
    assert wish.hold is not None, "what comes back has a Hold"
    return wish.hold
