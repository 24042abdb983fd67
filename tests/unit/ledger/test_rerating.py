"""A corrected price list prices what is open anew; quantities, and what is before, stay."""

from collections.abc import Callable
from decimal import Decimal

from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.rate import Rate

FULL = Coverage(900, 900)
HOUR = 3_600_000
Make = Callable[..., Charge]


def costs(ledger: Ledger) -> list[tuple[Decimal | None, int]]:
    """Price and quantity of every line."""
    lines = ledger.statement("gpu", Interval(0, 3600)).lines
    return sorted(((line.rate.price if line.rate else None, line.quantity) for line in lines), key=str)


def test_open_slots_get_the_prices_of_the_book(
    ledger: Ledger, post: Callable[..., None], make_charge: Make, make_rate: Callable[..., Rate]
) -> None:
    """From the instant that is given, each slot at the rate of its time; also what had no price."""
    first = make_rate("2", name="first")
    post(ledger, dict.fromkeys(range(4), FULL), *(make_charge(n, "llm", HOUR, first) for n in range(3)))
    post(ledger, {3: FULL}, make_charge(3, "llm", HOUR))
    assert costs(ledger) == [(Decimal(2), 3 * HOUR), (None, HOUR)]
    book = PriceBook([make_rate("5", name="new"), make_rate("7", 2, name="newer")])
    assert ledger.rerate(book, 900, at=3600, epoch=0) == 3
    assert costs(ledger) == [(Decimal(2), HOUR), (Decimal(5), HOUR), (Decimal(7), 2 * HOUR)]
    assert ledger.rerate(book, 900, at=3600, epoch=0) == 0, "the same book again changes nothing"


def test_a_price_that_is_taken_back_leaves_usage_without_one(
    ledger: Ledger, post: Callable[..., None], make_charge: Make, make_rate: Callable[..., Rate]
) -> None:
    """No rate is unknown, not free."""
    post(ledger, {0: FULL}, make_charge(0, "llm", HOUR, make_rate("2")))
    assert ledger.rerate(PriceBook([]), 0, at=900, epoch=0) == 1
    assert costs(ledger) == [(None, HOUR)]


def test_only_the_time_for_which_a_book_differs_is_priced_anew(
    ledger: Ledger, post: Callable[..., None], make_charge: Make, make_rate: Callable[..., Rate]
) -> None:
    """A price for later leaves alone what is posted: the same rows are not looked at for each new price."""
    first = make_rate("2", name="first")
    book = PriceBook([first])
    post(ledger, dict.fromkeys(range(4), FULL), *(make_charge(n, "llm", HOUR, first) for n in range(4)))
    assert (ledger.rerate(book, 0, at=3600, epoch=0), ledger.repriced()) == (0, 0)
    later = PriceBook([first, make_rate("5", 2, name="later")])
    assert ledger.rerate(later, 0, at=3700, epoch=0) == 2
    assert costs(ledger) == [(Decimal(2), 2 * HOUR), (Decimal(5), 2 * HOUR)]
    assert ledger.repriced() == 3700
    assert ledger.rerate(later, 0, at=3800, epoch=0) == 0
    worth = ExchangeRate(2700, 10, "list", "USD", "EUR", Decimal("0.9"))
    assert ledger.rerate(PriceBook(later.rates, [worth]), 0, at=3900, epoch=0) == 1
    assert ledger.rerate(later, 0, at=4000, epoch=0) == 1


def test_rerating_moves_the_revision(
    ledger: Ledger, post: Callable[..., None], make_charge: Make, make_rate: Callable[..., Rate]
) -> None:
    """Totals made before it are not used after it, and a posting decided before it is refused."""
    post(ledger, {0: FULL}, make_charge(0, "llm", HOUR))
    before = ledger.state("gpu").revision
    ledger.rerate(PriceBook([make_rate("3")]), 0, at=900, epoch=0)
    assert ledger.state("gpu").revision == before + 1
