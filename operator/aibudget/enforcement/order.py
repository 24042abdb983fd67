"""The order of victims: who is stopped first, and the sentence that says why. Pure.

Lexicographic: already held, idle, priority, disruption, run time lost, cost, name. What is not known never
moves a workload forward: an unwatched one is not idle, and one whose pods could not be read comes last. The
order knows nothing of how many are needed (`extent.py`) or whether one may be touched (`sparing.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from aibudget.enforcement.kinds import Kind
from aibudget.inventory.workload import Workload

LEAST_AGE: Final = timedelta(minutes=15)
"""A pod that is younger may still be loading: its workload is not idle yet."""

_GUARDED: Final = 10
"""A PodDisruptionBudget is its owner's word; it weighs more than any guess by the kind."""
_CENT: Final = Decimal("0.01")
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Crew:
    """What a workload's running accelerator pods say of it.

    `priority` is the highest of theirs, None where one has none; `oldest` and `youngest` are when they
    started, None where one does not say. `guarded`: a PodDisruptionBudget selects one, or could not be read.
    """

    pods: int
    priority: int | None
    oldest: datetime | None
    youngest: datetime | None
    guarded: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be stopped. `crew` is None where no accelerator pod of it could be read.

    `idle` is what its devices said of the last half hour. `held`: it is stopped already, for another budget.
    `currency` is that of the rate, for people.
    """

    workload: Workload
    kind: Kind
    rate_per_hour: Decimal
    idle: bool | None = None
    held: bool = False
    crew: Crew | None = None
    assumed: tuple[str, ...] = ()
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate stands: `rank` counts from 1, `reason` is for people."""

    candidate: Candidate
    rank: int
    reason: str


def ranked(candidates: Iterable[Candidate], now: datetime) -> tuple[Place, ...]:
    """All candidates, the first to be stopped first: a total order, whatever order they come in."""
    ordered = sorted(candidates, key=lambda candidate: _key(candidate, now))
    return tuple(
        Place(candidate, rank, _sentence(f"Place {rank} of {len(ordered)}", candidate, now))
        for rank, candidate in enumerate(ordered, start=1)
    )


def is_idle(candidate: Candidate, now: datetime) -> bool:
    """Whether all its devices were seen to do nothing, and all its pods have had the time to do something."""
    crew = candidate.crew
    if not candidate.idle or crew is None or crew.youngest is None:
        return False
    return now - crew.youngest >= LEAST_AGE


def _key(candidate: Candidate, now: datetime) -> tuple[object, ...]:
    crew = candidate.crew
    by_cost_and_name = (-candidate.rate_per_hour, candidate.workload)
    if candidate.held:
        return (0, *by_cost_and_name)
    if crew is None or crew.priority is None:
        return (2, *by_cost_and_name)
    lost = _hours(crew, now)
    return (
        1,
        not is_idle(candidate, now),
        crew.priority,
        candidate.kind.disruption + (_GUARDED if crew.guarded else 0),
        (lost is None, lost or 0),
        *by_cost_and_name,
    )


def _hours(crew: Crew, now: datetime) -> int | None:
    """Whole hours, so that what started together is told apart by its cost."""
    if crew.oldest is None:
        return None
    return max(timedelta(), now - crew.oldest) // timedelta(hours=1)


def _sentence(place: str, candidate: Candidate, now: datetime) -> str:
    said = f"{place} in the order: {_described(candidate, now)}."
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def _described(candidate: Candidate, now: datetime) -> str:
    cost = f"{candidate.rate_per_hour.quantize(_CENT)} {candidate.currency} per hour"
    if candidate.assumed:
        more = f", and {len(candidate.assumed) - 1} more" if len(candidate.assumed) > 1 else ""
        cost += f" (assumed: {candidate.assumed[0]}{more})"
    if candidate.held:
        return f"held already for another budget, {cost} when it runs"
    crew = candidate.crew
    if crew is None or crew.priority is None:
        return f"nothing could be read of its accelerator pods, so it comes last, {cost}"
    hours = _hours(crew, now)
    run = "running for an unknown time" if hours is None else f"running for {_spelled(hours)}"
    guard = " with a PodDisruptionBudget" if crew.guarded else ""
    return f"{_use(candidate, now)}, priority {crew.priority}, {candidate.kind.name}{guard}, {run}, {cost}"


def _use(candidate: Candidate, now: datetime) -> str:
    if candidate.idle is None:
        return "idle or not is unknown"
    if not candidate.idle:
        return "in use"
    return "idle" if is_idle(candidate, now) else "idle so far, but just started"


def _spelled(hours: int) -> str:
    if hours < 1:
        return "less than an hour"
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
