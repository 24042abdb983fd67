"""Money in another currency: at the exchange rate of the time of use, exactly, or not at all."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.charge import UNITS, amount_of, units_per_quantity
from unit.pricing.listed import book_of, price_list

NOVEMBER, DECEMBER = 1_793_491_200, 1_796_083_200
GPU = {"meter": "gpu", "price": "2.50"}
ANY = sku("gpu", {})
HOUR = 3_600_000


def entry(rate: str, since: str = "2026-11-01T00:00:00Z", **other: str) -> dict[str, Any]:
    return {"from": "USD", "to": "EUR", "rate": rate, "validFrom": since} | other


def worth(at: int, *entries: dict[str, Any], currency: str = "EUR") -> Fraction | None:
    """What one of the rate's currency is worth at an instant."""
    rate = book_of(price_list(GPU, exchangeRates=list(entries))).rate(ANY, at)
    assert rate is not None
    return rate.worth(currency)


def test_each_time_has_its_exchange_rate() -> None:
    """An entry holds from its start until the next one; before the first nothing is known."""
    entries = entry("0.92"), entry("0.95", "2026-12-01T00:00:00Z")
    at = (NOVEMBER - 900, NOVEMBER, DECEMBER - 900, DECEMBER)
    assert [worth(instant, *entries) for instant in at] == [
        None,
        Fraction("0.92"),
        Fraction("0.92"),
        Fraction("0.95"),
    ]


def test_an_entry_serves_both_ways() -> None:
    """Its reverse is a fraction, exact; an entry that says the reverse itself wins."""
    usd = entry("0.92", **{"from": "EUR", "to": "USD"})
    assert worth(NOVEMBER, usd) == Fraction(100, 92)
    assert worth(NOVEMBER, usd, entry("1.1")) == Fraction("1.1")


def test_the_list_of_the_highest_priority_says_what_money_is_worth() -> None:
    """Whenever the entries start."""
    high = price_list(GPU, exchangeRates=[entry("0.90")], priority=20)
    low = price_list(GPU, name="low", exchangeRates=[entry("0.99", "2026-11-15T00:00:00Z")])
    rate = book_of(low, high).rate(ANY, DECEMBER)
    assert rate is not None
    assert rate.worth("EUR") == Fraction("0.90")


def test_a_third_currency_is_no_way_between_two() -> None:
    """Nobody stated that rate."""
    assert worth(NOVEMBER, entry("0.92"), entry("160", to="JPY"), currency="GBP") is None


def test_a_price_is_cut_where_money_changes_its_worth() -> None:
    """So that each slot's usage is converted at its own time, however it is summed later."""
    book = book_of(price_list(GPU, exchangeRates=[entry("0.92"), entry("0.95", "2026-12-01T00:00:00Z")]))
    parts = list(book.segments(ANY, Interval(NOVEMBER, DECEMBER + 900)))
    assert [part.start for part, _ in parts] == [NOVEMBER, DECEMBER]
    assert len({rate.id for _, rate in parts if rate}) == 2
    used = [Usage(slot, Workload("team", "Pod", "x"), ANY, HOUR) for slot in (NOVEMBER, DECEMBER)]
    spent = [units_per_quantity(charge.rate, "EUR") for charge in book.charges(used) if charge.rate]
    assert sum(amount_of(units * HOUR) for units in spent if units) == Decimal("2.50") * Decimal("1.87")


def test_what_costs_nothing_costs_nothing_in_every_currency() -> None:
    """A free rate needs no exchange rate."""
    rate = book_of(price_list({"meter": "gpu", "price": 0})).rate(ANY, NOVEMBER)
    assert rate is not None
    assert units_per_quantity(rate, "EUR") == 0


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
    st.decimals("0.000000001", 1000, places=9),
    st.booleans(),
)
def test_converting_parts_or_their_sum_is_the_same(
    quantities: list[int], exchange: Decimal, backwards: bool
) -> None:
    """Conversion loses nothing: not a unit of it depends on how lines were added up before."""
    way = {"from": "EUR", "to": "USD"} if backwards else {}
    book = book_of(price_list(GPU, exchangeRates=[entry(format(exchange, "f"), **way)]))
    rate = book.rate(ANY, NOVEMBER)
    assert rate is not None
    unit = units_per_quantity(rate, "EUR")
    assert unit is not None
    true_worth = 1 / Fraction(exchange) if backwards else Fraction(exchange)
    whole = Fraction(sum(quantities), HOUR) * Fraction("2.5") * true_worth
    assert Fraction(sum(quantity * unit for quantity in quantities)) / UNITS == whole
