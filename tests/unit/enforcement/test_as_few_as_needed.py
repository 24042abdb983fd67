"""`extent: UntilForecastFits`: never more than needed, never a flap, and nothing on a guess."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.hold import Hold, HoldStatus
from aibudget.budgeting.evaluation import Uncharged, WorkloadSpend
from aibudget.budgeting.forecast import Forecast
from aibudget.budgeting.foreseen import Foreseen
from aibudget.budgeting.limits import Measure
from aibudget.budgeting.period import Period
from aibudget.enforcement import hold as holds
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.enforcement.extent import MARGIN_PERCENT, least
from aibudget.enforcement.facts import Facts, NamespaceFacts, Untouchable
from aibudget.enforcement.hold import workload_of
from aibudget.enforcement.order import Crew
from aibudget.enforcement.plan import Plan, plan
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace
from unit.enforcement.test_who_is_held import facts, held, live, spare_reasons

HOUR = 3600
HOURS = 16
START = int(NOW.timestamp())
savings = st.lists(st.integers(0, 20).map(Fraction), max_size=9)


@given(savings, st.integers(-5, 60).map(Fraction))
def test_removing_any_victim_would_break_the_fit(some: list[Fraction], need: Fraction) -> None:
    """The need is met if it can be, and each one that is taken is needed for it."""
    taken = least(some, need)
    saved = sum((some[index] for index in taken), Fraction(0))
    if sum(some) < need:
        assert saved == sum(some)
        return
    assert saved >= need
    assert all(saved - some[index] < need for index in taken)


@given(savings, st.integers(-5, 60).map(Fraction), st.integers(0, 20).map(Fraction))
def test_more_spend_never_saves_less(some: list[Fraction], need: Fraction, more: Fraction) -> None:
    """What is kept from being spent grows with what is missing."""
    few, many = least(some, need), least(some, need + more)
    assert sum((some[i] for i in few), Fraction(0)) <= sum((some[i] for i in many), Fraction(0))


def budget(
    rates: Mapping[str, Any], spent: Any = 50, hours: int = 10, now: datetime = NOW, **enforcement: Any
) -> Claimant:
    """A budget of 100 with so many hours left, over a threshold below its limit."""
    made = make_claimant(*rates, **({"extent": "UntilForecastFits"} | enforcement))
    at = int(now.timestamp())
    spends = tuple(
        WorkloadSpend(Workload("team", "Deployment", name), Decimal(1), Decimal(rate), None)
        for name, rate in rates.items()
    )
    evaluation = replace(
        made.evaluation,
        period=Period("2026-11@UTC", Interval(0, at + hours * HOUR)),
        spend=replace(made.evaluation.spend, amount=Decimal(spent), as_of=at),
        rate_per_hour=sum((one.rate_per_hour for one in spends), Decimal(0)),
        extent=made.budget.spec.enforcement.extent,
        workloads=spends,
        evaluated=at,
    )
    return replace(made, evaluation=evaluation)


def wanted(found: Plan) -> list[str]:
    return [wish.workload.name for wish in found.wishes if wish.wanted]


def seen(*names: str, **changes: Any) -> Facts:
    return facts(*(live(name) for name in names), **changes)


def test_the_first_in_the_order_until_it_fits() -> None:
    """50 of 100 is spent, 10 hours are left at 12 an hour: 7 an hour have to go, the idle first."""
    spends = budget({"a": 6, "b": 4, "c": 2})
    workloads = tuple(replace(w, idle=w.workload.name != "a") for w in spends.evaluation.workloads)
    spends = replace(spends, evaluation=replace(spends.evaluation, workloads=workloads))
    crew = Crew(1, 0, NOW - timedelta(days=1), NOW - timedelta(days=1), guarded=False)
    crews = {workload.workload: crew for workload in workloads}

    found = plan([spends], seen("a", "b", "c", crews=crews), NOW)

    assert wanted(found) == ["c", "a"] or wanted(found) == ["b", "a"]
    assert [w.claims[0].rank for w in found.wishes] == sorted(w.claims[0].rank or 0 for w in found.wishes)
    assert spare_reasons(found) == ["ForecastFits"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["a"]),
        ({"spent": 40}, []),
        ({"spent": 101}, ["a", "b"]),
        ({"extent": "Everything"}, ["a", "b"]),
        ({"hours": 0}, []),
        ({"gracePeriodSeconds": 36000}, []),
    ],
    ids=["as many as needed", "it fits", "past the limit", "everything", "no time left", "too late to help"],
)
def test_how_many_are_taken(changes: dict[str, Any], expected: list[str]) -> None:
    """Past its limit a budget takes everything; below it what the forecast asks for, and nothing in vain."""
    found = plan([budget({"a": 4, "b": 2}, **changes)], seen("a", "b"), NOW)
    assert wanted(found) == expected


@pytest.mark.parametrize("unknown", ["rate", "complete", "as_of", "fresh"])
def test_nothing_is_taken_on_a_guess(unknown: str) -> None:
    """Without the rate, the whole of the spend or fresh data nobody new is a victim, and nobody is let go."""
    one = budget({"a": 4, "b": 2})
    evaluation = one.evaluation
    evaluation = {
        "rate": replace(evaluation, rate_per_hour=None),
        "complete": replace(evaluation, spend=replace(evaluation.spend, complete=False)),
        "as_of": replace(evaluation, spend=replace(evaluation.spend, as_of=None)),
        "fresh": replace(evaluation, fresh=False),
    }[unknown]
    one = replace(one, evaluation=evaluation)
    assert wanted(plan([one], seen("a", "b"), NOW)) == []

    claim = plan([budget({"a": 4, "b": 2})], seen("a", "b"), NOW).wishes[0].claims[0]
    noticed = held(live("a"), claim, original=None)
    found = plan([one], seen("a", "b", holds=(noticed,)), NOW + timedelta(hours=1))
    assert [(wish.wanted, wish.due) for wish in found.wishes] == [(True, False)]


def test_a_notice_waits_while_it_is_not_needed_and_ends_when_it_is_clear() -> None:
    """Between "fits" and "fits well" the notice stays and nothing is done; then it is withdrawn and told."""
    first = plan([budget({"a": 4, "b": 2})], seen("a", "b"), NOW).wishes[0]
    noticed = held(live("a"), *first.claims, original=None)
    for spent, wishes, withdrawn in (
        (41, [(True, True)], 0),
        (38, [(True, False)], 0),
        (30, [(False, False)], 1),
    ):
        found = plan([budget({"a": 4, "b": 2}, spent=spent)], seen("a", "b", holds=(noticed,)), NOW)
        assert [(wish.wanted, wish.due) for wish in found.wishes] == wishes
        assert [len(wish.withdrawn) for wish in found.wishes] == [withdrawn]


def test_what_is_held_elsewhere_is_taken_first() -> None:
    """It costs nobody anything to go on holding it, and without that it would come back to be stopped."""
    resting = live("b", replicas=0)
    other = held(resting, make_other_claim())
    other = other.model_copy(update={"status": HoldStatus(avoided_cost_per_hour=Decimal(2))})
    found = plan([budget({"a": 4, "b": 0})], facts(live("a"), resting, holds=(other,)), NOW)
    claimed = {w.workload.name: [c.uid for c in w.claims] for w in found.wishes}
    assert claimed == {"b": ["b-2", "b-1"]}


def make_other_claim() -> Any:
    first = plan([budget({"b": 9})], seen("b"), NOW).wishes[0].claims[0]
    return first.model_copy(update={"uid": "b-2", "name": "b-2"})


def test_what_a_stop_saves_is_told_in_the_budgets_currency() -> None:
    """A number of no currency is read in one's own."""
    one = make_claimant("a")
    one = replace(one, evaluation=replace(one.evaluation, currency="EUR"))
    (claim,) = plan([one], seen("a"), NOW).wishes[0].claims
    assert "4.00 EUR per hour" in (claim.reason or "")


