"""`Foreseen`: what is foreseen for one budget's period, or why nothing is, and for how long it has been so.

A forecast moves by itself, up and down: a threshold that looks ahead is crossed when several in a row have
said so, and left when several in a row are well below it. What an edit or new prices make of it counts at
once, for that is no noise. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal

from aibudget.api.budget import Threshold
from aibudget.budgeting.forecast import Forecast

CROSSING: Final = 2
"""How many forecasts in a row make a crossing; one is made an hour."""
LEAVING: Final = 3
"""How many in a row, each below the threshold by `LEAVING_PERCENT` of the limit, undo it."""
LEAVING_PERCENT: Final = 5

Unforeseen = Literal["", "NotRunning", "HistoryTooShort", "HistoryIncomplete", "SeveralClusters"]


@dataclass(frozen=True, slots=True)
class Capped:
    """What is foreseen to be used of a cap, in its unit, and which `share` of the cap that is."""

    name: str
    unit: str
    forecast: Forecast
    share: Fraction


@dataclass(frozen=True, slots=True)
class Foreseen:
    """`forecast` is that of the money and `caps` those of the caps that are foreseen; where there are none
    of either, `reason` says why. They were made at `made`.

    `runs` is by threshold: of how many forecasts in a row, this one included, the most was at or above it;
    less than 0 where it was well below. `edited`: the spec or prices changed since the forecast before.
    `share` is the most of the limit of its time that will be spent at any time of the period.
    """

    forecast: Forecast | None = None
    reason: Unforeseen = "HistoryIncomplete"
    made: int = 0
    runs: Mapping[str, int] = field(default_factory=dict)
    edited: bool = False
    share: Fraction | None = None
    caps: tuple[Capped, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether anything is foreseen."""
        return self.forecast is not None or bool(self.caps)

    @property
    def leading_cap(self) -> Capped | None:
        """The cap of which most is foreseen to be used; None where that is the money."""
        most = max(self.caps, key=lambda one: one.share, default=None)
        if most is None or (self.share is not None and self.share >= most.share):
            return None
        return most

    def is_over(self, threshold: Threshold, *, at_once: bool = False) -> bool:
        """Whether the forecast crosses it, for long enough."""
        run = self.runs.get(threshold.name, 0)
        return run >= (1 if self.edited or at_once else CROSSING)

    def is_left(self, threshold: Threshold) -> bool:
        """Whether the forecast is well below it, for long enough."""
        run = -self.runs.get(threshold.name, 0)
        return run >= (1 if self.edited else LEAVING)


UNFORESEEN: Final = Foreseen()


def share_of(found: Forecast, limit: Fraction, later: Iterable[Fraction] = ()) -> Fraction:
    """The most of the limit of its time that will be used: of this one, or of those that come later.

    Spend only grows, so each limit is nearest to being reached when the next one comes into force.
    """
    totals, limits = (*found.before, found.amount), (limit, *later)
    return max(Fraction(total) / one for total, one in zip(totals, limits, strict=True))


def runs(
    thresholds: Iterable[Threshold], share: Fraction, before: Mapping[str, int], *, whole: bool = True
) -> Mapping[str, int]:
    """Of each threshold that looks ahead, how often in a row the share has been over or well under it.

    Where not all that is limited is foreseen (`whole`), what is not may be over it: nothing is well under.
    """
    found: dict[str, int] = {}
    for threshold in thresholds:
        if threshold.basis != "Forecast":
            continue
        run, percent = before.get(threshold.name, 0), share * 100
        if percent >= threshold.percent:
            found[threshold.name] = max(run, 0) + 1
        elif percent < threshold.percent - LEAVING_PERCENT and whole:
            found[threshold.name] = min(run, 0) - 1
        else:
            found[threshold.name] = 0
    return found
