"""One cluster in memory, one meter and one ledger on disk, and operators that come and go: whole cycles."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aibudget.budgeting.sharing import Sharing
from aibudget.budgeting.vigil import Least
from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.cache import WATCHED, Cache, read
from aibudget.controller.calendar import Calendar
from aibudget.controller.comparisons import Comparisons
from aibudget.controller.cycle import Cycle
from aibudget.controller.fleet import Fleet
from aibudget.controller.foresight import Foresight
from aibudget.controller.histories import Histories
from aibudget.controller.kinship import Kinship
from aibudget.controller.lookout import Lookout
from aibudget.controller.notifier import Notifier
from aibudget.controller.parts import Parts
from aibudget.controller.reporter import Reporter
from aibudget.controller.scribe import Scribe
from aibudget.controller.spenders import Spenders
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.inventory.changes import Changes
from aibudget.inventory.climb import Climber
from aibudget.inventory.kubernetes import Json, Patch
from aibudget.inventory.owners import OwnerBook, OwnerLink
from aibudget.inventory.resource import (
    AIBUDGETS,
    DEPLOYMENTS,
    EVENTS,
    HOLDS,
    NAMESPACES,
    PRICE_LISTS,
    Resource,
)
from aibudget.ledger.neighbours import Neighbours
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.reporting.snapshot import Snapshot
from unit.controller.atonce import AtOnce
from unit.controller.meters import DAY, MIDNIGHT, IdleMeter, Meter
from unit.enforcement.fake_api import FakeAPI, Key
from unit.ledger.blank import blank


class FakeCluster(FakeAPI):
    """The API server of enforcement's tests; a status does not move a generation."""

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json:
        """As the API server does."""
        key: Key = (resource.plural, namespace or "", name)
        generation = self.objects[key]["metadata"]["generation"] if key in self.objects else 0
        stored = await super().patch(resource, name, patch, namespace, status=status)
        if status:
            for obj in (stored, self.objects[key]):
                obj["metadata"]["generation"] = generation
        return stored


