"""What a budget may use in a period: dated amounts, what is held back, what carries over, and caps."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.budget import Budget, BudgetSpec, ClusterAIBudget
from aibudget.api.limit import UNITS as UNITS_OF
from aibudget.api.limit import Cap
from aibudget.budgeting.caps import countings, wanted
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.limits import (
    Rollover,
    allowance,
    allowances_ahead,
    amount_at,
    cap_limit,
    check_meters,
    counted_by,
    hundredths,
    in_unit,
    left_over,
)
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current, preceding
from aibudget.budgeting.share import Share, Shares
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.errors import Stalled
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.catalogue import scale_of
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.carbon import Carbon, grids

NOVEMBER = 1_793_491_200
NOON = NOVEMBER + 20 * 86_400 + 43_200
DECEMBER = NOVEMBER + 30 * 86_400
HOUR = 3_600_000
KWH = 3_600_000_000
WHOLE = Coverage(90_000, 90_000)
STOP = [{"name": "stop", "percent": 100, "actions": ["ScaleDown"]}]
ENFORCE = {"mode": "Enforce"}
HOURS = {"name": "hours", "meter": "gpu", "quantity": 100, "unit": "GPU-Hours"}
TOKENS = {"name": "tokens", "meter": "tokens", "quantity": 1000, "unit": "Tokens"}
CARBON = {"name": "carbon", "meter": "energy", "quantity": 1, "unit": "kgCO2e"}
GRIDS = Carbon(
    grids(
        """
- {source: s, year: 2025, from: "2025-01-01T00:00:00Z", pue: 1, gramsPerKilowattHour: {north: "100"}}
- {source: s, year: 2026, from: "2026-11-11T00:00:00Z", pue: "1.5", gramsPerKilowattHour: {north: "200"}}
""",
        "test",
    )
)

Make = Callable[..., Budget]
Line = Callable[..., SpendLine]


def spec(**fields: Any) -> BudgetSpec:
    """A spec as in YAML, with 100 USD if nothing else is said."""
    return BudgetSpec.model_validate({"limit": {"amount": 100, "currency": "USD"}} | fields)


def used(meter: str, quantity: int, namespace: str = "team", **dimensions: str) -> SpendLine:
    """What somebody used of a meter that has no price."""
    return SpendLine(Workload(namespace, "Deployment", "llm"), sku(meter, dimensions), {}, None, quantity)


def state(
    *lines: SpendLine, covered: int = 100, complete: bool = True, as_of: int | None = NOON
) -> Statement:
    """What a meter told of the period."""
    return Statement(lines, Coverage(covered * 900, 90_000), as_of, complete)


def share_of(budget: Budget, statements: dict[str, Statement]) -> Share:
    """The budget's share of what all meters told; `energy` says the same of each part of the period."""
    period = current(budget.spec.period, NOON).interval
    counted = countings(wanted([budget]), statements, GRIDS, lambda part: statements.get("energy"), period)
    return Shares(statements, {}, frozenset({"gpu"}), countings=counted).of(budget)


def verdict(
    budget: Budget,
    statements: dict[str, Statement],
    before: Evaluation | None = None,
    stale: frozenset[str] = frozenset(),
    now: int = NOON,
    rollover: Rollover | None = None,
) -> Evaluation:
    """Where it stands; `stale` are the meters whose newest data is too old."""
    gates = {meter: Gate(meter not in stale) for meter in statements}
    moment = Moment(now, gates["gpu"], gates=gates, rollover=rollover)
    memory = Memory() if before is None else Memory.of(before)
    return evaluate(budget, current(budget.spec.period, now), share_of(budget, statements), memory, moment)


def shares(evaluation: Evaluation) -> dict[str, Fraction | None]:
    """How much is used of each measure."""
    return {one.name: one.share for one in evaluation.measures}


