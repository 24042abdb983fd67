"""`UsageReport` as a table for people, and as JSON and CSV for programs.

Tables are rounded and merge what differs in small print only; JSON and CSV are exact and keep every dimension
of a SKU. Pure.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from aibudget.budgeting.sharing import SharedLine
from aibudget.metering.catalogue import ENERGY, GPU, GPU_IDLE, TOKENS, scale_of, unit_of
from aibudget.metering.idle import POOL
from aibudget.metering.slots import iso
from aibudget.metering.usage import Balance, Sku
from aibudget.pricing.charge import amount_of
from aibudget.reporting.table import GAP, table
from aibudget.reporting.usage import PER, By, Group, Row, UsageReport

DIMENSIONS: Final = (
    "gpuProduct",
    "instanceType",
    "capacityType",
    "region",
    "resource",
    "share",
    "migProfile",
    "nodePool",
    "state",
    "provider",
    "model",
    "tokenType",
    "hosting",
    "component",
)
COLUMNS: Final = (
    "start", "end", "namespace", "workloadKind", "workload", "team", "labels", "meter",
    *DIMENSIONS, "dimensions", "reason", "gramsCO2e", "quantity", "unit", "cost", "currency",
)  # fmt: skip
MICRO: Final = Decimal("0.000001")
LEAST: Final = 12
"""What is left of a name, at least, where the terminal is too narrow for it."""
_BALANCE: Final = ("held", "idle", "unhealthy", "unknown")


def as_json(report: UsageReport, compared: dict[str, Any] | None = None) -> str:
    """The shape that the documentation promises; numbers that must be exact are strings.

    `compared` is the range beside the one before it.
    """
    rows = report.rows()
    document: dict[str, Any] = {
        "start": iso(report.interval.start),
        "end": iso(report.interval.end),
        "currency": report.currency,
        "coveragePercent": report.coverage.percent,
        "total": exact(_total(rows)),
        "meters": [
            {
                "meter": meter,
                "unit": report.unit(meter),
                "coveragePercent": coverage.percent,
                "sourcePresent": meter not in report.untold,
            }
            for meter, coverage in report.coverages.items()
        ],
        "rows": [_fields(row) for row in rows],
        "unitCosts": [
            {**fields_of(cost.group), "meter": TOKENS.name, "per": PER, "amount": exact(cost.amount)}
            for cost in report.unit_costs(rows)
        ],
    }
    if report.sharing is not None:
        document["shared"] = [_shared_fields(line) for line in report.shared()]
    if report.balance.capacity:
        document["capacity"] = {"unit": GPU.unit} | {
            name: exact(_hours(getattr(report.balance, name))) for name in ("capacity", *_BALANCE, "over")
        }
    if compared is not None:
        document["compared"] = compared
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_csv(report: UsageReport) -> str:
    """One line for each row, its SKU's dimensions in columns; those of users' meters together, as JSON."""
    start, end, currency = iso(report.interval.start), iso(report.interval.end), report.currency
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in report.rows():
        fields = _fields(row)
        if "labels" in fields:
            fields["labels"] = json.dumps(fields["labels"], ensure_ascii=False)
        others = {name: value for name, value in fields["sku"].items() if name not in DIMENSIONS}
        if others:
            fields["dimensions"] = json.dumps(others, ensure_ascii=False)
        # What rows are grouped by stands in the column of the dimension of that name.
        writer.writerow({**fields["sku"], **fields, "start": start, "end": end, "currency": currency})
    return text.getvalue().rstrip("\n")


def as_table(report: UsageReport, width: int | None = None) -> str:
    """For people: rounded, with the sum and what is missing from it below; names are cut to a width."""
    rows, currency, by = report.rows(), report.currency, report.by
    quantities: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    costs: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        key = (
            *label_of(row.line.group, by, idle=is_idle(row, by)),
            _detail(row.line.sku),
            row.line.sku.meter,
            _word(row),
        )
        quantities[key] += row.quantity
        costs[key] += row.cost or 0
    headers = headers_of(by)
    lines = [
        [*names, _number(meter, quantity), report.unit(meter), word or f"{costs[(*names, meter, word)]:,.2f}"]
        for (*names, meter, word), quantity in quantities.items()
    ]
    names = len(headers) + 1
    headers += ["product", "used", "unit", f"cost {currency}"]
    body = table(headers, lines if width is None else fitted([headers, *lines], names, width)[1:])
    return "\n".join([body, *_shared(report), *_tokens(report, rows), *_below(report, rows)])


def _shared(report: UsageReport) -> Iterator[str]:
    """Who is given what of idle and shared cost; it is in the rows above already, under nobody's name."""
    lines = report.shared()
    if lines:
        yield ""
        headers = ["shared with", "node pool", "of", "used", "unit", f"cost {report.currency}"]
        cells = [
            [
                _recipient(line),
                line.pool or "(none)",
                line.source,
                _number(line.meter, Decimal(line.quantity) / scale_of(line.meter)),
                unit_of(line.meter),
                "no price" if line.units is None else f"{amount_of(line.units):,.2f}",
            ]
            for line in lines
        ]
        yield table(headers, cells)
        yield ""


