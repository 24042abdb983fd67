"""The last part of a cycle: Events first, then the statuses that have changed, each object in its own guard.

What was written last is remembered until the watch has caught up with it, so that a cycle that comes early
does not take its own old status for the present one. Writes are merge patches of /status under a limit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.pricelist import PriceListStatus
from aibudget.controller.cache import Seen
from aibudget.errors import AIBudgetError
from aibudget.inventory.kubernetes import NotFound
from aibudget.inventory.resource import Resource
from aibudget.reporting.events import Event, EventSink, tell
from aibudget.reporting.status import is_quiet, patch, written

AT_ONCE: Final = 20
QUIET_AT_MOST: Final = 200
"""How many statuses are written in one cycle for no more than moved figures: thousands would keep the API
server busy and the next cycle waiting. The oldest come first."""

log = logging.getLogger(__name__)

Status = BudgetStatus | PriceListStatus
S = TypeVar("S", BudgetStatus, PriceListStatus)


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


@dataclass(frozen=True, slots=True)
class _Written:
    version: int
    status: Mapping[str, Any]


class Reporter:
    """One process's. `errors` and `writes` only grow."""

    def __init__(self, sink: StatusSink, instance: str) -> None:
        self._sink = sink
        self._instance = instance
        self._written: dict[str, _Written] = {}
        self.writes = 0
        self.errors: Counter[str] = Counter()

    def stored(self, seen: Seen) -> Mapping[str, Any]:
        """The status as it is stored, by the newer of the watch and our own last write."""
        ours = self._written.get(seen.uid)
        if ours is None:
            return seen.status
        if ours.version <= version_of(seen.metadata.resource_version):
            del self._written[seen.uid]
            return seen.status
        return ours.status

    def before(self, seen: Seen) -> BudgetStatus:
        """A budget's stored status; an empty one where it cannot be read, as after a downgrade."""
        return self._read(seen, BudgetStatus)

    def before_prices(self, seen: Seen) -> PriceListStatus:
        """A price list's stored status, likewise."""
        return self._read(seen, PriceListStatus)

    def _read(self, seen: Seen, kind: type[S]) -> S:
        try:
            return kind.model_validate(self.stored(seen), by_alias=True, by_name=False)
        except ValidationError as error:
            log.warning("the status of %s is not one of ours and is made anew: %s", seen.metadata.name, error)
            return kind()

    async def report(self, reports: Sequence[Report], now: int) -> None:
        """Say everything; what fails is logged, counted and said again at the next cycle."""
        gate = asyncio.Semaphore(AT_ONCE)
        writes = self._writes(reports, now)
        await asyncio.gather(
            *(self._one(report, writes.get(report.seen.uid), now, gate) for report in reports)
        )
        self._forget({report.seen.uid for report in reports})

    def _writes(self, reports: Sequence[Report], now: int) -> dict[str, Mapping[str, Any]]:
        """The patches of this cycle by uid: all that matter, and as many quiet ones as have their turn."""
        loud: dict[str, Mapping[str, Any]] = {}
        quiet: list[tuple[int, str, Mapping[str, Any]]] = []
        for report in reports:
            stored, uid = self.stored(report.seen), report.seen.uid
            difference = patch(stored, report.status, now)
            if difference is None:
                continue
            if is_quiet(stored, difference):
                quiet.append((written(stored), uid, difference))
            else:
                loud[uid] = difference
        quiet.sort(key=lambda one: one[:2])
        return loud | {uid: difference for _, uid, difference in quiet[:QUIET_AT_MOST]}

    async def tell(self, events: Iterable[Event], now: int) -> None:
        """Events alone, each of them whatever becomes of the others."""
        for event in events:
            try:
                await tell(self._sink, [event], now, self._instance)
            except AIBudgetError as error:
                self._failed(f"Event {event.reason} of {event.regarding.name}", error)

    async def _one(
        self, report: Report, difference: Mapping[str, Any] | None, now: int, gate: asyncio.Semaphore
    ) -> None:
        seen, metadata = report.seen, report.seen.metadata
        async with gate:
            try:
                await tell(self._sink, report.events, now, self._instance)
                if difference is None:
                    return
                stored = await self._sink.patch(
                    seen.resource, metadata.name, {"status": difference}, metadata.namespace, status=True
                )
            except NotFound:
                return
            except AIBudgetError as error:
                self._failed(f"{seen.resource.kind} {metadata.name}", error)
                return
        self.writes += 1
        self._written[seen.uid] = _Written(
            version_of(stored["metadata"]["resourceVersion"]), stored.get("status") or {}
        )

    def _failed(self, what: str, error: AIBudgetError) -> None:
        self.errors[error.reason] += 1
        log.warning("%s: not reported, it is tried again: %s", what, error.message)

    def _forget(self, present: set[str]) -> None:
        for uid in self._written.keys() - present:
            del self._written[uid]


def version_of(text: str) -> int:
    """A resourceVersion as a number; 0 where it is none."""
    return int(text) if text.isdecimal() else 0
