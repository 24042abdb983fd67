"""What receivers are told, whatever their type: one transition of a budget, or several alike. Pure.

A message is stored as JSON until it is delivered, and read again by the same or a later version, so it is as
forgiving as a status. It holds nothing of the receiver: no address, no header, no secret.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from aibudget.api.budgetstatus import (
    BudgetStatus,
    Forecast,
    LimitStatus,
    MeasureStatus,
    PeriodStatus,
    Rate,
    Spend,
)
from aibudget.api.model import Observed

MOST_WORKLOADS: Final = 100
"""So many are listed; `workloadCount` counts them all."""
MOST_LINES: Final = 20


class BudgetRef(Observed):
    """Which budget."""

    api_version: str
    kind: str
    namespace: str | None = None
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class WorkloadRef(Observed):
    """A workload that the transition is about, and what became of it."""

    namespace: str
    kind: str
    name: str
    message: str


class Message(Observed):
    """`id` names the transition for good: whoever gets it twice can tell. `time` is RFC 3339."""

    id: str
    time: str
    cluster: str
    budget: BudgetRef
    reason: str
    severity: Literal["Normal", "Warning"]
    message: str
    workloads: Annotated[tuple[WorkloadRef, ...], Field(max_length=MOST_WORKLOADS)] = ()
    workload_count: int = 0
    period: PeriodStatus | None = None
    limit: LimitStatus | None = None
    measures: tuple[MeasureStatus, ...] | None = None
    spend: Spend | None = None
    rate: Rate | None = None
    forecast: Forecast | None = None

    def at(self, status: BudgetStatus) -> "Message":
        """With the figures of the budget as they stand."""
        figures = {name: getattr(status, name) for name in ("period", "limit", "spend", "rate", "forecast")}
        figures["measures"] = status.measures or None
        return self.model_copy(update=figures)

    def to_json(self) -> str:
        """For the outbox."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)


def read(text: str) -> Message:
    """The message that the outbox kept; raises ValueError."""
    return Message.model_validate_json(text, by_alias=True, by_name=False)


def joined(messages: Sequence[Message]) -> Message:
    """One message of several about the same budget, reason and moment; its id depends on them alone."""
    first = messages[0]
    if len(messages) == 1:
        return first
    messages = sorted(messages, key=lambda message: (message.message, message.id))
    ids = sorted(message.id for message in messages)
    workloads = sorted(
        (one for message in messages for one in message.workloads),
        key=lambda one: (one.namespace, one.kind, one.name),
    )
    lines = [f"{len(messages)} at once:", *(f"- {message.message}" for message in messages[:MOST_LINES])]
    if len(messages) > MOST_LINES:
        lines.append(f"and {len(messages) - MOST_LINES} more")
    return first.model_copy(
        update={
            "id": transition_id(*ids),
            "message": "\n".join(lines),
            "workloads": tuple(workloads[:MOST_WORKLOADS]),
            "workload_count": len(workloads),
        }
    )


def transition_id(*words: str) -> str:
    """A name for what these words tell apart: the same for whoever tells it, and whenever."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
