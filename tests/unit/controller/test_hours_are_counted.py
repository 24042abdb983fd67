"""What budgets spent by the hour is what a recount gives, whatever happened to the ledger and to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.limit import Cap
from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.histories import MANY_HOURS, Histories
from aibudget.controller.hourly import Counting, billionths, countings, in_hours
from aibudget.inventory.workload import Workload
from aibudget.ledger.hours import HOUR
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.carbon import Carbon, grids
from aibudget.pricing.charge import UNITS, Charge
from aibudget.pricing.rate import FAR_FUTURE, Rate
from unit.controller.meters import Meter
from unit.ledger.blank import blank

METERS = ("gpu", "cpu")
GPU = frozenset({"gpu"})
BEGIN = 1_793_491_200


def rate(meter: str, price: str, start: int = 0) -> Rate:
    """A price that has no end in decimals for an hour of a unit."""
    amount = Decimal(price)
    name, unit = f"{meter}-{price}-{start}", {"gpu": "GPU-Hours", "cpu": "vCPU-Hours"}[meter]
    return Rate("list", name, meter, {}, "USD", unit, amount, amount, 10, Interval(start, FAR_FUTURE))


def budget(name: str, generation: int = 1, **scope: Any) -> Budget:
    """In namespace `name`; of all namespaces with a label where a department is given."""
    kind: type[Budget] = ClusterAIBudget if "namespaceSelector" in scope else AIBudget
    metadata = {"name": name, "uid": name, "generation": generation}
    spec: dict[str, Any] = {"limit": {"amount": 10, "currency": "USD"}}
    return kind.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": kind.__name__,
            "metadata": metadata | ({"namespace": name} if kind is AIBudget else {}),
            "spec": spec | ({"scope": scope} if scope else {}),
        }
    )


@dataclass
class Bench:
    """A ledger of two meters, and who counts."""

    ledger: Ledger
    prices: dict[str, Rate] = field(default_factory=lambda: {m: rate(m, "3.33") for m in METERS})
    ends: dict[str, int] = field(default_factory=lambda: dict.fromkeys(METERS, BEGIN))
    label: str = "ml"

    def __post_init__(self) -> None:
        self.epoch = self.ledger.take_over()
        self.restart()

    def restart(self) -> None:
        """Another process."""
        accounts = [Accounts(meter, Meter(BEGIN), self.ledger, self.epoch) for meter in METERS]
        self.histories = Histories(Books(accounts), self.ledger.hours, self.epoch)

    def post(self, meter: str, slots: int, quantity: int, seconds: int = SLOT_SECONDS) -> None:
        """Go on with a meter for so many slots."""
        start = self.ends[meter]
        self.ends[meter] = start + slots * SLOT_SECONDS
        self._write(meter, range(start, self.ends[meter], SLOT_SECONDS), quantity, seconds)

    def correct(self, meter: str, back: int, quantity: int) -> None:
        """Late samples change what is posted of a slot."""
        slot = max(BEGIN, self.ends[meter] - back * SLOT_SECONDS)
        if slot < self.ends[meter]:
            self._write(meter, [slot], quantity, SLOT_SECONDS)

    def reprice(self, meter: str, price: str, back: int) -> None:
        """Another price from so many slots ago on."""
        start = max(BEGIN, self.ends[meter] - back * SLOT_SECONDS)
        self.prices[meter] = rate(meter, price, start)
        old = [rate(m, "3.33") for m in METERS if m != meter]
        self.ledger.rerate(PriceBook([self.prices[meter], *old]), start, at=start, epoch=self.epoch)

    def _write(self, meter: str, slots: Any, quantity: int, seconds: int) -> None:
        what = sku(meter, {"gpuProduct": "H100"} if meter == "gpu" else {})
        charges = tuple(
            Charge(Usage(slot, Workload(name, "Deployment", "llm"), what, quantity + at), self.prices[meter])
            for slot in slots
            for at, name in enumerate(("a", "b"))
        )
        state = self.ledger.state(meter)
        self.ledger.post(
            Posting(
                meter=meter,
                coverage=dict.fromkeys(slots, Coverage(seconds, SLOT_SECONDS)),
                charges=charges,
                watermark=max(self.ends[meter], state.watermark or 0),
                revision=state.revision,
                at=self.ends[meter],
                epoch=self.epoch,
                namespace_labels={"a": {"department": self.label}, "b": {"department": "web"}},
            )
        )

    def count(self, budgets: Mapping[str, Budget], *, turns: int = 1000) -> None:
        """So many turns, or until there is nothing left to count."""
        counting = [Counting(one, GPU) for one in budgets.values()]
        for _ in range(turns):
            if not self.histories.count(counting, deadline=0.0):
                return

    def recount(self, one: Budget) -> dict[int, int | None]:
        """Of each hour that all meters have posted, by the lines of its statements alone."""
        ends = [self.ends[meter] for meter in METERS if self.ends[meter] > BEGIN]
        settled = max(min(ends), self.ends["gpu"] - 24 * HOUR) // HOUR * HOUR if ends else BEGIN
        return {hour: self._hour(one, hour) for hour in range(BEGIN, min(settled, self.ends["gpu"]), HOUR)}

    def _hour(self, one: Budget, hour: int) -> int | None:
        total, known = Fraction(0), True
        scope = one.spec.scope
        counted = METERS if scope is None or scope.meters is None else scope.meters
        for meter in METERS:
            stated = self.ledger.statement(meter, Interval(hour, hour + HOUR))
            mine = [
                line
                for line in stated.lines
                if line.sku.meter in counted
                and (
                    line.namespace_labels["department"] == "ml"
                    if isinstance(one, ClusterAIBudget)
                    else line.workload.namespace == one.namespace
                )
            ]
            whole = stated.complete and stated.coverage.covered_seconds * 100 >= 95 * 3600
            matters = meter == "gpu" or mine or (scope is not None and meter in (scope.meters or ()))
            known = known and (whole or not matters)
            total += sum((Fraction(line.cost or 0) for line in mine), Fraction(0))
        return billionths(total * UNITS) if known else None


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty ledger."""
    yield from opened(tmp_path)


