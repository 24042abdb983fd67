"""The operator's own cycles over that past, in process: its ledger on disk, its processes killed at will.

The clock, the source of each meter and the API server are ours; everything between them is the operator's.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.calendar import Calendar
from aibudget.controller.foresight import Foresight
from aibudget.controller.histories import Histories
from aibudget.controller.keeping import Keeping
from aibudget.controller.parts import Parts
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS, EVENTS, NAMESPACES, PRICE_LISTS
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import PrometheusUnavailable
from aibudget.metering.usage import Coverage, Reading, Usage, sku
from aibudget.pricing.book import PriceBook
from soak.past import Past
from unit.controller.world import World

UNIT: Final[dict[str, Json]] = {"gpu": {"unit": "GPU-Hours"}, "tokens": {"perQuantity": 1_000_000}}
FORECASTS_AT_ONCE: Final = 5
KEPT_MONTHS: Final = 13
PACKED_AFTER: Final = 86_400
DAYS_AT_ONCE: Final = 6
"""Days of one meter that are packed in one go, where a cycle stands for those of hours."""


class Killed(BaseException):
    """The process is gone, in the midst of it."""


@dataclass(slots=True)
class Clock:
    """Of everybody; Prometheus may be away."""

    now: int
    down: bool = False


class Scraped:
    """One meter of the past, as `accounts.Source` reads it."""

    def __init__(self, meter: str, past: Past, clock: Clock) -> None:
        self._past = past
        self._clock = clock
        self._meter = meter
        self._what = sku(meter, {"model": "any"} if meter == "tokens" else {"gpuProduct": "any"})
        self._ours = [consumer for consumer in past.used if consumer[0] == meter]

    def time(self) -> int:
        """Prometheus's own clock."""
        if self._clock.down:
            raise PrometheusUnavailable("away")
        return self._clock.now

    def lag(self) -> int:
        """A minute."""
        return 60

    def wanted(self, book: PriceBook) -> bool:
        """Always."""
        return True

    def read(self, interval: Interval) -> Reading:
        """What is there of it now."""
        if self._clock.down:
            raise PrometheusUnavailable("away")
        usages, coverage, head = [], {}, None
        for slot in interval.slots():
            end = min(slot + SLOT_SECONDS, interval.end)
            start = max(slot, interval.start)
            parts = self._past.shown(start, end, self._clock.now)
            coverage[slot] = Coverage(sum(b - a for a, b in parts), end - start)
            if not parts:
                continue
            head = parts[-1][1]
            for consumer in self._ours:
                if quantity := self._past.quantity(consumer, parts):
                    workload = Workload(consumer[1], "Deployment", consumer[2])
                    usages.append(Usage(slot, workload, self._what, quantity))
        return Reading(interval, tuple(usages), coverage, head)


class RoomyCalendar(Calendar):
    """A cycle here stands for those of hours, each of which would have counted one interval anew."""

    def may_recount(self, interval: Interval) -> bool:
        """Always."""
        return True


class EagerKeeping(Keeping):
    """Packs days of open periods, too, as soon as they are old enough to be late: packed or not, a ledger
    says the same.
    """

    def roll_up(self, needed: int, now: int) -> None:
        """Some days at once."""
        for _ in range(DAYS_AT_ONCE):
            self._ledger.roll_up(now - PACKED_AFTER, epoch=self._epoch)


