"""What a unit of useful work costs: exact, of those who did it, and nothing where a part is not known."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import Budget
from aibudget.api.unitcost import UnitCost
from aibudget.budgeting import caps
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Shares
from aibudget.budgeting.unitcost import Output, UnitCosting, costings, shown
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.catalogue import scale_of
from aibudget.metering.slots import Interval
from aibudget.metering.usage import sku
from aibudget.pricing.carbon import Carbon, public_grids
from aibudget.pricing.charge import UNITS

NOON = 1_793_491_200 + 20 * 86_400 + 43_200
MILLION = {"name": "tokens", "meter": "tokens", "per": 1_000_000, "ceiling": "2.50"}
TOKEN = scale_of("tokens")

Line = Callable[..., SpendLine]
State = Callable[..., Statement]
Make = Callable[..., Budget]


@pytest.fixture
def done(make_line: Line) -> Line:
    """So many tokens of one workload, which cost nothing: its devices are what is paid for."""

    def make(tokens: int, name: str = "llm", **more: Any) -> SpendLine:
        line = make_line(0, name, sku=sku("tokens", {"hosting": "self"}), **more)
        return replace(line, quantity=tokens * TOKEN, rate=None)

    return make


def costed(
    budget: Budget, gpu: Statement, tokens: Statement | None, before: Evaluation | None = None
) -> tuple[Fraction | None, str, Evaluation]:
    """The budget's one unit cost, after these statements."""
    statements = {"gpu": gpu} | ({} if tokens is None else {"tokens": tokens})
    month = current(budget.spec.period, NOON)
    counted = caps.countings(
        caps.wanted([budget]), statements, Carbon(public_grids()), lambda _: None, Interval(0, 900)
    )
    share = Shares(statements, {}, frozenset({"gpu"}), countings=counted).of(budget)
    memory = Memory.of(before) if before else Memory()
    evaluation = evaluate(budget, month, share, memory, Moment(NOON, Gate(True)))
    (one,) = evaluation.unit_costs
    return one.amount, one.state, evaluation


def test_work_costs_what_those_spend_who_do_it(
    make_line: Line, done: Line, make_statement: State, make_budget: Make
) -> None:
    """Not those beside them, nor in other namespaces; all of their cost, whatever meter it is of."""
    gpu = make_statement(
        make_line(6, "a"),
        make_line(3, "b"),
        make_line(100, "training"),
        make_line(50, "a", namespace="other"),
    )
    tokens = make_statement(done(1_000_000, "a"), done(3_000_000, "b"), done(10**9, "a", namespace="other"))
    budget = make_budget("1000", unitCosts=[MILLION])
    assert costed(budget, gpu, tokens)[:2] == (Fraction(9, 4), "Within")
    cheaper = make_budget("1000", unitCosts=[MILLION | {"ceiling": "2.24"}])
    assert costed(cheaper, gpu, tokens)[:2] == (Fraction(9, 4), "Above")


def test_a_scope_narrows_the_work_as_well_as_its_cost(
    make_line: Line, done: Line, make_statement: State, make_budget: Make
) -> None:
    """The meters of a scope are those of the cost; the work has a meter of its own."""
    a, b = {"labels": {"part": "a"}}, {"labels": {"part": "b"}}
    gpu = make_statement(make_line(6, "a", **a), make_line(3, "b", **b))
    tokens = make_statement(done(1_000_000, "a", **a), done(3_000_000, "b", **b))
    scope = {"workloadSelector": {"matchLabels": {"part": "a"}}, "meters": ["gpu"]}
    assert costed(make_budget("99", unitCosts=[MILLION], scope=scope), gpu, tokens)[0] == 6


def test_where_a_part_is_not_known_nothing_is_said(
    make_line: Line, done: Line, make_statement: State, make_budget: Make
) -> None:
    """Neither a low bound of the cost over all the work, nor all the cost over a low bound of the work."""
    budget = make_budget("1000", unitCosts=[MILLION])
    spent, work = make_line(6), done(2_000_000)
    known = make_statement(spent), make_statement(work)
    assert costed(budget, *known)[0] == 3
    unpriced = replace(make_line(1), rate=None)
    for gpu, tokens in [
        (known[0], None),
        (known[0], make_statement()),
        (known[0], make_statement(done(999_999))),
        (known[0], make_statement(work, covered=94)),
        (known[0], make_statement(work, complete=False)),
        (make_statement(spent, covered=94), known[1]),
        (make_statement(spent, complete=False), known[1]),
        (make_statement(spent, unpriced), known[1]),
        (make_statement(make_line(6, "another")), known[1]),
    ]:
        assert costed(budget, gpu, tokens)[:2] == (None, "Unknown")


def test_a_unit_cost_alone_stops_nothing(
    make_line: Line, done: Line, make_statement: State, make_budget: Make
) -> None:
    """However far above its ceiling: thresholds look at the limit."""
    acting = [{"name": "over", "percent": 100, "actions": ["ScaleDown"]}]
    budget = make_budget("1000", enforcement={"mode": "Enforce"}, unitCosts=[MILLION], thresholds=acting)
    _, state, evaluation = costed(budget, make_statement(make_line(900)), make_statement(done(2_000_000)))
    assert state == "Above"
    assert [one.standing for one in evaluation.thresholds] == ["Below"]


def test_one_at_its_ceiling_does_not_come_and_go(
    make_line: Line, done: Line, make_statement: State, make_budget: Make
) -> None:
    """Above it is above until it is 5 % below; a new period begins with nothing above."""
    budget = make_budget("1000", unitCosts=[MILLION | {"ceiling": 2}])
    tokens = make_statement(done(1_000_000))
    before: Evaluation | None = None
    states = []
    for dollars in ("2", "2.01", "1.91", "1.90", "2"):
        _, state, before = costed(budget, make_statement(make_line(dollars)), tokens, before)
        states.append(state)
    assert states == ["Within", "Above", "Above", "Within", "Within"]


@given(
    quantity=st.integers(1, 10**15),
    units=st.integers(0, 10**9).map(lambda cents: cents * UNITS // 100),
    per=st.integers(1, 10**9),
)
def test_the_amount_is_exact(quantity: int, units: int, per: int) -> None:
    """Times the work it is the money again; what is shown is off by less than a millionth."""
    spec = UnitCost.model_validate({"name": "t", "meter": "tokens", "per": per, "ceiling": 1})
    (one,) = costings([spec], {"tokens": Output(quantity, units)}, ())
    if quantity < per * TOKEN:
        assert one == UnitCosting(spec, None, "Unknown")
        return
    assert one.amount is not None
    assert one.amount * quantity / (per * TOKEN) == Fraction(units, UNITS)
    assert abs(Fraction(shown(one.amount)) - one.amount) <= Fraction(1, 2_000_000)
    assert (one.state == "Above") is (one.amount > 1)