def opened(path: Path, cluster: str = "here") -> Iterator[Bench]:
    """One cluster's ledger in a directory."""
    ledger = Ledger.open(blank(path / "l.db"), cluster)
    yield Bench(ledger)
    ledger.close()


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("post"),
            st.sampled_from(METERS),
            st.integers(1, 9),
            st.integers(0, 10**6),
            st.sampled_from([900, 900, 800]),
        ),
        st.tuples(st.just("correct"), st.sampled_from(METERS), st.integers(1, 20), st.integers(0, 10**6)),
        st.tuples(
            st.just("reprice"), st.sampled_from(METERS), st.sampled_from(["1.07", "7"]), st.integers(1, 30)
        ),
        st.tuples(st.just("relabel"), st.sampled_from(["ml", "art"])),
        st.tuples(st.just("narrow"), st.sampled_from([("gpu",), ("gpu", "cpu")])),
        st.tuples(st.just("widen")),
        st.tuples(st.just("count"), st.integers(1, 3)),
        st.tuples(st.just("restart")),
    ),
    max_size=14,
)


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)
@given(story=steps)
def test_the_hours_are_what_a_recount_gives(tmp_path: Path, story: list[tuple[Any, ...]]) -> None:
    """Through late samples, other prices, other labels, other scopes, new budgets and restarts."""
    for bench in opened(tmp_path, uuid4().hex):
        budgets = {"a": budget("a"), "b": budget("b")}
        for at, (what, *given_) in enumerate(story):
            match what:
                case "relabel":
                    bench.label = given_[0]
                case "narrow":
                    budgets["a"] = budget("a", at + 2, meters=list(given_[0]))
                case "widen":
                    labels = {"matchLabels": {"department": "ml"}}
                    budgets["c"] = budget("c", at + 2, namespaceSelector=labels)
                case "count":
                    bench.count(budgets, turns=given_[0])
                case _:
                    getattr(bench, what)(*given_)
        bench.count(budgets)
        for one in budgets.values():
            expected = bench.recount(one)
            if expected:
                assert bench.histories.counted(one.uid) is not None
            found = bench.histories.read(one.uid, BEGIN)
            assert {hour: found.get(hour) for hour in expected} == expected


def test_a_budget_that_is_new_is_counted_back_to_the_beginning(bench: Bench) -> None:
    """In turns, the newest hours first; and it is not told of before all are counted."""
    bench.post("gpu", 4 * 60, 1000)
    one = budget("a")
    bench.count({"a": one}, turns=1)
    assert bench.histories.counted("a") is None
    newest = bench.histories.read("a", BEGIN)
    assert newest[BEGIN + 59 * HOUR] is not None
    assert newest.get(BEGIN) is None
    bench.restart()
    bench.count({"a": one})
    assert bench.histories.counted("a") is not None
    assert dict(bench.histories.read("a", BEGIN)) == bench.recount(one)


def test_what_changed_for_weeks_is_counted_in_turns(bench: Bench) -> None:
    """A new price for the whole month does not keep one cycle waiting."""
    bench.post("gpu", 4 * (MANY_HOURS + 10), 1000)
    one = budget("a")
    bench.count({"a": one})
    bench.reprice("gpu", "7", 4 * (MANY_HOURS + 10))
    bench.count({"a": one}, turns=2)
    assert bench.histories.counted("a") is None
    bench.count({"a": one})
    assert dict(bench.histories.read("a", BEGIN)) == bench.recount(one)


def test_a_meter_that_is_far_behind_is_not_waited_for_for_ever(bench: Bench) -> None:
    """For a day; then hours are counted without it, and unknown to those who spend in it."""
    bench.post("gpu", 4 * 40, 1000)
    bench.post("cpu", 4, 1000)
    both = Counting(budget("a"), frozenset(METERS))
    bench.histories.count([both, Counting(budget("b"), GPU)], deadline=float("inf"))
    a, b = (bench.histories.read(name, BEGIN) for name in "ab")
    assert (a[BEGIN] is None, a[BEGIN + 8 * HOUR]) == (False, None)
    assert b[BEGIN + 8 * HOUR] is not None
    assert b.get(BEGIN + 20 * HOUR) is None