def test_usage_without_a_price_is_nobodys_victim() -> None:
    """No price says what a stop of it would save; the budget tells that it left it alone."""
    one = make_claimant("priced")
    unpriced = Uncharged(Workload("team", "Deployment", "new"), "gpu (gpuProduct B300)")
    one = replace(one, evaluation=replace(one.evaluation, uncharged=(unpriced,)))

    found = plan([one], seen("priced", "new"), NOW)

    assert wanted(found) == ["priced"]
    assert spare_reasons(found) == ["NoPrice"]
    assert "B300" in found.spared[0].message


@dataclass
class World:
    """A namespace under one budget, with time that passes; what the operator would do is done at once."""

    rates: Mapping[str, Fraction]
    spent: Fraction
    noise: Sequence[Fraction] = ()
    hours: int = HOURS
    held: dict[str, Hold] = field(default_factory=dict)
    stops: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    forecasts: list[Fraction] = field(default_factory=list)

    def run(self, grace: int) -> None:
        for cycle in range(4 * self.hours):
            self.cycle(NOW + timedelta(minutes=15 * cycle), grace, cycle)
            self.spent += sum((r for name, r in self.rates.items() if self.runs(name)), Fraction(0)) / 4

    def runs(self, name: str) -> bool:
        return name not in self.held or not self.held[name].spec.original

    def cycle(self, now: datetime, grace: int, number: int) -> None:
        blur = 1 + (self.noise[number % len(self.noise)] if self.noise else Fraction(0))
        left = Fraction(self.hours) - Fraction(number, 4)
        rates = {name: decimal(rate * blur) if self.runs(name) else 0 for name, rate in self.rates.items()}
        one = budget(rates, decimal(self.spent), 0, now, gracePeriodSeconds=grace)
        end = Interval(0, START + self.hours * HOUR)
        one = replace(one, evaluation=replace(one.evaluation, period=Period("2026-11@UTC", end)))
        lives = [live(name, replicas=6 if self.runs(name) else 0) for name in self.rates]
        known = Facts(
            holds=tuple(self.held.values()),
            lives={each.workload: each for each in lives},
            namespaces={"team": NamespaceFacts({}, {})},
            gone=frozenset(),
            paused=False,
            untouchable=Untouchable(frozenset()),
        )
        self.carry_out(plan([one], known, now), rates)
        running = sum((rate for name, rate in self.rates.items() if self.runs(name)), Fraction(0))
        self.forecasts.append(self.spent + running * left)

    def carry_out(self, found: Plan, rates: Mapping[str, Any]) -> None:
        for wish in found.wishes:
            name = wish.workload.name
            if not wish.claims:
                self.releases[name] += not self.runs(name)
                self.held.pop(name, None)
                continue
            assert wish.live is not None
            before = self.held.get(name)
            original = "6" if not self.runs(name) else None
            after = held(wish.live, *wish.claims, original=original)
            status = before.status if before is not None else HoldStatus()
            if wish.due and original is None:
                self.stops[name] += 1
                after = held(wish.live, *wish.claims)
                status = HoldStatus(avoided_cost_per_hour=Decimal(rates[name]))
            self.held[name] = after.model_copy(update={"status": status})