def test_a_dated_amount_is_in_force_from_its_first_second_on() -> None:
    """Also in the middle of a period, as an edit would be; before the first of them it is limit.amount."""
    dated = spec(
        amounts=[
            {"from": "2026-11-10T00:00:00Z", "amount": 150},
            {"from": "2027-01-01T00:00:00+01:00", "amount": "80.50"},
        ]
    )
    first, second = (int(one.valid_from.timestamp()) for one in dated.amounts or ())
    found = [amount_at(dated, at) for at in (0, first - 1, first, second - 1, second, second * 2)]
    assert found == [Decimal(n) for n in ("100", "100", "150", "150", "80.50", "80.50")]


def test_a_period_that_is_over_keeps_the_amount_that_it_ended_with() -> None:
    """A Fixed budget is looked at long after its end, and one ahead of its beginning."""
    fixed = {"type": "Fixed", "startTime": "2026-11-01T00:00:00Z", "endTime": "2026-12-01T00:00:00Z"}
    dated = spec(
        period=fixed,
        amounts=[
            {"from": "2026-10-01T00:00:00Z", "amount": 1},
            {"from": "2026-11-01T00:00:00Z", "amount": 2},
            {"from": "2026-12-01T00:00:00Z", "amount": 3},
        ],
    )
    for now in (NOVEMBER - 90 * 86_400, NOON, DECEMBER, DECEMBER * 2):
        money = allowance(dated, current(dated.period, now), now, None)
        assert money is not None
        assert money.amount == 2


