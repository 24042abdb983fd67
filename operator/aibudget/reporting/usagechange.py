"""`aibudget usage --compare`: a range beside the one before it, as long and ending where it begins.

The change of the whole is split into price, volume, mix, new and gone, as a budget's drivers are; those who
pay are named with what they cost on both sides. What is not known of either side is no saving: then there is
nothing but the reason. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from aibudget.budgeting.drivers import Effects, Side, apportioned, drivers, unknown
from aibudget.metering.catalogue import GPU
from aibudget.metering.slots import Interval, iso
from aibudget.pricing.charge import UNITS
from aibudget.reporting.table import table
from aibudget.reporting.usage import Group, UsageReport
from aibudget.reporting.usageformats import exact, fields_of, fitted, headers_of, is_idle, label_of

_CENTS: Final = 100
_MICROS: Final = 1_000_000
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a group cost in the range before, and in this one; or what nobody held, where that is `idle`."""

    group: Group
    before: Decimal
    after: Decimal
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """`before` is the range before; `effects` are the parts of the whole change in `UNITS`, None where it is
    unknown for a `reason`.
    """

    before: Interval
    currency: str
    groups: tuple[Changed, ...] = ()
    effects: Effects | None = None
    reason: str = ""

    @property
    def whole(self) -> tuple[Decimal, Decimal]:
        """What all of it cost before, and in this range."""
        before = sum((one.before for one in self.groups), _NOTHING)
        return before, sum((one.after for one in self.groups), _NOTHING)


def preceding(interval: Interval) -> Interval:
    """As much time before it."""
    return Interval(interval.start - interval.seconds, interval.start)


def compared(before: UsageReport, after: UsageReport) -> Comparison:
    """The two ranges beside each other, in the currency of the later one, unless nothing costs anything in
    it.
    """
    currency = after.currency if after.is_charged else before.currency
    was, now = before.basket(currency), after.basket(currency)
    read = frozenset(after.coverages)
    # Where devices are not asked for, whatever is asked for must be known.
    least = read & {GPU.name} or read & after.book.meters
    reason = (
        unknown((_side(before), _side(after)), was, now, least) if least | was.meters | now.meters else ""
    )
    if reason:
        return Comparison(before.interval, currency, reason=reason)
    costs = _costs(before, currency), _costs(after, currency)
    keys = sorted(costs[0].keys() | costs[1].keys(), key=lambda key: (key[0].order, key[1]))
    changed = [
        Changed(key[0], costs[0].get(key, _NOTHING), costs[1].get(key, _NOTHING), idle=key[1]) for key in keys
    ]
    moved = sorted(changed, key=lambda one: -abs(one.after - one.before))
    return Comparison(before.interval, currency, tuple(moved), drivers(was, now).effects)


def as_fields(comparison: Comparison) -> dict[str, Any]:
    """For programs: exact, with null for what is unknown."""
    fields: dict[str, Any] = {
        "start": iso(comparison.before.start),
        "end": iso(comparison.before.end),
        "reason": comparison.reason or None,
        "before": None,
        "change": None,
        "effects": None,
        "rows": [
            {
                **fields_of(one.group),
                **({"idle": True} if one.idle else {}),
                "before": exact(one.before),
                "change": exact(one.after - one.before),
            }
            for one in comparison.groups
        ],
    }
    if comparison.effects is not None:
        before, after = comparison.whole
        parts = _parts(comparison.effects, _MICROS)
        effects = {name: exact(Decimal(part) / _MICROS) for name, part in parts.items()}
        fields |= {"before": exact(before), "change": exact(after - before), "effects": effects}
    return fields


def as_lines(comparison: Comparison, report: UsageReport, width: int | None = None) -> str:
    """For people, below the table of the range; names are cut to a width."""
    start, end = iso(comparison.before.start), iso(comparison.before.end)
    if comparison.effects is None:
        return f"It is not compared with {start} to {end}: {comparison.reason}."
    sums: dict[tuple[str, ...], tuple[Decimal, Decimal]] = {}
    for one in comparison.groups:
        key = tuple(label_of(one.group, report.by, idle=one.idle))
        before, after = sums.get(key, (_NOTHING, _NOTHING))
        sums[key] = before + one.before, after + one.after
    cells = [
        [*key, f"{before:,.2f}", f"{after:,.2f}", f"{after - before:+,.2f}", _percent(before, after)]
        for key, (before, after) in sums.items()
    ]
    before, after = comparison.whole
    parts = _parts(comparison.effects, _CENTS)
    said = ", ".join(f"{name} {Decimal(part) / _CENTS:+,.2f}" for name, part in parts.items() if part)
    percent = _percent(before, after)
    whole = f"{after - before:+,.2f} {comparison.currency}" + (f" ({percent})" if percent else "")
    names = headers_of(report.by)
    header = [*names, "before", "now", f"change {comparison.currency}", "percent"]
    fitting = cells if width is None else fitted([header, *cells], len(names), width)[1:]
    return "\n".join(
        [
            table(header, fitting),
            f"Compared with {start} to {end} it is {whole}{': ' if said else ''}{said}.",
        ]
    )


def _side(report: UsageReport) -> Side:
    covered = {meter: one.covered_seconds for meter, one in report.coverages.items()}
    interval = report.interval
    return Side(f"{iso(interval.start)} to {iso(interval.end)}", interval.seconds, covered)


def _costs(report: UsageReport, currency: str) -> Mapping[tuple[Group, bool], Decimal]:
    """By group, what nobody held apart from what has no name."""
    found: dict[tuple[Group, bool], Decimal] = {}
    for row in report.rows(currency):
        if row.cost is not None:
            key = row.line.group, is_idle(row, report.by)
            found[key] = found.get(key, _NOTHING) + row.cost
    return found


def _parts(effects: Effects, scale: int) -> Mapping[str, int]:
    """Whole numbers of the smallest money that is told, that add up to the change as it is told."""
    parts = effects.parts
    exact_parts = [Fraction(part) * scale / UNITS for part in parts.values()]
    return dict(zip(parts, apportioned(exact_parts, round(sum(exact_parts))), strict=True))


def _percent(before: Decimal, after: Decimal) -> str:
    """Of what it was; of nothing there is none."""
    return f"{(after - before) / before * 100:+,.0f} %" if before else ""
