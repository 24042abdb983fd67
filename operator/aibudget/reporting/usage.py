"""What `aibudget usage` prints: usage and cost summed by namespace or workload, as a table, JSON or CSV.

`UsageReport` takes readings part by part, so a month's slots are never in memory at once; it sums integers
and makes money of them at the end. A row without a price has no cost, which is not a cost of zero. Pure.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from aibudget.errors import Stalled
from aibudget.metering.catalogue import scale_of, unit_of
from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Coverage, Reading, Sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import cost
from aibudget.pricing.rate import Rate
from aibudget.reporting.table import table

By = Literal["namespace", "workload"]
DIMENSIONS = ("gpuProduct", "instanceType", "capacityType", "region", "resource", "share")
MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """What a row is about; the workload's fields are None where rows are by namespace."""

    namespace: str
    kind: str | None
    workload: str | None
    sku: Sku


@dataclass(frozen=True, slots=True)
class Row:
    """`quantity` in the meter's pricing unit; `cost` in the report's currency, None without a price."""

    line: Line
    quantity: Decimal
    cost: Decimal | None


@dataclass(slots=True)
class UsageReport:
    """The sums of an interval, as its readings come in."""

    interval: Interval
    by: By
    book: PriceBook
    coverage: Coverage = field(default_factory=lambda: Coverage(0, 0))
    problems: dict[str, None] = field(default_factory=dict)
    _quantities: Counter[tuple[Line, str | None]] = field(default_factory=Counter)
    _rates: dict[str, Rate] = field(default_factory=dict)

    def add(self, reading: Reading) -> None:
        """Count a part of the interval; each part once."""
        for charge in self.book.charges(reading.usages):
            usage, rate = charge.usage, charge.rate
            of = usage.workload
            kind, name = (of.kind, of.name) if self.by == "workload" else (None, None)
            self._quantities[Line(of.namespace, kind, name, usage.sku), rate.id if rate else None] += (
                usage.quantity
            )
            if rate:
                self._rates[rate.id] = rate
        self.coverage = sum(reading.coverage.values(), self.coverage)
        self.problems.update(dict.fromkeys(reading.problems))

    @property
    def currency(self) -> str:
        """The one currency of all that has a price. Raises Stalled where there are several."""
        used = {rate.currency for rate in self._rates.values() if rate.unit_price}
        if len(used) > 1:
            raise Stalled(
                "MixedCurrencies",
                f"The rates are in {' and '.join(sorted(used))}. Give price lists in one currency with "
                "--prices.",
            )
        return used.pop() if used else next((rate.currency for rate in self.book.rates), "USD")

    def rows(self) -> list[Row]:
        """Priced and unpriced usage apart, sorted by what they are about."""
        priced: dict[Line, Decimal] = {}
        quantities: Counter[tuple[Line, bool]] = Counter()
        for (line, rate_id), quantity in self._quantities.items():
            quantities[line, rate_id is not None] += quantity
            if rate_id is not None:
                amount = cost(quantity, self._rates[rate_id])
                priced[line] = priced.get(line, Decimal(0)) + amount
        return [
            Row(line, Decimal(quantity) / scale_of(line.sku.meter), priced[line] if has_price else None)
            for (line, has_price), quantity in sorted(quantities.items(), key=_order)
        ]


def as_json(report: UsageReport) -> str:
    """The shape that the documentation promises; numbers that must be exact are strings."""
    document = {
        "start": iso(report.interval.start),
        "end": iso(report.interval.end),
        "currency": report.currency,
        "coveragePercent": report.coverage.percent,
        "rows": [_fields(row) for row in report.rows()],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_csv(report: UsageReport) -> str:
    """One line for each row, its SKU's dimensions in columns."""
    start, end, currency = iso(report.interval.start), iso(report.interval.end), report.currency
    text = io.StringIO()
    columns = ["start", "end", "namespace", "workloadKind", "workload", "meter", *DIMENSIONS]
    writer = csv.DictWriter(
        text, [*columns, "quantity", "unit", "cost", "currency"], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    for row in report.rows():
        fields = _fields(row)
        writer.writerow({**fields["sku"], **fields, "start": start, "end": end, "currency": currency})
    return text.getvalue().rstrip("\n")


def as_table(report: UsageReport) -> str:
    """For people: rounded, with the sum and what is missing from it below."""
    rows, currency = report.rows(), report.currency
    known = report.by == "workload"
    headers = [
        "namespace",
        *(["workload"] if known else []),
        "product",
        "capacity",
        "used",
        "unit",
        f"cost {currency}",
    ]
    lines = [
        [
            row.line.namespace,
            *([f"{row.line.kind}/{row.line.workload}"] if known else []),
            row.line.sku.dimension("gpuProduct") or row.line.sku.dimension("instanceType") or "unknown",
            row.line.sku.dimension("capacityType") or "",
            f"{row.quantity:.2f}",
            unit_of(row.line.sku.meter),
            "no price" if row.cost is None else f"{row.cost:.2f}",
        ]
        for row in rows
    ]
    return "\n".join([table(headers, lines), *_below(report, rows)])


def _below(report: UsageReport, rows: list[Row]) -> Iterator[str]:
    total = sum((row.cost for row in rows if row.cost is not None), Decimal(0))
    unpriced = sum((row.quantity for row in rows if row.cost is None), Decimal(0))
    start, end = iso(report.interval.start), iso(report.interval.end)
    yield f"Total {total:.2f} {report.currency} from {start} to {end}."
    if unpriced:
        yield f"{unpriced:.2f} GPU-Hours of it have no price. Give one in an AIPriceList with --prices."
    if report.coverage.percent < 100:
        yield f"Only {report.coverage.percent} % of the time is known: the total is a lower bound."


def _fields(row: Row) -> dict[str, Any]:
    return {
        "namespace": row.line.namespace,
        "workloadKind": row.line.kind,
        "workload": row.line.workload,
        "meter": row.line.sku.meter,
        "sku": dict(row.line.sku.dimensions),
        "quantity": _exact(row.quantity),
        "unit": unit_of(row.line.sku.meter),
        "cost": None if row.cost is None else _exact(row.cost),
    }


def _exact(number: Decimal) -> str:
    """Up to six decimals and never less than two."""
    whole, _, fraction = str(number.quantize(MICRO)).partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _order(item: tuple[tuple[Line, bool], int]) -> tuple[str, str, str, Sku, bool]:
    line, has_price = item[0]
    return line.namespace, line.kind or "", line.workload or "", line.sku, not has_price
