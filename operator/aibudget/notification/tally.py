"""What became of all attempts in this process; it only grows. `reporting` shows it as metrics."""

from collections import Counter
from dataclasses import dataclass, field

from aibudget.notification.receivers import Receiver


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts by receiver, its type and result: delivered, retried or dead."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def count(self, receiver: Receiver, result: str) -> None:
        """One more."""
        self.counts[receiver.name, receiver.type, result] += 1
