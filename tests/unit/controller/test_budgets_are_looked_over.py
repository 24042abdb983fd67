"""Hours of many budgets, looked over as they come: a simulated fortnight, hour by hour."""

from collections.abc import Mapping
from decimal import Decimal
from random import Random

import pytest

from aibudget.api.budget import AIBudget, Budget
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import steady
from aibudget.budgeting.vigil import HOUR, Anomaly, Cause, Least, Watched
from aibudget.controller.lookout import Lookout
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval

WEEK = 7 * 86_400
MIDNIGHT = 1_793_491_200
"""A Sunday."""
LLM, OTHER = Workload("team", "Deployment", "llm"), Workload("team", "Job", "nightly")


def budget(uid: str, **spec: object) -> AIBudget:
    """A budget of 10,000 a month."""
    return AIBudget.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {"name": uid, "namespace": "team", "uid": uid, "generation": 1},
            "spec": {"limit": {"amount": 10_000, "currency": "USD"}, **spec},
        }
    )


class Hours:
    """What some budgets spent: about ten an hour, less at night, until a test says otherwise."""

    def __init__(self, uids: list[str]) -> None:
        self.end = MIDNIGHT
        self.spent: dict[str, dict[int, int | None]] = {uid: {} for uid in uids}
        self.uncounted: set[str] = set()
        self._random = Random(5)
        for hour in range(MIDNIGHT - 6 * WEEK, MIDNIGHT, HOUR):
            for uid in uids:
                self.spent[uid][hour] = self.usual(hour)

    def usual(self, hour: int) -> int:
        """In billionths."""
        day = hour // HOUR % 24 in range(8, 20)
        return round((10 if day else 3) * self._random.uniform(0.9, 1.1) * 10**9)

    def settled(self) -> int:
        """The end of what is posted."""
        return self.end

    def counted(self, uid: str) -> object | None:
        """All of it, as a rule."""
        return None if uid in self.uncounted else object()

    def read(self, uid: str, since: int) -> Mapping[int, int | None]:
        """By the hour."""
        return {hour: amount for hour, amount in self.spent[uid].items() if hour >= since}


class Spenders:
    """All of an hour is `llm`'s, but for three that another has always spent."""

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self.asked: list[Interval] = []

    def amounts(self, budget: Budget, interval: Interval) -> Mapping[Workload, float] | None:
        """Of these hours."""
        self.asked.append(interval)
        found = [self._hours.spent[budget.uid].get(h) for h in range(interval.start, interval.end, HOUR)]
        total = sum((amount or 0) / 10**9 for amount in found)
        return {LLM: total - 3 * len(found), OTHER: 3.0 * len(found)}


class Tower:
    """A lookout with its budgets."""

    def __init__(self, *budgets: AIBudget) -> None:
        self.budgets = {one.uid: one for one in budgets}
        self.hours = Hours(list(self.budgets))
        self.spenders = Spenders(self.hours)
        self.memories: dict[str, Memory] = {}
        self.start()

    def start(self) -> None:
        """A new process."""
        self.clock = 0.0
        self.lookout = Lookout(self.hours, self.spenders, Least(10.0, 0.5), lambda: self.clock)
        self.look()

    def look(self) -> dict[str, Watched]:
        """As a cycle does."""
        found = {}
        for uid, one in self.budgets.items():
            period = steady(one.spec.period, self.hours.end, None)
            found[uid] = self.lookout.look(one, period, Decimal(10_000), self.memories.get(uid, Memory()))
        self.memories = {uid: Memory(anomalies=one.anomalies) for uid, one in found.items()}
        return found

    def hour(self, **amounts: float | None) -> dict[str, Watched]:
        """Another hour, in which some budgets spent so much; then how all stand."""
        for uid, spent in self.hours.spent.items():
            amount = amounts.get(uid)
            usual = None if uid in amounts else self.hours.usual(self.hours.end)
            spent[self.hours.end] = usual if amount is None else round(amount * 10**9)
        self.hours.end += HOUR
        while self.lookout.work(self.clock + 1):
            pass
        self.lookout.answered({workload: "changed" for workload in self.lookout.asked() if workload == LLM})
        return self.look()


def told(found: Watched) -> list[Anomaly]:
    """What lasts or was told of late."""
    return list(found.anomalies)


