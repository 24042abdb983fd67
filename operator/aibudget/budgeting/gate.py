"""The data gate: whether what is known of the last half hour is good enough to act on.

Known spend is a lower bound, so the gate never un-crosses a threshold; a closed gate means no new act and no
release but the period's end, which comes by the clock. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aibudget.metering.usage import Coverage

WINDOW_SECONDS: Final = 1800
"""How far back the gate looks."""
LEAST_PERCENT: Final = 95
"""The least part of the window that must be covered."""


@dataclass(frozen=True, slots=True)
class Gate:
    """`reasons` are clauses for the DataFresh condition; none where the data is fresh."""

    fresh: bool
    reasons: tuple[str, ...] = ()


def gate(meter: str, window: Coverage, head: int | None, now: int, oldest_age: int) -> Gate:
    """The gate of one meter: its coverage in the last `WINDOW_SECONDS` and the newest instant it knows.

    `now` is the clock of the meter's source; `oldest_age` is in seconds.
    """
    reasons = []
    if head is None:
        reasons.append(f"{meter}: nothing has been read yet")
    elif (age := now - head) > oldest_age:
        reasons.append(f"{meter}: the newest data is {age} s old, more than {oldest_age} s")
    if not window.total_seconds:
        reasons.append(f"{meter}: the last {WINDOW_SECONDS // 60} minutes have not been read")
    elif window.covered_seconds * 100 < LEAST_PERCENT * window.total_seconds:
        reasons.append(
            f"{meter}: {window.percent} % of the last {WINDOW_SECONDS // 60} minutes is covered, "
            f"less than {LEAST_PERCENT} %"
        )
    return Gate(not reasons, tuple(reasons))


def all_of(gates: Iterable[Gate]) -> Gate:
    """One gate that is open when all are."""
    reasons = tuple(reason for one in gates for reason in one.reasons)
    return Gate(not reasons, reasons)