def _recipient(line: SharedLine) -> str:
    if line.recipient is None:
        return "(nobody)"
    return line.recipient.name if line.recipient.kind == "Namespace" else "/".join(line.recipient)


def _shared_fields(line: SharedLine) -> dict[str, Any]:
    return {
        "recipientKind": line.recipient.kind if line.recipient else None,
        "recipient": line.recipient.name if line.recipient else None,
        "nodePool": line.pool,
        "of": line.source,
        "meter": line.meter,
        "quantity": exact(Decimal(line.quantity) / scale_of(line.meter)),
        "unit": unit_of(line.meter),
        "cost": None if line.units is None else exact(amount_of(line.units)),
    }


def _below(report: UsageReport, rows: list[Row]) -> Iterator[str]:
    start, end = iso(report.interval.start), iso(report.interval.end)
    yield f"Total {_total(rows):,.2f} {report.currency} from {start} to {end}."
    idle = [row for row in rows if row.line.sku.meter == GPU_IDLE.name]
    if idle:
        hours = sum((row.quantity for row in idle), Decimal(0))
        yield f"Of it {_total(idle):,.2f} {report.currency} for {hours:,.2f} GPU-Hours that nobody held."
    if report.balance.capacity:
        yield _conserved(report.balance)
    yield from _emitted(rows)
    unpriced: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.cost is None and row.line.sku.meter in report.book.meters:
            unpriced[row.line.sku.meter] += row.quantity
    for meter, quantity in unpriced.items():
        yield (
            f"{_number(meter, quantity)} {report.unit(meter)} of it have no price. "
            "Give one in an AIPriceList with --prices."
        )
    yield from _covered(report, rows)


def _covered(report: UsageReport, rows: list[Row]) -> Iterator[str]:
    """What is not known for lack of data: of money, only what some rate prices can be missing."""
    used = {row.line.sku.meter for row in rows}
    for meter, coverage in report.coverages.items():
        if coverage.covered_seconds and coverage.percent < 100:
            of = "" if meter == GPU.name else f" of {meter}"
            known = f"Only {coverage.percent} % of the time{of} is known"
            if meter in report.book.meters:
                yield f"{known}: the total is a lower bound."
            elif meter in used:
                yield f"{known}."
    if untold := ", ".join(sorted(report.untold)):
        yield f"Nothing told of {untold} in this time: unknown, not zero."


def _emitted(rows: list[Row]) -> Iterator[str]:
    """What the energy emitted, and of how much of it that is not known."""
    energy = [row for row in rows if row.line.sku.meter == ENERGY.name]
    known = [row.grams for row in energy if row.grams is not None]
    if known:
        kilograms = sum(known, Decimal(0)) / 1000
        yield f"Its energy emitted {kilograms:,.2f} kg CO2e, by the averages of its grids."
    blind = sum((row.quantity for row in energy if row.grams is None), Decimal(0))
    if blind:
        yield (
            f"Of {blind:,.2f} kWh nobody says what they emitted: their region is unknown, or none that has a "
            "factor. Give one with --carbon."
        )


def _conserved(balance: Balance) -> str:
    """The parts that add up to the whole, those that are nothing left out."""
    hours = {name: _hours(getattr(balance, name)) for name in _BALANCE}
    parts = " + ".join(f"{amount:,.2f} {name}" for name, amount in hours.items() if amount or name == "held")
    over = f" - {_hours(balance.over):,.2f} beyond it" if balance.over else ""
    return f"Capacity {_hours(balance.capacity):,.2f} GPU-Hours = {parts}{over}."


def _tokens(report: UsageReport, rows: list[Row]) -> Iterator[str]:
    found = list(report.unit_costs(rows))
    if found:
        yield ""
        names = [" ".join(label_of(cost.group, report.by)) for cost in found]
        cells = [[name, f"{cost.amount:,.4f}"] for name, cost in zip(names, found, strict=True)]
        yield table([report.by, f"{report.currency} per 1M tokens"], cells)
        yield ""


