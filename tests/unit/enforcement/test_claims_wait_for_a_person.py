"""Mode Approve: a claim waits, is decided or lapses, each is told once, and nothing is done unasked."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from aibudget.api.conditions import find_condition
from aibudget.api.fields import format_instant
from aibudget.api.hold import Hold
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.inventory.resource import DEPLOYMENTS, HOLDS
from aibudget.reporting import enforcing
from aibudget.reporting.facts import Enforcing
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

ASKED = make_claimant("llm", mode="Approve", gracePeriodSeconds=900, approvalSeconds=3600)
ENFORCED = make_claimant("llm", gracePeriodSeconds=900)


class Team:
    """One namespace with one Deployment of 6 replicas, cycle by cycle; minutes count from NOW."""

    def __init__(self) -> None:
        self.api = FakeAPI()
        with_namespace(self.api, "team")
        self.api.deployment("llm", "team", 6)
        self._enforcer = Enforcer(self.api, Limits("aibudget-system"), lambda: True)

    def cycle(self, *claimants: Claimant, minutes: int = 0) -> Report:
        return asyncio.run(self._enforcer.run(claimants, NOW + timedelta(minutes=minutes)))

    def told(self, *claimants: Claimant, minutes: int = 0) -> list[str]:
        return [act.reason for act in self.cycle(*claimants, minutes=minutes).acts]

    @property
    def replicas(self) -> int:
        found: int = self.api.objects[DEPLOYMENTS.plural, "team", "llm"]["spec"]["replicas"]
        return found

    @property
    def hold(self) -> Hold:
        (found,) = [obj for (plural, *_), obj in self.api.objects.items() if plural == HOLDS.plural]
        return Hold.read(found)

    def decisions(self) -> list[tuple[str, str]]:
        return [(claim.uid, claim.decision) for claim in self.hold.spec.claims]

    def decide(self, decision: str, who: str = "alice", minutes: int | None = None) -> None:
        """What `aibudget approve` and `veto` write about the first claim."""
        stored = self.api.objects[HOLDS.plural, "team", self.hold.name]
        until = {} if minutes is None else {"decidedUntil": format_instant(NOW + timedelta(minutes=minutes))}
        stored["spec"]["claims"][0] |= {"decision": decision, "decidedBy": who, **until}
        stored["metadata"]["resourceVersion"] += "-decided"

    def noted(self) -> datetime | None:
        return self.hold.spec.claims[0].decided_time


@pytest.fixture
def team() -> Team:
    return Team()


def reason(hold: Hold) -> str:
    found = find_condition(hold.status.conditions, "Applied")
    return f"{found.reason}: {found.message}" if found else ""


def test_nothing_is_done_until_a_person_approves(team: Team) -> None:
    """The request is told with its end and the command; a day of cycles later nothing was touched."""
    report = team.cycle(ASKED)
    assert [act.reason for act in report.acts] == ["ApprovalRequested"]
    assert "until 2026-11-21T11:00:00Z" in report.acts[0].message
    assert f"kubectl aibudget approve -n team {team.hold.name}" in report.acts[0].message
    assert team.told(ASKED, minutes=59) == []
    assert team.decisions() == [("b-1", "Pending")]
    assert reason(team.hold) == "AwaitingApproval: Waits for a person's approval until 2026-11-21T11:00:00Z."
    assert team.replicas == 6


@pytest.mark.parametrize(("approved", "acted"), [(5, 15), (30, 30)])
def test_acts_when_both_approved_and_noticed(team: Team, approved: int, acted: int) -> None:
    """An approval shortens no notice, and one that comes after it is acted on at once."""
    team.cycle(ASKED)
    team.decide("Approved")
    told = team.told(ASKED, minutes=approved)
    assert told[0] == "HoldApproved"
    assert team.noted() == NOW + timedelta(minutes=approved)
    if acted > approved:
        assert team.told(ASKED, minutes=acted - 1) == []
        assert team.replicas == 6
        told += team.told(ASKED, minutes=acted)
    assert told == ["HoldApproved", "WorkloadScaledDown"]
    assert team.replicas == 0
    assert team.told(ASKED, minutes=120) == [], "an approval has no end but its period's"


def test_what_nobody_decides_lapses(team: Team) -> None:
    """It ends without an act, is told once, and is not asked again for the same threshold."""
    team.cycle(ASKED)
    assert team.told(ASKED, minutes=60) == ["ApprovalExpired"]
    report = team.cycle(ASKED, minutes=600)
    assert report.acts == ()
    assert [spared.reason for spared in report.spared] == ["NotApproved"]
    assert team.decisions() == [("b-1", "Expired")]
    assert reason(team.hold) == "NotApproved: Nobody approved it in time, or no longer: it is left alone."
    assert team.replicas == 6
    assert team.told(make_claimant("llm", mode="Approve", period="2026-12@UTC"), minutes=601) == [
        "ApprovalRequested"
    ]


def test_lapses_by_the_clock_alone(team: Team) -> None:
    """Stale data makes no question wait longer."""
    team.cycle(ASKED)
    stale = make_claimant("llm", mode="Approve", fresh=False)
    assert team.told(stale, minutes=60) == ["ApprovalExpired"]
    assert team.decisions() == [("b-1", "Expired")]


def test_a_higher_threshold_asks_anew(team: Team) -> None:
    """What lapsed at 80 % is another question at 100 %."""
    low = make_claimant("llm", mode="Approve", thresholds=("low",), approvalSeconds=60)
    both = make_claimant("llm", mode="Approve", thresholds=("low", "high"), approvalSeconds=60)
    team.cycle(low)
    team.cycle(low, minutes=1)
    assert team.told(low, minutes=2) == []
    assert team.told(both, minutes=3) == ["ApprovalRequested"]
    assert [claim.threshold for claim in team.hold.spec.claims] == ["high"]
    team.cycle(both, minutes=4)
    assert team.told(both, minutes=5) == []


def test_veto_names_who(team: Team) -> None:
    """A vetoed claim leaves the Hold, is remembered on the workload, and tells who it was."""
    team.cycle(ASKED)
    team.decide("Vetoed", "bob")
    report = team.cycle(ASKED, minutes=1)
    assert [(act.reason, act.message.split()[0]) for act in report.acts] == [("HoldVetoed", "bob")]
    assert team.told(ASKED, minutes=2) == []
    assert not [key for key in team.api.objects if key[0] == HOLDS.plural]


def test_one_approval_of_two_suffices(team: Team) -> None:
    """Each budget's claim is its own: the other one's goes on waiting, and holds nothing by itself."""
    other = make_claimant("llm", uid="b-2", mode="Approve")
    team.cycle(ASKED, other)
    team.decide("Approved")
    assert team.told(ASKED, other, minutes=15) == ["HoldApproved", "WorkloadScaledDown"]
    assert team.decisions() == [("b-1", "Approved"), ("b-2", "Pending")]
    reset = make_claimant("llm", standing="Below")
    resting = make_claimant("llm", uid="b-2", mode="Approve", rates={"llm": 0})

    report = team.cycle(reset, resting, minutes=16)

    assert team.replicas == 6, "nobody approved what is left"
    assert [act.reason for act in report.acts] == ["WorkloadRestored"]
    assert team.decisions() == [("b-2", "Pending")]
    assert team.hold.spec.original is None


def test_a_veto_stops_no_cluster_budget(team: Team) -> None:
    """A tenant's veto of its own budget's claim leaves the ClusterAIBudget's where it is."""
    wide = make_claimant("llm", uid="b-2", kind="ClusterAIBudget", gracePeriodSeconds=900)
    team.cycle(ENFORCED, wide)
    team.decide("Vetoed")
    assert team.told(ENFORCED, wide, minutes=15) == ["HoldVetoed", "WorkloadScaledDown"]
    assert team.decisions() == [("b-2", "Approved")]


