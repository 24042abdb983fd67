"""Live prices as dated rates: each that differs from the one before begins with the next slot, for good.

They lie between people's lists and the built-in one: they have the latter's priority, and name more of the
machine. A rate that is not confirmed any more stays: a machine that was scaled away costs what it did. Pure.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from aibudget.metering.catalogue import unit_of
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.tariffs import Tariff
from aibudget.pricing.rate import FAR_FUTURE, WHOLE, Rate

LIVE_PRIORITY: Final = 0
HOST: Final = ("cpu", "energy", "memory")


def source_of(name: str) -> str:
    """How rates of live prices are called; no price list can be, for the slash."""
    return f"live/{name}"


def renewed(tariffs: Iterable[Tariff], known: Iterable[Rate], source: str, now: int) -> tuple[Rate, ...]:
    """The rates that the tariffs add to those that are known."""
    newest: dict[str, Rate] = {}
    for rate in sorted(known, key=lambda rate: rate.interval.start):
        newest[rate.name] = rate
    found = (_rate(tariff, source, slot_of(now) + SLOT_SECONDS) for tariff in tariffs)
    return tuple(rate for rate in found if not _same(newest.get(rate.name), rate))


def _same(known: Rate | None, rate: Rate) -> bool:
    return known is not None and (known.price, known.portion) == (rate.price, rate.portion)


def _rate(tariff: Tariff, source: str, start: int) -> Rate:
    machine = tariff.meter == "node"
    meter = "gpu" if machine else tariff.meter
    return Rate(
        source=source,
        name=f"{meter}-{tariff.instance_type}-{tariff.capacity_type}",
        meter=meter,
        match={"instanceType": tariff.instance_type, "capacityType": tariff.capacity_type},
        currency="USD",
        unit=unit_of(meter),
        price=tariff.price,
        list_price=tariff.price,
        priority=LIVE_PRIORITY,
        interval=Interval(start, FAR_FUTURE),
        # A machine's price is all of it; the parts of one have prices of their own, but for its energy.
        includes=HOST if machine else ("energy",) if meter == "gpu" else (),
        portion=Fraction(1, tariff.devices) if machine else WHOLE,
    )


def is_live(rate: Rate, source: str) -> bool:
    """Whether it is such a rate itself, and not one that was derived from it for some usage."""
    return rate.source == source and not rate.reason and not rate.exchange
