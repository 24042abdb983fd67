"""Whose status is made anew in a cycle.

Of thousands of budgets whose figures alone have moved only some are written in one cycle, the oldest first
(ADR 0014). The statuses of the others would be made to be thrown away: a budget with which all is well, and
of which everything beside the figures is as it was written last, rests until it is among the oldest. Knows
neither the API server nor what an outline is made of.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from aibudget.api.conditions import Condition
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
        self._standings: dict[tuple[tuple[str, str], ...], tuple[Condition, ...]] = {}

    def settle(self, uid: str, settled: Settled) -> None:
        """From now on this object may rest, while its stored status and its outline stay."""
        # Most stand alike; what their conditions say in words is not worth keeping thousands of times.
        standing = tuple((one.type, one.status) for one in settled.conditions)
        conditions = self._standings.setdefault(standing, settled.conditions)
        self._settled[uid] = replace(settled, conditions=conditions)

    def resting(
        self, objects: Iterable[tuple[str, str, Outline | None]]
    ) -> Mapping[str, tuple[Condition, ...]]:
        """Those of (uid, stored text, outline) that rest, with the conditions of one that stands alike."""
        resting = [
            (settled.written, uid)
            for uid, stored, outline in objects
            if (settled := self._settled.get(uid)) is not None
            and outline is not None
            and settled.stored == stored
            and settled.outline == outline
        ]
        return {uid: self._settled[uid].conditions for _, uid in sorted(resting)[self._at_once :]}

    def forget(self, present: Collection[str]) -> None:
        """Keep these alone."""
        for uid in self._settled.keys() - set(present):
            del self._settled[uid]
