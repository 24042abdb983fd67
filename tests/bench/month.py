"""Usage of many workloads over a month, as sources read it, and a ledger that is full of it.

Two workloads to a namespace and a budget, four meters, 96 slots a day. What must be there before anything
can be measured is written a day at a time, by the functions that a posting writes with; the first slot and
the last day are posted, and a slot between them is posted once more to see that this changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import select

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.inventory.workload import Workload
from aibudget.ledger import meters, schema, slots
from aibudget.ledger.database import Database
from aibudget.ledger.hours import mark
from aibudget.ledger.posting import MeterState, Posting
from aibudget.ledger.store import Ledger
from aibudget.ledger.totals import Row
from aibudget.metering.catalogue import CPU, GPU, MEMORY, TOKENS, unit_of
from aibudget.metering.memory import Counter, Level, Memory
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Reading, Sku, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import FAR_FUTURE, Rate
from bench.scenery import name_of, say

CLUSTER: Final = "bench"
START: Final = 1_793_491_200
DAY: Final = 86_400
LAG_SECONDS: Final = 60
FULL: Final = Coverage(SLOT_SECONDS, SLOT_SECONDS)
SKUS: Final[Mapping[str, Sku]] = {
    GPU.name: sku(GPU.name, {"gpuProduct": "NVIDIA-H100-80GB-HBM3"}),
    CPU.name: sku(CPU.name, {}),
    MEMORY.name: sku(MEMORY.name, {}),
    TOKENS.name: sku(TOKENS.name, {"model": "llama"}),
}
PER_SECOND: Final = {GPU.name: 1000, CPU.name: 16_000, MEMORY.name: 64 * 1_048_576, TOKENS.name: 500}
"""What each workload uses at most, in the meter's smallest unit."""
PRICES: Final = {GPU.name: "3.00", CPU.name: "0.03", MEMORY.name: "0.004", TOKENS.name: "0.000002"}


@dataclass(frozen=True, slots=True)
class Size:
    """So many budgets of two workloads each, and how many days are in the ledger."""

    budgets: int
    days: int

    @property
    def workloads(self) -> int:
        return 2 * self.budgets

    @property
    def rows(self) -> int:
        return self.workloads * len(SKUS) * self.days * DAY // SLOT_SECONDS

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        return {name_of(number): {"department": f"d{number % 20}"} for number in range(self.budgets)}


@dataclass(slots=True)
class Clock:
    """Prometheus's."""

    now: int


