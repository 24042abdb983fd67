"""Conditions move only when the facts do."""

from datetime import UTC, datetime, timedelta

from aibudget.api.conditions import (
    Condition,
    ConditionType,
    EventReason,
    Reason,
    Status,
    drop_condition,
    find_condition,
    set_condition,
)

THEN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


def condition(
    condition_type: str, status: Status, reason: str = "Reconciled", message: str = ""
) -> Condition:
    """A condition judged then."""
    return Condition(
        type=condition_type, status=status, reason=reason, message=message, last_transition_time=THEN
    )


def test_the_transition_time_stays_while_the_status_stays() -> None:
    """A new reason or message is no transition."""
    existing = (condition(ConditionType.READY, "True", message="old"),)
    (ready,) = set_condition(existing, condition(ConditionType.READY, "True", "Progressing", "new"), NOW)
    assert (ready.reason, ready.message, ready.last_transition_time) == ("Progressing", "new", THEN)


def test_the_transition_time_moves_with_the_status() -> None:
    """A new status happened now."""
    existing = (condition(ConditionType.READY, "True"),)
    (ready,) = set_condition(existing, condition(ConditionType.READY, "False"), NOW)
    assert ready.last_transition_time == NOW


def test_a_new_condition_comes_last_and_the_order_is_kept() -> None:
    """The list does not shuffle between writes, which would look like a change."""
    existing = (condition("A", "True"), condition("B", "True"))
    added = set_condition(existing, condition("C", "True"), NOW)
    again = set_condition(added, condition("A", "False"), NOW)
    assert [entry.type for entry in again] == ["A", "B", "C"]
    assert find_condition(again, "C") == condition("C", "True").model_copy(
        update={"last_transition_time": NOW}
    )


def test_an_abnormal_condition_that_is_over_is_dropped() -> None:
    """It is present only while it is true."""
    assert drop_condition((condition("Stalled", "True"), condition("Ready", "True")), "Stalled") == (
        condition("Ready", "True"),
    )


def test_conditions_are_written_as_kubernetes_reads_them() -> None:
    """camelCase, RFC 3339 in UTC."""
    written = condition(ConditionType.WITHIN_BUDGET, "Unknown", Reason.NO_DATA).to_dict()
    assert written["lastTransitionTime"] == "2026-11-01T00:00:00Z"
    assert (written["type"], written["status"], written["reason"]) == ("WithinBudget", "Unknown", "NoData")


def test_every_word_of_the_api_has_a_meaning() -> None:
    """Types, reasons and event reasons are CamelCase and explained."""
    for word in (*ConditionType, *Reason, *EventReason):
        assert word.meaning
        assert word.value[0].isupper()
        assert word.value.isalnum()
