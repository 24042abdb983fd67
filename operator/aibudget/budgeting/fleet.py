"""A budget over several clusters: this one's share and what the others have posted, as one share.

Each cluster's operator posts to the ledger that they share, by its own prices. What another one spent is
added to the sums, and to no list: a namesake there is nobody's victim here. One that fell silent is unknown
from then on, so the sum is a lower bound and nothing new is done on it. Pure.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aibudget.budgeting.caps import Use
from aibudget.budgeting.evaluation import ClusterSpend
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.share import Share, covered, earliest
from aibudget.ledger.spend import Statement
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import amount_of

SILENT_SECONDS: Final = 2700
"""Three slots: an operator posts each of them a minute or two after its end."""
ENDED_SECONDS: Final = 86_400
"""A meter that is so far behind the first is not read any more; what it posted counts."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another cluster's share, and up to when (Unix seconds) it has posted; None where that is not known."""

    name: str
    share: Share | None = None
    heard: int | None = None

    @property
    def known(self) -> Share | None:
        """The share; None where it says nothing."""
        return None if self.share is None or self.share.as_of is None else self.share


def until(
    posted: Mapping[str, Statement], interval: Interval, now: int, first: str
) -> Mapping[str, Statement]:
    """What another cluster has posted of an interval, with what it should have posted as not covered."""
    head, due = posted[first].as_of or 0, min(now, interval.end)
    return {meter: _until(one, interval, due, head) for meter, one in posted.items()}


def _until(one: Statement, interval: Interval, due: int, head: int) -> Statement:
    if one.as_of is not None and one.as_of < head - ENDED_SECONDS:
        return replace(one, as_of=head)
    reached = interval.start if one.as_of is None else max(one.as_of, interval.start)
    if due - reached > SILENT_SECONDS:
        reached = due
    # What was not read before the ledger begins is not covered, either.
    missing = reached - interval.start - one.coverage.total_seconds
    if missing < SLOT_SECONDS:
        return one
    return replace(one, coverage=one.coverage + Coverage(0, missing), complete=False)


def together(
    own: Share, here: str, others: Sequence[Elsewhere], now: int, absent: Collection[str] = ()
) -> Share:
    """All of them as one share; `here` is the name of this cluster, `absent` the meters that nothing tells of
    in it.
    """
    known = [share for one in others if (share := one.known) is not None]
    shares, missing = [own, *known], len(known) < len(others)
    ends = [one.as_of for one in shares if one.as_of is not None]
    hourly = [one.hourly_units for one in shares]
    return replace(
        own,
        units=sum(one.units for one in shares),
        estimated_units=sum(one.estimated_units for one in shares),
        hourly_units=None if missing or None in hourly else sum(one for one in hourly if one is not None),
        currencies=frozenset[str]().union(*(one.currencies for one in shares)),
        unpriced=_named(one.unpriced for one in shares),
        assumed=_named(one.assumed for one in shares),
        coverage=_worst((one.coverage for one in shares), missing=missing),
        as_of=min(ends, default=None),
        complete=not missing and all(one.complete for one in shares),
        reached=None if missing else earliest([one.reached for one in shares]),
        unlabelled=_named(one.unlabelled for one in shares),
        uses={
            counted: _use(
                _told_of([one.uses[counted] for one in shares], absent=counted[0] in absent), missing=missing
            )
            for counted in own.uses
        },
        clusters=(_here(here, own), *(_told(one, now) for one in others)),
    )


def silence(clusters: Iterable[ClusterSpend]) -> Gate:
    """The gate of the other clusters: open while each of them is told of."""
    reasons = tuple(
        f"of cluster {one.name} nothing is known"
        if one.as_of is None
        else f"cluster {one.name} has posted nothing after {iso(one.as_of)}"
        for one in clusters
        if one.standing in ("Silent", "Unknown")
    )
    return Gate(not reasons, reasons)


def _told(one: Elsewhere, now: int) -> ClusterSpend:
    if one.known is None or one.heard is None:
        return ClusterSpend(one.name, None, None, "Unknown")
    silent = now - one.heard > SILENT_SECONDS
    return ClusterSpend(one.name, amount_of(one.known.units), one.heard, "Silent" if silent else "Told")


def _here(name: str, share: Share) -> ClusterSpend:
    return ClusterSpend(name, None if share.as_of is None else amount_of(share.units), share.as_of, "Here")


def _told_of(uses: Sequence[Use], *, absent: bool) -> Sequence[Use]:
    """Those that say what was used: what nothing tells of here is told by the clusters that have used it."""
    if not absent or uses[0].quantity is not None:
        return uses
    return uses[1:] if any(one.quantity for one in uses[1:]) else uses[:1]


def _use(uses: Sequence[Use], *, missing: bool) -> Use:
    known = [one.quantity for one in uses if one.quantity is not None]
    return Use(
        quantity=sum(known) if known else None,
        coverage=_worst((one.coverage for one in uses), missing=missing),
        complete=not missing and len(known) == len(uses) and all(one.complete for one in uses),
        missing=_named(one.missing for one in uses),
        as_of=min((one.as_of for one in uses if one.as_of is not None), default=None),
    )


def _worst(coverages: Iterable[Coverage], *, missing: bool) -> Coverage:
    """The least covered of them; nothing is, where nothing is known of one."""
    worst = min(coverages, key=covered)
    return Coverage(0, max(1, worst.total_seconds)) if missing else worst


def _named(several: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in several for name in names}))
