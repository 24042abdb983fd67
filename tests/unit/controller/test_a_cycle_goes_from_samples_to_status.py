"""Whole cycles on a real ledger, with cluster and meter by hand: what people see after each of them."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.budgeting import verdict
from aibudget.budgeting.sharing import Policy, Sharing
from aibudget.controller import cycle, judge
from aibudget.controller.notifier import Notifier
from aibudget.controller.reporter import Report
from aibudget.errors import Conflict
from aibudget.inventory.resource import (
    AIBUDGETS,
    DEPLOYMENTS,
    NAMESPACES,
    PRICE_LISTS,
)
from aibudget.reporting.events import Event
from unit.controller.meters import DAY, MIDNIGHT, IdleMeter
from unit.controller.world import ENFORCE, STOP, World, one_gpu


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """As it is."""
    with one_gpu(tmp_path, World) as made:
        yield made


def test_the_first_cycle_says_what_is_known_and_that_there_is_more(world: World) -> None:
    """The newest spend at once, the month while the loop goes on."""
    world.budget("b", 1000)
    world.pass_time(fill=False)
    first = world.status("b")
    assert world.conditions("b")["Ready"] == ("True", "Reconciled")
    assert world.conditions("b")["Reconciling"] == ("True", "Progressing")
    assert first["spend"]["coveragePercent"] < 100
    world.pass_time(cycles=2)
    assert "Reconciling" not in world.conditions("b")
    assert world.status("b")["spend"]["coveragePercent"] == 100
    hours = Decimal(world.meter.now - MIDNIGHT) / 3600
    assert abs(Decimal(world.status("b")["spend"]["amount"]) - 3 * hours) < Decimal("0.01")
    assert world.status("b")["rate"] == {"perHour": "3.00"}


def test_what_people_know_is_told_and_what_can_be_stopped_is(world: World) -> None:
    """A Deployment that says it is part of an InferenceService is shown so, stopped as before, and both is
    remembered when the Deployment is gone.
    """
    served = world.cluster.objects[DEPLOYMENTS.plural, "team", "llm"]
    served["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": "chat"}
    world.budget("b", 10, thresholds=STOP, enforcement={**ENFORCE, "onAlreadyCrossed": "Enforce"})
    world.pass_time(cycles=4)
    (top,) = world.status("b")["topWorkloads"]
    assert (top["kind"], top["name"], top["partOf"]) == ("Deployment", "llm", "InferenceService/chat")
    assert world.replicas("llm") == 0

    del world.cluster.objects[DEPLOYMENTS.plural, "team", "llm"]
    world.start()
    world.pass_time(cycles=2)
    assert world.status("b")["topWorkloads"][0]["partOf"] == "InferenceService/chat"


def test_shared_cost_is_told_beside_the_spend_and_stops_nobody(world: World) -> None:
    """Three idle devices cost more than the limit by themselves: the team is given them by policy, and no
    threshold looks at it.
    """
    world.idle = IdleMeter(world.meter.now, devices=3)
    world.sharing = Sharing(default=Policy(policy="Proportional"))
    world.budget("b", 200, thresholds=STOP, enforcement={**ENFORCE, "onAlreadyCrossed": "Enforce"})
    world.pass_time(cycles=4)
    shared = Decimal(world.status("b")["shared"]["amount"])
    spent = Decimal(world.status("b")["spend"]["amount"])
    assert abs(shared - 3 * spent) < Decimal("0.02")
    assert spent < 200 < shared
    assert world.conditions("b")["WithinBudget"][0] == "True"
    assert (world.replicas("llm"), world.holds()) == (1, 0)


def test_without_a_policy_idle_cost_is_nobody_s(world: World) -> None:
    """It is metered all the same, and no status tells of it."""
    world.idle = IdleMeter(world.meter.now, devices=3)
    world.budget("b", 1000)
    world.pass_time(cycles=2)
    assert "shared" not in world.status("b")


def test_an_outage_leaves_spend_and_holds_as_they_are(world: World) -> None:
    """No data is no reason to stop, and none to give back."""
    world.budget("held", 145, thresholds=STOP, enforcement=ENFORCE)
    world.budget("free", 1000)
    world.pass_time(cycles=3)
    world.pass_time(1200, cycles=2)
    assert world.replicas("llm") == 0
    spent = world.status("free")["spend"]["amount"]
    world.meter.down = True
    world.pass_time(cycles=3)
    assert world.conditions("free")["DataFresh"] == ("False", "UsageSourceUnavailable")
    assert world.conditions("free")["Ready"] == ("True", "Reconciled")
    assert world.status("free")["spend"]["amount"] == spent
    assert world.replicas("llm") == 0
    assert world.events("free").count("DataStale") == 1
    world.meter.down = False
    world.pass_time()
    assert world.conditions("free")["DataFresh"] == ("True", "Fresh")
    assert world.events("free").count("DataRecovered") == 1


def test_an_outage_stops_nothing_new(world: World) -> None:
    """However far over the limit the known spend is."""
    world.budget("b", 1000, thresholds=STOP, enforcement={**ENFORCE, "onAlreadyCrossed": "Enforce"})
    world.pass_time(cycles=3)
    world.meter.down = True
    world.budget("b", 10, thresholds=STOP, enforcement={**ENFORCE, "onAlreadyCrossed": "Enforce"})
    world.pass_time(cycles=3)
    assert world.conditions("b")["WithinBudget"] == ("False", "LimitExceeded")
    assert world.replicas("llm") == 1
    world.meter.down = False
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 0


def test_a_crossing_by_spend_is_told_and_acted_on_and_undone_by_a_higher_limit(world: World) -> None:
    """The main job, once through."""
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    assert world.status("b")["thresholds"] == [{"name": "full", "state": "Below"}]
    world.pass_time(1200, cycles=2)
    assert world.replicas("llm") == 0
    assert world.conditions("b")["Enforced"][0] == "True"
    assert world.status("b")["holds"] == {"active": 1, "pending": 0}
    assert {"BudgetExceeded", "ScaleDownNotice", "WorkloadScaledDown"} <= set(world.events("b"))
    world.budget("b", 2000)
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    assert world.holds() == 0
    assert "Enforced" not in world.conditions("b")
    assert "WorkloadRestored" in world.events("llm")


def test_a_new_process_goes_on_from_the_status_alone(world: World) -> None:
    """Nothing is told twice, nothing is forgotten, and what is held stays held."""
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    world.pass_time(1200, cycles=2)
    told, crossed = world.events("b"), world.status("b")["thresholds"]
    assert crossed[0]["state"] == "Active"
    for _ in range(3):
        world.start()
        world.pass_time()
    assert world.events("b") == told
    assert world.status("b")["thresholds"] == crossed
    assert world.replicas("llm") == 0


def test_one_poisonous_budget_never_stops_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalid, in another currency, or the victim of a bug of ours: each is stalled on its own."""
    real = verdict.evaluate

    def failing(budget: Any, *rest: Any) -> Any:
        if budget.name == "bug":
            raise ZeroDivisionError
        return real(budget, *rest)

    monkeypatch.setattr(judge, "evaluate", failing)
    world.budget("good", 1000)
    world.budget("invalid", -5)
    world.budget("euro", 100, currency="EUR")
    world.budget("bug", 100)
    world.pass_time(cycles=2)
    assert world.conditions("good")["WithinBudget"] == ("True", "BelowThreshold")
    assert world.conditions("invalid")["Stalled"] == ("True", "InvalidSpec")
    assert world.conditions("euro")["Stalled"] == ("True", "MixedCurrencies")
    assert world.conditions("bug")["Stalled"] == ("True", "InternalError")
    assert world.events("invalid") == ["InvalidSpec"]


