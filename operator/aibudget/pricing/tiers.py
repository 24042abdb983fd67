"""Volume tiers: what a calendar month has used beyond so much costs another price.

Volume is counted for each rate of a list by its name, over all who use it, in calendar months of UTC. All
usage of one slot has one blended price, so nobody's price depends on who is counted first; the price of a
slot is decided by the volume before it and its own, so posting it again or re-rating it gives the same. Pure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from math import gcd
from typing import Final

from aibudget.metering.catalogue import scale_of
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import FAR_FUTURE, Draw, Rate, Tier

LONGEST_MONTH: Final = 31 * 86_400
Before = Callable[[Rate, int], int]
"""How much of its meter's smallest unit a rate (by its label) has priced in the month before a slot."""


def month_of(slot: int) -> int:
    """The first instant of the calendar month that holds the slot, in UTC."""
    moment = datetime.fromtimestamp(slot, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())


def month_after(instant: int) -> int:
    """The end of the calendar month that an instant ends or is in, in UTC; time itself may end before it."""
    last = FAR_FUTURE - LONGEST_MONTH
    return FAR_FUTURE if instant > last else month_of(month_of(instant - 1) + LONGEST_MONTH)


def tiered(charges: Iterable[Charge], before: Before) -> tuple[Charge, ...]:
    """The charges of neighbouring slots, those with tiers at the price that their slot comes to."""
    charges = tuple(charges)
    volumes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for charge in charges:
        if counts(charge):
            assert charge.rate is not None, "what counts has a rate"
            volumes[charge.rate.label][charge.usage.slot] += charge.usage.quantity
    if not volumes:
        return charges
    started = {label: _started(slots) for label, slots in volumes.items()}
    bases: dict[tuple[str, int], int] = {}
    made: dict[tuple[str, int], Rate] = {}

    def priced(charge: Charge) -> Charge:
        rate, slot = charge.rate, charge.usage.slot
        if rate is None or not counts(charge):
            return charge
        key = (rate.id, slot)
        if key not in made:
            first, since = started[rate.label][slot]
            base = (rate.label, first)
            if base not in bases:
                bases[base] = before(rate, first)
            made[key] = drawn(rate, bases[base] + since, volumes[rate.label][slot])
        return replace(charge, rate=made[key])

    return tuple(priced(charge) for charge in charges)


def counts(charge: Charge) -> bool:
    """Whether a charge has a rate with tiers that its quantity counts towards."""
    # Idle capacity is priced by the rates of what it is capacity for, and is no use of it.
    return charge.rate is not None and bool(charge.rate.tiers) and charge.rate.meter == charge.usage.sku.meter


def drawn(rate: Rate, before: int, quantity: int) -> Rate:
    """The rate of a slot that uses `quantity` after `before` were used in its month.

    Both in the meter's smallest unit. Wholly within the first tier it is the rate itself.
    """
    base, scale = rate.undrawn(), scale_of(rate.meter)
    levels = [Tier(0, base.price), *sorted(base.tiers)]
    edges = [*(level.over * scale for level in levels), before + quantity]
    draws = [
        Draw(level.price, part)
        for level, (start, end) in zip(levels, pairwise(edges), strict=True)
        if (part := min(end, before + quantity) - max(start, before)) > 0
    ]
    if len(draws) == 1 and draws[0].price == base.price:
        return base
    # One spelling for one price: a slot wholly in a tier is the same rate as the slot after it.
    common = gcd(*(draw.quantity for draw in draws))
    return replace(base, draws=tuple(Draw(draw.price, draw.quantity // common) for draw in draws))


def _started(slots: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Of each slot the first slot here of its month, and what was used from there to the slot."""
    found: dict[int, tuple[int, int]] = {}
    first, since = 0, 0
    for slot in sorted(slots):
        if not found or month_of(slot) != month_of(first):
            first, since = slot, 0
        found[slot] = (first, since)
        since += slots[slot]
    return found
