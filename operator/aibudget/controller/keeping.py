"""For how long slots are kept: so many calendar months, and for as long as any period that is not closed.

Lets go of what is older in small steps between cycles, and packs the days of closed periods before that.
Knows no budgets but for when the earliest begins.
"""

import time
from typing import Final

from aibudget.ledger.store import Ledger
from aibudget.pricing.tiers import month_of

STILL_SECONDS: Final = 3 * 86_400
"""How long a month is over before its days are packed: for a day, late samples may come and prices change."""
PACKING_SECONDS: Final = 60
"""In so much time a day of one meter is packed, and in more of it one of many lines."""
ROWS_AT_ONCE: Final = 100_000
"""Rows of slots that may be packed in that time: each has some 60 bytes written, so 6 MB a minute."""


class Keeping:
    """Of one ledger, for the worker's thread."""

    def __init__(self, ledger: Ledger, epoch: int, months: int) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._months = months
        self._due = 0

    def expire(self, needed: int, now: int, deadline: float) -> bool:
        """Let go of slots until the deadline (of the monotonic clock), one step at least.

        `needed` is where the earliest period begins that is not closed. Whether there may be more.
        """
        before = min(needed, kept_since(now, self._months))
        while self._ledger.expire(before, epoch=self._epoch):
            if time.monotonic() >= deadline:
                return True
        return False

    def roll_up(self, needed: int, now: int) -> None:
        """Pack one day of one meter, if any has become worth it: of closed periods alone."""
        if now >= self._due:
            rows = self._ledger.roll_up(min(needed, month_of(now - STILL_SECONDS)), epoch=self._epoch)
            self._due = now + PACKING_SECONDS * max(1, -(-rows // ROWS_AT_ONCE))


def kept_since(now: int, months: int) -> int:
    """The start of the UTC month so many months before this one."""
    start = month_of(now)
    for _ in range(months):
        start = month_of(start - 1)
    return start
