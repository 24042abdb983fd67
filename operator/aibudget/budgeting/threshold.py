"""Where each threshold stands: latching, so that what was crossed stays crossed until something is changed.

Within a period spend only grows, so a crossed threshold falls back only when limit, prices or scope change,
and only on data that is fresh and reaches back to the period's start. What an edit crosses, rather than new
usage, waits for the next period unless the budget says otherwise. Where an edit meets data that cannot tell
the two apart (a ledger still being filled), the threshold is Unknown until it can. Pure.
"""

from dataclasses import dataclass
from fractions import Fraction

from aibudget.api.budget import Enforcement, Threshold
from aibudget.budgeting.evaluation import ThresholdStanding, ThresholdState
from aibudget.budgeting.memory import Memory, Remembered


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of spend against the limit.

    `used` is known spend / limit, exact and a lower bound. `ceiling` is the same with uncovered time at the
    average of covered time, None where nothing can be said. `judged` says that the data is fresh and
    complete. `edited` says that spend may have changed by an edit or new prices rather than by usage.
    """

    used: Fraction
    ceiling: Fraction | None
    judged: bool
    edited: bool


def states(
    thresholds: tuple[Threshold, ...], enforcement: Enforcement, known: Known, memory: Memory, now: int
) -> tuple[ThresholdState, ...]:
    """Each threshold's standing, given what is remembered of it in this period, in the given order."""
    return tuple(
        _state(threshold, enforcement, known, memory.thresholds.get(threshold.name), now)
        for threshold in thresholds
    )


def _state(
    threshold: Threshold, enforcement: Enforcement, known: Known, before: Remembered | None, now: int
) -> ThresholdState:
    # A threshold that was not there before is an edit of its own.
    was = before.standing if before else "Unknown"
    edited = known.edited or was == "Unknown"
    line = Fraction(threshold.percent, 100)
    if known.used >= line:
        standing = _crossed(was, enforcement, edited=edited)
    elif was in ("Below", "Unknown"):
        standing = "Below" if known.judged or not edited else "Unknown"
    elif known.judged and known.ceiling is not None and known.ceiling < line:
        standing = "Below"
    else:
        standing = _crossed(was, enforcement, edited=edited)
    if standing in ("Below", "Unknown"):
        return ThresholdState(threshold, standing, None)
    crossed = before.crossed if before and before.crossed is not None else now
    return ThresholdState(threshold, standing, crossed)


def _crossed(was: ThresholdStanding, enforcement: Enforcement, *, edited: bool) -> ThresholdStanding:
    if enforcement.mode == "Observe":
        return "Crossed"
    if was == "Active" or enforcement.on_already_crossed == "Enforce":
        return "Active"
    if was == "Below" and not edited:
        return "Active"
    return "Waiting"