@settings(max_examples=100)
@given(
    zone=st.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    months=st.lists(st.integers(0, 23), min_size=1, max_size=8, unique=True).map(sorted),
    at=st.integers(0, 25 * 31 * 86_400 // 900),
)
def test_amounts_dated_at_local_midnights_belong_to_whole_months(
    zone: str, months: list[int], at: int
) -> None:
    """Whatever the zone and its clocks do: within a month of the zone there is one amount."""
    local = ZoneInfo(zone)
    begins = [datetime(2026 + month // 12, month % 12 + 1, 1, tzinfo=local) for month in months]
    amounts = [{"from": begin.isoformat(), "amount": number + 1} for number, begin in enumerate(begins)]
    dated = spec(amounts=amounts, period={"timeZone": zone})
    now = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) + at * 900
    day = datetime.fromtimestamp(now, local)
    begun = [n for n, begin in enumerate(begins) if (begin.year, begin.month) <= (day.year, day.month)]
    period = current(dated.period, now)
    money = allowance(dated, period, now, None)
    assert money is not None
    assert money.amount == (begun[-1] + 1 if begun else 100)
    assert amount_at(dated, period.interval.start) == amount_at(dated, period.interval.end - 1)


def test_what_comes_into_force_later_in_the_period_is_known(make_budget: Make) -> None:
    """With what is held back of it, and as much of what was left as may come over into it; no more is."""
    amounts = [
        {"from": "2026-11-01T00:00:00Z", "amount": 200},
        {"from": "2026-11-25T00:00:00Z", "amount": 400},
        {"from": "2026-12-01T00:00:00Z", "amount": 800},
    ]
    spec = make_budget(amounts=amounts, holdbackPercent=10, rollover={"maxPercent": 50}).spec
    left = Rollover(Decimal(100), Decimal(150), provisional=False)
    ((start, money),) = allowances_ahead(spec, current(spec.period, NOON), NOON, left)
    assert start == NOVEMBER + 24 * 86_400
    assert money.amount == Decimal(400 - 40 + 150)
    assert allowances_ahead(spec, current(spec.period, start), start, left) == ()


def test_percents_count_against_what_is_not_held_back(make_budget: Make, make_line: Line) -> None:
    """90 of 100 USD are 100 % where a tenth is held back; what came over is not held back again."""
    budget = make_budget(holdbackPercent=10, rollover={"maxPercent": 50}, caps=[HOURS])
    told = {"gpu": state(make_line(90))}
    assert shares(verdict(budget, told)) == {"limit": 1, "hours": 1}
    carried = verdict(budget, told, rollover=Rollover(Decimal(30), Decimal(30), provisional=True))
    assert (carried.limit, carried.spend.used_percent) == (Decimal(120), 100)
    assert shares(carried)["limit"] == Fraction(3, 4)


@given(
    amount=st.decimals("0.01", "999999999999", places=2),
    percent=st.integers(1, 100),
    spends=st.lists(st.integers(0, 150), min_size=1, max_size=24),
)
def test_what_carries_over_is_never_more_than_was_left(
    amount: Decimal, percent: int, spends: list[int]
) -> None:
    """Over a chain of periods: never below 0, never above the percent, and never money that was not there."""
    rolling = spec(limit={"amount": str(amount), "currency": "USD"}, rollover={"maxPercent": percent})
    carried, total = Decimal(0), Decimal(0)
    for number, spend in enumerate(spends, 1):
        limit = amount + carried
        spent = min(limit, amount * spend / 100)
        total += spent
        assert total <= amount * number
        carried = left_over(rolling, amount, limit - amount * spend / 100)
        assert 0 <= carried <= min(amount * percent / 100, max(Decimal(0), limit - amount * spend / 100))
        assert carried == carried.quantize(Decimal("0.01"))


@pytest.mark.parametrize(
    ("covered", "complete", "left"),
    [(100, True, "40"), (75, True, "20"), (50, True, "0"), (0, True, None), (100, False, None)],
)
def test_what_nobody_measured_is_nobodys_to_carry_over(
    make_budget: Make, make_line: Line, covered: int, complete: bool, left: str | None
) -> None:
    """Known spend is a lower bound: a gap counts like the rest, and an unknown beginning ends it."""
    budget = make_budget(rollover={"maxPercent": 100})
    share = share_of(budget, {"gpu": state(make_line(60), covered=covered, complete=complete)})
    assert share.left_of(Decimal(100)) == (None if left is None else Decimal(left))


def test_the_first_period_of_all_has_none_before_it() -> None:
    """A Fixed one has nothing to carry over from."""
    fixed = {"type": "Fixed", "startTime": "2026-11-01T00:00:00Z", "endTime": "2026-12-01T00:00:00Z"}
    period = spec(period=fixed).period
    assert preceding(period, current(period, NOON)) is None


def test_caps_count_quantities_of_their_scope_whatever_they_cost(make_budget: Make, make_line: Line) -> None:
    """With a price and without, and nothing of another namespace; the highest of all is compared."""
    budget = make_budget("1000", caps=[HOURS, TOKENS], thresholds=STOP, enforcement=ENFORCE)
    told = {
        "gpu": state(make_line(40), make_line(7, namespace="other"), used("gpu", 10 * HOUR)),
        "tokens": state(used("tokens", 700), used("tokens", 99, "other")),
    }
    found = verdict(budget, told)
    assert shares(found) == {"limit": Fraction(40, 1000), "hours": Fraction(1, 2), "tokens": Fraction(7, 10)}
    assert found.spend.used_percent == 70
    assert found.leading_cap is not None
    assert found.leading_cap.name == "tokens"


def test_caps_alone_are_a_budget(make_budget: Make) -> None:
    """No price is needed: what is used stops nobody below the cap and is in force past it."""
    budget = make_budget(limit=None, caps=[HOURS], thresholds=STOP, enforcement=ENFORCE)
    below = verdict(budget, {"gpu": state(used("gpu", 99 * HOUR))})
    over = verdict(budget, {"gpu": state(used("gpu", 100 * HOUR))}, below)
    assert [(one.limit, one.thresholds[0].standing) for one in (below, over)] == [
        (None, "Below"),
        (None, "Active"),
    ]


def test_a_cap_is_compared_to_the_last_token(make_budget: Make) -> None:
    """Exact in the meter's smallest unit, also where the quantity has decimals."""
    cap = {"name": "hours", "meter": "gpu", "quantity": "0.000000277", "unit": "GPU-Hours"}
    budget = make_budget(limit=None, caps=[cap])
    assert verdict(budget, {"gpu": state(used("gpu", 0))}).spend.used_percent == 0
    assert verdict(budget, {"gpu": state(used("gpu", 1))}).spend.used_percent == 100
    assert shares(verdict(budget, {"gpu": state(used("gpu", 1))}))["hours"] == Fraction(
        10**9, 277 * 3_600_000
    )


def test_carbon_is_energy_times_the_factor_of_its_time(make_budget: Make) -> None:
    """The period in which a factor changes is counted in parts, each by its own."""
    budget = make_budget(limit=None, caps=[CARBON])
    period = current(budget.spec.period, NOON).interval
    change = NOVEMBER + 10 * 86_400
    parts = {
        NOVEMBER: state(used("energy", 2 * KWH, region="north")),
        change: state(used("energy", KWH, region="north")),
    }
    counted = list(
        countings(wanted([budget]), {"energy": state()}, GRIDS, lambda part: parts.get(part.start), period)
    )
    assert [counting.quantity for counting in counted] == [200, 300]


def test_energy_of_an_unknown_grid_is_left_out_and_named(make_budget: Make) -> None:
    """Never zero: where no grid is known at all the cap is unknown, elsewhere it is a lower bound."""
    budget = make_budget(limit=None, caps=[CARBON])
    nowhere, north = used("energy", KWH), used("energy", KWH, region="north")
    gpu = state()
    some = share_of(budget, {"gpu": gpu, "energy": state(nowhere, north)}).uses["energy", "kgCO2e"]
    assert (some.quantity, some.missing) == (100 + 300, ("nodes without a region",))
    none = share_of(budget, {"gpu": gpu, "energy": state(nowhere)}).uses["energy", "kgCO2e"]
    assert none.quantity is None
    nothing = share_of(budget, {"gpu": gpu, "energy": state()}).uses["energy", "kgCO2e"]
    assert nothing.quantity == 0


def test_a_cap_without_data_is_unknown_and_the_others_go_on(make_budget: Make, make_line: Line) -> None:
    """No zero, no crossing, and money still acts; once its meter tells, it counts."""
    budget = make_budget(caps=[TOKENS], thresholds=STOP, enforcement=ENFORCE)
    before = verdict(budget, {"gpu": state(make_line(50))})
    assert (shares(before)["tokens"], before.unknown_caps) == (None, ("tokens",))
    assert before.thresholds[0].standing == "Below"
    over = verdict(budget, {"gpu": state(make_line(100))}, before)
    assert (over.thresholds[0].standing, over.may_act("ScaleDown")) == ("Active", True)
    told = {"gpu": state(make_line(50)), "tokens": state(used("tokens", 10))}
    begun = verdict(budget, told, before)
    assert shares(begun)["tokens"] == Fraction(1, 100)
    grown = verdict(budget, {**told, "tokens": state(used("tokens", 1000))}, begun)
    assert grown.thresholds[0].standing == "Active"


@pytest.mark.parametrize(
    ("stale", "hours", "tokens", "acts"),
    [
        ({"tokens"}, 100, 0, True),
        ({"tokens"}, 0, 1000, False),
        ({"gpu"}, 100, 0, False),
        ({"gpu"}, 0, 1000, True),
        ({"gpu"}, 100, 1000, True),
        ({"gpu", "tokens"}, 100, 1000, False),
    ],
)
def test_an_act_needs_fresh_data_of_the_measure_that_crosses(
    make_budget: Make, make_line: Line, stale: set[str], hours: int, tokens: int, acts: bool
) -> None:
    """A silent token meter keeps nobody from acting on money, and fresh money does not act on old tokens."""
    budget = make_budget(caps=[TOKENS], thresholds=STOP, enforcement=ENFORCE)
    before = verdict(budget, {"gpu": state(make_line(0)), "tokens": state(used("tokens", 0))})
    told = {"gpu": state(make_line(hours)), "tokens": state(used("tokens", tokens))}
    after = verdict(budget, told, before, stale=frozenset(stale))
    assert after.thresholds[0].standing == "Active"
    assert after.may_act("ScaleDown") is acts
    assert after.fresh is False, "nothing is released before all of it is known"


@pytest.mark.parametrize(
    ("cap", "units", "words"),
    [
        ({"meter": "licenses", "unit": "Seats"}, {}, "nobody defines"),
        ({"meter": "licenses", "unit": "Seats"}, {"licenses": "Licenses"}, "Write unit: Licenses"),
    ],
)
def test_a_cap_on_no_meter_says_the_way_out(cap: dict[str, str], units: dict[str, str], words: str) -> None:
    """Users' meters are known in the cluster alone, and a cap that counts nothing would protect nobody."""
    bad = Cap.model_validate({"name": "seats", "quantity": 1} | cap)
    with pytest.raises(Stalled, match=words):
        check_meters([bad], units)
    check_meters([bad], {"licenses": "Seats"})


def test_quantities_are_shown_rounded_down() -> None:
    """What is nearly a cap is not shown as the cap."""
    found = [str(hundredths(Fraction(n))) for n in ("1499.999", "1500", "0.5", "0.001")]
    assert found == ["1499.99", "1500", "0.50", "0"]


@given(
    quantity=st.decimals("0.000000001", "999999999", places=9).filter(bool),
    holdback=st.integers(1, 99),
    percent=st.integers(1, 1000),
    beside=st.integers(-2, 2),
    meter=st.sampled_from(["gpu", "tokens", "energy", "memory", "saas-spend"]),
)
def test_a_cap_is_crossed_at_the_very_unit(
    quantity: Decimal, holdback: int, percent: int, beside: int, meter: str
) -> None:
    """In whole numbers of the meter's smallest unit: one less is below, at the line is over."""
    whole, part = Fraction(quantity) * scale_of(meter) * (100 - holdback) * percent, 10_000
    line = -(-whole.numerator // (whole.denominator * part))
    used_units = max(0, line + beside)
    cap = Cap.model_validate(
        {"name": "c", "meter": meter, "quantity": format(quantity, "f"), "unit": UNITS_OF[meter][0]}
    )
    share = in_unit(counted_by(cap), used_units) / cap_limit(cap, holdback)
    assert (share * 100 >= percent) is (used_units >= line)


@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(["team", "other"]), st.sampled_from(["north", "", "east"]), st.integers(0, 10**12)
        ),
        max_size=20,
    )
)
def test_what_caps_count_of_parts_is_what_they_count_of_the_whole(
    make_scoped: Callable[[list[str]], Budget], lines: list[tuple[str, str, int]]
) -> None:
    """To the last milliwatt-second and gram, and nothing that is unknown disappears into a sum."""
    energy = state(*(used("energy", quantity, name, region=region) for name, region, quantity in lines))
    told = {"gpu": state(), "energy": energy}
    parts = [share_of(make_scoped([name]), told).uses for name in ("team", "other")]
    whole = share_of(make_scoped(["team", "other"]), told).uses
    for counted in whole:
        assert sum(part[counted].quantity or 0 for part in parts) == (whole[counted].quantity or 0)
        missing = {name for part in parts for name in part[counted].missing}
        assert missing == set(whole[counted].missing)
    known = sum(quantity for _, region, quantity in lines if region == "north")
    # Both parts of the period tell of the same lines: at 100 g, and at 200 g and a PUE of 1.5.
    assert (whole["energy", "kgCO2e"].quantity or 0) == Fraction(400 * known, KWH)


@pytest.fixture(scope="session")
def make_scoped() -> Callable[[list[str]], Budget]:
    """A ClusterAIBudget over these namespaces, with caps on energy and carbon."""

    def make(namespaces: list[str]) -> Budget:
        kwh = {"name": "kwh", "meter": "energy", "quantity": 1, "unit": "kWh"}
        return ClusterAIBudget.read(
            {
                "apiVersion": "aibudget.io/v1alpha1",
                "kind": "ClusterAIBudget",
                "metadata": {"name": "b", "uid": "u", "generation": 1},
                "spec": {"caps": [kwh, CARBON], "scope": {"namespaces": namespaces}},
            }
        )

    return make