def decimal(amount: Fraction) -> Decimal:
    return Decimal(amount.numerator) / Decimal(amount.denominator)


worlds = st.dictionaries(
    st.sampled_from("abcdef"), st.integers(1, 8).map(lambda n: Fraction(n, 4)), min_size=1
)


@settings(max_examples=8)
@given(worlds, st.integers(0, 100).map(Fraction), st.sampled_from([0, 900, 7200]))
def test_nothing_is_stopped_twice(rates: dict[str, Fraction], spent: Fraction, grace: int) -> None:
    """At constant rates each is stopped once at most and comes back once at most, and the limit holds."""
    world = World(rates, spent)
    world.run(grace)
    assert max(world.stops.values(), default=0) <= 1
    assert max(world.releases.values(), default=0) <= 1
    notice = sum(rates.values()) * (Fraction(grace, 3600) + Fraction(1, 4))
    assert world.spent <= max(Fraction(100), spent) + notice


@settings(max_examples=8)
@given(
    worlds,
    st.integers(0, 95).map(Fraction),
    st.lists(st.integers(-100, 100), min_size=1, max_size=7),
)
def test_noise_within_the_margin_makes_no_flap(
    rates: dict[str, Fraction], spent: Fraction, wobble: list[int]
) -> None:
    """Rates that are measured a little too high or too low stop nothing anew that came back."""
    most = Fraction(MARGIN_PERCENT) / (sum(rates.values()) * HOURS) / 3
    world = World(rates, spent, noise=[most * Fraction(w, 100) for w in wobble])
    world.run(0)
    assert max(world.stops.values(), default=0) <= 1