def test_a_vetoed_cluster_budget_asks_no_more(team: Team) -> None:
    """Who may decide for a ClusterAIBudget gives the workload back for the period; the Hold remembers."""
    wide = make_claimant("llm", kind="ClusterAIBudget")
    team.cycle(wide)
    assert team.replicas == 0
    team.decide("Vetoed", "root")
    resting = make_claimant("llm", kind="ClusterAIBudget", rates={"llm": 0})
    assert team.told(resting, minutes=1) == ["HoldVetoed", "WorkloadRestored"]
    assert team.replicas == 6
    assert team.decisions() == [("b-1", "Vetoed")]
    assert team.told(wide, minutes=2) == []
    assert team.replicas == 6


def test_switched_to_enforce(team: Team) -> None:
    """What waits is acted on after its notice; what lapsed gets a notice of its own first."""
    team.cycle(ASKED)
    assert team.told(ENFORCED, minutes=14) == ["HoldApproved"]
    assert team.told(ENFORCED, minutes=15) == ["WorkloadScaledDown"]

    late = Team()
    late.cycle(ASKED)
    late.cycle(ASKED, minutes=60)
    late.cycle(ENFORCED, minutes=61)
    late.cycle(ENFORCED, minutes=75)
    assert late.replicas == 6
    late.cycle(ENFORCED, minutes=76)
    assert late.replicas == 0


