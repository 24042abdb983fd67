"""One rule for whatever changes: what new usage crosses acts, what anything else crosses waits.

Each row of the table is something that happens between two evaluations of a budget that acts at 100 %. It
says where the threshold stands after it, and where 200 USD more take it from there. All that waits does so
until the next period, unless the budget asks for `onAlreadyCrossed: Enforce`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budget import Budget
from aibudget.budgeting.caps import countings, wanted
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.limits import Rollover
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Shares
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.carbon import Carbon

NOVEMBER = 1_793_491_200
NOON = NOVEMBER + 20 * 86_400 + 43_200
STOP = {"name": "stop", "percent": 100, "actions": ["ScaleDown"]}
EARLY = {"name": "stop", "percent": 60, "actions": ["ScaleDown"]}
HOURS = {"name": "hours", "meter": "gpu", "quantity": 100, "unit": "GPU-Hours"}
TIGHT = HOURS | {"quantity": 70}
TOKENS = {"name": "tokens", "meter": "tokens", "quantity": 100, "unit": "Tokens"}
SOON = [{"from": "2026-11-21T12:15:00Z", "amount": 70}]
MORE = [{"from": "2026-11-21T12:15:00Z", "amount": 700}]
TEAMS = {"namespaces": ["team", "other"]}


@dataclass(frozen=True)
class World:
    """What is so at one evaluation: the spec, and what was used by then. 100 USD are the limit, 80 spent."""

    spec: dict[str, Any] = field(default_factory=dict)
    dollars: int = 80
    others: int = 0
    tokens: int | None = 0
    generation: int = 1
    repriced: bool = False
    rollover: Rollover | None = None
    later: int = 0
    known: bool = True

    def then(self, **changes: Any) -> "World":
        """The same with something else used, priced or carried over."""
        return replace(self, **changes)

    def edit(self, **spec: Any) -> "World":
        """The same after an edit of the spec."""
        return replace(self, spec=self.spec | spec, generation=self.generation + 1)


def limit(amount: int) -> dict[str, Any]:
    """A limit in USD."""
    return {"amount": amount, "currency": "USD"}


def carried(amount: int) -> Rollover:
    """So much came over, so far."""
    return Rollover(Decimal(amount), Decimal(amount), provisional=True)


WAITS, ACTS, BELOW, OBSERVED = "Waiting", "Active", "Below", "Crossed"
AT_80 = World()
OVER = World(dollars=100)
CAPPED = World({"caps": [HOURS, TOKENS]})
TIGHTER = World({"caps": [TIGHT]})
DATED, DATED_HIGHER = World({"amounts": SOON}), World({"amounts": MORE}, dollars=100)
CARRIED = World(rollover=carried(40))
AT_110 = CARRIED.then(dollars=110)
HELD_BACK = World({"holdbackPercent": 20})
ONE_TEAM = World({"scope": {"namespaces": ["team"]}}, others=30)
BOTH_TEAMS = World({"scope": TEAMS}, others=30)
FAR = World({"thresholds": [STOP | {"name": "far", "percent": 500}]})
OBSERVING = World({"enforcement": {"mode": "Observe"}}, dollars=110)

Row = tuple[str, World, World, str, str]
TABLE: list[Row] = [
    # what happens, before it, after it, where the threshold then stands, and where after 200 USD more
    ("more is spent", AT_80, AT_80.then(dollars=100), ACTS, ACTS),
    ("a cap is reached", CAPPED, CAPPED.then(tokens=100), ACTS, ACTS),
    ("the limit is cut below", AT_80, AT_80.edit(limit=limit(70)), WAITS, WAITS),
    ("the limit is cut above", AT_80, AT_80.edit(limit=limit(90)), BELOW, ACTS),
    ("the limit is raised", OVER, OVER.edit(limit=limit(110)), BELOW, ACTS),
    ("an amount comes into force", DATED, DATED.then(later=900), WAITS, WAITS),
    ("an amount that is passed without it", DATED, DATED.then(later=900, dollars=100), ACTS, ACTS),
    ("a higher amount comes into force", DATED_HIGHER, DATED_HIGHER.then(later=900), BELOW, BELOW),
    ("amounts are written down", AT_80, AT_80.edit(amounts=SOON).then(later=900), WAITS, WAITS),
    ("less comes over", AT_110, AT_110.then(rollover=carried(5)), WAITS, WAITS),
    ("less comes over than is passed", CARRIED, CARRIED.then(dollars=140, rollover=carried(5)), ACTS, ACTS),
    ("more comes over", OVER, OVER.then(rollover=carried(40)), BELOW, ACTS),
    ("more is held back", AT_80, AT_80.edit(holdbackPercent=30), WAITS, WAITS),
    ("no more is held back", HELD_BACK, HELD_BACK.edit(holdbackPercent=None), BELOW, ACTS),
    ("a cap is added", AT_80, AT_80.edit(caps=[TIGHT]), WAITS, ACTS),
    ("a cap is cut", CAPPED, CAPPED.edit(caps=[TIGHT, TOKENS]), WAITS, ACTS),
    ("a cap is raised", TIGHTER, TIGHTER.edit(caps=[HOURS]), BELOW, ACTS),
    ("a cap is dropped", TIGHTER, TIGHTER.edit(caps=None), BELOW, ACTS),
    ("a cap's meter begins to tell", CAPPED.then(tokens=None), CAPPED.then(tokens=500), WAITS, ACTS),
    ("the scope grows", ONE_TEAM, ONE_TEAM.edit(scope=TEAMS), WAITS, WAITS),
    ("the scope shrinks", BOTH_TEAMS, BOTH_TEAMS.edit(scope={"namespaces": ["team"]}), BELOW, ACTS),
    ("a threshold is lowered", AT_80, AT_80.edit(thresholds=[EARLY]), WAITS, WAITS),
    ("a threshold is added", FAR, FAR.edit(thresholds=[EARLY]), WAITS, WAITS),
    ("prices rise", AT_80, AT_80.then(dollars=110, repriced=True), WAITS, WAITS),
    ("prices fall", OVER, OVER.then(dollars=90, repriced=True), BELOW, ACTS),
    ("who is told is edited", AT_80, AT_80.edit(notify=[{"name": "chat"}]), BELOW, ACTS),
    ("it observes no longer", OBSERVING, OBSERVING.edit(enforcement={}), WAITS, WAITS),
    ("it observes from now on", OVER, OVER.edit(enforcement={"mode": "Observe"}), OBSERVED, OBSERVED),
]
WAITING = [row for row in TABLE if row[3] == WAITS]
Look = Callable[..., Evaluation]
Settled = Callable[[World], Evaluation]


@pytest.fixture
def look(make_budget: Callable[..., Budget], make_line: Callable[..., SpendLine]) -> Look:
    """Evaluate the budget of a world after another one."""

    def do(world: World, before: Evaluation | None = None, **enforcement: str) -> Evaluation:
        spec: dict[str, Any] = {"thresholds": [STOP]} | world.spec
        mode = {"mode": "Enforce"} | spec.pop("enforcement", {}) | enforcement
        budget = make_budget(generation=world.generation, enforcement=mode, **spec)
        lines = make_line(world.dollars), make_line(world.others, namespace="other")
        statements = {"gpu": Statement(lines, Coverage(90_000, 90_000), NOON, world.known)}
        if world.tokens is not None:
            tokens = SpendLine(
                Workload("team", "Deployment", "llm"), sku("tokens", {}), {}, None, world.tokens
            )
            statements["tokens"] = Statement((tokens,), Coverage(90_000, 90_000), NOON, world.known)
        period = current(budget.spec.period, NOON)
        counted = countings(wanted([budget]), statements, Carbon(()), lambda _: None, Interval(0, 1))
        share = Shares(statements, {}, frozenset({"gpu"}), countings=counted).of(budget)
        gates = dict.fromkeys(statements, Gate(fresh=True))
        moment = Moment(NOON + world.later, Gate(fresh=True), world.repriced, gates, world.rollover)
        return evaluate(budget, period, share, Memory.of(before) if before else Memory(), moment)

    return do


def stood(evaluation: Evaluation) -> str:
    """How the threshold that acts stands."""
    return next(state.standing for state in evaluation.thresholds if state.threshold.name == "stop")


@pytest.fixture
def settled(look: Callable[..., Evaluation]) -> Settled:
    """The evaluation of a world that has long been so, and came to be so by usage."""

    def do(world: World) -> Evaluation:
        return look(world, look(world.then(dollars=0, tokens=world.tokens and 0)))

    return do


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_what_each_change_does(look: Look, settled: Settled, row: Row) -> None:
    """In force now, or told and left for the next period; and what more usage makes of it."""
    _, before, after, now, later = row
    changed = look(after, settled(before))
    assert stood(changed) == now
    calm = look(after.then(repriced=False), changed)
    assert stood(look(after.then(dollars=after.dollars + 200, repriced=False), calm)) == later


@pytest.mark.parametrize("row", WAITING, ids=lambda row: row[0])
def test_a_budget_may_ask_to_act_on_what_is_crossed_already(look: Look, settled: Settled, row: Row) -> None:
    """All that waits acts with `onAlreadyCrossed: Enforce`."""
    assert stood(look(row[2], settled(row[1]), onAlreadyCrossed="Enforce")) == ACTS


@pytest.mark.parametrize("row", [r for r in WAITING if r[1] not in (FAR, OBSERVING)], ids=lambda row: row[0])
def test_what_was_in_force_stays_in_force(look: Look, settled: Settled, row: Row) -> None:
    """None of the changes sets a workload free of a budget that is over all the same."""
    before = settled(row[1].then(dollars=300))
    assert stood(before) == ACTS
    assert stood(look(row[2].then(dollars=300), before)) == ACTS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_next_period_begins_with_nothing_crossed(look: Look, settled: Settled, row: Row) -> None:
    """What waited acts then, when that period's own usage crosses it."""
    changed = look(row[2], settled(row[1]))
    october = replace(changed, period=replace(changed.period, id="2026-10@UTC"))
    wanted_then = OBSERVED if row[4] == OBSERVED else ACTS
    assert stood(look(row[2].then(dollars=900, repriced=False), october)) == wanted_then


