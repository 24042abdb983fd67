"""Whatever was charged before: after a re-rating the ledger says what pricing all of it at once would say."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.rate import FAR_FUTURE, Rate, Tier

MONTH = 1_793_491_200
SLOTS = 6
END = MONTH + SLOTS * SLOT_SECONDS
FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
Cost = tuple[Fraction, tuple[tuple[str, Fraction], ...]] | None


def rate(name: str, model: str, price: int, slot: int, tier: int) -> Rate:
    """For one model or, if that is "", for all; dearer beyond a tier if that is more than 0."""
    amount, start = Decimal(price), MONTH + slot * SLOT_SECONDS
    match = {"model": model} if model else {}
    made = Rate("l", name, "tokens", match, "USD", "Tokens", amount, amount, 10, Interval(start, FAR_FUTURE))
    return replace(made, tiers=(Tier(tier, amount + 7),)) if tier else made


small = partial(st.integers, 0)
rates = st.builds(rate, st.sampled_from("abc"), st.sampled_from(["", "x"]), small(9), small(SLOTS), small(40))
worths = st.builds(
    lambda slot, cents: ExchangeRate(
        MONTH + slot * SLOT_SECONDS, 10, "l", "USD", "EUR", Decimal(cents + 1) / 100
    ),
    small(SLOTS),
    small(200),
)
books = st.builds(
    lambda found, worth: PriceBook({one.name: one for one in found}.values(), worth),
    st.lists(rates, max_size=3),
    st.lists(worths, max_size=2),
)
quantities = st.lists(st.tuples(small(30), small(30)), min_size=SLOTS, max_size=SLOTS)


def usages(of: list[tuple[int, int]]) -> list[Usage]:
    """Of two models, in slot after slot."""
    who = Workload("team", "Deployment", "llm")
    return [
        Usage(MONTH + slot * SLOT_SECONDS, who, sku("tokens", {"model": model}), quantity)
        for slot, both in enumerate(of)
        for model, quantity in zip("xy", both, strict=True)
        if quantity
    ]


def post(ledger: Ledger, book: PriceBook, used: Iterable[Usage], first: int) -> None:
    """From one slot to the end, as accounts do it."""
    charges = book.charges(used, partial(ledger.volume, "tokens", book))
    coverage = dict.fromkeys(range(first, END, SLOT_SECONDS), FULL)
    revision = ledger.state("tokens").revision
    ledger.post(Posting("tokens", coverage, charges, END, revision, END, book=book))


def stated(ledger: Ledger) -> dict[tuple[int, str | None], Cost]:
    """What each model of each slot costs, and what money was worth then."""
    return {
        (slot, line.sku.dimension("model")): None
        if line.rate is None
        else (line.rate.unit_price * line.quantity, line.rate.exchange)
        for slot in range(MONTH, END, SLOT_SECONDS)
        for line in ledger.statement("tokens", Interval(slot, slot + SLOT_SECONDS)).lines
    }


# Each example is a ledger on disk: to make a failing one smaller would take minutes.
@settings(deadline=None, max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(books, min_size=1, max_size=4), quantities, small(SLOTS - 1))
def test_the_way_to_the_last_book_does_not_matter(
    another: Callable[[], Ledger],
    several: list[PriceBook],
    used: list[tuple[int, int]],
    later: int,
) -> None:
    """Dates, tiers, exchange rates, history that was read late: the last book has priced it all, exactly."""
    ledger = another()
    all_of_it, split = usages(used), MONTH + later * SLOT_SECONDS
    first, last = several[0], several[-1]
    post(ledger, first, [usage for usage in all_of_it if usage.slot >= split], split)
    ledger.rerate(first, MONTH, at=END, epoch=0)
    post(ledger, first, all_of_it, MONTH)
    for number, book in enumerate(several):
        ledger.rerate(book, MONTH, at=END + number, epoch=0)
    expected = {
        (charge.usage.slot, charge.usage.sku.dimension("model")): None
        if charge.rate is None
        else (charge.rate.unit_price * charge.usage.quantity, charge.rate.exchange)
        for charge in last.charges(all_of_it)
    }
    assert stated(ledger) == expected
