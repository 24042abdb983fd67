"""Volume tiers: a month's volume decides, whoever used it and however it is cut into slots."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.rate import Rate
from aibudget.pricing.tiers import month_of
from unit.pricing.listed import book_of, price_list

NOVEMBER, DECEMBER = 1_793_491_200, 1_796_083_200
TOKENS: dict[str, Any] = {
    "meter": "tokens",
    "price": "10",
    "tiers": [{"over": 1000, "price": "6"}, {"over": 3000, "price": "5"}],
}
BOOK = book_of(price_list(TOKENS))


def used(slot: int, quantity: int, name: str = "a", **dims: str) -> Usage:
    return Usage(slot, Workload("team", "Deployment", name), sku("tokens", dims), quantity)


def costs(usages: list[Usage], before: int = 0) -> list[Decimal | None]:
    return [charge.cost for charge in BOOK.charges(usages, lambda _rate, _slot: before)]


def test_volume_beyond_a_tier_costs_its_price() -> None:
    """And one slot that lies in two of them has one blended price for all who used it."""
    assert costs([used(NOVEMBER, 1000)]) == [Decimal(10_000)]
    assert costs([used(NOVEMBER, 100)], before=5000) == [Decimal(500)]
    both = costs([used(NOVEMBER, 1500), used(NOVEMBER, 500, "b")])
    assert both == [Decimal(12_000), Decimal(4_000)]
    assert sum(filter(None, both)) == 1000 * 10 + 1000 * 6


def test_a_slot_wholly_in_a_tier_is_one_rate_with_the_next() -> None:
    """The ledger has a rate for each tier and each slot between two, not one for each slot."""
    rates = {
        charge.rate.id
        for charge in BOOK.charges([used(NOVEMBER + 900 * n, 100) for n in range(40)])
        if charge.rate
    }
    assert len(rates) == 3


def test_a_month_begins_with_nothing_used() -> None:
    """In UTC, to the slot."""
    asked: list[int] = []

    def before(_rate: Rate, slot: int) -> int:
        asked.append(slot)
        return 5000 if slot < DECEMBER else 0

    charges = BOOK.charges([used(DECEMBER - 900, 10), used(DECEMBER, 10)], before)
    assert [charge.cost for charge in charges] == [Decimal(50), Decimal(100)]
    assert asked == [DECEMBER - 900, DECEMBER]
    assert (month_of(DECEMBER - 1), month_of(DECEMBER)) == (NOVEMBER, DECEMBER)


def test_each_rate_counts_its_own_volume() -> None:
    """Two models of one list, each with tiers, do not fill each other's."""
    other = TOKENS | {"match": {"model": "big"}}
    book = book_of(price_list(TOKENS, other))
    charges = book.charges([used(NOVEMBER, 1000), used(NOVEMBER, 1000, model="big")])
    assert [charge.cost for charge in charges] == [Decimal(10_000)] * 2


def test_without_tiers_nobody_is_asked() -> None:
    """A book without tiers needs no volume from the ledger."""

    def before(_rate: Rate, _slot: int) -> int:
        raise AssertionError("not needed")

    (charge,) = book_of(price_list({"meter": "tokens", "price": "1"})).charges([used(NOVEMBER, 5)], before)
    assert charge.cost == 5


def test_a_rate_with_tiers_survives_being_written_down() -> None:
    """With what it drew from which tier."""
    (charge,) = BOOK.charges([used(NOVEMBER, 2000)])
    assert charge.rate is not None
    again = Rate.from_json(charge.rate.to_json())
    assert (again, again.id, int(again.unit_price)) == (charge.rate, charge.rate.id, 8)
    assert again.undrawn() == BOOK.rates[0]


def graduated(volume: int) -> int:
    """The whole month's cost, by hand."""
    return 10 * min(volume, 1000) + 6 * max(0, min(volume, 3000) - 1000) + 5 * max(0, volume - 3000)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2000), st.sampled_from("abc")), min_size=1, max_size=12
    ),
    st.integers(0, 4000),
    st.randoms(),
)
def test_however_a_month_is_cut_it_costs_what_its_volume_costs(
    parts: list[tuple[int, int, str]], before: int, random: Any
) -> None:
    """Slots, users and the order in which they are read change no amount, exactly."""
    usages = [used(NOVEMBER + 900 * slot, quantity, name) for slot, quantity, name in parts]
    exact = {
        usage: charge.rate.unit_price
        for usage, charge in zip(usages, BOOK.charges(usages, lambda _r, _s: before), strict=True)
        if charge.rate
    }
    total = sum((exact[usage] * usage.quantity for usage in usages), Fraction(0))
    assert total == graduated(before + sum(q for _, q, _ in parts)) - graduated(before)
    shuffled = usages[:]
    random.shuffle(shuffled)
    assert {
        charge.usage: charge.rate.unit_price
        for charge in BOOK.charges(shuffled, lambda _r, _s: before)
        if charge.rate
    } == exact
