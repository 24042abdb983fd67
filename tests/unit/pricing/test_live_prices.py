"""Live prices: a dated rate for each that differs, between people's lists and the built-in one."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from aibudget.controller.tariffs import LivePrices
from aibudget.errors import Transient
from aibudget.ledger.store import Ledger
from aibudget.metering.tariffs import Tariff
from aibudget.metering.usage import sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.live import renewed, source_of
from aibudget.pricing.public import public_rates
from unit.ledger.blank import blank
from unit.pricing.listed import book_of, price_list

SLOT = 900
NOON = 1_795_003_200
P5 = {"gpuProduct": "NVIDIA-H100-80GB-HBM3", "instanceType": "p5.48xlarge", "capacityType": "spot"}
SOURCE = source_of("karpenter")


def spot(price: str) -> Tariff:
    return Tariff("node", "p5.48xlarge", "spot", Decimal(price), 8)


def test_a_live_price_begins_with_the_next_slot() -> None:
    """What is posted was priced by what was known; a device costs its part of the machine, exactly."""
    (rate,) = renewed([spot("20.1")], (), SOURCE, NOON + 100)
    assert rate.interval.start == NOON + SLOT
    assert rate.unit_price * 8 == Fraction("20.1")
    assert rate.includes == ("cpu", "energy", "memory")


def test_the_same_price_again_is_no_new_rate() -> None:
    """And a price that comes back is one: each has its own time."""
    known = renewed([spot("20.1")], (), SOURCE, NOON)
    assert renewed([spot("20.1")], known, SOURCE, NOON + 3600) == ()
    known += renewed([spot("22")], known, SOURCE, NOON + 3600)
    known += renewed([spot("20.1")], known, SOURCE, NOON + 7200)
    book, p5 = PriceBook([*public_rates(), *known]), sku("gpu", P5)
    at = (NOON, NOON + SLOT, NOON + 3600 + SLOT, NOON + 7200 + SLOT)
    prices = [rate.price for instant in at if (rate := book.rate(p5, instant))]
    assert prices == [Decimal("6.88"), Decimal("20.1"), Decimal(22), Decimal("20.1")]


def test_a_list_of_people_wins_over_live_prices() -> None:
    """However little it names."""
    own = book_of(price_list({"meter": "gpu", "price": "1"}))
    book = PriceBook([*public_rates(), *own.rates, *renewed([spot("20.1")], (), SOURCE, NOON)])
    rate = book.rate(sku("gpu", P5), NOON + SLOT)
    assert rate is not None
    assert rate.label == "company/r0"


class Asked:
    """Tariffs by hand, and how often they were asked for."""

    def __init__(self, *answers: Sequence[Tariff] | Transient) -> None:
        self.answers = list(answers)

    def __call__(self, _now: int) -> Sequence[Tariff]:
        answer = self.answers.pop(0)
        if isinstance(answer, Transient):
            raise answer
        return answer


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a ledger."""
    return blank(tmp_path / "ledger.db")


def test_prices_are_asked_for_once_an_hour_and_kept(url: str) -> None:
    """A source that is away changes nothing, and a new process knows what the one before has seen."""
    ledger = Ledger.open(url, "here")
    asked = Asked([spot("20.1")], Transient("PrometheusUnavailable", "away"), [spot("22")])
    live = LivePrices("karpenter", asked, ledger)
    first = live.rates(NOON)
    assert [live.rates(NOON + seconds) for seconds in (1, 3599, 3600)] == [first] * 3
    both = live.rates(NOON + 7200)
    assert (len(first), len(both), asked.answers) == (1, 2, [])
    ledger.close()
    again = Ledger.open(url, "here")
    assert LivePrices("karpenter", Asked([spot("22")]), again).rates(NOON + 7300) == both
    assert LivePrices("opencost", Asked([]), again).rates(NOON) == ()
    again.close()
