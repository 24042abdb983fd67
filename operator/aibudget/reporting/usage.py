"""What `aibudget usage` prints: usage and cost of a range, summed by whatever is asked for.

`UsageReport` takes readings part by part, so a month's slots are never in memory at once; it sums integers
and makes money of them at the end. A row without a price has no cost, which is not a cost of zero. How it
looks is `usageformats`. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Final, Literal, NamedTuple

from aibudget.budgeting.drivers import Basket
from aibudget.budgeting.sharing import SharedLine, Sharing, allocated
from aibudget.errors import Stalled
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine
from aibudget.metering.catalogue import GPU, GPU_IDLE, TOKENS, scale_of, unit_of
from aibudget.metering.idle import POOL, pool_of
from aibudget.metering.labels import Labels, Teams
from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Balance, Coverage, Reading, Sku, Usage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.carbon import Carbon, public_grids
from aibudget.pricing.charge import Charge, amount_of, units_per_quantity
from aibudget.pricing.rate import Rate
from aibudget.pricing.tiers import counts, month_of

By = Literal["namespace", "team", "workload", "model", "nodepool"]
TEAM: Final = "Team"
"""The kind of `Workload` that a gateway's usage belongs to; its name is that of the team."""
PER: Final = 1_000_000
"""Tokens that a unit cost is for."""


class Group(NamedTuple):
    """What a row is about; None is what rows are not grouped by, "" what is not known."""

    namespace: str | None = None
    kind: str | None = None
    workload: str | None = None
    team: str | None = None
    model: str | None = None
    node_pool: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def order(self) -> tuple[bool, tuple[str, ...]]:
        """By name, and what belongs to nobody after all others."""
        return self.is_nobody, (*(part or "" for part in self[:-1]), *chain(*self.labels))

    @property
    def is_nobody(self) -> bool:
        """Whether it is no one's: idle capacity, or what has no name of the kind that is asked for."""
        return not any(self[:-1]) or self.kind == POOL


class Line(NamedTuple):
    """A group's usage of one SKU; `reason` is why it costs nothing, "" where it costs what its rate says."""

    group: Group
    sku: Sku
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`quantity` in the meter's pricing `unit`; `cost` in the report's currency, None without a price.

    `grams` of CO2 equivalent are those of energy, None where they are not known.
    """

    line: Line
    quantity: Decimal
    cost: Decimal | None
    grams: Decimal | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What a million tokens cost a group, everything it paid for counted in."""

    group: Group
    amount: Decimal


