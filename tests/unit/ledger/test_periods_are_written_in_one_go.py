"""Thousands of budgets have a period that begins in the same cycle: the ledger takes them as one."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from aibudget.ledger.periodrow import Owner, PeriodRow
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval


@pytest.fixture
def register(url: str) -> Iterator[Register]:
    """Of a ledger in which nothing is written yet."""
    ledger = Ledger.open(url, "eu-1")
    ledger.take_over()
    opened = Register.open(url, "eu-1")
    yield opened
    opened.close()
    ledger.close()


def row(name: str, period: str = "2026-01") -> PeriodRow:
    """A period that runs."""
    owner = Owner("AIBudget", "team", name, f"uid-of-{name}")
    return PeriodRow(owner, period, Interval(0, 900), "Open", "USD", opened=0, limit=Decimal("10.50"))


def test_what_is_new_and_what_has_changed_are_written_together(register: Register) -> None:
    """A cycle gives both at once: each period stands as it was given last."""
    register.write([], [row("a"), row("b")])
    told = replace(row("a"), told=True, generation=3, thresholds={"full": ("Active", 60)})
    register.write([], [told, row("c"), row("a", "2026-02")])
    assert register.periods() == (told, row("a", "2026-02"), row("b"), row("c"))


def test_a_closed_period_is_not_written_again(register: Register) -> None:
    """What it was closed with stands, also where it is given beside periods that run."""
    closed = replace(row("a"), state="Closed", spent=Decimal("9.75"), ended=900, closed=960)
    register.write([], [closed, row("b")])
    register.write([], [row("a"), replace(row("b"), state="Settling", ended=900)])
    assert register.periods() == (closed, replace(row("b"), state="Settling", ended=900))


def test_the_same_period_twice_is_one(register: Register) -> None:
    """The last word stands, until one has closed it."""
    closed = replace(row("a"), state="Closed", spent=Decimal(1), ended=900, closed=960)
    register.write([], [row("a"), closed, replace(row("a"), told=True)])
    assert register.periods() == (closed,)
