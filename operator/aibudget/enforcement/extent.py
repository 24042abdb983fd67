"""How much is stopped: everything that spends, or the least that lets the forecast fit the limit. Pure.

Where amounts come into force later in the period there are several limits, each for its time, and spend has
to fit each of them when the next one comes. The forecast is that of the budget's own past or, without one,
spend plus the current rate for the time left.
All sums are kept as savings: what each stop keeps from being spent until the period ends, against the need,
by which the forecast with everything running passes the limit. So a release is judged with what it would
spend again, and a stop never releases itself. What is not known makes nobody a victim and lets nobody go.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from aibudget.budgeting.evaluation import Evaluation

MARGIN_PERCENT: Final = 5
"""A hold or a notice ends only when the forecast with it is this far, in percent of the limit, below it."""

Hours = Fraction


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a budget below its limit has left of it, and for how long that is its limit.

    `known` is False where that is not known in full, as of a budget whose money is not limited. `foreseen` is
    what is still to be spent by its past, which counts what is held as if it ran; None goes by the rate.
    """

    room: Decimal
    limit: Decimal
    hours: Hours
    known: bool
    foreseen: Fraction | None = None
    pace: Fraction = Fraction(1)

    @classmethod
    def all_of(cls, evaluation: Evaluation) -> "tuple[Outlook, ...]":
        """One for each limit of the period: from the newest instant that is known until the next limit."""
        later, forecast = evaluation.later, evaluation.foreseen.forecast
        ends = (*(start for start, _ in later), evaluation.period.interval.end)
        limits = (evaluation.limit, *(amount for _, amount in later))
        totals: Sequence[float | None] = [None] * len(ends)
        if forecast is not None and len(forecast.before) >= len(later):
            # What was foreseen for limits that have ended since is no longer asked for.
            totals = [*forecast.before, forecast.amount][-len(ends) :]
        known = zip(ends, limits, totals, strict=True)
        return tuple(cls._until(evaluation, end, limit, total) for end, limit, total in known)

    @classmethod
    def _until(
        cls, evaluation: Evaluation, end: int, limit: Decimal | None, total: float | None
    ) -> "Outlook":
        spend = evaluation.spend
        left = max(0, end - (evaluation.evaluated if spend.as_of is None else spend.as_of))
        known = spend.as_of is not None and spend.complete and limit is not None
        coming = None if total is None else Fraction(total) - Fraction(spend.amount)
        return cls(
            (limit or Decimal(0)) - spend.amount,
            limit or Decimal(0),
            Fraction(left, 3600),
            known and evaluation.rate_per_hour is not None,
            None if coming is None else max(Fraction(0), coming),
        )

    def by_rate(self) -> "Outlook":
        """As if nothing were foreseen."""
        return replace(self, foreseen=None)

    def paced(self, rate: Decimal) -> "Outlook":
        """Where less is foreseen than this rate, everybody's, comes to, each stop saves that much less.

        Where more is, what will come does not run yet: no stop of what does can save it.
        """
        coming = Fraction(rate) * self.hours
        if self.foreseen is None or coming <= self.foreseen:
            return self
        return replace(self, pace=self.foreseen / coming)

    def saving(self, rate: Decimal, runs_on: Hours) -> Fraction:
        """What a stop keeps from being spent, if it comes after so many hours."""
        return self.pace * Fraction(rate) * max(Fraction(0), self.hours - runs_on)

    def need(self, rate: Decimal) -> Fraction:
        """What must be saved of this rate, everybody's, for the forecast to fit; below 0 for what is free."""
        coming = Fraction(rate) * self.hours if self.foreseen is None else self.foreseen
        return coming - Fraction(self.room)

    @property
    def margin(self) -> Fraction:
        """By how much the forecast must be below the limit before something comes back."""
        return Fraction(self.limit) * MARGIN_PERCENT / 100


def least(savings: Sequence[Fraction], need: Fraction) -> frozenset[int]:
    """Which are stopped, in the order given, until the need is met; all that save anything if it never is.

    Then backwards: each whose stop has turned out unnecessary is spared.
    """
    taken: list[int] = []
    for index, saving in enumerate(savings):
        if need <= 0:
            break
        if saving > 0:
            taken.append(index)
            need -= saving
    if need > 0:
        return frozenset(taken)
    return frozenset(taken) - spare([savings[index] for index in taken], -need, taken)


def spare(savings: Sequence[Fraction], slack: Fraction, names: Sequence[int]) -> frozenset[int]:
    """Whose stop, the last in the order first, is not needed while this much more than needed is saved."""
    spared: set[int] = set()
    for name, saving in zip(reversed(names), reversed(savings), strict=True):
        if saving <= slack:
            spared.add(name)
            slack -= saving
    return frozenset(spared)
