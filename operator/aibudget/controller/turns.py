"""Whose status is made anew in a cycle.

Of thousands of budgets whose figures alone have moved only some are written in one cycle, the oldest first
(ADR 0014). The statuses of the others would be made to be thrown away: a budget with which all is well, and
of which everything beside the figures is as it was written last, rests until it is among the oldest. One
whose spend has not moved comes after all others until its times grow old, or hundreds that spend nothing
would take the turns of a few that do. Knows neither the API server nor what an outline is made of.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from aibudget.api.conditions import Condition
from aibudget.reporting.difference import HEARTBEAT_SECONDS
from aibudget.reporting.status import Outline


@dataclass(frozen=True, slots=True)
class Settled:
    """A stored status (its text) that says what the outline says; `written` in Unix seconds."""

    stored: str
    outline: Outline
    written: int
    conditions: tuple[Condition, ...]


class Turns:
    """By uid. `at_once` is how many of those that could rest have their turn in each cycle."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._settled: dict[str, Settled] = {}
        self._made: dict[str, int] = {}
        self._standings: dict[tuple[tuple[str, str], ...], tuple[Condition, ...]] = {}

    def settle(self, uid: str, settled: Settled) -> None:
        """From now on this object may rest, while its stored status and its outline stay."""
        self._settled[uid] = replace(settled, conditions=self.alike(settled.conditions))

    def alike(self, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        """The conditions of one that stands as these say: what they say in words is not worth keeping
        thousands of times.
        """
        standing = tuple((one.type, one.status) for one in conditions)
        return self._standings.setdefault(standing, conditions)

    def resting(
        self, objects: Iterable[tuple[str, str, Outline | None, int]], now: int
    ) -> Mapping[str, tuple[Condition, ...]]:
        """Those of (uid, stored text, outline, digest of spend) that rest, with the conditions of one that
        stands alike.
        """
        could, spends = [], dict[str, int]()
        for uid, stored, outline, spend in objects:
            spends[uid] = spend
            settled = self._settled.get(uid)
            if settled is None or outline is None or (settled.stored, settled.outline) != (stored, outline):
                continue
            if settled.stored is not stored:
                # The watch has caught up: the same text need not be there twice.
                self._settled[uid] = replace(settled, stored=stored)
            stands = self._made.get(uid) == spend and now - settled.written < HEARTBEAT_SECONDS
            could.append((stands, settled.written, uid))
        resting = {uid: self._settled[uid].conditions for _, _, uid in sorted(could)[self._at_once :]}
        self._made |= {uid: spend for uid, spend in spends.items() if uid not in resting}
        return resting

    def forget(self, present: Collection[str]) -> None:
        """Keep these alone."""
        kept = set(present)
        for known in (self._settled, self._made):
            for uid in known.keys() - kept:
                del known[uid]
