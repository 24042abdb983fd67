"""`Settling`: for which budgets something came back so lately that its rate is not measured yet. Pure.

What was just released spends nothing that is known, so that the forecast has room for it twice. Until usage
tells, nothing else is let go by forecast. A process that has just begun does not know what came back before
it, and waits as well.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from aibudget.api.hold import Hold
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.wish import Wish

SETTLES: Final = timedelta(minutes=30)


class Settling:
    """Remembers when each budget, by its uid, last let go of something that was stopped."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._let_go: dict[str, datetime] = {}

    def at(self, claimants: Iterable[Claimant], now: datetime) -> frozenset[str]:
        """The budgets of which it is not known yet what they spend."""
        self._began = began = self._began or now
        self._let_go = {uid: when for uid, when in self._let_go.items() if now < when + SETTLES}
        uids = {claimant.budget.uid for claimant in claimants}
        return frozenset(uids if now < began + SETTLES else uids & self._let_go.keys())

    def note(self, wishes: Sequence[Wish], after: Sequence[Hold | None], now: datetime) -> None:
        """What has come of these wishes: their Holds as they are now, in the same order."""
        for wish, hold in zip(wishes, after, strict=True):
            if wish.hold is not None and wish.hold.spec.original:
                left = {claim.uid for claim in hold.spec.claims} if hold is not None else set()
                gone = {claim.uid for claim in wish.hold.spec.claims} - left
                self._let_go |= dict.fromkeys(gone, now)