@dataclass(slots=True)
class UsageReport:
    """The sums of an interval, as its readings come in; those of one meter in order of time.

    `units` are those of meters that are not built in.
    """

    interval: Interval
    by: By
    book: PriceBook
    carbon: Carbon = field(default_factory=lambda: Carbon(public_grids()))
    coverages: dict[str, Coverage] = field(default_factory=dict)
    problems: dict[str, None] = field(default_factory=dict)
    balance: Balance = field(default_factory=Balance)
    sharing: Sharing | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    _used: Counter[tuple[str, Sku, str | None]] = field(default_factory=Counter)
    _quantities: Counter[tuple[Group, Sku, str | None]] = field(default_factory=Counter)
    _grams: dict[tuple[Group, Sku, str | None], Decimal] = field(default_factory=dict)
    _rates: dict[str, Rate] = field(default_factory=dict)
    _volumes: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(
        self, meter: str, reading: Reading, owners: OwnerBook | None = None, teams: Teams | None = None
    ) -> None:
        """Count a meter's part of the interval; each part once."""
        groups = _Groups(self.by, owners or OwnerBook(), teams or Teams())
        for charge in self.book.charges(reading.usages, self._before):
            rate = charge.rate
            key = groups.of(charge.usage), charge.usage.sku, rate.id if rate else None
            self._quantities[key] += charge.usage.quantity
            if (grams := self.carbon.grams(charge.usage)) is not None:
                self._grams[key] = self._grams.get(key, Decimal(0)) + grams
            if rate:
                self._rates[rate.id] = rate
                self._count_volume(charge, rate)
            if self.sharing is not None:
                whose = charge.usage.workload.namespace, charge.usage.sku, rate.id if rate else None
                self._used[whose] += charge.usage.quantity
        self.balance = sum(reading.balances.values(), self.balance)
        known = self.coverages.get(meter, Coverage(0, 0))
        self.coverages[meter] = sum(reading.coverage.values(), known)
        self.problems.update(dict.fromkeys(reading.problems))

    @property
    def coverage(self) -> Coverage:
        """Of the priced meter that is known least: the total is a lower bound where it is not whole.

        Meters of which nothing at all is known have no source, and no part in it; nor has idle capacity.
        """
        known = {
            meter: one
            for meter, one in self.coverages.items()
            if one.covered_seconds and meter != GPU_IDLE.name
        }
        priced = [one for meter, one in known.items() if meter in self.book.meters]
        return min(
            priced or known.values(), key=lambda one: one.percent, default=Coverage(0, self.interval.seconds)
        )

    @property
    def untold(self) -> tuple[str, ...]:
        """Meters of which nothing told in the whole range: what they would have counted is unknown."""
        return tuple(meter for meter, one in self.coverages.items() if not one.covered_seconds)

    @property
    def currency(self) -> str:
        """The currency of all that has a price; of several the one of the foremost price list.

        Raises Stalled where there are several, and no exchange rate between them.
        """
        used = self._charged
        if not used:
            return next((rate.currency for rate in self.book.rates), "USD")
        foremost = sorted(used, key=lambda rate: (-rate.priority, rate.currency))
        for currency in dict.fromkeys(rate.currency for rate in foremost):
            if all(rate.worth(currency) is not None for rate in used):
                return currency
        raise Stalled(
            "MixedCurrencies",
            f"The rates are in {' and '.join(sorted({rate.currency for rate in used}))}. Give price lists in "
            "one currency with --prices, or exchange rates in one of them.",
        )

    @property
    def is_charged(self) -> bool:
        """Whether any of it costs something."""
        return bool(self._charged)

    @property
    def _charged(self) -> list[Rate]:
        return [rate for rate in self._rates.values() if rate.unit_price]

    def unit(self, meter: str) -> str:
        """What a quantity of the meter is in."""
        return self.units.get(meter) or unit_of(meter)

    def rows(self, currency: str | None = None) -> list[Row]:
        """Priced and unpriced usage apart, sorted by what they are about; in the report's currency, or in one
        that all of it is worth something in.
        """
        currency, models = currency or self.currency, self._models()
        quantities: Counter[tuple[Line, bool]] = Counter()
        costs: dict[tuple[Line, bool], Decimal] = defaultdict(Decimal)
        emitted: dict[tuple[Line, bool], Decimal] = {}
        for (group, sku, rate_id), quantity in self._quantities.items():
            rate = None if rate_id is None else self._rates[rate_id]
            shown = group if models is None else Group(model=sku.dimension("model") or models.get(group, ""))
            key = Line(shown, sku, rate.reason if rate else ""), rate is not None
            quantities[key] += quantity
            if (grams := self._grams.get((group, sku, rate_id))) is not None:
                emitted[key] = emitted.get(key, Decimal(0)) + grams
            if rate is not None:
                each = units_per_quantity(rate, currency)
                assert each is not None, "the currency is one that all rates are worth something in"
                costs[key] += amount_of(each * quantity)
        return [
            Row(
                line=key[0],
                quantity=Decimal(quantity) / scale_of(key[0].sku.meter),
                cost=costs[key] if key[1] else None,
                grams=emitted.get(key),
                unit=self.unit(key[0].sku.meter),
            )
            for key, quantity in sorted(quantities.items(), key=_order)
        ]

    def basket(self, currency: str) -> Basket:
        """What all of it used and cost in a currency, by SKU."""
        found = Basket()
        for (_, sku, rate_id), quantity in self._quantities.items():
            rate = self._rates.get(rate_id or "")
            if not quantity:
                continue
            if rate is None:
                found.unpriced.add(sku)
                continue
            each = units_per_quantity(rate, currency)
            if each is None:
                found.currencies.add(rate.currency)
            elif not rate.reason:
                found.skus[sku].quantity += quantity
                found.skus[sku].units += each * quantity
        return found

    def shared(self) -> tuple[SharedLine, ...]:
        """Idle and shared cost divided by policy, in the report's currency; nothing without policies."""
        if self.sharing is None:
            return ()
        lines = (
            SpendLine(Workload(namespace, "", ""), sku, {}, self._rates.get(rate_id or ""), quantity)
            for (namespace, sku, rate_id), quantity in self._used.items()
        )
        return allocated(lines, self.sharing, self.currency)

    def unit_costs(self, rows: list[Row]) -> Iterator[UnitCost]:
        """What tokens cost those groups that made or bought some and paid for something.

        By node pool there is no such thing: gateways are on no node, and what is bought is nowhere.
        """
        if self.by == "nodepool":
            return
        tokens: Counter[Group] = Counter()
        costs: dict[Group, Decimal] = defaultdict(Decimal)
        for row in rows:
            if row.line.sku.meter == TOKENS.name:
                tokens[row.line.group] += int(row.quantity)
            costs[row.line.group] += row.cost or 0
        for group in sorted(tokens, key=lambda group: group.order):
            if costs[group] and tokens[group] and not group.is_nobody:
                yield UnitCost(group, costs[group] * PER / tokens[group])

    def _models(self) -> dict[Group, str] | None:
        """The one model that a workload serves, of those that tell: all it costs is that model's."""
        if self.by != "model":
            return None
        told: dict[Group, set[str]] = defaultdict(set)
        for group, sku, _ in self._quantities:
            if model := sku.dimension("model"):
                told[group].add(model)
        return {group: min(models) for group, models in told.items() if len(models) == 1}

    def _before(self, rate: Rate, slot: int) -> int:
        month = month_of(slot)
        if month < self.interval.start and not self._volumes[rate.label, month]:
            said = (
                f"The price of {rate.label} depends on what was used since {iso(month)}; it is counted from "
                f"{iso(self.interval.start)} on only. Begin there for the exact price."
            )
            self.problems[said] = None
        return self._volumes[rate.label, month]

    def _count_volume(self, charge: Charge, rate: Rate) -> None:
        if counts(charge):
            self._volumes[rate.label, month_of(charge.usage.slot)] += charge.usage.quantity


