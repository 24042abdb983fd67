"""What of a status is written: the patch from the stored one to another, and whether it may wait.

A difference is quiet where figures alone have moved, or words about them. Pure; knows statuses as they are
stored.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import ConditionType
from aibudget.api.meter import MeterStatus
from aibudget.api.pricelist import PriceListStatus

HEARTBEAT_SECONDS: Final = 300
"""How old the times in a status may grow while nothing else in it changes."""

JsonObject = dict[str, Any]

_FIGURES: Final = {"spend", "measures", "clusters", "rate", "forecast", "drivers", "shared"} | {
    "topWorkloads",
    "omitted",
    "lastEvaluationTime",
}
_LEARNT: Final = {ConditionType.FORECAST_WITHIN_BUDGET.value, ConditionType.SPEND_AS_USUAL.value}
"""Conditions that are not known for weeks: why they are not known yet waits like a figure."""


def patch(
    before: Mapping[str, Any], after: BudgetStatus | PriceListStatus | MeterStatus, now: int
) -> JsonObject | None:
    """The merge patch that makes the stored status equal to `after`; None where it is not worth a write."""
    wanted = after.to_dict()
    difference = merge_patch(before, wanted)
    if not difference:
        return None
    if _only_times(difference) and now - written(before) < HEARTBEAT_SECONDS:
        return None
    return difference


def is_quiet(before: Mapping[str, Any], difference: Mapping[str, Any]) -> bool:
    """Whether a patch only moves figures, so that it can wait for its turn where there are many budgets."""
    if difference.keys() - _FIGURES - {"conditions"} or "spend" not in before:
        return False
    known = _standings(before.get("conditions"))
    return "conditions" not in difference or _standings(difference["conditions"]) == known


def written(stored: Mapping[str, Any]) -> int:
    """When a budget's status was written last, Unix seconds; 0 where it does not say."""
    text = stored.get("lastEvaluationTime")
    if not isinstance(text, str):
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> JsonObject:
    """RFC 7386: what to send so that `before` becomes `after`; lists go whole, absent fields as null."""
    difference: JsonObject = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if nested := merge_patch(old, value):
                difference[key] = nested
        elif key not in before or old != value:
            difference[key] = value
    return difference


def has(stored: Mapping[str, Any], difference: Mapping[str, Any]) -> bool:
    """Whether what is stored is as a merge patch was to make it: a server drops what it does not know."""
    for key, value in difference.items():
        there = stored.get(key)
        if isinstance(value, Mapping):
            if not isinstance(there, Mapping) or not has(there, value):
                return False
        elif there != value:
            return False
    return True


def _only_times(difference: Mapping[str, Any]) -> bool:
    rest = {key: value for key, value in difference.items() if key != "lastEvaluationTime"}
    return not rest or (rest.keys() == {"spend"} and set(rest["spend"] or ()) == {"asOfTime"})


def _standings(conditions: Sequence[Mapping[str, Any]] | None) -> list[tuple[Any, ...]]:
    """What conditions say without their words, in which figures stand."""
    told = [(one.get("type"), one.get("status"), one.get("reason")) for one in conditions or ()]
    return [one for one in told if one[1] != "Unknown" or one[0] not in _LEARNT]