def headers_of(by: By) -> list[str]:
    """Over what `label_of` says."""
    return ["namespace", "workload"] if by == "workload" else ["node pool" if by == "nodepool" else by]


def is_idle(row: Row, by: By) -> bool:
    """Whether it is what nobody held, among rows of those who might have held it."""
    return row.line.sku.meter == GPU_IDLE.name and by in ("namespace", "team", "model")


def label_of(group: Group, by: By, *, idle: bool = False) -> list[str]:
    """What a group is called in tables, or what is `idle`, in one or two columns."""
    if idle:
        return ["(idle)"]
    match by:
        case "workload":
            if group.kind == POOL:
                return ["(idle)", f"{POOL}/{group.workload or '(none)'}"]
            return [group.namespace or "(none)", f"{group.kind}/{group.workload or '(none)'}"]
        case "team":
            return [group.team or "(none)"]
        case "model":
            return [group.model or "(none)"]
        case "nodepool":
            return [group.node_pool or "(none)"]
        case "namespace":
            return [group.namespace or "(none)"]


def _detail(sku: Sku) -> str:
    """What was used, in a few words; on-demand capacity goes without saying."""
    said = dict(sku.dimensions)
    match sku.meter:
        case "tokens" | "requests" | "saas-spend":
            words = [said.get("model", said.get("provider", "")), said.get("tokenType", "")]
        case "energy":
            words = [said.get("component", "")]
        case "cpu" | "memory":
            words = [said.get("instanceType", "")]
        case GPU.name | GPU_IDLE.name:
            share = said.get("share", "")
            product = said.get("gpuProduct") or said.get("instanceType") or "unknown"
            words = [product, f"({share})" if share else "", said.get("state", "")]
        case _:  # a meter of users: what its dimensions are called, they know
            return " ".join((sku.meter, *said.values()))
    capacity = said.get("capacityType", "")
    return " ".join(word for word in (*words, "" if capacity == "on-demand" else capacity) if word)


def _word(row: Row) -> str:
    """What stands in place of a cost, if anything does."""
    return "no price" if row.cost is None else re.sub(r"(?<=[a-z])(?=[A-Z])", "-", row.line.reason).lower()


def _number(meter: str, quantity: Decimal) -> str:
    return f"{quantity:,.0f}" if scale_of(meter) == 1 else f"{quantity:,.2f}"


def fitted(lines: list[list[str]], names: int, width: int) -> list[list[str]]:
    """The lines with the first columns, so many, cut until all fit: always the widest of them first."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    while sum(widths) + GAP * (len(widths) - 1) > width:
        widest = max(range(names), key=widths.__getitem__)
        if widths[widest] <= LEAST:
            break
        widths[widest] -= 1
    return [[_cut(cell, most) for cell, most in zip(line, widths, strict=True)] for line in lines]


def _cut(text: str, most: int) -> str:
    """Without its middle: names begin and end with what tells them apart."""
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def _fields(row: Row) -> dict[str, Any]:
    sku = row.line.sku
    fields: dict[str, Any] = {
        **fields_of(row.line.group),
        "meter": sku.meter,
        "sku": dict(sku.dimensions),
        "quantity": exact(row.quantity),
        "unit": row.unit,
        "cost": None if row.cost is None else exact(row.cost),
    }
    if row.grams is not None:
        fields["gramsCO2e"] = exact(row.grams)
    return fields | ({"reason": row.line.reason} if row.line.reason else {})


def fields_of(group: Group) -> dict[str, Any]:
    """The fields that are always there, and those that rows are grouped by."""
    named = {"namespace": group.namespace, "workloadKind": group.kind, "workload": group.workload}
    others = {"team": group.team, "model": group.model, "nodePool": group.node_pool}
    labels: dict[str, Any] = {"labels": dict(group.labels)} if group.labels else {}
    return named | {name: value for name, value in others.items() if value is not None} | labels


def _total(rows: list[Row]) -> Decimal:
    return sum((row.cost for row in rows if row.cost is not None), Decimal(0))


def _hours(quantity: int) -> Decimal:
    return Decimal(quantity) / GPU.scale


def exact(number: Decimal) -> str:
    """Up to six decimals and never less than two."""
    whole, _, fraction = str(number.quantize(MICRO)).partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
