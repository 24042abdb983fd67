"""What is remembered of counters from one posting to the next: who they are, and what they stood at.

A leaf that the ledger knows too, for it keeps the memory in the transaction that posts what was counted up to
it: so neither a restart nor an outage can lose or double an increment. Pure values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Counter(NamedTuple):
    """One counter's identity: `labels` are sorted pairs, those that are empty left out."""

    family: str
    labels: tuple[tuple[str, str], ...]

    def label(self, name: str) -> str:
        """The label's value, "" where it has none."""
        # Without a generator: this is asked a million times in a large cluster.
        for key, value in self.labels:
            if key == name:
                return value
        return ""


class Level(NamedTuple):
    """What a counter stood at, in the meter's smallest unit; `at` in Unix seconds."""

    at: int
    value: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The last level of each counter at or before `at`, the end of what is posted. Empty before the first
    posting.
    """

    at: int | None = None
    levels: Mapping[Counter, Level] = field(default_factory=dict)
