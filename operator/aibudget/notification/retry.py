"""What follows from an attempt: delivered, tried again and when, or given up. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 3600.0
GIVE_UP_SECONDS: Final = 24 * 3600
"""A notification that is a day old is history; it is kept as a dead letter."""
_PASSING: Final = {401, 403, 404, 407, 408, 421, 425, 429}
"""Refusals that a new secret, a new route or time may mend; other 4xx will never take this message."""

Result = Literal["delivered", "retried", "dead"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to. `status` is None where there was no answer; `problem` holds no secret.

    `retry_after` are the seconds that the receiver asked for.
    """

    status: int | None = None
    problem: str = ""
    retry_after: float | None = None

    @property
    def arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def hopeless(self) -> bool:
        """Whether the receiver says that it will never take this message."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _PASSING


def delay(attempts: int, jitter: float, retry_after: float | None = None) -> float:
    """Seconds until the next attempt, after so many; `jitter` is in [0, 1). Doubles from 5 s to an hour."""
    if retry_after is not None:
        return min(max(retry_after, 1.0), LONGEST_SECONDS)
    most = min(FIRST_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_SECONDS)
    return most * (0.5 + jitter / 2)


def verdict(outcome: Outcome, age: float) -> Result:
    """What becomes of a message that is so many seconds old."""
    if outcome.arrived:
        return "delivered"
    return "dead" if outcome.hopeless or age >= GIVE_UP_SECONDS else "retried"


def retry_after(header: str | None, now: float) -> float | None:
    """The seconds of a Retry-After header, a number or a date; None where it says nothing."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds())