def test_what_is_found_again_was_never_gone(look: Look, settled: Settled) -> None:
    """A ledger that is lost shows little for a while: what waited is not new usage when it is read again."""
    cut = look(CAPPED.edit(caps=[TIGHT, TOKENS]), settled(CAPPED))
    lost = CAPPED.edit(caps=[TIGHT, TOKENS]).then(known=False, dollars=0)
    assert stood(again := look(lost, cut)) == WAITS
    assert stood(look(lost.then(known=True, dollars=80), again)) == WAITS


@pytest.mark.parametrize("percents", [{}, {"tokens": 100}])
def test_what_nothing_is_known_of_lets_nothing_go(
    look: Look, settled: Settled, percents: dict[str, int]
) -> None:
    """A cap that acts, and of which nothing is told any more, may be what holds; even if status forgot."""
    capped = World({"caps": [TOKENS], "limit": None})
    before = settled(capped.then(tokens=200))
    assert stood(before) == ACTS
    dark = replace(before, judged_percents=percents)
    assert stood(look(capped.then(tokens=None), dark)) == ACTS


def test_a_cap_that_was_never_told_of_keeps_nothing(look: Look, settled: Settled) -> None:
    """Where it is known that the money held, a higher limit gives back."""
    unknown = World({"caps": [TOKENS]}, dollars=110, tokens=None)
    before = settled(unknown)
    assert stood(before) == ACTS
    assert stood(look(unknown.edit(limit=limit(200)), before)) == BELOW


