"""Short ways to a price list and to the rates it states."""

from typing import Any

from aibudget.api.pricelist import AIPriceList
from aibudget.pricing.book import PriceBook
from aibudget.pricing.listing import exchange_of, rates_of

SINCE = "2026-01-01T00:00:00Z"


def price_list(*rates: dict[str, Any], name: str = "company", **spec: Any) -> AIPriceList:
    """A list of these rates, each named by its number and beginning with the year unless it says more."""
    named = [{"name": f"r{number}", "from": SINCE} | rate for number, rate in enumerate(rates)]
    return AIPriceList.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIPriceList",
            "metadata": {"name": name},
            "spec": {"currency": "USD", "rates": named} | spec,
        }
    )


def book_of(*lists: AIPriceList) -> PriceBook:
    """The book of these lists alone."""
    return PriceBook(
        (rate for one in lists for rate in rates_of(one)), (e for one in lists for e in exchange_of(one))
    )
