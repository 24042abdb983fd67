"""The last part of a cycle: Events first, then the statuses that have changed, each object in its own guard.

What was written last is remembered until the watch has caught up with it, so that a cycle that comes early
does not take its own old status for the present one. Writes are merge patches of /status under a limit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Condition
from aibudget.api.meter import MeterStatus
from aibudget.api.pricelist import PriceListStatus
from aibudget.budgeting.memory import Memory
from aibudget.controller.cache import Seen
from aibudget.controller.stored import packed, unpacked
from aibudget.controller.turns import Settled, Turns
from aibudget.errors import AIBudgetError, Conflict, Transient
from aibudget.inventory.kubernetes import NotFound
from aibudget.inventory.resource import Resource
from aibudget.reporting.difference import has, is_quiet, patch, written
from aibudget.reporting.events import Event, EventSink, tell
from aibudget.reporting.status import Outline

AT_ONCE: Final = 20
QUIET_AT_MOST: Final = 200
"""How many statuses are written in one cycle for no more than moved figures: thousands would keep the API
server busy and the next cycle waiting. The oldest come first."""
SPARE: Final = 50
"""How many more of the oldest are made: some of them may turn out to say what is stored already."""
MOST_UNTOLD: Final = 1000
"""How many Events wait for an API server that takes none: what happened once is told by nothing else."""
PART: Final = 250
"""How many reports are worked on at once: the statuses of thousands would take more than all that is known of
them."""

log = logging.getLogger(__name__)

Status = BudgetStatus | PriceListStatus | MeterStatus
S = TypeVar("S", BudgetStatus, PriceListStatus, MeterStatus)


class StatusSink(EventSink, Protocol):
    """What reporting needs of the API server; `Cluster` has it."""

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> dict[str, Any]:
        """The object as stored."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be said of one object."""

    seen: Seen
    status: Status
    events: tuple[Event, ...] = ()
    outline: Outline | None = None


Take = Callable[[Sequence[Report]], Awaitable[Sequence[Report]]]


@dataclass(frozen=True, slots=True)
class _Draft:
    """What of a report is to be written; `waited` since when, where it may wait for its turn. `version` is
    that of the object which the difference was made for. What is written says the `outline`, and `conditions`
    are those of one that stands alike.
    """

    seen: Seen
    events: tuple[Event, ...]
    difference: Mapping[str, Any] | None
    waited: int | None
    version: str
    outline: Outline | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class _Written:
    version: str
    status: str


