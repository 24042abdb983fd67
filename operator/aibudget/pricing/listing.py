"""An AIPriceList as rates and exchange rates: what people write, in the terms of this room.

A price of a machine becomes one rate for each part that has a weight, a part's price being the machine's
price times its weight by how many of the part the machine has. What has no weight is in the price of its
devices. Pure.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from aibudget.api.pricelist import AIPriceList
from aibudget.api.rate import ListedRate
from aibudget.metering.catalogue import unit_of
from aibudget.metering.slots import Interval
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.rate import FAR_FUTURE, Rate, Tier


def rates_of(pricelist: AIPriceList, priority: int | None = None) -> tuple[Rate, ...]:
    """The rates of one list, in its order. `priority` replaces the list's own: the built-in list has 0."""
    rank = pricelist.spec.priority if priority is None else priority
    return tuple(
        rate for listed in pricelist.spec.rates for rate in _parts(listed, _rate(pricelist, listed, rank))
    )


def exchange_of(pricelist: AIPriceList) -> tuple[ExchangeRate, ...]:
    """The exchange rates of one list."""
    return tuple(
        ExchangeRate(
            start=_seconds(entry.valid_from),
            priority=pricelist.spec.priority,
            source=pricelist.name,
            sold=entry.sold,
            bought=entry.bought,
            rate=entry.rate,
        )
        for entry in pricelist.spec.exchange_rates
    )


def _rate(pricelist: AIPriceList, listed: ListedRate, priority: int) -> Rate:
    return Rate(
        source=pricelist.name,
        name=listed.name,
        meter=listed.meter,
        match=listed.match.flat(),
        currency=pricelist.spec.currency,
        unit=listed.unit or unit_of(listed.meter),
        price=listed.price,
        list_price=listed.price if listed.list_price is None else listed.list_price,
        priority=priority,
        interval=_validity(listed),
        includes=tuple(sorted(listed.includes)),
        per_quantity=listed.per_quantity,
        per_instance=listed.per == "Instance",
        tiers=tuple(sorted(Tier(tier.over, tier.price) for tier in listed.tiers)),
    )


def _parts(listed: ListedRate, rate: Rate) -> Iterator[Rate]:
    split, capacity = listed.split, listed.capacity
    if split is None or capacity is None:
        yield rate
        return
    parts: tuple[tuple[str, Decimal | None, int | None], ...] = (
        ("gpu", split.gpu, capacity.devices),
        ("cpu", split.cpu, capacity.vcpus),
        ("memory", split.memory, capacity.memory_gib),
    )
    # A weight of 0 says that the part costs nothing; a part without a weight comes with the devices.
    weighed = {meter for meter, weight, _ in parts if weight is not None}
    included = tuple(sorted({*rate.includes, *({"cpu", "memory"} - weighed)}))
    for meter, weight, count in parts:
        if weight is not None and count is not None:
            portion = Fraction(weight) / count
            part = replace(rate, meter=meter, unit=unit_of(meter), portion=portion, includes=())
            yield replace(part, includes=included) if meter == "gpu" else part


def _validity(listed: ListedRate) -> Interval:
    end = FAR_FUTURE if listed.valid_to is None else _seconds(listed.valid_to)
    return Interval(_seconds(listed.valid_from), end)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