@given(st.fractions(0, 10**9))
def test_money_is_rounded_once_to_billionths(amount: Fraction) -> None:
    """Half to even, from integers and fractions alike."""
    exact = amount * UNITS
    units = exact.numerator if exact.denominator == 1 else exact
    assert billionths(units) == round(amount * 10**9)


def capped(*caps: dict[str, Any]) -> Budget:
    """Of namespace a, with caps."""
    return budget("a").model_copy(
        update={"spec": budget("a").spec.model_copy(update={"caps": tuple(Cap(**one) for one in caps)})}
    )


GPU_HOURS = {"name": "hours", "meter": "gpu", "quantity": 5, "unit": "GPU-Hours"}
VCPU_HOURS = {"name": "cores", "meter": "cpu", "quantity": 5, "unit": "vCPU-Hours"}


def test_what_caps_count_is_counted_by_the_hour(bench: Bench) -> None:
    """In the meter's smallest unit, whatever it costs, and again when late samples change it."""
    bench.post("gpu", 8, 1000)
    bench.post("cpu", 8, 70)
    bench.correct("gpu", 1, 5000)
    both = countings(capped(GPU_HOURS, VCPU_HOURS), GPU)
    assert [one.series for one in both] == ["a", "a/gpu", "a/cpu"]
    assert not bench.histories.count(both, deadline=float("inf"))
    gpu, cpu = (bench.histories.read(f"a/{meter}", BEGIN) for meter in METERS)
    assert dict(gpu) == {BEGIN: 4000, BEGIN + HOUR: 8000}
    assert dict(cpu) == {BEGIN: 280, BEGIN + HOUR: 280}
    assert bench.histories.read("a", BEGIN) == bench.recount(budget("a"))
    assert in_hours(("gpu", ""), 3_600_000) == 1.0


def test_a_cap_that_is_new_is_counted_back_and_nothing_else_is(bench: Bench) -> None:
    """Its money stays as it was counted, and so does what is held of it."""
    bench.post("gpu", 4 * 30, 1000)
    bench.histories.count(countings(budget("a"), GPU), deadline=float("inf"))
    before = bench.histories.counted("a")
    bench.histories.held({"a": [BEGIN]})
    several = countings(capped(GPU_HOURS), GPU)
    assert bench.histories.count(several, deadline=0.0)
    assert (bench.histories.counted("a"), bench.histories.counted("a/gpu")) == (before, None)
    bench.histories.count(several, deadline=float("inf"))
    found = bench.histories.read("a/gpu", BEGIN)
    assert (found[BEGIN], found[BEGIN + HOUR]) == (None, 4000), "what is held teaches nothing of a cap either"


def test_an_hour_that_a_meter_does_not_know_is_unknown_to_its_cap_alone(bench: Bench) -> None:
    """The money comes from another meter."""
    bench.post("gpu", 4, 1000)
    bench.post("cpu", 4, 70, seconds=800)
    bench.histories.count(countings(capped(GPU_HOURS, VCPU_HOURS), GPU), deadline=float("inf"))
    found = [bench.histories.read(name, BEGIN)[BEGIN] for name in ("a/gpu", "a/cpu")]
    assert found == [4000, None]


def test_carbon_is_counted_by_the_factor_of_its_time(tmp_path: Path) -> None:
    """In milligrams; other factors are another scope, and count it all anew."""
    clean, dirty = (carbon([(0, grams)]) for grams in ("100", "400"))
    changing = carbon([(0, "100"), (BEGIN + SLOT_SECONDS, "400")])
    one = capped({"name": "carbon", "meter": "energy", "quantity": 5, "unit": "kgCO2e"})
    for bench in opened(tmp_path):
        meter = Meter(BEGIN)
        accounts = [Accounts(name, meter, bench.ledger, bench.epoch) for name in ("gpu", "energy")]
        bench.prices["energy"] = rate("gpu", "1")
        bench.ends["energy"] = BEGIN
        bench.post("gpu", 4, 1000)
        bench.post("energy", 4, 900_000_000)
        for factors, expected in ((clean, 100), (dirty, 400), (changing, 325)):
            histories = Histories(Books(accounts), bench.ledger.hours, bench.epoch, carbon=factors)
            histories.count(countings(one, GPU), deadline=float("inf"))
            found = histories.read("a/energy/kgCO2e", BEGIN)[BEGIN]
            assert found is not None
            assert in_hours(("energy", "kgCO2e"), found) == pytest.approx(expected / 1000)


def carbon(factors: list[tuple[int, str]]) -> Carbon:
    """Grams for a kWh of regions that are not known, each from an instant on."""
    said = "".join(
        f"- {{source: test, year: 2026, from: {iso(start)}, pue: 1, gramsPerKilowattHour: {{'': {grams}}}}}\n"
        for start, grams in factors
    )
    return Carbon(grids(said, "test"))
