"""What a budget remembers goes through its status and comes back the same."""

from datetime import UTC, datetime

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.budgeting.memory import Memory, Remembered


def test_a_status_gives_the_memory_back() -> None:
    """Period, generation and every threshold's standing and time survive a restart of the operator."""
    status = BudgetStatus.model_validate(
        {
            "observedGeneration": 3,
            "period": {
                "id": "2026-11@UTC",
                "startTime": "2026-11-01T00:00:00Z",
                "endTime": "2026-12-01T00:00:00Z",
            },
            "thresholds": [
                {"name": "warn", "state": "Active", "crossedTime": "2026-11-20T10:00:00Z"},
                {"name": "full", "state": "Below"},
            ],
        },
        by_alias=True,
    )
    crossed = int(datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp())
    assert Memory.from_status(status) == Memory(
        generation=3,
        period_id="2026-11@UTC",
        period_start=int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()),
        thresholds={"warn": Remembered("Active", crossed), "full": Remembered("Below")},
    )


def test_an_empty_status_is_no_memory() -> None:
    """A budget that was never evaluated, or whose status somebody deleted."""
    assert Memory.from_status(BudgetStatus()) == Memory()
