"""Closed time at prices by volume: bill and corrections are together what the newest book says."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.ledger.posting import Posting
from aibudget.ledger.spend import Correction
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import FAR_FUTURE, Rate, Tier

MONTH = 1_793_491_200
"""The first instant of a month: half of the slots are of the one before."""
SLOTS = 8
BEGIN = MONTH - SLOTS // 2 * SLOT_SECONDS
END = MONTH + SLOTS // 2 * SLOT_SECONDS
EVER = Interval(0, 10**10)
FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)


def rate(name: str, model: str, price: int, *tiers: Tier, first: int = 0, last: int | None = None) -> Rate:
    """For one model or, if that is "", for all; from one slot on, by its number, up to another."""
    amount = Decimal(price)
    end = FAR_FUTURE if last is None else BEGIN + last * SLOT_SECONDS
    valid = Interval(BEGIN + first * SLOT_SECONDS, end)
    match = {"model": model} if model else {}
    made = Rate("l", name, "tokens", match, "USD", "Tokens", amount, amount, 10, valid)
    return replace(made, tiers=tiers)


def post(ledger: Ledger, book: PriceBook, *used: tuple[int, str, int]) -> list[Usage]:
    """Tokens of a model in a slot (by its number), in a ledger that knows nothing else."""
    who = Workload("team", "Deployment", "llm")
    usages = [
        Usage(BEGIN + slot * SLOT_SECONDS, who, sku("tokens", {"model": model}), quantity)
        for slot, model, quantity in used
        if quantity
    ]
    coverage = dict.fromkeys(range(BEGIN, END, SLOT_SECONDS), FULL)
    ledger.post(Posting("tokens", coverage, book.charges(usages), END, 0, END, book=book))
    return usages


def cost_of(costs: Iterable[tuple[str | None, Rate | None, int]]) -> Counter[str | None]:
    """What models cost together, by model."""
    found: Counter[str | None] = Counter()
    for model, at, quantity in costs:
        found[model] += at.unit_price * quantity if at else Fraction(0)  # type: ignore[assignment]
    return found


def billed(ledger: Ledger, end: int) -> Counter[str | None]:
    """What the lines say that models cost up to an instant."""
    lines = ledger.statement("tokens", Interval(BEGIN, end)).lines
    return cost_of((line.sku.dimension("model"), line.rate, line.quantity) for line in lines)


def added(corrections: Iterable[Correction]) -> Counter[str | None]:
    """What corrections add to that."""
    found: Counter[str | None] = Counter()
    for one in corrections:
        model = one.sku.dimension("model")
        found.update(cost_of([(model, one.rate, one.quantity)]))
        found.subtract(cost_of([(model, one.was, one.quantity)]))
    return found


def test_another_price_of_a_closed_month_is_drawn_anew(ledger: Ledger) -> None:
    """600, 750, 600 and 600: at 10 for a thousand and 4 beyond they were 16,200; at 8 for 600 and then 1 they
    are 6,750. The month after has begun, and is priced anew without its being told twice.
    """
    old = PriceBook([rate("a", "", 10, Tier(1000, Decimal(4)))])
    new = PriceBook([rate("a", "", 8, Tier(600, Decimal(1)))])
    post(ledger, old, *((slot, "x", used) for slot, used in enumerate((600, 750, 600, 600, 700))))
    ledger.rerate(old, MONTH, at=END, epoch=0)
    assert billed(ledger, MONTH) == {"x": 6000 + 5400 + 2400 + 2400}
    ledger.rerate(new, MONTH, at=END + 1, epoch=0)
    corrections = ledger.corrections("tokens", EVER)
    assert [(one.quantity, one.cost["USD"], one.known) for one in corrections] == [
        (600, Decimal(-1200), END + 1),
        (750, Decimal(750 - 5400), END + 1),
        (1200, Decimal(1200 - 4800), END + 1),
    ]
    assert billed(ledger, MONTH) == {"x": 16_200}
    assert billed(ledger, END) == {"x": 16_200 + 600 * 8 + 100}


def test_the_same_tiers_again_correct_nothing(ledger: Ledger) -> None:
    """Nor does a list that says the same under another name, where each month begins at its first price."""
    book = PriceBook([rate("a", "", 10, Tier(1000, Decimal(4)))])
    post(ledger, book, *((slot, "x", 700) for slot in range(SLOTS)))
    for at, again in enumerate((book, PriceBook([rate("b", "", 10, Tier(1000, Decimal(4)))]), book), END):
        ledger.rerate(again, END, at=at, epoch=0)
    assert ledger.corrections("tokens", EVER) == ()


def test_a_price_of_a_time_without_usage_bills_nothing(ledger: Ledger) -> None:
    """Between two uses of a model a price with tiers held and gave way to another; it was drawn at later, by
    somebody else.
    """
    old, new = rate("a", "", 10), rate("a", "", 9)
    tiered = replace(rate("b", "", 8, Tier(1000, Decimal(4)), first=1), priority=20)
    other = replace(rate("c", "x", 7, first=2), priority=30)
    post(ledger, PriceBook([old]), (0, "x", 100), (3, "x", 100), (5, "y", 100))
    ledger.rerate(PriceBook([old]), END, at=END, epoch=0)
    ledger.rerate(PriceBook([new, tiered, other]), END, at=END + 1, epoch=0)
    assert added(ledger.corrections("tokens", EVER)) == {"x": -100 - 300, "y": -200}


def test_usage_that_another_price_takes_out_moves_the_tiers_after_it(ledger: Ledger) -> None:
    """A free hour in the middle of a closed month: what came after it reaches the second price later, though
    its own price did not change, and the month after does not notice.
    """
    tiered = rate("a", "", 10, Tier(1000, Decimal(4)))
    free = replace(rate("free", "", 0, first=1, last=2), priority=20)
    old = PriceBook([tiered])
    post(ledger, old, *((slot, "x", 600) for slot in range(SLOTS)))
    ledger.rerate(old, END, at=END, epoch=0)
    ledger.rerate(PriceBook([tiered, free]), END, at=END + 1, epoch=0)
    corrections = ledger.corrections("tokens", EVER)
    assert [(one.interval.start - BEGIN) // SLOT_SECONDS for one in corrections] == [1, 2]
    assert [one.cost["USD"] for one in corrections] == [
        -(400 * 10 + 200 * 4),
        (400 * 10 + 200 * 4) - 600 * 4,
    ]


def test_a_price_that_comes_later_corrects_nothing_before_it(ledger: Ledger) -> None:
    """What another model has drawn of a rate since the beginning says nothing of one that had its own."""
    old = PriceBook([rate("a", "", 2)])
    post(ledger, old, *((slot, model, 100) for slot in range(4) for model in "xy"))
    ledger.rerate(old, END, at=END, epoch=0)
    own, common = rate("own", "x", 3, last=3), rate("a", "", 1, Tier(10_000, Decimal(9)))
    ledger.rerate(PriceBook([own, common]), END, at=END + 1, epoch=0)
    corrections = ledger.corrections("tokens", EVER)
    assert added(corrections) == {"x": 3 * 100 - 100, "y": -400}


def test_the_open_part_of_a_month_counts_what_its_closed_part_used(ledger: Ledger) -> None:
    """A budget by the week holds the month's last days open. Its first half was billed at a price without
    tiers: by the new one, the second half comes after 1200, whatever that was called on the bill.
    """
    half = BEGIN + 2 * SLOT_SECONDS
    old = PriceBook([rate("a", "", 10)])
    new = PriceBook([rate("b", "", 10, Tier(1000, Decimal(4)))])
    post(ledger, old, *((slot, "x", 600) for slot in range(4)))
    for at, book in enumerate((old, new), END):
        ledger.rerate(book, half, at=at, epoch=0)
    assert billed(ledger, half) == {"x": 12_000}
    assert added(ledger.corrections("tokens", EVER)) == {"x": -200 * 6}
    assert billed(ledger, MONTH) == {"x": 12_000 + 1200 * 4}


def test_another_price_of_the_closed_part_moves_the_tiers_of_the_open_one(ledger: Ledger) -> None:
    """An hour of it that costs nothing by the new prices is no volume, and the open part reaches the second
    price later, though its own price is what it was.
    """
    half = BEGIN + 2 * SLOT_SECONDS
    tiered = rate("a", "", 10, Tier(1000, Decimal(4)))
    free = replace(rate("free", "", 0, last=1), priority=20)
    post(ledger, PriceBook([tiered]), *((slot, "x", 600) for slot in range(4)))
    for at, book in enumerate((PriceBook([tiered]), PriceBook([tiered, free])), END):
        ledger.rerate(book, half, at=at, epoch=0)
    assert billed(ledger, half) == {"x": 6000 + 400 * 10 + 200 * 4}
    assert added(ledger.corrections("tokens", EVER)) == {"x": -6000 + 200 * 6}
    assert billed(ledger, MONTH) - billed(ledger, half) == {"x": 400 * 10 + 200 * 4 + 600 * 4}


@pytest.mark.parametrize("later", [MONTH - 1, MONTH + 3 * 86_400], ids=["as ever", "late"])
def test_what_is_posted_into_such_a_month_comes_after_it_too(ledger: Ledger, later: int) -> None:
    """While the month goes on, or days after it, for an outage; the prices are others meanwhile."""
    half = BEGIN + 2 * SLOT_SECONDS
    old = PriceBook([rate("a", "", 10)])
    new = PriceBook([rate("b", "", 10, Tier(1000, Decimal(4)))])
    who = Workload("team", "Deployment", "llm")

    def read(book: PriceBook, slots: range, at: int) -> None:
        times = [BEGIN + slot * SLOT_SECONDS for slot in slots]
        usages = [Usage(time, who, sku("tokens", {"model": "x"}), 600) for time in times]
        charges = book.charges(usages, partial(ledger.volume, "tokens", book))
        end, revision = times[-1] + SLOT_SECONDS, ledger.state("tokens").revision
        ledger.post(Posting("tokens", dict.fromkeys(times, FULL), charges, end, revision, at, book=book))

    read(old, range(2), half)
    ledger.rerate(old, half, at=half, epoch=0)
    ledger.rerate(new, half, at=later, epoch=0)
    read(new, range(2, 4), later)
    assert billed(ledger, MONTH) - billed(ledger, half) == {"x": 1200 * 4}


small = partial(st.integers, 0)
some_tiers = st.lists(small(60), max_size=2, unique=True).map(
    lambda overs: tuple(Tier(over + 1, Decimal(over)) for over in sorted(overs))
)
rates = st.builds(
    lambda name, model, price, tiers, first: rate(name, model, price, *tiers, first=first),
    st.sampled_from("abc"),
    st.sampled_from(["", "x"]),
    small(9),
    some_tiers,
    small(SLOTS),
)
books = st.builds(
    # There always is some price: what a book has none for stays as it was billed.
    lambda found, price, tiers: PriceBook(
        [*{one.name: one for one in found}.values(), replace(rate("z", "", price, *tiers), priority=1)]
    ),
    st.lists(rates, max_size=3),
    small(9),
    some_tiers,
)
quantities = st.lists(st.tuples(small(30), small(30)), min_size=SLOTS, max_size=SLOTS)


# Each example is a ledger on disk: to make a failing one smaller would take minutes.
@settings(deadline=None, max_examples=6, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(books, min_size=2, max_size=3), quantities, st.integers(1, SLOTS))
def test_bill_and_corrections_are_what_the_newest_book_says(
    another: Callable[[], Ledger],
    several: list[PriceBook],
    used: list[tuple[int, int]],
    closed: int,
) -> None:
    """Over two months, one closed in part, whatever was edited how often, for each model: exactly, and the
    bill of what is closed stays.
    """
    ledger, end = another(), BEGIN + closed * SLOT_SECONDS
    usages = post(
        ledger,
        several[0],
        *((slot, model, n) for slot, both in enumerate(used) for model, n in zip("xy", both, strict=True)),
    )
    before = billed(ledger, end)
    for at, book in enumerate(several, END):
        ledger.rerate(book, end, at=at, epoch=0)
    assert billed(ledger, end) == before
    total = billed(ledger, END)
    total.update(added(ledger.corrections("tokens", EVER)))
    charges = several[-1].charges(usages)
    expected = cost_of((c.usage.sku.dimension("model"), c.rate, c.usage.quantity) for c in charges)
    assert total == expected
