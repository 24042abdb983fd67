"""Foresees where each budget will end, once an hour and spread over its cycles. For the worker's thread.

Its money, and what each of its caps counts. Forecasts are kept in memory alone: after a restart each is made
again in one of the first cycles. A budget that counts well enough gets new ones when another hour of it is
counted, or its limit is another one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final

from aibudget.api.budget import Budget
from aibudget.api.hold import Hold
from aibudget.api.limit import MONEY
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.forecast import Forecast, Spent, forecast
from aibudget.budgeting.foreseen import UNFORESEEN, Capped, Foreseen, runs, share_of
from aibudget.budgeting.limits import Counted as CountedBy
from aibudget.budgeting.limits import cap_limit, counted_by, in_unit
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import Period
from aibudget.budgeting.share import Share
from aibudget.controller.heldhours import Holding
from aibudget.controller.histories import KEPT_SECONDS, Histories
from aibudget.controller.hourly import Counting, countings, in_hours, series_of
from aibudget.controller.namesakes import Namesake, added
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, Amount
from aibudget.pricing.charge import amount_of

AT_ONCE: Final = 50
"""How many forecasts are made in one cycle at least, where so many are due."""
ROUND: Final = 30
"""In so many cycles all forecasts are made: well within an hour."""
OFTEN_SECONDS: Final = 900
"""A forecast stands for so long at least, unless the budget is another one."""


Later = tuple[tuple[int, Decimal], ...]
"""Limits with the instants (Unix seconds) from which on they are in force, in their order."""


Revisions = Mapping[str, tuple[int, ...]]
"""By series, how far it is counted: in this cluster, and in the others."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Forecasts of a budget, and what they were made of: `revisions` are by series."""

    period: str
    generation: int
    limit: Decimal | None
    revisions: Revisions
    foreseen: Foreseen


@dataclass(frozen=True, slots=True)
class Seeing:
    """When a budget is looked at, when posted usage last got another price (Unix seconds), and the money of
    its period; None where it has caps alone. `later` is what comes into force later in it. `elsewhere` is the
    budget in the other clusters that it counts, None where one of them does not have it.
    """

    now: int
    repriced: int
    limit: Decimal | None
    later: Later = ()
    elsewhere: tuple[Namesake, ...] | None = ()


@dataclass(frozen=True, slots=True)
class _Measure:
    """One of the things that a budget limits, as far as it is used: `used` and limits in its `unit`."""

    name: str
    unit: str
    series: str
    used: float
    as_of: int
    limit: Fraction
    later: tuple[tuple[int, Fraction], ...] = ()
    capped: CountedBy | None = None


