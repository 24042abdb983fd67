"""Where each threshold stands: latching, so that what was crossed stays crossed until something is changed.

Within a period what is used only grows, so a crossed threshold falls back only when a limit, prices or the
scope change, and only on data that is fresh and reaches back to the period's start. One rule says what acts:
what new usage has crossed. What anything else crosses (an edit, a dated amount, a rollover that shrinks, new
prices) waits for the next period unless the budget says otherwise. Where an edit meets data that cannot tell
the two apart (a ledger still being filled), the threshold is Unknown until it can. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from aibudget.api.budget import Enforcement, Threshold
from aibudget.budgeting.evaluation import ThresholdStanding, ThresholdState
from aibudget.budgeting.memory import Memory, Remembered


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one measure, in parts of its limit; all exact.

    `used` is a lower bound, None where nothing is known. `by_usage` is the same under the limit of before
    where that was higher: so much of it is no work of a limit that changed. `ceiling` has uncovered time at
    the average of covered time, None where nothing can be said. `judged` says that the data is fresh and
    complete. `edited` says that what counts may have changed by an edit or new prices rather than by usage.
    `before` is the percent that was used when it was last judged; None of a measure that was not, and of the
    only one, for which the threshold itself remembers.
    """

    used: Fraction | None
    ceiling: Fraction | None
    judged: bool
    edited: bool
    by_usage: Fraction | None = None
    before: int | None = None
    fresh: bool | None = None


def states(
    thresholds: tuple[Threshold, ...],
    enforcement: Enforcement,
    known: Sequence[Known],
    memory: Memory,
    now: int,
) -> tuple[ThresholdState, ...]:
    """Each threshold's standing, given what is remembered of it in this period, in the given order."""
    return tuple(
        _state(threshold, enforcement, known, memory.thresholds.get(threshold.name), now)
        for threshold in thresholds
    )


def _state(
    threshold: Threshold,
    enforcement: Enforcement,
    known: Sequence[Known],
    before: Remembered | None,
    now: int,
) -> ThresholdState:
    was = before.standing if before else "Unknown"
    over = [one for one in known if one.used is not None and _reaches(one.used, threshold.percent)]
    standing = _standing(threshold, enforcement, known, over, was)
    if standing in ("Below", "Unknown"):
        return ThresholdState(threshold, standing, None)
    since = before.crossed if before and before.crossed is not None else now
    fresh = None if all(one.fresh is None for one in over) else any(one.fresh for one in over)
    return ThresholdState(threshold, standing, since, fresh)


def _standing(
    threshold: Threshold,
    enforcement: Enforcement,
    known: Sequence[Known],
    over: Sequence[Known],
    was: ThresholdStanding,
) -> ThresholdStanding:
    if over:
        used = any(_by_usage(one, threshold.percent, was, alone=len(known) == 1) for one in over)
        return crossed(was, enforcement, by_usage=used)
    if was in ("Below", "Unknown"):
        # A threshold that was not there before is an edit of its own.
        edited = was == "Unknown" or any(one.edited for one in known)
        return "Below" if not edited or _all_judged(known) else "Unknown"
    # What nothing is known of may be what crossed it, unless another measure is known to have.
    explained = any(one.before is not None and one.before >= threshold.percent for one in known)
    if all(_lets_go(one, threshold.percent, explained=explained) for one in known):
        return "Below"
    return crossed(was, enforcement, by_usage=False)


def crossed(was: ThresholdStanding, enforcement: Enforcement, *, by_usage: bool) -> ThresholdStanding:
    """How a threshold stands that is crossed, and stood so before."""
    if enforcement.mode == "Observe":
        return "Crossed"
    if was == "Active" or by_usage or enforcement.on_already_crossed == "Enforce":
        return "Active"
    return "Waiting"


def _by_usage(one: Known, percent: int, was: ThresholdStanding, *, alone: bool) -> bool:
    """Whether new usage took this measure over the threshold: it was below, and only usage has moved it."""
    share = one.used if one.by_usage is None else one.by_usage
    if was not in ("Below", "Waiting") or one.edited or share is None or not _reaches(share, percent):
        return False
    if alone:
        return was == "Below"
    return one.before is not None and one.before < percent


def _all_judged(known: Sequence[Known]) -> bool:
    """What no meter tells of is left out: the other measures go on."""
    told = [one for one in known if one.used is not None]
    return bool(told) and all(one.judged for one in told)


def _lets_go(one: Known, percent: int, *, explained: bool) -> bool:
    if one.used is None:
        return explained if one.before is None else one.before < percent
    return one.judged and one.ceiling is not None and not _reaches(one.ceiling, percent)


def _reaches(share: Fraction, percent: int) -> bool:
    """Whether a share is this percent or more, in whole numbers: thousands of budgets ask it each cycle."""
    return share.numerator * 100 >= percent * share.denominator