class Steady:
    """An `accounts.Source` of one meter: every workload uses something at every instant, by the hour."""

    def __init__(self, meter: str, size: Size, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock
        self._workloads = [
            Workload(name_of(number // 2), "Deployment", f"llm-{number}") for number in range(size.workloads)
        ]

    def time(self) -> int:
        return self._clock.now

    def lag(self) -> int:
        return LAG_SECONDS

    def wanted(self, _: PriceBook) -> bool:
        return True

    def read(self, interval: Interval) -> Reading:
        parts = (Interval(slot, slot + SLOT_SECONDS).intersection(interval) for slot in interval.slots())
        known = {part.start // SLOT_SECONDS * SLOT_SECONDS: part.seconds for part in parts if part}
        return Reading(
            interval=interval,
            usages=tuple(usage for slot, seconds in known.items() for usage in self._usages(slot, seconds)),
            coverage={slot: Coverage(seconds, seconds) for slot, seconds in known.items()},
            head=interval.end,
            memories={slot + SLOT_SECONDS: self._memory(slot + SLOT_SECONDS) for slot in known},
        )

    def _usages(self, slot: int, seconds: int) -> Iterator[Usage]:
        for workload in self._workloads:
            quantity, busy, observed = used(self._meter, workload.name, slot, seconds)
            yield Usage(slot, workload, SKUS[self._meter], quantity, 0, busy, observed)

    def _memory(self, at: int) -> Memory:
        """Of what is a counter; the others remember nothing."""
        if self._meter != TOKENS.name:
            return Memory(at)
        names = ((one.namespace, one.name) for one in self._workloads)
        counters = (Counter("tokens", (("namespace", space), ("pod", name))) for space, name in names)
        return Memory(at, {counter: Level(at, at * 500 + n) for n, counter in enumerate(counters)})


def used(meter: str, workload: str, slot: int, seconds: int) -> tuple[int, int | None, int | None]:
    """Quantity, busy and observed: by day and by night, and a little by chance."""
    number, hour = int(workload.rpartition("-")[2]), slot // 3600
    percent = (70 if 8 <= hour % 24 < 20 else 40) + (hour * 2_654_435_761 + number * 40_503) % 2**32 % 20
    quantity = PER_SECOND[meter] * seconds * percent // 100
    return (quantity, quantity * 3 // 4, quantity) if meter == GPU.name else (quantity, None, None)


def price_book() -> PriceBook:
    """One rate for each meter."""
    return PriceBook(
        Rate(
            source="list",
            name=meter,
            meter=meter,
            match={},
            currency="USD",
            unit=unit_of(meter),
            price=Decimal(price),
            list_price=Decimal(price),
            priority=10,
            interval=Interval(0, FAR_FUTURE),
        )
        for meter, price in PRICES.items()
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger with the accounts of all meters."""

    database: Database
    ledger: Ledger
    epoch: int
    clock: Clock
    accounts: tuple[Accounts, ...]

    @property
    def books(self) -> Books:
        return Books(self.accounts)


def opened(url: str, size: Size) -> Opened:
    """By its one writer; the clock stands ten minutes after what is posted."""
    database = Database(url)
    ledger = Ledger(database, CLUSTER)
    epoch, clock = ledger.take_over(), Clock((ledger.watermark(GPU.name) or START) + 600)
    accounts = (Accounts(meter, Steady(meter, size, clock), ledger, epoch) for meter in SKUS)
    return Opened(database, ledger, epoch, clock, tuple(accounts))


def fill(url: str, size: Size) -> None:
    """A ledger of so many days; the last of them by its own postings."""
    one, book = opened(url, size), price_book()
    one.clock.now = START + SLOT_SECONDS + LAG_SECONDS
    for accounts in one.accounts:
        accounts.advance(book, size.labels)
    end = START + size.days * DAY
    for start in range(START, end - DAY, DAY):
        say(f"writing day {(start - START) // DAY + 1} of {size.days} …")
        for meter in SKUS:
            _write(one, meter, Interval(max(start, START + SLOT_SECONDS), start + DAY))
    say("posting the last day …")
    for now in range(end - DAY + SLOT_SECONDS, end + 1, SLOT_SECONDS):
        one.clock.now = now + LAG_SECONDS
        for accounts in one.accounts:
            accounts.advance(book, size.labels)
    for meter in SKUS:
        _attest(one, meter, size, START + DAY // 2)
    one.ledger.close()


def _write(one: Opened, meter: str, span: Interval) -> None:
    line, cluster = schema.line, schema.cluster
    with one.database.writing() as connection:
        cluster_id = connection.execute(select(cluster.c.id).where(cluster.c.name == CLUSTER)).scalar_one()
        meter_id = meters.ids(connection, cluster_id)[meter]
        query = select(line.c.id, line.c.name).where(line.c.meter_id == meter_id)
        names = {int(row.id): row.name for row in connection.execute(query)}
        before = meters.state(connection, meter_id)
        rate_id = slots.sums(connection, meter_id, Interval(START, START + SLOT_SECONDS))[0].rate_id
        rows = {
            slot: [_row(meter, at, name, rate_id, slot) for at, name in names.items()]
            for slot in span.slots()
        }
        slots.replace(connection, meter_id, rows, (dict.fromkeys(rows, FULL), span.end))
        mark(connection, cluster_id, rows)
        after = MeterState(before.begins, span.end, before.revision + 1)
        meters.write_state(connection, meter_id, before, after)


def _row(meter: str, line_id: int, workload: str, rate_id: int, slot: int) -> Row:
    quantity, busy, observed = used(meter, workload, slot, SLOT_SECONDS)
    return Row(line_id, rate_id, quantity, 0, busy or 0, observed or 0)


def _attest(one: Opened, meter: str, size: Size, slot: int) -> None:
    """Raises where a posting of the slot would write other rows than are there."""
    reading = Steady(meter, size, one.clock).read(Interval(slot, slot + SLOT_SECONDS))
    state, before = one.ledger.state(meter), _rows(one, slot)
    assert state.watermark is not None, "it was filled"
    one.ledger.post(
        Posting(
            meter=meter,
            coverage=reading.coverage,
            charges=price_book().charges(reading.usages),
            watermark=state.watermark,
            revision=state.revision,
            at=slot + DAY,
            epoch=one.epoch,
            namespace_labels=size.labels,
        )
    )
    if not before or _rows(one, slot) != before:
        raise RuntimeError(f"what was written of {meter} is not what is posted")


def _rows(one: Opened, slot: int) -> list[tuple[Any, ...]]:
    with one.database.reading() as connection:
        query = select(schema.usage_slot).where(schema.usage_slot.c.slot == slot)
        return sorted(tuple(row) for row in connection.execute(query))
