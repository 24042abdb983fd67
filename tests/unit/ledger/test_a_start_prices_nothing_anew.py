"""A process that begins with the prices of the last one looks at nothing; with others it does."""

from collections.abc import Callable, Iterator

import pytest

from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

HOUR = 3_600_000
Make = Callable[..., Charge]


@pytest.fixture
def books(make_rate: Callable[..., Rate]) -> tuple[PriceBook, PriceBook]:
    """At 2 and at 5."""
    return PriceBook([make_rate("2", name="two")]), PriceBook([make_rate("5", name="five")])


@pytest.fixture
def use(make_charge: Make) -> Callable[[Ledger, PriceBook, int], None]:
    """Post one slot, by its number, at the prices of a book."""

    def do(ledger: Ledger, book: PriceBook, number: int) -> None:
        state, slot = ledger.state("gpu"), number * SLOT_SECONDS
        charges = book.charges([make_charge(number, "llm", HOUR).usage])
        coverage, end = {slot: Coverage(900, 900)}, max(slot + SLOT_SECONDS, state.watermark or 0)
        ledger.post(Posting("gpu", coverage, charges, end, state.revision, slot, book=book))

    return do


@pytest.fixture
def again(url: str) -> Iterator[Callable[[], Ledger]]:
    """Another process."""
    opened: list[Ledger] = []

    def do() -> Ledger:
        opened.append(Ledger.open(url, "here"))
        return opened[-1]

    yield do
    for one in opened:
        one.close()


def spoil(ledger: Ledger) -> None:
    """Take all prices away, behind everybody's back."""
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE usage_slot SET rate_id = NULL")
        connection.exec_driver_sql("UPDATE usage_day SET rate_id = 0")


def costs(ledger: Ledger) -> list[int | None]:
    """What each slot costs."""
    spans = (Interval(at, at + SLOT_SECONDS) for at in range(0, ledger.watermark("gpu") or 0, SLOT_SECONDS))
    lines = [line for span in spans for line in ledger.recount("gpu", span).lines]
    return [None if line.cost is None else int(line.cost) for line in lines]


def test_the_same_prices_look_at_nothing(
    ledger: Ledger, books: tuple[PriceBook, PriceBook], use: Callable[..., None], again: Callable[[], Ledger]
) -> None:
    """However large the month is; a later beginning asks for no more, an earlier one does."""
    book, other = books
    use(ledger, book, 0)
    use(ledger, book, 1)
    ledger.rerate(book, SLOT_SECONDS, at=0, epoch=0)
    use(ledger, book, 2)
    spoil(ledger)
    assert again().rerate(book, SLOT_SECONDS, at=1, epoch=0) == 0
    assert again().rerate(book, 2 * SLOT_SECONDS, at=1, epoch=0) == 0
    assert again().rerate(book, 0, at=1, epoch=0) == 3
    assert again().rerate(other, 0, at=2, epoch=0) == 3
    assert costs(ledger) == [5, 5, 5]


def test_what_was_posted_at_other_prices_is_priced_anew(
    ledger: Ledger, books: tuple[PriceBook, PriceBook], use: Callable[..., None], again: Callable[[], Ledger]
) -> None:
    """A process posted by new prices and ended before it gave them to the rest; they were taken back."""
    book, other = books
    use(ledger, book, 0)
    ledger.rerate(book, 0, at=0, epoch=0)
    use(ledger, other, 1)
    assert again().rerate(book, 0, at=1, epoch=0) == 1
    assert costs(ledger) == [2, 2]


def test_a_process_that_ends_midway_has_priced_nothing(
    ledger: Ledger, books: tuple[PriceBook, PriceBook], use: Callable[..., None], again: Callable[[], Ledger]
) -> None:
    """The next one begins from the start."""

    class Breaking(PriceBook):
        """Ends the process after one meter's first SKU."""

        def segments(self, sku: Sku, interval: Interval) -> Iterator[tuple[Interval, Rate | None]]:
            yield from super().segments(sku, interval)
            raise RuntimeError("killed")

    book, other = books
    use(ledger, book, 0)
    ledger.rerate(book, 0, at=0, epoch=0)
    with pytest.raises(RuntimeError, match="killed"):
        again().rerate(Breaking(other.rates), 0, at=1, epoch=0)
    assert costs(ledger) == [2]
    assert again().rerate(other, 0, at=2, epoch=0) == 1
    assert costs(ledger) == [5]
