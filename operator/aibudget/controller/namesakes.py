"""The hours of a budget over several clusters: this one's, and those of its namesakes in the others.

Each operator counts the hours of its own budgets in its own cluster, in the ledger that they share. A budget
of the same name, currency and scope has there what this one lacks; uids differ. Nothing is counted here. For
the worker's thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aibudget.controller.hourly import Counting
from aibudget.ledger.hours import Amount, Counted, HourBook

GONE_SECONDS: Final = 2 * 86_400
"""Hours wait a day for a meter that is behind; a budget of which none is counted for two is not there."""


@dataclass(frozen=True, slots=True)
class Namesake:
    """A budget of another cluster by its `uid` there, and the hours of that cluster's budgets."""

    uid: str
    hours: HourBook

    def counted(self, counting: Sequence[Counting]) -> Mapping[str, Counted]:
        """How far each of these is counted there, by what its hours are called here; others are left out."""
        names = {one.of(self.uid): one.series for one in counting}
        return {names[name]: known for name, known in self.hours.counted(names).items()}

    def is_counted(self, one: Counting, until: int) -> bool:
        """Whether its hours are still counted there, as of an instant up to which its cluster has posted: the
        ledger keeps what was deleted.
        """
        since = until - GONE_SECONDS
        return max(self.read(one, since), default=0) >= since

    def read(self, one: Counting, since: int) -> Mapping[int, Amount]:
        """What was used there by the hour; None where that is not known, or something was held."""
        return self.hours.read(one.of(self.uid), since)


def added(several: Sequence[Mapping[int, Amount]]) -> dict[int, Amount]:
    """The sums of hours, where each of these has the hour; None where one of them does not know it."""
    found: dict[int, Amount] = {}
    for hour in set(several[0]).intersection(*several[1:]):
        known = [amount for one in several if (amount := one[hour]) is not None]
        found[hour] = sum(known) if len(known) == len(several) else None
    return found