def test_a_fortnight_tells_what_happened_and_nothing_else() -> None:
    """A runaway on the fourth day, once, with who is behind it; the other budget has nothing to hear."""
    tower = Tower(budget("one"), budget("two"))
    seen: dict[tuple[str, int], Anomaly] = {}
    for hour in range(14 * 24):
        runaway = hour in range(3 * 24 + 2, 3 * 24 + 8)
        for uid, found in (tower.hour(one=60.0) if runaway else tower.hour()).items():
            seen |= {(uid, one.told): one for one in told(found)}
    assert [uid for uid, _ in seen] == ["one"]
    one = next(iter(seen.values()))
    assert one.told == MIDNIGHT + (3 * 24 + 3) * HOUR
    assert one.impact == pytest.approx(57, abs=1)
    assert [(cause.workload, cause.change) for cause in one.causes] == [(LLM, "changed")]
    assert one.causes[0].amount == pytest.approx(57, abs=1)
    # Its hours are among the last 24 for another day.
    assert one.ended is not None
    assert 8 <= (one.ended - MIDNIGHT) // HOUR - 3 * 24 <= 8 + 23
    assert tower.look()["one"].standing == "AsUsual"
    assert len(tower.spenders.asked) == 5, "the ledger is asked about what is unusual alone"


def test_a_restart_goes_on_with_what_was_told() -> None:
    """It neither tells it again nor forgets that it lasts."""
    tower = Tower(budget("one"))
    first = told(tower.hour(one=60.0)["one"])
    tower.start()
    assert told(tower.look()["one"]) == first
    after = tower.hour(one=60.0)["one"]
    assert (after.standing, told(after)) == ("Unusual", first)


def test_planned_hours_are_neither_told_nor_learnt_from() -> None:
    """Nor do they make the hour after them unusual."""
    window = {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-01T03:30:00Z"}
    tower = Tower(budget("one", plannedWindows=[window]))
    for _ in range(4):
        assert tower.hour(one=60.0)["one"].standing == "Planned"
    assert tower.hour()["one"].standing == "AsUsual"
    assert not told(tower.look()["one"])


def test_what_costs_little_is_not_told() -> None:
    """Three and a half times the usual, and 7.50 in money."""
    tower = Tower(budget("one"))
    assert tower.hour(one=10.5)["one"].standing == "AsUsual"
    assert tower.hour(one=60.0)["one"].standing == "Unusual"


def test_an_unknown_hour_and_a_short_past_say_so() -> None:
    """Neither is as usual, and neither is unusual."""
    tower = Tower(budget("one"), budget("new"), budget("late"))
    tower.hours.spent["new"] = {MIDNIGHT - HOUR: 10**9}
    tower.hours.uncounted = {"late"}
    found = tower.hour(one=None, new=60.0)
    assert [found[uid].standing for uid in ("one", "new", "late")] == ["Unknown", "Learning", None]


def test_an_hour_is_judged_when_all_have_been_looked_at() -> None:
    """However little time each cycle leaves, every budget is looked at once an hour."""
    tower = Tower(budget("one"), budget("two"))
    tower.hours.end += HOUR
    for uid in ("one", "two"):
        tower.hours.spent[uid][MIDNIGHT] = 60 * 10**9
    assert tower.lookout.work(tower.clock)
    assert not tower.lookout.asked()
    assert not tower.lookout.work(tower.clock)
    assert list(tower.lookout.asked()) == [LLM]
    assert not tower.lookout.work(tower.clock)


def test_a_cause_that_nobody_can_explain_is_told_without_a_change() -> None:
    """The API server was away: what is unusual does not wait for it."""
    tower = Tower(budget("one"))
    tower.hours.spent["one"][tower.hours.end] = 60 * 10**9
    tower.hours.end += HOUR
    tower.lookout.work(tower.clock + 1)
    tower.lookout.answered({})
    causes = told(tower.look()["one"])[0].causes
    assert [type(one) for one in causes] == [Cause]
    assert causes[0].change == ""


def test_who_comes_within_the_hour_is_looked_at_in_it() -> None:
    """A new budget, and one that was not wholly counted before: neither waits for the next hour."""
    tower = Tower(budget("one"), budget("late"))
    tower.hours.uncounted = {"late"}
    assert tower.hour()["late"].standing is None
    tower.hours.uncounted = set()
    tower.budgets["new"] = budget("new")
    tower.hours.spent["new"] = {tower.hours.end - HOUR: 10**9}
    tower.look()
    tower.lookout.work(tower.clock)
    tower.lookout.work(tower.clock)
    found = tower.look()
    assert [found[uid].standing for uid in ("one", "late", "new")] == ["AsUsual", "AsUsual", "Learning"]
