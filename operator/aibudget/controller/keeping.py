"""For how long slots are kept: so many calendar months, and for as long as any period that is not closed.

Lets go of what is older in small steps between cycles. Knows no budgets but for when the earliest begins.
"""

import time

from aibudget.ledger.store import Ledger
from aibudget.pricing.tiers import month_of


class Keeping:
    """Of one ledger, for the worker's thread."""

    def __init__(self, ledger: Ledger, epoch: int, months: int) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._months = months

    def expire(self, needed: int, now: int, deadline: float) -> bool:
        """Let go of slots until the deadline (of the monotonic clock), one step at least.

        `needed` is where the earliest period begins that is not closed. Whether there may be more.
        """
        before = min(needed, kept_since(now, self._months))
        while self._ledger.expire(before, epoch=self._epoch):
            if time.monotonic() >= deadline:
                return True
        return False


def kept_since(now: int, months: int) -> int:
    """The start of the UTC month so many months before this one."""
    start = month_of(now)
    for _ in range(months):
        start = month_of(start - 1)
    return start
