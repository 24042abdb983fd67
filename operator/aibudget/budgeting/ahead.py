"""Where a threshold stands that looks ahead: crossed by what is foreseen, and, unless it stops, left by it.

Unlike spend, a forecast falls as well as it rises, so such a threshold does not latch: see `foreseen` for how
often it must say so. Only where its stops are in force is it held fast, for to let go by a forecast alone
would start what the forecast had stopped; an edit, new prices or the period's end undo it. Pure.
"""

from collections.abc import Iterable
from typing import Final

from aibudget.api.budget import Action, Enforcement, Threshold
from aibudget.budgeting.evaluation import ThresholdStanding, ThresholdState
from aibudget.budgeting.foreseen import Foreseen
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.threshold import crossed

STOPPING: Final[frozenset[Action]] = frozenset({"Freeze", "Block", "ScaleDown"})


def states_ahead(
    thresholds: Iterable[Threshold],
    enforcement: Enforcement,
    foreseen: Foreseen,
    memory: Memory,
    known: tuple[int, bool],
) -> tuple[ThresholdState, ...]:
    """Each threshold's standing, as `states` has it. `known` is now, and whether the data is good enough."""
    now, judged = known
    found = []
    for threshold in thresholds:
        before = memory.thresholds.get(threshold.name)
        was = before.standing if before else "Unknown"
        standing = _standing(threshold, enforcement, foreseen, was, judged=judged)
        if standing in ("Below", "Unknown"):
            found.append(ThresholdState(threshold, standing, None))
        else:
            since = before.crossed if before and before.crossed is not None else now
            found.append(ThresholdState(threshold, standing, since))
    return tuple(found)


def _standing(
    threshold: Threshold,
    enforcement: Enforcement,
    foreseen: Foreseen,
    was: ThresholdStanding,
    *,
    judged: bool,
) -> ThresholdStanding:
    if not foreseen.is_known:
        return was if was in ("Below", "Unknown") else crossed(was, enforcement, by_usage=False)
    if not _crosses(threshold, was, foreseen, judged=judged):
        return "Below"
    return crossed(was, enforcement, by_usage=was == "Below" and not foreseen.edited)


def _crosses(threshold: Threshold, was: ThresholdStanding, foreseen: Foreseen, *, judged: bool) -> bool:
    stops = bool(STOPPING & set(threshold.actions))
    if was in ("Below", "Unknown"):
        # What stops workloads begins by data that is known now, however sure the forecast was of itself.
        return (judged or not stops) and foreseen.is_over(threshold, at_once=was == "Unknown")
    if was == "Active" and stops and not foreseen.edited:
        return True
    return not foreseen.is_left(threshold)
