"""Time as the meter and the ledger see it: intervals [start, end) and 15-minute slots in UTC.

Every offset in use today is a multiple of 15 minutes, so every civil day, week and month is a whole number
of slots. Within a slot, usage is sampled on a grid whose step divides 900 s; the sample at t stands for
[t - step, t), which makes adjacent ranges add up exactly. Instants are whole Unix seconds here: they are
compared and divided by the million. Pure; knows no clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

SLOT_SECONDS = 900

# The divisors of a slot from which a sampling step is chosen, in seconds.
STEPS = tuple(step for step in range(1, SLOT_SECONDS + 1) if SLOT_SECONDS % step == 0)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """[start, end) in Unix seconds; FOCUS's ChargePeriod. Raises ValueError where it would run backwards."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"an interval cannot end ({iso(self.end)}) before it starts ({iso(self.start)})")

    @property
    def seconds(self) -> int:
        return self.end - self.start

    def __contains__(self, instant: int) -> bool:
        return self.start <= instant < self.end

    def intersection(self, other: "Interval") -> "Interval | None":
        """The common part, or None where there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None

    def slots(self) -> Iterator[int]:
        """The start of each slot that this interval touches, in order."""
        return iter(range(slot_of(self.start), self.end, SLOT_SECONDS))


def slot_of(instant: int) -> int:
    """The start of the slot that holds the instant."""
    return instant - instant % SLOT_SECONDS


def snapped(interval: Interval) -> Interval:
    """The smallest interval of whole slots that covers this one."""
    return Interval(slot_of(interval.start), -(-interval.end // SLOT_SECONDS) * SLOT_SECONDS)


def iso(instant: int) -> str:
    """RFC 3339 in UTC, as Kubernetes writes times."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