@pytest.mark.parametrize(("dollars", "wanted"), [(110, BELOW), (230, ACTS)])
def test_a_limit_that_was_raised_in_the_dark_gives_back_afterwards(
    look: Look, settled: Settled, dollars: int, wanted: str
) -> None:
    """Prometheus was away when it was raised: a cap that nothing ever told of must not hold on for that."""
    unknown = World({"caps": [TOKENS]}, dollars=110, tokens=None)
    before = settled(unknown)
    raised = unknown.edit(limit=limit(200)).then(known=False)
    dark = look(raised, before)
    assert stood(dark) == ACTS
    assert stood(look(raised.then(known=True, dollars=dollars), dark)) == wanted


def test_a_limit_that_was_cut_in_the_dark_acts_on_nothing_higher(look: Look, settled: Settled) -> None:
    """What is remembered through the dark must not make usage of an edit."""
    far = STOP | {"name": "far", "percent": 150}
    unknown = World({"caps": [TOKENS], "thresholds": [STOP, far]}, dollars=110, tokens=None)
    cut = unknown.edit(limit=limit(50)).then(known=False)
    dark = look(cut, settled(unknown))
    again = look(cut.then(known=True), dark)
    assert {state.threshold.name: state.standing for state in again.thresholds} == {
        "stop": ACTS,
        "far": WAITS,
    }
