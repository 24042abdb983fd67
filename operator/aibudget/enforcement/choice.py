"""One budget's choice among those that it holds and those that it could hold. Pure.

With `extent: Everything` it is all of them. With `UntilForecastFits` it is what `extent.least` takes in the
order; what is claimed already stays claimed until the forecast fits well without it, and an act waits while
it is not needed. A budget past its limit takes everything, whatever its extent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from aibudget.api.conditions import ConditionType
from aibudget.api.hold import Hold
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.extent import Outlook, least, spare
from aibudget.enforcement.hold import is_true, workload_of
from aibudget.enforcement.live import Live
from aibudget.enforcement.order import Place
from aibudget.enforcement.wish import Wish
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the budget claims already. `rate` is None where nobody knows what it would spend.

    `runs_for` is how long it runs on, in hours; `acted` says that it is stopped.
    """

    workload: Workload
    rank: int
    rate: Decimal | None
    runs_for: Fraction
    acted: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """`chosen` are claimed anew, `let_go` no more; `unneeded` stay claimed and are not acted on."""

    chosen: frozenset[Workload]
    let_go: frozenset[Workload] = frozenset()
    unneeded: frozenset[Workload] = frozenset()


def claimed(
    claimant: Claimant,
    wishes: Iterable[Wish],
    lives: Mapping[Workload, Live | None],
) -> tuple[Claimed, ...]:
    """What the budget asks for already, of these wishes, in the order that it had when it asked."""
    rates = {spend.workload: spend.rate_per_hour for spend in claimant.evaluation.workloads}
    found: list[Claimed] = []
    for wish in wishes:
        hold, mine = wish.hold, next((c for c in wish.claims if c.uid == claimant.budget.uid), None)
        # Who has won against us spends on, whatever is claimed.
        if hold is None or mine is None or is_true(hold, ConditionType.CONTESTED):
            continue
        workload = workload_of(hold)
        live = lives.get(workload)
        acted = bool(hold.spec.original) and (live is None or live.stopped)
        found.append(
            Claimed(
                workload,
                mine.rank or 0,
                _rate(hold, rates.get(workload)),
                Fraction(0) if acted or hold.spec.original else _hours_to_act(claimant, mine.notice_time),
                acted,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.rank, one.workload)))


def _rate(hold: Hold, now: Decimal | None) -> Decimal | None:
    """What it would spend: what it spends now or, once it was stopped, what it spent before."""
    if not hold.spec.original:
        return now
    return max((rate for rate in (now, hold.status.avoided_cost_per_hour) if rate), default=None)


def choose(
    claimant: Claimant,
    mine: Sequence[Claimed],
    places: Sequence[Place],
    *,
    held: frozenset[Workload],
    settling: bool,
) -> Choice:
    """The choice among `places`, in their order. `held` are all that anybody holds.

    `settling`: something came back lately, and what it spends is not measured yet.
    """
    if claimant.evaluation.stops_everything:
        return Choice(frozenset(place.candidate.workload for place in places))
    outlooks = Outlook.all_of(claimant.evaluation)
    if not claimant.evaluation.fresh or not all(outlook.known for outlook in outlooks):
        return Choice(frozenset(), unneeded=frozenset(one.workload for one in mine if not one.acted))
    everyone = frozenset(place.candidate.workload for place in places)
    known = [one for one in mine if one.rate is not None]
    rates = [one.rate or Decimal(0) for one in known] + [p.candidate.rate_per_hour for p in places]
    rate = _elsewhere(claimant, everyone | held | {one.workload for one in mine}) + sum(rates)
    # What a cap may have stopped stays: what is foreseen of it lets nobody go.
    kept = settling or claimant.evaluation.caps_may_stop
    choices = [_within(outlook, rate, known, _offers(claimant, places), kept=kept) for outlook in outlooks]
    return Choice(
        chosen=frozenset[Workload]().union(*(one.chosen for one in choices)),
        let_go=choices[0].let_go.intersection(*(one.let_go for one in choices)),
        unneeded=choices[0].unneeded.intersection(*(one.unneeded for one in choices)),
    )


def _offers(claimant: Claimant, places: Sequence[Place]) -> list[Claimed]:
    """What could be claimed: who is held by somebody else is stopped already."""
    grace = _hours_to_act(claimant, None)
    return [
        Claimed(
            workload=place.candidate.workload,
            rank=rank,
            rate=place.candidate.rate_per_hour,
            runs_for=Fraction(0) if place.candidate.held else grace,
            acted=False,
        )
        for rank, place in enumerate(places)
    ]


def _within(
    outlook: Outlook, rate: Decimal, mine: Sequence[Claimed], offers: Sequence[Claimed], *, kept: bool
) -> Choice:
    """The choice by one limit of the period. `rate` is everybody's; `kept` lets nobody go who is stopped."""
    outlook, now = outlook.paced(rate), outlook.by_rate()
    slack = sum(_savings(mine, outlook), Fraction(0)) - outlook.need(rate)
    if slack < 0:
        taken = least(_savings(offers, outlook), -slack)
        return Choice(frozenset(offers[index].workload for index in taken))
    leaving = [one for one in mine if not (one.acted and kept)]
    waiting = [one for one in mine if not one.acted]
    slack_now = sum(_savings(mine, now), Fraction(0)) - now.need(rate)
    return Choice(
        frozenset(),
        # Nothing comes back by what is foreseen alone: what is known now must have room for it, too.
        let_go=_spared(leaving, outlook, slack - outlook.margin)
        & _spared(leaving, now, slack_now - now.margin),
        unneeded=_spared(waiting, outlook, slack),
    )


def _savings(some: Sequence[Claimed], outlook: Outlook) -> list[Fraction]:
    return [outlook.saving(one.rate or Decimal(0), one.runs_for) for one in some]


def _spared(some: Sequence[Claimed], outlook: Outlook, slack: Fraction) -> frozenset[Workload]:
    if slack < 0:
        return frozenset()
    found = spare(_savings(some, outlook), slack, range(len(some)))
    return frozenset(some[index].workload for index in found)


def _elsewhere(claimant: Claimant, counted: frozenset[Workload]) -> Decimal:
    """What runs on whatever is chosen: the protected, and all others that are no candidates."""
    spends = claimant.evaluation.workloads
    return sum((s.rate_per_hour for s in spends if s.workload not in counted), Decimal(0))


def _hours_to_act(claimant: Claimant, notice: datetime | None) -> Fraction:
    """From the newest known instant to the act; a notice that was not given yet begins now."""
    evaluation = claimant.evaluation
    now = evaluation.evaluated
    since = now if evaluation.spend.as_of is None else evaluation.spend.as_of
    begins = now if notice is None else int(notice.timestamp())
    return Fraction(max(0, begins + claimant.grace // timedelta(seconds=1) - since), 3600)
