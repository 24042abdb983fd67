"""What waits to be told: that thresholds are crossed, until the past of their budget's period is known.

A new budget is evaluated at once, and spend that is read back hour by hour passes one threshold after the
other at amounts that say nothing. Status shows them with their coverage, and acts do not wait; Events and
notifications come once, with the figure that counts. The memory is the stored status: its condition
`Reconciling` says since when the past is read. Pure.
"""

from datetime import datetime

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import ConditionType, Reason, find_condition
from aibudget.budgeting.evaluation import Evaluation, ThresholdState


def told(before: BudgetStatus, evaluation: Evaluation, *, reading: bool) -> tuple[ThresholdState, ...]:
    """The thresholds that people are told of now. `reading`: the past is not wholly read yet.

    While it is, those of which they were told before; afterwards also those that were crossed meanwhile.
    """
    since = _since(before)
    if since is None and not reading:
        return evaluation.changes
    crossed = {one.name: one.crossed_time for one in before.thresholds if one.crossed_time is not None}
    early = {name for name, at in crossed.items() if since is None or at < since}
    return tuple(
        one
        for one in evaluation.thresholds
        if (one in evaluation.changes if one.threshold.name in early else not reading and _is_crossed(one))
    )


def _is_crossed(state: ThresholdState) -> bool:
    return state.standing not in ("Below", "Unknown")


def _since(before: BudgetStatus) -> datetime | None:
    """Since when the past is read, by the stored status; None where it is not."""
    stands = find_condition(before.conditions, ConditionType.RECONCILING)
    if stands is None or stands.reason != Reason.PROGRESSING:
        return None
    return stands.last_transition_time