class Owners:
    """The owners that a ledger keeps, read once by each process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._book: OwnerBook | None = None

    @property
    def owners(self) -> OwnerBook:
        """All of them."""
        if self._book is None:
            self._book = OwnerBook.of(self._ledger.owners())
        return self._book

    def remember(self, links: Collection[OwnerLink], at: int) -> None:
        """For good."""
        self._ledger.remember_owners(links, at)
        self._book = self.owners.with_links(links)


@dataclass
class World:
    """One cluster, one meter, one ledger; and operators that come and go."""

    directory: Path
    worker: Executor
    meter: Meter = field(default_factory=lambda: Meter(MIDNIGHT + 2 * DAY))
    cluster: FakeCluster = field(default_factory=FakeCluster)
    cycle: Cycle | None = None
    ledger: Ledger | None = None
    notifier: Notifier = field(default_factory=Notifier)
    idle: IdleMeter | None = None
    sharing: Sharing = field(default_factory=Sharing)
    epoch: int = 0
    name: str = "test"
    register: Register = field(init=False)
    neighbours: Neighbours = field(init=False)
    snapshot: Snapshot = field(default_factory=Snapshot)

    @property
    def url(self) -> str:
        """Where the ledger is."""
        return blank(self.directory / "l.db")

    def start(self) -> None:
        """A new process: nothing in memory."""
        self.stop()
        self.ledger = self.in_worker(lambda: Ledger.open(self.url, self.name))
        books = self.in_worker(self._books)
        histories = Histories(books, self.ledger.hours, self.epoch)
        self.cache = Cache()
        self.register = self.in_worker(lambda: Register.open(self.url, self.name))
        self.neighbours = self.in_worker(lambda: Neighbours.open(self.url))
        self.cycle = Cycle(self._parts(books, histories))

    def _parts(self, books: Books, histories: Histories) -> Parts:
        assert self.ledger is not None
        scribe = Scribe(self.register, self.worker)
        return Parts(
            cache=self.cache,
            books=books,
            enforcer=Enforcer(self.cluster, Limits("system"), lambda: True, journal=scribe),
            scribe=scribe,
            reporter=Reporter(self.cluster, "replica"),
            worker=self.worker,
            notifier=self.notifier,
            kinship=Kinship(Climber(self.cluster), Owners(self.ledger), books),
            sharing=self.sharing,
            calendar=self.in_worker(lambda: Calendar(self.register)),
            foresight=Foresight(histories),
            lookout=Lookout(histories, Spenders(books, lambda: histories.owners), Least()),
            changes=Changes(self.cluster),
            comparisons=Comparisons(books, self.ledger.hours, histories.settled),
            fleet=Fleet(self.name, self.neighbours),
        )

    def stop(self) -> None:
        """The end of the process."""
        if self.ledger is not None:
            self.in_worker(self.ledger.close)
            self.in_worker(self.register.close)
            self.in_worker(self.neighbours.close)
            self.ledger = None

    def _books(self) -> Books:
        assert self.ledger is not None
        self.epoch, meters = self.ledger.take_over(), {"gpu": self.meter}
        if self.idle is not None:
            meters["gpu-idle"] = self.idle
        return Books([Accounts(name, meter, self.ledger, self.epoch) for name, meter in meters.items()])

    def in_worker(self, work: Any) -> Any:
        """The ledger belongs to one thread."""
        return self.worker.submit(work).result()

    def pass_time(self, seconds: int = 60, *, cycles: int = 1, fill: bool = True) -> None:
        """Let time pass and run a cycle after it, a few times; history is read on in between."""
        if self.cycle is None:
            self.start()
        for _ in range(cycles):
            self.meter.now += seconds
            if self.idle is not None:
                self.idle.now = self.meter.now
            asyncio.run(self._once(fill=fill))

    async def _once(self, *, fill: bool) -> None:
        assert self.cycle is not None
        for resource in WATCHED:
            known = self.cache.before_list(resource)
            objects = await self.cluster.list(resource)
            for obj in objects:
                if not resource.namespaced:
                    del obj["metadata"]["namespace"]
            self.cache.replace(resource, [read(resource, obj) for obj in objects], known)
        self.snapshot = await self.cycle.run_once(float(self.meter.now))
        if fill:
            await self.cycle.fill(float(self.meter.now), 30.0)

    def budget(self, name: str, amount: object, **spec: Any) -> None:
        """Apply an AIBudget in team."""
        key: Key = (AIBUDGETS.plural, "team", name)
        limit = {"limit": {"amount": amount, "currency": spec.pop("currency", "USD")}}
        if key in self.cluster.objects:
            stored = self.cluster.objects[key]
            stored["spec"] = {**stored["spec"], **limit, **spec}
            self.cluster._store(AIBUDGETS, stored, manager="kubectl")
        else:
            self.cluster.seed(AIBUDGETS, name, "team", spec={**limit, **spec})

    def status(self, name: str) -> Mapping[str, Any]:
        """What kubectl would show."""
        status: Mapping[str, Any] = self.cluster.objects[AIBUDGETS.plural, "team", name].get("status") or {}
        return status

    def conditions(self, name: str) -> dict[str, tuple[str, str]]:
        """Status and reason by type."""
        return {c["type"]: (c["status"], c["reason"]) for c in self.status(name).get("conditions", ())}

    def events(self, name: str) -> list[str]:
        """The reasons of all Events of an object, in their order."""
        return [
            obj["reason"]
            for (plural, _, _), obj in self.cluster.objects.items()
            if plural == EVENTS.plural and obj["involvedObject"]["name"] == name
        ]

    def replicas(self, name: str) -> int:
        """Of a Deployment in team."""
        return int(self.cluster.objects[DEPLOYMENTS.plural, "team", name]["spec"]["replicas"])

    def holds(self) -> int:
        """How many Holds there are."""
        return sum(plural == HOLDS.plural for plural, _, _ in self.cluster.objects)


W = TypeVar("W", bound=World)

ENFORCE = {"mode": "Enforce", "gracePeriodSeconds": 0}
STOP = [{"name": "full", "percent": 100, "actions": ["Notify", "ScaleDown"]}]
PRICE = {
    "currency": "USD",
    "rates": [
        {"name": "h100", "meter": "gpu", "unit": "GPU-Hours", "price": "3", "from": "2026-01-01T00:00:00Z"}
    ],
}


@contextmanager
def one_gpu(directory: Path, kind: type[W]) -> Iterator[W]:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    with AtOnce() as worker:
        made = kind(directory, worker)
        made.cluster.seed(PRICE_LISTS, "company", spec=PRICE)
        made.cluster.seed(NAMESPACES, "team", metadata={"labels": {"department": "ml"}})
        made.cluster.deployment("llm", "team", 1)
        yield made
        made.stop()