def test_what_came_back_is_measured_before_the_next_comes_back() -> None:
    """A workload that was just released spends nothing measurable yet: that is no room for another one."""
    rates = {"a": 0, "b": 0}
    claims = [plan([budget({n: 9})], seen(n), NOW).wishes[0].claims for n in rates]
    stopped = [live(name, replicas=0) for name in rates]
    resting = tuple(
        held(one, *claim).model_copy(update={"status": HoldStatus(avoided_cost_per_hour=Decimal(3))})
        for one, claim in zip(stopped, claims, strict=True)
    )
    quiet = budget(rates, spent=60)
    found = plan([quiet], facts(*stopped, holds=resting), NOW)
    assert len(wanted(found)) == 1
    (left,) = (hold for hold in resting if workload_of(hold).name in wanted(found))
    again = facts(*stopped, holds=(left,))
    assert wanted(plan([quiet], replace(again, settling=frozenset({"b-1"})), NOW)) == wanted(found)
    assert holds.reverts_of(left) == 0


def test_what_was_stopped_comes_back_when_the_rest_of_the_period_has_room() -> None:
    """By the Hold's own record of what it spent, once usage has settled; the workload is as it was."""
    api = FakeAPI()
    with_namespace(api, "team")
    for name in ("a", "b"):
        api.deployment(name, "team", 6)
    end = NOW + timedelta(hours=40)

    def at(hours: int, rates: dict[str, int]) -> tuple[list[Claimant], datetime]:
        now = NOW + timedelta(hours=hours)
        left = int((end - now).total_seconds()) // HOUR
        return [budget(rates, spent=40, hours=left, now=now, gracePeriodSeconds=0)], now

    async def run() -> list[list[str]]:
        enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
        rounds = (at(0, {"a": 2, "b": 2}), at(1, {"a": 0, "b": 0}), at(30, {"a": 0, "b": 0}))
        return [
            [f"{act.workload.name} {act.reason}" for act in (await enforcer.run(*one)).acts] for one in rounds
        ]

    first, quiet, last = asyncio.run(run())
    assert first == [
        "a ScaleDownNotice",
        "a WorkloadScaledDown",
        "b ScaleDownNotice",
        "b WorkloadScaledDown",
    ]
    assert quiet == []
    assert sorted(last) == ["a WorkloadRestored", "b WorkloadRestored"]
    assert [api.objects["deployments", "team", name]["spec"]["replicas"] for name in "ab"] == [6, 6]


def test_what_somebody_put_back_is_still_needed_before_it_spends() -> None:
    """A workload that was just put back costs nothing measurable yet; what it cost before counts."""
    running = live("a")
    first = plan([budget({"a": 9})], seen("a"), NOW).wishes[0].claims
    reverted = held(running, *first).model_copy(
        update={"status": HoldStatus(avoided_cost_per_hour=Decimal(6))}
    )
    (wish,) = plan([budget({"a": 0}, gracePeriodSeconds=0)], facts(running, holds=(reverted,)), NOW).wishes
    assert (wish.wanted, wish.due) == (True, True)