def test_switched_to_approve(team: Team) -> None:
    """What is on notice waits for a person from now on; what is held already stays held."""
    team.cycle(ENFORCED)
    assert team.told(ASKED, minutes=14) == ["ApprovalRequested"]
    team.cycle(ASKED, minutes=30)
    assert team.replicas == 6

    held = Team()
    held.cycle(ENFORCED)
    held.cycle(ENFORCED, minutes=15)
    assert held.told(ASKED, minutes=16) == []
    assert (held.replicas, held.decisions()) == (0, [("b-1", "Approved")])


def test_switched_to_observe(team: Team) -> None:
    """A question of a budget that only observes is withdrawn."""
    team.cycle(ASKED)
    team.cycle(make_claimant("llm", mode="Observe"), minutes=1)
    assert not [key for key in team.api.objects if key[0] == HOLDS.plural]


def test_the_kill_switch_lets_questions_lapse(team: Team) -> None:
    """While it is set nothing is asked or approved by a mode; the clock goes on."""
    team.cycle(ASKED)
    paused = Enforcer(team.api, Limits("aibudget-system", enabled=False), lambda: True)
    asyncio.run(paused.run([ENFORCED], NOW + timedelta(minutes=5)))
    assert team.decisions() == [("b-1", "Pending")]
    asyncio.run(paused.run([ASKED], NOW + timedelta(minutes=60)))
    assert team.decisions() == [("b-1", "Expired")]


def test_a_question_ends_with_its_period(team: Team) -> None:
    """However long the budget would wait, what it is about is over then."""
    patient: Any = make_claimant("llm", mode="Approve", approvalSeconds=604_800)
    late = 60 * 24 * 8
    team.cycle(patient, minutes=late)
    assert str(team.hold.spec.claims[0].expire_time) == "2026-12-01 00:00:00+00:00"


def test_an_approval_with_an_end(team: Team) -> None:
    """At its end the workload is given back, and the same threshold does not ask again."""
    team.cycle(ASKED)
    team.decide("Approved", minutes=120)
    assert "until 2026-11-21T12:00:00Z" in team.cycle(ASKED, minutes=15).acts[0].message
    assert team.replicas == 0
    resting = make_claimant("llm", mode="Approve", rates={"llm": 0})
    assert team.told(resting, minutes=120) == ["ApprovalExpired", "WorkloadRestored"]
    assert team.told(ASKED, minutes=121) == []
    assert (team.replicas, team.decisions()) == (6, [("b-1", "Expired")])


def test_a_veto_with_an_end(team: Team) -> None:
    """It keeps the budget off until then, and no longer; a new question has its own notice."""
    team.cycle(ASKED)
    team.decide("Vetoed", minutes=120)
    assert team.told(ASKED, minutes=1) == ["HoldVetoed"]
    assert reason(team.hold) == "Vetoed: Vetoed: it is left alone until 2026-11-21T12:00:00Z."
    assert team.told(ASKED, minutes=119) == []
    assert team.told(ASKED, minutes=120) == ["ApprovalRequested"]
    assert team.hold.spec.claims[0].decided_by is None
    assert team.told(ENFORCED, minutes=134) == ["HoldApproved"]
    assert team.told(ENFORCED, minutes=135) == ["WorkloadScaledDown"]


def test_each_decision_is_an_event_of_workload_and_budget(team: Team) -> None:
    """The same in every cycle that finds it, so that it is told once; another budget hears nothing of it."""
    other = make_claimant("llm", uid="b-2", mode="Approve")
    team.cycle(ASKED, other)
    team.decide("Approved")
    report = team.cycle(ASKED, other, minutes=1)

    told = [event for event in enforcing.told(report, 0) if event.reason == "HoldApproved"]

    assert [(event.regarding.kind, event.regarding.name) for event in told] == [
        ("Deployment", "llm"),
        ("AIBudget", "b-1"),
    ]
    assert "by alice" in told[0].message
    assert [event.name for event in told] == [
        event.name for event in enforcing.told(report, 9000) if event.reason == "HoldApproved"
    ]


def test_the_budget_s_status_counts_what_waits(team: Team) -> None:
    """What waits is pending, in the condition by its name; what lapsed is nothing any more."""
    waits = enforcing.by_budget(team.cycle(ASKED))["b-1"]
    assert (waits.active, waits.pending, waits.waiting) == (0, 1, 1)
    lapsed = team.cycle(ASKED, minutes=60)
    assert (lapsed.holds[0].spec.claims[0].decision, enforcing.states(lapsed)["ScaleDown", "pending"]) == (
        "Expired",
        0,
    )
    assert enforcing.by_budget(lapsed).get("b-1", Enforcing()).pending == 0