def test_a_receiver_that_nobody_configured_is_named(world: World) -> None:
    """A typing error in notify is seen in the status, and keeps the budget from nothing."""
    world.budget("b", 1000, notify=[{"name": "typo"}])
    world.pass_time(cycles=2)
    assert world.conditions("b")["ReceiversResolved"] == ("False", "ReceiverUnknown")
    assert world.conditions("b")["Ready"] == ("True", "Reconciled")
    world.budget("b", 1000, notify=None)
    world.pass_time()
    assert "ReceiversResolved" not in world.conditions("b")


class Notes(Notifier):
    """Writes down what it is given; dies before that as often as `deaths` says."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths = 0
        self.given: list[str] = []

    async def take(self, reports: Sequence[Report], acts: Sequence[Event], now: int) -> list[Report]:
        """The process ends here, or the outbox has it."""
        if self.deaths:
            self.deaths -= 1
            raise KeyboardInterrupt
        told = (event for report in reports for event in (*report.events, *acts))
        self.given += [str(event.reason) for event in told if event.regarding.kind == "AIBudget"]
        return list(reports)


def test_a_death_before_the_outbox_has_it_forgets_no_crossing(world: World) -> None:
    """The status, which remembers a crossing as told, is written after the outbox and not before it."""
    notes = world.notifier = Notes()
    world.budget("b", 145, thresholds=STOP)
    world.pass_time(cycles=2)
    notes.deaths = 1
    with pytest.raises(KeyboardInterrupt):
        world.pass_time(1200)
    assert "BudgetExceeded" not in notes.given
    world.start()
    world.pass_time(cycles=2)
    assert notes.given.count("BudgetExceeded") == 1


def test_a_death_after_an_act_leaves_it_to_be_told(world: World) -> None:
    """Who is stopped is told of it, though the process that did it has not lived to say so; and once."""
    notes = world.notifier = Notes()
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    notes.deaths = 1
    with pytest.raises(KeyboardInterrupt):
        world.pass_time(1200)
    assert world.replicas("llm") == 0
    assert world.events("b") == notes.given == []
    world.start()
    world.pass_time(cycles=2)
    world.start()
    world.pass_time(cycles=2)
    told = [one for one in world.events("b") if one in ("ScaleDownNotice", "WorkloadScaledDown")]
    assert told == ["ScaleDownNotice", "WorkloadScaledDown"]
    assert {"ScaleDownNotice", "WorkloadScaledDown"} <= set(notes.given)


def test_a_changed_price_list_prices_the_open_period_again(world: World) -> None:
    """And what it crosses is the work of an edit, which stops nothing."""
    world.budget("b", 200, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    before = Decimal(world.status("b")["spend"]["amount"])
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    stored["spec"]["rates"][0]["price"] = "6"
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")
    world.pass_time(cycles=2)
    after = Decimal(world.status("b")["spend"]["amount"])
    assert abs(after - 2 * before) < 1
    assert world.conditions("b")["WithinBudget"] == ("False", "LimitExceeded")
    assert world.status("b")["thresholds"][0]["state"] == "Waiting"
    assert world.replicas("llm") == 1


def test_a_budget_in_another_currency_waits_for_an_exchange_rate(world: World) -> None:
    """Without one it is Stalled, says what to write and stops nobody; with one it spends at that rate."""
    world.budget("dollars", 1000)
    world.budget("b", 1, currency="EUR", thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    assert world.conditions("b")["Stalled"] == ("True", "MixedCurrencies")
    assert (world.replicas("llm"), world.holds()) == (1, 0)
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    entry = {"from": "USD", "to": "EUR", "rate": "0.92", "validFrom": "2026-01-01T00:00:00Z"}
    stored["spec"]["exchangeRates"] = [entry]
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")
    world.pass_time(cycles=2)
    dollars, euros = (Decimal(world.status(name)["spend"]["amount"]) for name in ("dollars", "b"))
    assert abs(euros - dollars * Decimal("0.92")) <= Decimal("0.01")
    assert "Stalled" not in world.conditions("b")


def test_a_death_after_a_change_of_prices_stops_nothing(world: World) -> None:
    """The ledger knows when it priced anew: what that crossed waits, whoever comes to tell it."""
    notes = world.notifier = Notes()
    world.budget("b", 200, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    stored["spec"]["rates"][0]["price"] = "6"
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")
    notes.deaths = 1
    with pytest.raises(KeyboardInterrupt):
        world.pass_time()
    world.start()
    world.pass_time(cycles=2)
    assert world.status("b")["thresholds"][0]["state"] == "Waiting"
    assert world.replicas("llm") == 1


def test_a_price_list_that_turns_invalid_keeps_its_last_prices(world: World) -> None:
    """A typing error must not push budgets over their limits."""
    world.budget("b", 1000)
    world.pass_time(cycles=2)
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    stored["spec"]["rates"][0]["price"] = "minus three"
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")
    world.pass_time()
    assert world.status("b")["rate"] == {"perHour": "3.00"}
    status = world.cluster.objects[PRICE_LISTS.plural, "", "company"]["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "Stalled": "True"}


def test_a_new_period_begins_at_nothing_and_the_old_one_is_remembered(world: World) -> None:
    """What was held comes back by the clock."""
    daily = {"type": "Daily"}
    world.meter.now = MIDNIGHT + 2 * DAY + 20 * 3600
    world.budget("b", 62, period=daily, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    world.pass_time(2400, cycles=2)
    assert world.replicas("llm") == 0
    day = world.status("b")["period"]["id"]
    world.pass_time(DAY - (world.meter.now - MIDNIGHT) % DAY, cycles=1)
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    status = world.status("b")
    assert status["period"]["id"] != day
    assert Decimal(status["spend"]["amount"]) < 1
    assert status["thresholds"] == [{"name": "full", "state": "Below"}]
    assert [past["id"] for past in status["history"]] == [day]
    last = {"id": day, "state": "Closed", "limit": "62", "spent": "72.00", "usedPercent": 116}
    assert status["history"][0] == last
    assert "PeriodStarted" in world.events("b")


def test_statuses_are_written_only_when_something_changed(world: World) -> None:
    """A budget without spend costs the API server nothing between two heartbeats."""
    world.cluster.seed(NAMESPACES, "idle")
    world.cluster.seed(AIBUDGETS, "quiet", "idle", spec={"limit": {"amount": 5, "currency": "USD"}})
    world.pass_time(cycles=3)
    world.cluster.written.clear()
    world.pass_time(cycles=3)
    assert [verb for verb, plural in world.cluster.written if plural == AIBUDGETS.plural] == []


def test_the_loss_of_the_ledger_ends_the_loop(world: World) -> None:
    """Another process took it over: this one has to stop, whatever it may still see."""
    world.budget("b", 1000)
    world.pass_time(cycles=2)
    assert world.ledger is not None
    world.in_worker(world.ledger.take_over)
    with pytest.raises(Conflict):
        world.pass_time(1800)


def test_an_api_server_that_is_away_costs_one_cycle(world: World) -> None:
    """What could not be said is said in the next one."""
    world.budget("b", 1000)
    world.pass_time(cycles=2)

    def away() -> None:
        raise Conflict("Conflict", "somebody was faster")

    world.cluster.before_write = away
    world.pass_time()
    before = world.status("b")
    world.cluster.before_write = lambda: None
    world.pass_time()
    assert world.status("b") != before


def test_a_change_of_prices_is_not_held_against_what_is_crossed_later(world: World) -> None:
    """Also where the status that would tell of it could not be written meanwhile."""
    world.budget("b", 200, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    stored["spec"]["rates"][0]["price"] = "3.01"
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")

    def away() -> None:
        raise Conflict("Conflict", "somebody was faster")

    world.cluster.before_write = away
    world.pass_time(cycles=2)
    world.cluster.before_write = lambda: None
    world.pass_time(seconds=20 * 3600)
    world.pass_time(cycles=2)
    assert world.status("b")["thresholds"][0]["state"] == "Active"


def test_what_is_unusual_is_told_with_who_is_behind_it(world: World) -> None:
    """Four weeks of one GPU, then an hour of five: the next cycle says so, once, and whose they are."""
    world.meter.now = MIDNIGHT + 28 * DAY + 12 * 3600
    world.budget("b", 2000)
    world.pass_time(cycles=3)
    assert world.conditions("b")["SpendAsUsual"] == ("True", "AsUsual")
    world.meter.workloads = 5
    world.pass_time(3600, cycles=1)
    world.pass_time(cycles=2)
    assert world.conditions("b")["SpendAsUsual"] == ("False", "UnusualSpend")
    (told,) = world.status("b")["anomalies"]
    assert told["expected"] == "3.00"
    assert [one["name"] for one in told["workloads"]] == ["llm-1", "llm-2"]
    world.start()
    world.pass_time(cycles=3)
    assert world.events("b").count("UnusualSpend") == 1
    assert world.status("b")["anomalies"] == [told]


def test_metrics_that_cannot_be_spelled_cost_no_cycle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is done by then, and is told."""

    def spelled(_: object) -> tuple[bytes, ...]:
        raise ValueError("no number")

    monkeypatch.setattr(cycle, "spelled", spelled)
    world.budget("b", 1000)
    world.pass_time()
    assert world.conditions("b")["Ready"] == ("True", "Reconciled")
    assert world.snapshot.budgets == ()
    assert world.snapshot.counters.cycle_errors["InternalError"] == 1
