"""Tiers hold whatever the order in which slots became known: the ledger has the month's volume."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from aibudget.inventory.workload import Workload
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import Rate, Tier

FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
MONTH = 1_793_491_200
TOKENS = sku("tokens", {})


@pytest.fixture
def tiered(make_rate: Callable[..., Rate]) -> Rate:
    """10 for the first thousand tokens of a month, then 4."""
    rate = make_rate("10")
    return replace(rate, meter="tokens", unit="Tokens", tiers=(Tier(1000, Decimal(4)),))


@pytest.fixture
def read(ledger: Ledger, tiered: Rate) -> Callable[..., None]:
    """Post some slots' tokens (by the slot's number) as accounts do: at the volume the ledger knows."""
    book = PriceBook([tiered])

    def do(*used: tuple[int, int]) -> None:
        workload = Workload("team", "Deployment", "llm")
        usages = [Usage(MONTH + n * SLOT_SECONDS, workload, TOKENS, quantity) for n, quantity in used]
        state = ledger.state("tokens")
        coverage = {usage.slot: FULL for usage in usages}
        end = max(coverage) + SLOT_SECONDS
        charges = book.charges(usages, partial(ledger.volume, "tokens", book))
        watermark = max(end, state.watermark or 0)
        ledger.post(Posting("tokens", coverage, charges, watermark, state.revision, end, book=book))

    return do


def costs(ledger: Ledger, slots: int) -> list[Decimal | None]:
    """Each slot's cost."""
    spans = (
        Interval(at, at + SLOT_SECONDS) for at in range(MONTH, MONTH + slots * SLOT_SECONDS, SLOT_SECONDS)
    )
    return [
        sum((line.cost or Decimal(0) for line in ledger.statement("tokens", s).lines), Decimal(0))
        for s in spans
    ]


IN_TURN = [6000, 5400, 2400, 2400]


def test_each_slot_is_charged_after_what_the_month_used_before(
    ledger: Ledger, read: Callable[..., None]
) -> None:
    """600 at 10; 400 at 10 and 350 at 4; then 600 at 4 each."""
    for number, quantity in enumerate((600, 750, 600, 600)):
        read((number, quantity))
    assert costs(ledger, 4) == [6000, 5400, 2400, 2400]
    assert ledger.state("tokens").watermark == MONTH + 4 * SLOT_SECONDS


def test_history_that_is_read_later_moves_the_tiers(ledger: Ledger, read: Callable[..., None]) -> None:
    """The newest is read first; when the past is known, it costs what it would have cost in turn."""
    read((2, 600), (3, 600))
    assert costs(ledger, 4) == [0, 0, 6000, 400 * 10 + 200 * 4]
    read((0, 600), (1, 750))
    assert costs(ledger, 4) == IN_TURN


def test_posting_a_slot_again_changes_no_price(ledger: Ledger, read: Callable[..., None]) -> None:
    """Its own volume is not before it."""
    read((0, 600), (1, 750), (2, 600), (3, 600))
    read((1, 750))
    read((3, 600))
    assert costs(ledger, 4) == IN_TURN


def test_rerating_by_the_same_tiers_changes_nothing(
    ledger: Ledger, read: Callable[..., None], tiered: Rate
) -> None:
    """And by others it gives what reading by them would have given."""
    read((0, 600), (1, 750), (2, 600), (3, 600))
    assert ledger.rerate(PriceBook([tiered]), MONTH, at=MONTH, epoch=0) == 0
    cheaper = replace(tiered, tiers=(Tier(600, Decimal(1)),))
    assert ledger.rerate(PriceBook([cheaper]), MONTH, at=MONTH, epoch=0) > 0
    assert costs(ledger, 4) == [6000, 750, 600, 600]
    flat = replace(tiered, tiers=())
    ledger.rerate(PriceBook([flat]), MONTH, at=MONTH, epoch=0)
    assert costs(ledger, 4) == [6000, 7500, 6000, 6000]