@pytest.mark.parametrize(
    ("foreseen", "expected"),
    [(90, []), (105, ["a"]), (160, ["a", "b"])],
    ids=["the past says that it fits", "less than the rate says", "more than what runs can save"],
)
def test_a_forecast_says_how_much_is_needed(foreseen: int, expected: list[str]) -> None:
    """By the rate 110 of 100 would be spent. What is foreseen beside what runs now is nobody's to save."""
    found = plan([ahead(budget({"a": 4, "b": 2}), foreseen)], seen("a", "b"), NOW)
    assert wanted(found) == expected


@pytest.mark.parametrize(("spent", "back"), [(50, 0), (20, 1)], ids=["the rate says no", "both say yes"])
def test_nothing_comes_back_by_a_forecast_alone(spent: int, back: int) -> None:
    """The forecast says that all fits well; what was held would still spend 60 at its rate."""
    stopped = live("a", replicas=0)
    first = plan([budget({"a": 9})], seen("a"), NOW).wishes[0].claims
    resting = held(stopped, *first).model_copy(
        update={"status": HoldStatus(avoided_cost_per_hour=Decimal(6))}
    )
    found = plan([ahead(budget({"a": 0}, spent=spent), spent + 5)], facts(stopped, holds=(resting,)), NOW)
    assert len(wanted(found)) == 1 - back


def ahead(claimant: Claimant, amount: float) -> Claimant:
    """The same budget, of which this is foreseen."""
    foreseen = Foreseen(Forecast(amount, None, None, None, None, "two-weeks"), "")
    return replace(claimant, evaluation=replace(claimant.evaluation, foreseen=foreseen))


@pytest.mark.parametrize(
    ("later", "amounts", "expected"),
    [
        ((2, 200), (), []),
        ((9, 1000), (), ["a"]),
        ((5, 80), (), ["a"]),
        ((5, 60), (), ["a", "b"]),
        ((5, 200), (70, 150), []),
        ((5, 200), (110, 150), ["a"]),
        ((5, 60), (70, 75), ["a"]),
        ((5, 60), (70, 90), ["a", "b"]),
    ],
    ids=[
        "a raise that comes in time",
        "one that comes too late",
        "a cut",
        "a deep one",
        "its past says that it fits both",
        "its past says that the first is passed",
        "its past says that the second is",
        "and by much",
    ],
)
def test_spend_has_to_fit_each_limit_in_its_time(
    later: tuple[int, int], amounts: tuple[float, ...], expected: list[str]
) -> None:
    """50 of 100 is spent, at 6 an hour for 10 hours; another limit comes into force after so many hours."""
    after, limit = later
    made = budget({"a": 4, "b": 2}, gracePeriodSeconds=0)
    foreseen = made.evaluation.foreseen
    if amounts:
        *before, total = amounts
        forecast = Forecast(total, None, None, None, None, "two-weeks", tuple(before))
        foreseen = Foreseen(forecast, "")
    coming = ((START + after * HOUR, Decimal(limit)),)
    evaluation = replace(made.evaluation, later=coming, foreseen=foreseen)
    assert wanted(plan([replace(made, evaluation=evaluation)], seen("a", "b"), NOW)) == expected


def test_what_a_cap_may_have_stopped_stays() -> None:
    """The money has room for all of it, and what is foreseen of the cap has fallen: that is no word."""
    hours = Measure("hours", "GPU-Hours", Fraction(50), Fraction(1), Fraction(1), fresh=True, complete=True)
    stopped = live("a", replicas=0)
    first = plan([budget({"a": 9})], seen("a"), NOW).wishes[0].claims
    resting = held(stopped, *first).model_copy(
        update={"status": HoldStatus(avoided_cost_per_hour=Decimal(6))}
    )
    looking = ahead(budget({"a": 0}, spent=20), 25)
    threshold = looking.evaluation.thresholds[0]
    forecast = replace(threshold, threshold=threshold.threshold.model_copy(update={"basis": "Forecast"}))
    for measures, back in (((), 1), ((hours,), 0)):
        evaluation = replace(looking.evaluation, thresholds=(forecast,), measures=measures)
        one = replace(looking, evaluation=evaluation)
        found = plan([one], facts(stopped, holds=(resting,)), NOW)
        assert len(wanted(found)) == 1 - back