class Reporter:
    """One process's. `errors` and `writes` only grow."""

    def __init__(self, sink: StatusSink, instance: str) -> None:
        self._sink = sink
        self._instance = instance
        self._written: dict[str, _Written] = {}
        self._memories: dict[str, tuple[str, Memory]] = {}
        self.turns = Turns(QUIET_AT_MOST + SPARE)
        self._untold: list[Event] = []
        self.writes = 0
        self.errors: Counter[str] = Counter()

    def stored(self, seen: Seen) -> Mapping[str, Any]:
        """The status as it is stored, by the newer of the watch and our own last write."""
        status: Mapping[str, Any] = unpacked(self._text(seen))
        return status

    def _text(self, seen: Seen) -> str:
        ours = self._ours(seen)
        return seen.stored if ours is None else ours.status

    def _ours(self, seen: Seen) -> _Written | None:
        """What we wrote last, where the watch has not caught up with it."""
        ours = self._written.get(seen.uid)
        if ours is None or version_of(ours.version) > version_of(seen.metadata.resource_version):
            return ours
        del self._written[seen.uid]
        return None

    def memory(self, seen: Seen) -> Memory:
        """What a budget remembers; read from its status when that has changed, and kept until then."""
        text = self._text(seen)
        known = self._memories.get(seen.uid)
        if known is None or known[0] != text:
            known = self._memories[seen.uid] = (text, Memory.from_status(self.before(seen)))
        elif known[0] is not text:
            # The watch has caught up: the same text need not be there twice.
            known = self._memories[seen.uid] = (text, known[1])
        return known[1]

    def unchanged(self, seen: Seen, now: int) -> None:
        """Remember that it was looked at, and that there was nothing to remember of that.

        Its status may rest for long; a change of prices that it has come through must not be held against
        what it crosses later by new usage.
        """
        memory = self.memory(seen)
        text, _ = self._memories[seen.uid]
        self._memories[seen.uid] = text, replace(memory, evaluated=max(now, memory.evaluated))

    def resting(
        self, told: Iterable[tuple[Seen, Outline | None, int]], now: int
    ) -> Mapping[str, tuple[Condition, ...]]:
        """By uid, the budgets whose status need not be made in this cycle, and how their conditions stand.

        Of each it is told what its status says beside its figures, and a digest of its spend.
        """
        ours = ((seen.uid, self._text(seen), outline, spend) for seen, outline, spend in told)
        return self.turns.resting(ours, now)

    def before(self, seen: Seen) -> BudgetStatus:
        """A budget's stored status; an empty one where it cannot be read, as after a downgrade."""
        return self._read(seen, BudgetStatus)

    def before_prices(self, seen: Seen) -> PriceListStatus:
        """A price list's stored status, likewise."""
        return self._read(seen, PriceListStatus)

    def before_meter(self, seen: Seen) -> MeterStatus:
        """A meter's stored status, likewise."""
        return self._read(seen, MeterStatus)

    def _read(self, seen: Seen, kind: type[S]) -> S:
        try:
            return kind.model_validate(self.stored(seen), by_alias=True, by_name=False)
        except ValidationError as error:
            log.warning("the status of %s is not one of ours and is made anew: %s", seen.metadata.name, error)
            return kind()

    async def report(self, reports: Iterable[Report], now: int, take: Take | None = None) -> None:
        """Say everything, part by part; what fails is logged, counted and said again at the next cycle.

        `take` is given each part before anything of it is said, and tells what of it may be.
        """
        quiet: list[_Draft] = []
        for some in _parts(reports):
            drafts = [self._draft(report, now) for report in (some if take is None else await take(some))]
            quiet += (draft for draft in drafts if draft.waited is not None)
            await self._write((draft for draft in drafts if draft.waited is None), now)
        await self._write(_in_turn(quiet), now)

    async def _write(self, drafts: Iterable[_Draft], now: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        anything = (draft for draft in drafts if draft.events or draft.difference is not None)
        await asyncio.gather(*(self._one(draft, now, gate) for draft in anything))

    def _draft(self, report: Report, now: int) -> _Draft:
        newest = self._ours(report.seen) or _Written(
            report.seen.metadata.resource_version, report.seen.stored
        )
        text, stored = newest.status, unpacked(newest.status)
        difference = patch(stored, report.status, now)
        quiet = difference is not None and is_quiet(stored, difference)
        if report.outline is not None and (quiet or difference is None):
            settled = Settled(text, report.outline, written(stored), report.status.conditions)
            self.turns.settle(report.seen.uid, settled)
        waited = written(stored) if quiet else None
        conditions = () if report.outline is None else self.turns.alike(report.status.conditions)
        return _Draft(
            report.seen, report.events, difference, waited, newest.version, report.outline, conditions
        )

    async def tell(self, events: Iterable[Event], now: int) -> None:
        """Events alone, each whatever becomes of the others; what cannot be written for now comes again."""
        gate = asyncio.Semaphore(AT_ONCE)
        due, self._untold = [*self._untold, *events], []

        async def one(event: Event) -> None:
            async with gate:
                try:
                    await tell(self._sink, [event], now, self._instance)
                except AIBudgetError as error:
                    if isinstance(error, Transient) and len(self._untold) < MOST_UNTOLD:
                        self._untold.append(event)
                    self._failed(f"Event {event.reason} of {event.regarding.name}", error)

        await asyncio.gather(*map(one, due))

    async def _one(self, draft: _Draft, now: int, gate: asyncio.Semaphore) -> None:
        seen, metadata = draft.seen, draft.seen.metadata
        async with gate:
            try:
                await tell(self._sink, draft.events, now, self._instance)
                if draft.difference is None:
                    return
                # A status is also memory: one that was made for an older object must not replace a newer one.
                change = {"metadata": {"resourceVersion": draft.version}, "status": draft.difference}
                stored = await self._sink.patch(
                    seen.resource, metadata.name, change, metadata.namespace, status=True
                )
            except NotFound:
                return
            except Conflict:
                # It was edited a moment ago; the watch tells, and that is another cycle.
                log.info("the status of %s is not written: it has changed meanwhile", metadata.name)
                return
            except AIBudgetError as error:
                self._failed(f"{seen.resource.kind} {metadata.name}", error)
                return
        self.writes += 1
        status = stored.get("status") or {}
        text = packed(status)
        self._written[seen.uid] = _Written(stored["metadata"]["resourceVersion"], text)
        # What was remembered by the text before is read anew, and that text need not stay until then.
        self._memories.pop(seen.uid, None)
        if draft.outline is not None and has(status, draft.difference):
            self.turns.settle(seen.uid, Settled(text, draft.outline, written(status), draft.conditions))

    def _failed(self, what: str, error: AIBudgetError) -> None:
        self.errors[error.reason] += 1
        log.warning("%s: not reported, it is tried again: %s", what, error.message)

    def forget(self, present: Collection[str]) -> None:
        """Keep what is known of these objects, by uid, and nothing of any other."""
        kept = set(present)
        for known in (self._written, self._memories):
            for uid in known.keys() - kept:
                del known[uid]
        self.turns.forget(kept)


def _in_turn(quiet: list[_Draft]) -> list[_Draft]:
    """Those that are written in this cycle are as they were, the others without what they would change."""
    oldest = sorted(quiet, key=lambda draft: (draft.waited, draft.seen.uid))
    late = [replace(draft, difference=None) for draft in oldest[QUIET_AT_MOST:]]
    return [*oldest[:QUIET_AT_MOST], *late]


def _parts(reports: Iterable[Report]) -> Iterator[Sequence[Report]]:
    left = iter(reports)
    while some := list(islice(left, PART)):
        yield some


def version_of(text: str) -> int:
    """A resourceVersion as a number; 0 where it is none."""
    return int(text) if text.isdecimal() else 0