class _Groups:
    """Whom a usage is counted with. A workload stands under the name that people know it by."""

    def __init__(self, by: By, owners: OwnerBook, teams: Teams) -> None:
        self._by = by
        self._owners = owners
        self._teams = teams
        self._tops: dict[tuple[Workload, Labels], Group] = {}

    def of(self, usage: Usage) -> Group:
        """Rows by model are made of those by workload, once it is known which serves what."""
        of = usage.workload
        match self._by:
            case "namespace":
                return Group(namespace=of.namespace)
            case "team":
                return Group(team=self._teams.of(of.namespace, usage.slot) if of.namespace else _team(of))
            case "nodepool":
                return Group(node_pool=pool_of(usage.sku) or (of.name if of.kind == POOL else ""))
            case "workload" | "model":
                labels = usage.labels if self._by == "workload" else ()
                found = self._tops.get((of, labels))
                if found is None:
                    top = self._owners.top(of)
                    found = Group(top.namespace, top.kind, top.name, labels=labels)
                    self._tops[of, labels] = found
                return found


def _team(of: Workload) -> str:
    return of.name if of.kind == TEAM else ""


def _order(item: tuple[tuple[Line, bool], int]) -> tuple[object, ...]:
    (line, has_price), _ = item
    meter = line.sku.meter
    # Devices before all else, for they cost the most; what nobody held after whatever else is nobody's.
    last = line.group.is_nobody and meter == GPU_IDLE.name
    return line.group.order, last, meter != GPU.name, line.sku, line.reason, not has_price
