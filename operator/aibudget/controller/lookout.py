"""Looks each budget's newest hour over, once an hour and between cycles. For the worker's thread.

An hour is judged when every budget that can be has been looked at, for how rare is rare depends on all of
them. What is normal is learnt at the first look after midnight (UTC) and kept in memory; what was told stands
in the statuses. Whom a new anomaly comes from is asked of the ledger, and of it alone.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Protocol

from aibudget.api.budget import Budget
from aibudget.budgeting.anomaly import RECENT, WEEK, WEEKS, Deviation, Normal, deviation, learnt, unusual
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import Period
from aibudget.budgeting.selection import clusters_of
from aibudget.budgeting.vigil import (
    HOUR,
    UNWATCHED,
    Anomaly,
    Cause,
    Least,
    Standing,
    Watched,
    caused,
    looked,
)
from aibudget.errors import AIBudgetError
from aibudget.inventory.changes import Changes
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval

DAY_SECONDS: Final = 86_400
LIKE_BEFORE: Final = 4
"""In how many weeks before the same hours are looked up, to see whose spend is another."""
_READ: Final = (WEEKS * WEEK + RECENT) * HOUR
_BILLIONTHS: Final = 10**9

log = logging.getLogger(__name__)


class Hours(Protocol):
    """What budgets spent by the hour; `Histories` has it."""

    def settled(self) -> int | None:
        """The end of the newest hour that all meters have posted."""

    def counted(self, uid: str) -> object | None:
        """None where a budget is not wholly counted yet."""

    def read(self, uid: str, since: int) -> Mapping[int, int | None]:
        """Billionths of money by the beginning of the hour; None where that is not known."""


class Spenders(Protocol):
    """What the workloads of a budget spent."""

    def amounts(self, budget: Budget, interval: Interval) -> Mapping[Workload, float] | None:
        """In whole hours; None where that is not known."""


@dataclass(frozen=True, slots=True)
class _Subject:
    budget: Budget
    period_seconds: int
    limit: float | None


@dataclass(frozen=True, slots=True)
class _Learnt:
    midnight: int
    generation: int
    normal: Normal | None


@dataclass(slots=True)
class _Round:
    """The hour up to `end`: who is to be looked at, what was found of the others, and who was judged."""

    end: int
    waiting: list[str] = field(default_factory=list)
    found: dict[str, Deviation] = field(default_factory=dict)
    standing: dict[str, Standing] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)


class Lookout:
    """One process's. `monotonic` is the clock of deadlines."""

    def __init__(
        self,
        hours: Hours,
        spenders: Spenders,
        least: Least,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hours = hours
        self._spenders = spenders
        self._least = least
        self._monotonic = monotonic
        self._subjects: dict[str, _Subject] = {}
        self._learnt: dict[str, _Learnt] = {}
        self._watched: dict[str, Watched] = {}
        self._untold: dict[str, Watched] = {}
        self._round: _Round | None = None

    def begin(self, uids: Collection[str]) -> None:
        """Another cycle: from now on these budgets alone are looked at."""
        for uid in self._subjects.keys() - set(uids):
            self.forget(uid)

    def look(self, budget: Budget, period: Period, limit: Decimal | None, memory: Memory) -> Watched:
        """What is known to be unusual about one budget, which is looked at from now on."""
        if clusters_of(budget):
            # Hours are known of this cluster alone, and what is unusual of them is not of the budget.
            self.forget(budget.uid)
            return UNWATCHED
        amount = None if limit is None else float(limit)
        self._subjects[budget.uid] = _Subject(budget, period.interval.seconds, amount)
        return self._watched.setdefault(budget.uid, Watched(anomalies=memory.anomalies))

    def work(self, deadline: float) -> bool:
        """Go on until the deadline, or by one budget; whether there is more to look at in this hour.

        What the ledger cannot be asked for the moment is asked again.
        """
        end = self._hours.settled()
        if end is None:
            return False
        if self._round is None or self._round.end < end:
            self._round = _Round(end)
        round_ = self._round
        if not round_.waiting:
            # Who is new, or was not wholly counted before, is looked at as well.
            round_.waiting = sorted(self._subjects.keys() - round_.standing.keys())
        while round_.waiting:
            self._one(round_, round_.waiting[-1])
            round_.waiting.pop()
            if self._monotonic() >= deadline and round_.waiting:
                return True
        self._conclude(round_)
        return False

    def asked(self) -> Mapping[Workload, Interval]:
        """The workloads behind what is new, and when: somebody may know what happened to them."""
        return {
            cause.workload: Interval(one.start, one.told)
            for watched in self._untold.values()
            for one in watched.anomalies[:1]
            for cause in one.causes
        }

    def answered(self, changes: Mapping[Workload, str]) -> None:
        """What happened to them, as far as that is known: now it can be told."""
        for uid, watched in self._untold.items():
            newest, *others = watched.anomalies
            causes = tuple(replace(one, change=changes.get(one.workload, "")) for one in newest.causes)
            self._watched[uid] = replace(watched, anomalies=(replace(newest, causes=causes), *others))
        self._untold.clear()

    def forget(self, uid: str) -> None:
        """Look at this budget no more."""
        for known in (self._subjects, self._learnt, self._watched, self._untold):
            known.pop(uid, None)

    def _one(self, round_: _Round, uid: str) -> None:
        subject, end = self._subjects.get(uid), round_.end
        if subject is None or self._hours.counted(uid) is None:
            return
        since = end - _READ - DAY_SECONDS
        known = self._hours.read(uid, since)
        begin = min((hour for hour, amount in known.items() if amount is not None), default=end)
        hours = [known.get(hour) for hour in range(max(begin, since), end, HOUR)]
        amounts = [None if amount is None else amount / _BILLIONTHS for amount in hours]
        planned = _planned(subject.budget, end - len(amounts) * HOUR, len(amounts))
        amounts = [None if place in planned else amount for place, amount in enumerate(amounts)]
        midnight = (end - 1) // DAY_SECONDS * DAY_SECONDS
        normal = self._normal(subject.budget, midnight, amounts[: len(amounts) - (end - midnight) // HOUR])
        if normal is None:
            round_.standing[uid] = "Learning"
        elif amounts[-1] is None:
            round_.standing[uid] = "Planned" if len(amounts) - 1 in planned else "Unknown"
        else:
            round_.standing[uid] = "AsUsual"
            found = deviation(normal, amounts[-RECENT:], (end - midnight) // HOUR)
            if found is not None:
                round_.found[uid] = found

    def _normal(self, budget: Budget, midnight: int, past: Sequence[float | None]) -> Normal | None:
        generation, known = budget.metadata.generation, self._learnt.get(budget.uid)
        if known is None or (known.midnight, known.generation) != (midnight, generation):
            known = self._learnt[budget.uid] = _Learnt(midnight, generation, learnt(past))
        return known.normal

    def _conclude(self, round_: _Round) -> None:
        told = unusual(round_.found)
        for uid, standing in round_.standing.items():
            if uid in round_.judged:
                continue
            subject, before = self._subjects.get(uid), self._watched.get(uid)
            if subject is None or before is None:
                continue
            found = told.get(uid)
            if found is not None and abs(found.impact) < self._worth(subject):
                found = None
            after = looked(before, found, round_.end, standing)
            if {one.told for one in after.anomalies} - {one.told for one in before.anomalies}:
                self._untold[uid] = self._with_causes(subject.budget, after)
            else:
                self._watched[uid] = after
            round_.judged.add(uid)

    def _worth(self, subject: _Subject) -> float:
        return self._least.of(subject.limit, subject.period_seconds)

    def _with_causes(self, budget: Budget, watched: Watched) -> Watched:
        newest, *others = watched.anomalies
        return replace(watched, anomalies=(replace(newest, causes=self._causes(budget, newest)), *others))

    def _causes(self, budget: Budget, anomaly: Anomaly) -> tuple[Cause, ...]:
        weeks = [week * WEEK * HOUR for week in range(LIKE_BEFORE + 1)]
        spent = [
            self._spenders.amounts(budget, Interval(anomaly.start - back, anomaly.told - back))
            for back in weeks
        ]
        if spent[0] is None:
            return ()
        return caused(spent[0], [one for one in spent[1:] if one is not None], anomaly.impact)


async def look_out(
    lookout: Lookout | None, changes: Changes | None, ask: Callable[..., Awaitable[Any]], deadline: float
) -> bool:
    """Look budgets over until the deadline, and at what was done to whoever is behind what is new.

    `ask` runs something in the worker's thread. Whether there is more to look at.
    """
    if lookout is None or changes is None:
        return False
    found: dict[Workload, str] = {}
    try:
        more = bool(await ask(lookout.work, deadline))
        for workload, when in (await ask(lookout.asked)).items():
            found[workload] = await changes.of(workload, when.start, when.end)
    except AIBudgetError as error:
        log.warning("what is unusual is not wholly known: %s", error.message, extra={"reason": error.reason})
        more = False
    await ask(lookout.answered, found)
    return more


def _planned(budget: Budget, begin: int, hours: int) -> frozenset[int]:
    """Which of so many hours from `begin` on lie in a planned window, in whole or in part."""
    found: set[int] = set()
    for window in budget.spec.planned_windows:
        first = (int(window.start_time.timestamp()) - begin) // HOUR
        end = -((begin - int(window.end_time.timestamp())) // HOUR)
        found.update(range(max(0, first), min(hours, end)))
    return frozenset(found)
