"""Closed time keeps its bill; what it would cost now is a correction, dated when it became known."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aibudget.ledger.spend import Correction
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

FULL = Coverage(900, 900)
HOUR = 3_600_000
CLOSED = 4 * SLOT_SECONDS
EVER = Interval(0, 10**10)
Make = Callable[..., Charge]
MakeRate = Callable[..., Rate]
Post = Callable[..., None]


@pytest.fixture
def posted(ledger: Ledger, post: Post, make_charge: Make, make_rate: MakeRate) -> Ledger:
    """Six slots of an hour each at the price of 2, four of them to be closed; the book is known."""
    rate = make_rate("2")
    post(ledger, dict.fromkeys(range(6), FULL), *(make_charge(n, "llm", HOUR, rate) for n in range(6)))
    ledger.rerate(PriceBook([rate]), CLOSED, at=6000, epoch=0)
    return ledger


def billed(ledger: Ledger, end: int = CLOSED) -> Decimal:
    """What the lines of the closed time say."""
    return sum(
        (line.cost or Decimal(0) for line in ledger.statement("gpu", Interval(0, end)).lines), Decimal(0)
    )


def differences(corrections: tuple[Correction, ...]) -> list[tuple[int, Decimal]]:
    """When each became known, and how much it adds."""
    return [(one.known, one.cost["USD"]) for one in corrections]


def test_a_closed_bill_stays_and_its_difference_is_dated(posted: Ledger, make_rate: MakeRate) -> None:
    """Open slots get the new price; of closed ones only a correction speaks, with their quantity."""
    posted.rerate(PriceBook([make_rate("3")]), CLOSED, at=7000, epoch=0)
    assert [billed(posted), billed(posted, 6 * SLOT_SECONDS)] == [8, 8 + 6]
    (correction,) = posted.corrections("gpu", EVER)
    assert (correction.quantity, correction.interval) == (4 * HOUR, Interval(0, CLOSED))
    assert differences((correction,)) == [(7000, Decimal(4))]
    assert correction.workload.name == "llm"
    assert posted.corrections("gpu", Interval(0, 7000)) == ()
    assert posted.corrections("gpu", Interval(7000, 7001)) == (correction,)


def test_the_same_book_again_corrects_nothing(posted: Ledger, url: str, make_rate: MakeRate) -> None:
    """Nor after a restart."""
    book = PriceBook([make_rate("3")])
    posted.rerate(book, CLOSED, at=7000, epoch=0)
    posted.rerate(book, CLOSED, at=8000, epoch=0)
    again = Ledger.open(url, "here")
    again.rerate(book, CLOSED, at=9000, epoch=0)
    assert differences(again.corrections("gpu", EVER)) == [(7000, Decimal(4))]
    again.close()


def test_corrections_follow_one_upon_the_other(posted: Ledger, make_rate: MakeRate) -> None:
    """A price that is put back takes the difference back; the bill stays as it was."""
    for at, price in ((7000, "3"), (8000, "2.5"), (9000, "2")):
        posted.rerate(PriceBook([make_rate(price)]), CLOSED, at=at, epoch=0)
    assert differences(posted.corrections("gpu", EVER)) == [
        (7000, Decimal(4)),
        (8000, Decimal(-2)),
        (9000, Decimal(-2)),
    ]
    assert billed(posted) == 8


def test_a_price_for_later_corrects_nothing(posted: Ledger, make_rate: MakeRate) -> None:
    """It says nothing of closed time."""
    book = PriceBook([make_rate("2"), make_rate("9", 5, name="newer")])
    posted.rerate(book, CLOSED, at=7000, epoch=0)
    assert posted.corrections("gpu", EVER) == ()
    assert billed(posted, 6 * SLOT_SECONDS) == 5 * 2 + 9


def test_a_price_that_is_gone_takes_nothing_back(posted: Ledger) -> None:
    """A list that was deleted leaves closed bills alone: no price is unknown, not free."""
    posted.rerate(PriceBook([]), CLOSED, at=7000, epoch=0)
    assert posted.corrections("gpu", EVER) == ()
    assert billed(posted) == 8


def test_a_price_that_was_missing_is_added(
    ledger: Ledger, post: Post, make_charge: Make, make_rate: MakeRate
) -> None:
    """The whole cost is the difference: nothing was billed."""
    post(ledger, dict.fromkeys(range(4), FULL), make_charge(1, "llm", HOUR))
    ledger.rerate(PriceBook([]), CLOSED, at=6000, epoch=0)
    ledger.rerate(PriceBook([make_rate("3")]), CLOSED, at=7000, epoch=0)
    (correction,) = ledger.corrections("gpu", EVER)
    assert (correction.was, correction.cost) == (None, {"USD": Decimal(3)})


def test_a_reopened_time_is_repriced_and_not_corrected_as_well(posted: Ledger, make_rate: MakeRate) -> None:
    """A budget for a longer period came: its slots are open again, and their bill is the newest price."""
    book = PriceBook([make_rate("3")])
    posted.rerate(book, CLOSED, at=7000, epoch=0)
    posted.rerate(book, 0, at=8000, epoch=0)
    assert billed(posted) == 12
    assert posted.corrections("gpu", EVER) == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=4))
def test_bill_and_corrections_are_the_newest_price(
    another: Callable[[], Ledger],
    post: Post,
    make_charge: Make,
    make_rate: MakeRate,
    edits: list[tuple[int, int]],
) -> None:
    """Whatever was edited how often: they add up to quantity times price, exactly."""
    ledger = another()
    base = make_rate("2")
    post(ledger, dict.fromkeys(range(6), FULL), *(make_charge(n, "llm", n * 7 + 1, base) for n in range(6)))
    ledger.rerate(PriceBook([base]), CLOSED, at=6000, epoch=0)
    before = billed(ledger)
    for at, (price, since) in enumerate(edits, 7000):
        book = PriceBook([base, make_rate(str(price), since, name="edit")])
        ledger.rerate(book, CLOSED, at=at, epoch=0)
    added = sum((cost for _, cost in differences(ledger.corrections("gpu", EVER))), Decimal(0))
    charges = book.charges(make_charge(n, "llm", n * 7 + 1).usage for n in range(4))
    assert before == billed(ledger)
    assert round(before + added, 20) == round(sum((c.cost or Decimal(0) for c in charges), Decimal(0)), 20)