class Foresight:
    """One process's. `at_once` forecasts are made in one cycle at least, where so many are due."""

    def __init__(self, histories: Histories, at_once: int = AT_ONCE) -> None:
        self._histories = histories
        self._at_once = at_once
        self._kept: dict[str, _Kept] = {}
        self._counting: dict[str, tuple[Counting, ...]] = {}
        self._holding = Holding()
        self._left = 0

    def begin(self, uids: Sequence[str], owners: OwnerBook | None) -> None:
        """Another cycle, with these budgets; `owners` know what workloads are part of."""
        self._histories.owners = owners or self._histories.owners
        present = set(uids)
        for known in (self._kept, self._counting):
            for uid in known.keys() - present:
                del known[uid]
        several = sum(map(len, self._counting.values()))
        self._left = max(self._at_once, len(uids) // ROUND, several // ROUND)

    def note(self, evaluations: Iterable[Evaluation], holds: Sequence[Hold], now: int) -> None:
        """Remember in which hours something was held that these budgets count: it teaches nothing."""
        hours = self._holding.hours(evaluations, holds, now)
        if hours:
            self._histories.held(hours)

    def count(self, deadline: float) -> bool:
        """Count hours of the budgets that were looked at until the deadline; whether there are more."""
        wanted = tuple(one for several in self._counting.values() for one in several)
        return self._histories.count(wanted, deadline)

    def look(self, budget: Budget, period: Period, share: Share, memory: Memory, seeing: Seeing) -> Foreseen:
        """What is foreseen of the period that the budget is in."""
        self._counting[budget.uid] = counting = countings(budget, share.meters)
        if period.standing != "Running":
            return Foreseen(reason="NotRunning")
        kept = self._kept.get(budget.uid)
        if kept is not None and kept.period != period.id:
            kept = None
        limited = [one for one in counting if one.capped is not None or seeing.limit is not None]
        revisions = None if seeing.elsewhere is None else self._revisions(limited, seeing.elsewhere)
        if revisions is None:
            return Foreseen(reason="SeveralClusters")
        if self._left <= 0 or not (kept is None or _is_due(kept, budget, revisions, seeing)):
            return UNFORESEEN if kept is None else kept.foreseen
        start = period.interval.start
        measures = [one for one in _measures(budget, share, seeing) if one.as_of >= start]
        hours = {one.series: partial(self._hours, one, seeing.elsewhere or ()) for one in counting}
        found = {
            one: _forecast(one, period, hours[one.series]) for one in measures if one.series in revisions
        }
        if not found:
            return UNFORESEEN if kept is None else kept.foreseen
        self._left -= len(found)
        edited = _is_edited(budget, period, memory, kept, seeing)
        before = {} if kept is None or edited else kept.foreseen.runs
        foreseen = Foreseen(reason="HistoryTooShort", made=seeing.now)
        newest = min(one.as_of for one in found)
        if not all(there.is_counted(counting[0], newest) for there in seeing.elsewhere or ()):
            foreseen = Foreseen(reason="SeveralClusters", made=seeing.now)
        elif any(found.values()):
            foreseen = _made(budget, found, before, seeing.now, edited=edited)
        generation = budget.metadata.generation
        self._kept[budget.uid] = _Kept(period.id, generation, seeing.limit, revisions, foreseen)
        return foreseen

    def _revisions(self, counting: Sequence[Counting], elsewhere: Sequence[Namesake]) -> Revisions | None:
        """Of what is counted in all of the clusters; None where nothing is, as it is of another scope in one
        of them.
        """
        others, found = [there.counted(counting) for there in elsewhere], {}
        differs = False
        for one in counting:
            own, theirs = self._histories.counted(one.series), [known.get(one.series) for known in others]
            if own is None:
                continue
            counted = [own, *(known for known in theirs if known is not None and known.scope == own.scope)]
            # A cap that one of them has not is foreseen by nobody; the others are.
            differs |= len(counted) <= len(theirs)
            if len(counted) > len(theirs) and all(known.since == 0 for known in counted):
                found[one.series] = tuple(known.revision for known in counted)
        return None if differs and not found else found

    def _hours(self, one: Counting, elsewhere: Sequence[Namesake], since: int) -> Mapping[int, Amount]:
        """What was used by the hour, in all of the clusters."""
        own = self._histories.read(one.series, since)
        return added([own, *(there.read(one, since) for there in elsewhere)]) if elsewhere else own


def _forecast(one: _Measure, period: Period, hours: Callable[[int], Mapping[int, Amount]]) -> Forecast | None:
    """`hours` are what was used by the hour, from an instant on."""
    end = one.as_of // HOUR * HOUR
    spent = Spent(
        amount=one.used,
        at=one.as_of,
        period_end=period.interval.end,
        limit=float(one.limit),
        later=tuple((start, float(amount)) for start, amount in one.later),
    )
    return forecast(sequence(hours(end - KEPT_SECONDS), end, one.capped), end, spent)


def sequence(known: Mapping[int, Amount], end: int, capped: CountedBy | None = None) -> list[float | None]:
    """The hours up to an instant, from the first that anything is known of; amounts of money, or what a cap
    counts in its unit.
    """
    scale, hours = in_hours(capped, 1), range(min(known, default=end), end, HOUR)
    amounts = list(map(known.get, hours))
    first = next((place for place, amount in enumerate(amounts) if amount is not None), len(amounts))
    return [None if amount is None else amount * scale for amount in amounts[first:]]


def _measures(budget: Budget, share: Share, seeing: Seeing) -> Iterator[_Measure]:
    """What the budget limits, as far as anything is known of its use."""
    spec = budget.spec
    if seeing.limit is not None and share.as_of is not None:
        limit, later = Fraction(seeing.limit), tuple((at, Fraction(one)) for at, one in seeing.later)
        used = float(amount_of(share.units))
        yield _Measure(MONEY, spec.currency, series_of(budget), used, share.as_of, limit, later)
    for cap in spec.caps or ():
        counted = counted_by(cap)
        use, limit = share.uses[counted], cap_limit(cap, spec.holdback_percent or 0)
        if use.quantity is not None and use.as_of is not None:
            used, series = float(in_unit(counted, use.quantity)), series_of(budget, counted)
            yield _Measure(cap.name, cap.unit, series, used, use.as_of, limit, capped=counted)


def _made(
    budget: Budget,
    found: Mapping[_Measure, Forecast | None],
    before: Mapping[str, int],
    now: int,
    *,
    edited: bool,
) -> Foreseen:
    """All forecasts of a budget, of which there are some, and where its thresholds stand by them."""
    money, share, caps = None, None, []
    for one, made in found.items():
        if made is None:
            continue
        part = share_of(made, one.limit, (limit for _, limit in one.later))
        if one.name == MONEY:
            money, share = made, part
        else:
            caps.append(Capped(one.name, one.unit, made, part))
    most = max(part for part in (share, *(cap.share for cap in caps)) if part is not None)
    limited = (budget.spec.limit is not None) + len(budget.spec.caps or ())
    whole = limited == len(caps) + (money is not None)
    running = runs(budget.spec.effective_thresholds, most, before, whole=whole)
    return Foreseen(money, "", now, running, edited, share, tuple(caps))


def _is_due(kept: _Kept, budget: Budget, revisions: Revisions, seeing: Seeing) -> bool:
    if kept.generation != budget.metadata.generation or kept.limit != seeing.limit:
        return True
    if kept.revisions.keys() != revisions.keys():
        return True
    age = seeing.now - kept.foreseen.made
    return age >= HOUR or (age >= OFTEN_SECONDS and revisions != kept.revisions)


def _is_edited(budget: Budget, period: Period, memory: Memory, kept: _Kept | None, seeing: Seeing) -> bool:
    """Whether spec, limit or prices changed since the last forecast of the period, or the status of it."""
    generation = budget.metadata.generation
    if kept is not None:
        moved = kept.generation != generation or kept.limit != seeing.limit
        return moved or seeing.repriced > kept.foreseen.made
    if memory.period_id != period.id:
        return False
    return memory.generation != generation or seeing.repriced > memory.evaluated
