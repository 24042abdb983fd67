"""Idle right now: every device was seen for long enough, and none of them did anything."""

from collections.abc import Callable
from typing import Any

import pytest

from aibudget.api.budget import Budget
from aibudget.budgeting.evaluation import Uncharged
from aibudget.budgeting.share import Recent, Shares
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from unit.budgeting.conftest import HOUR

HALF = 1800
MakeLine = Callable[..., SpendLine]


def idle(
    lines: tuple[SpendLine, ...], seconds: int, make_statement: Callable[..., Statement], budget: Budget
) -> Any:
    """What the first workload's evaluation says."""
    recent = Recent(lines, seconds, lines, seconds)
    shares = Shares({"gpu": make_statement(*lines)}, {"gpu": recent}, frozenset({"gpu"}))
    return shares.of(budget).workloads[0].idle


@pytest.mark.parametrize(
    ("gpus", "observed", "busy", "seconds", "expected"),
    [
        (1, 1.0, 0.0, HALF, True),
        (1, 1.0, 0.04, HALF, True),
        (1, 1.0, 0.06, HALF, False),
        (10, 10.0, 0.0, HALF, True),
        (10, 10.0, 1.0, HALF, False),
        (100, 100.0, 1.0, HALF, False),
        (1, 0.94, 0.0, HALF, None),
        (100, 99.0, 0.0, HALF, None),
        (1, None, None, HALF, None),
        (1, 1.0, 0.0, 899, None),
        (1, 1.0, 0.0, 900, True),
    ],
    ids=[
        "unused",
        "a little noise",
        "in use",
        "ten unused",
        "one of ten works",
        "one of a hundred works",
        "seen too rarely",
        "one of a hundred is not seen",
        "never seen",
        "not seen for long",
        "just long enough",
    ],
)
def test_idle(
    gpus: int,
    observed: float | None,
    busy: float | None,
    seconds: int,
    expected: bool | None,
    make_line: MakeLine,
    make_statement: Callable[..., Statement],
    make_budget: Callable[..., Budget],
) -> None:
    """One replica that works, or that nobody saw, is enough not to be idle, however many there are."""
    unit = HOUR * seconds // 3600
    line = make_line(
        gpus * seconds / 3600,
        observed=None if observed is None else int(observed * unit),
        busy=None if busy is None else int(busy * unit),
    )
    assert idle((line,), seconds, make_statement, make_budget()) is expected


def test_a_device_without_a_price_counts(
    make_line: MakeLine, make_statement: Callable[..., Statement], make_budget: Callable[..., Budget]
) -> None:
    """A workload with an unused priced device and a busy one without a price is in use."""
    unused = make_line("0.5", observed=HOUR // 2, busy=0)
    working = make_line("0.5", rate=None, observed=HOUR // 2, busy=HOUR // 2)
    assert idle((unused, working), HALF, make_statement, make_budget()) is False


def test_what_has_no_price_is_named(
    make_line: MakeLine, make_statement: Callable[..., Statement], make_budget: Callable[..., Budget]
) -> None:
    """Who uses right now what has no price, so that a budget can say why it leaves it alone."""
    lines = (make_line(1, "priced"), make_line(1, "new", rate=None))
    recent = {"gpu": Recent(lines, 900)}
    share = Shares({"gpu": make_statement(*lines)}, recent, frozenset({"gpu"})).of(make_budget())
    assert share.uncharged == (Uncharged(Workload("team", "Deployment", "new"), "gpu (gpuProduct H100)"),)
    assert [spend.workload.name for spend in share.workloads] == ["priced"]