@dataclass
class SoakedWorld(World):
    """Two meters of one past."""

    past: Past = field(kw_only=True)
    clock: Clock = field(kw_only=True)

    def __post_init__(self) -> None:
        self.accounts: dict[str, Accounts] = {}

    def _books(self) -> Books:
        assert self.ledger is not None
        self.epoch = self.ledger.take_over()
        self.accounts = {
            meter: Accounts(meter, Scraped(meter, self.past, self.clock), self.ledger, self.epoch)
            for meter in UNIT
        }
        return Books(list(self.accounts.values()))

    def _parts(self, books: Books, histories: Histories) -> Parts:
        # Of money they know only what hours are counted as, and they are most of what a year would take.
        foresight = Foresight(histories, at_once=FORECASTS_AT_ONCE)
        calendar = self.in_worker(lambda: RoomyCalendar(self.register))
        assert self.ledger is not None
        keeping = EagerKeeping(self.ledger, self.epoch, KEPT_MONTHS)
        parts = super()._parts(books, histories)
        return replace(parts, calendar=calendar, foresight=foresight, keeping=keeping, lookout=None)

    def crash(self) -> None:
        """The end of a process that did not see it coming; what it has left open is let go of."""
        for opened in (self.ledger, getattr(self, "register", None), getattr(self, "neighbours", None)):
            if opened is not None:
                self.in_worker(opened.close)
        self.ledger = self.cycle = None

    def run(self, now: int | None = None) -> None:
        """One cycle by a clock, the right one by default."""
        self.meter.now = self.clock.now if now is None else now
        asyncio.run(self._once(fill=False))

    def catch_up(self) -> None:
        """Read on until nothing is missing that is to be had."""

        async def fill() -> bool:
            assert self.cycle is not None
            return await self.cycle.fill(float(self.clock.now), 3600.0)

        while asyncio.run(fill()):
            pass

    def apply(self, name: str, namespace: str, spec: Mapping[str, Any]) -> None:
        """A budget, new or edited; without a namespace a ClusterAIBudget."""
        resource = AIBUDGETS if namespace else CLUSTER_AIBUDGETS
        stored = self.cluster.objects.get((resource.plural, namespace, name))
        if stored is None:
            self.cluster.seed(resource, name, namespace, spec=dict(spec))
        else:
            self.cluster._store(resource, {**stored, "spec": dict(spec)}, manager="kubectl")

    def remove(self, name: str, namespace: str) -> None:
        """A budget is deleted."""
        self.cluster.remove(AIBUDGETS if namespace else CLUSTER_AIBUDGETS, name, namespace)

    def price(self) -> None:
        """Apply the past's prices as they are now."""
        rates: list[Json] = []
        for meter, prices in self.past.prices.items():
            for place, price in enumerate(prices):
                rate: Json = {"name": f"{meter}-{place}", "meter": meter, **UNIT[meter]}
                rate |= {"price": f"{price.cents / 100:.2f}", "from": _instant(price.start)}
                if place + 1 < len(prices):
                    rate["to"] = _instant(prices[place + 1].start)
                rates.append(rate)
        spec = {"currency": "USD", "priority": 10, "rates": rates}
        stored = self.cluster.objects.get((PRICE_LISTS.plural, "", "company"))
        if stored is None:
            self.cluster.seed(PRICE_LISTS, "company", spec=spec)
        else:
            self.cluster._store(PRICE_LISTS, {**stored, "spec": spec}, manager="kubectl")

    def namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """A namespace with its labels."""
        self.cluster.seed(NAMESPACES, name, metadata={"labels": dict(labels)})

    def stored(self, name: str, namespace: str) -> Json:
        """The object as `kubectl get` has it."""
        plural = (AIBUDGETS if namespace else CLUSTER_AIBUDGETS).plural
        obj: Json = json.loads(json.dumps(self.cluster.objects[plural, namespace, name]))
        return obj

    def forget_events(self) -> None:
        """As the API server does after an hour."""
        for key in [key for key in self.cluster.objects if key[0] == EVENTS.plural]:
            del self.cluster.objects[key]


@contextmanager
def killing(rng: random.Random, chance: float) -> Iterator[None]:
    """Meanwhile the process may die whenever a transaction begins or is to be committed."""

    def die(_: Connection) -> None:
        if rng.random() < chance:
            raise Killed

    for moment in ("begin", "commit"):
        event.listen(Engine, moment, die)
    try:
        yield
    finally:
        for moment in ("begin", "commit"):
            event.remove(Engine, moment, die)


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
