"""Who is held and for whom, who is spared and why, and when claims end: the plan, as a value."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aibudget.api.hold import Claim, Hold
from aibudget.api.names import PROTECTED, PROTECTED_UNTIL, VETO_LABEL
from aibudget.enforcement import hold as holds
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Facts, NamespaceFacts, Untouchable
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.plan import Plan, plan
from aibudget.inventory.workload import Workload
from unit.enforcement.conftest import NOW, make_claimant


def live(name: str = "llm", namespace: str = "team", replicas: int = 6, **metadata: Any) -> Live:
    kind = metadata.pop("kind", "Deployment")
    return read(
        {
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "resourceVersion": "1",
                **metadata,
            },
            "spec": {"replicas": replicas},
        }
    )


def facts(*lives: Live, **changes: Any) -> Facts:
    known = Facts(
        holds=(),
        lives={one.workload: one for one in lives},
        namespaces={one.workload.namespace: NamespaceFacts({}, {}) for one in lives},
        gone=frozenset(),
        paused=False,
        untouchable=Untouchable(frozenset({"aibudget-system", "gpu-operator"})),
    )
    return replace(known, **changes)


def held(one: Live, *claims: Claim, original: str | None = "6") -> Hold:
    body = holds.body(one, claims)
    body["metadata"] |= {"uid": "uid-hold", "resourceVersion": "7"}
    if original is not None:
        body["spec"]["original"] = holds.original_json("/spec/replicas", original)
    return Hold.read(body)


def claim(uid: str = "b-1", **changes: Any) -> Claim:
    values = {
        "kind": "AIBudget",
        "name": uid,
        "uid": uid,
        "period_id": "2026-11@UTC",
        "threshold": "over",
        "decision": "Approved",
        "notice_time": NOW,
    }
    return Claim(**(values | changes))


def over(claimant: Claimant) -> Claimant:
    """The same budget after its Fixed period, which keeps its id."""
    period = replace(claimant.evaluation.period, standing="Over")
    return replace(claimant, evaluation=replace(claimant.evaluation, period=period))


def spare_reasons(found: Plan) -> list[str]:
    return [spared.reason for spared in found.spared]


def test_everything_that_spends_is_claimed_the_dearest_first() -> None:
    """What costs nothing now is no victim; the order is by rate, then by name, and always the same."""
    budget = make_claimant("a", "b", "idle", rates={"b": 9, "idle": 0})
    found = plan([budget], facts(live("a"), live("b"), live("idle")), NOW)
    assert sorted(wish.workload.name for wish in found.wishes) == ["a", "b"]
    assert all(wish.due and wish.hold is None for wish in found.wishes)
    assert found == plan([budget], facts(live("idle"), live("b"), live("a")), NOW)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (live(annotations={PROTECTED: "true"}), "Protected"),
        (live(labels={PROTECTED: "yes"}), "Protected"),
        (live(annotations={PROTECTED: ""}), "Protected"),
        (live(annotations={PROTECTED_UNTIL: "2026-11-21T10:00:01Z"}), "Protected"),
        (live(annotations={PROTECTED_UNTIL: "tomorrow"}), "Protected"),
        (live(labels={f"{VETO_LABEL}b-1": "2026-11_40UTC"}), "Vetoed"),
        (live(labels={"tier": "critical"}), "ProtectedByBudget"),
        (live(ownerReferences=[{"kind": "LLMService", "name": "x", "controller": True}]), "Controlled"),
        (live(annotations={"downscaler/original-replicas": "6"}), "StoppedByAnotherTool"),
        (live(replicas=0), "AlreadyStopped"),
        (live(replicas=100_001), "TooLarge"),
    ],
)
def test_spared(one: Live, reason: str) -> None:
    """Each decision of a person, and each thing that could not be given back, spares and says so."""
    budget = make_claimant("llm", protect={"matchLabels": {"tier": "critical"}})
    found = plan([budget], facts(one), NOW)
    assert found.wishes == ()
    assert spare_reasons(found) == [reason]


@pytest.mark.parametrize(
    "annotations",
    [{}, {PROTECTED: "false"}, {PROTECTED: " False"}, {PROTECTED_UNTIL: "2026-11-21T10:00:00Z"}],
)
def test_not_protected(annotations: dict[str, str]) -> None:
    """Only "false" does not protect, and a protection ends at its time."""
    found = plan([make_claimant("llm")], facts(live(annotations=annotations)), NOW)
    assert [wish.wanted for wish in found.wishes] == [True]


def test_other_kinds_and_places_are_spared() -> None:
    """What no kind is known of, what is gone or unreadable, and what is in an untouchable namespace."""
    job = make_claimant("train", workload_kind="RayJob", uid="b-2")
    system = make_claimant("dns", namespace="kube-system", uid="b-3")
    own = make_claimant("exporter", namespace="gpu-operator", uid="b-4")
    gone = make_claimant("gone", uid="b-5")
    known = facts(live(), lives={Workload("team", "Deployment", "gone"): None})
    found = plan([job, system, own, gone, make_claimant("hidden", uid="b-6")], known, NOW)
    assert found.wishes == ()
    assert sorted(spare_reasons(found)) == sorted(
        ["KindNotStopped", "UntouchableNamespace", "UntouchableNamespace", "Gone", "NotReadable"]
    )


def test_cluster_budget_hears_the_namespace_alone() -> None:
    """A ClusterAIBudget passes over what a tenant writes on a workload, not over the namespace's mark."""
    marks = {PROTECTED: "true", "downscaler/original-replicas": "6"}
    vetoed = {f"{VETO_LABEL}b-1": "2026-11_40UTC"}
    budget = make_claimant("llm", kind="ClusterAIBudget")
    assert plan([budget], facts(live(annotations=marks, labels=vetoed)), NOW).wishes[0].wanted
    shielded = {"team": NamespaceFacts({}, {PROTECTED: "true"})}
    found = plan([budget], facts(live(), namespaces=shielded), NOW)
    assert spare_reasons(found) == ["NamespaceProtected"]


def test_grace_is_counted_from_the_notice() -> None:
    """A claim is due when its own budget's grace has passed since its own notice."""
    budget = make_claimant("llm", gracePeriodSeconds=900)
    one = live()
    hold = held(one, claim(), original=None)
    for minutes, due in ((14, False), (15, True)):
        found = plan([budget], facts(one, holds=(hold,)), NOW + timedelta(minutes=minutes))
        assert [wish.due for wish in found.wishes] == [due]
        assert found.wishes[0].claims == hold.spec.claims


@pytest.mark.parametrize(
    ("claimants", "changes", "kept"),
    [
        ([make_claimant("llm")], {}, True),
        ([], {}, True),
        ([], {"gone": frozenset({"b-1"})}, False),
        ([make_claimant("llm", standing="Below")], {}, False),
        ([make_claimant("llm", standing="Unknown")], {}, True),
        ([make_claimant("llm", standing="Below", fresh=False)], {}, True),
        ([over(make_claimant("llm", fresh=False))], {}, False),
        ([make_claimant("llm", standing="Below", fresh=False, period="2026-12@UTC")], {}, False),
        ([make_claimant("llm", mode="Observe")], {}, False),
        ([make_claimant("llm", mode="Observe", fresh=False)], {}, False),
        ([make_claimant("llm")], {"lives": {}}, True),
        ([make_claimant("llm")], {"namespaces": {}}, True),
        ([make_claimant("llm")], {"paused": True}, True),
    ],
)
def test_when_a_claim_ends(claimants: list[Any], changes: dict[str, Any], kept: bool) -> None:
    """Stale or absent data ends none; a new period, a deleted budget and people's decisions do."""
    one = live(replicas=0)
    found = plan(claimants, facts(one, holds=(held(one, claim()),), **changes), NOW)
    assert [wish.wanted for wish in found.wishes] == [kept]


@pytest.mark.parametrize("fresh", [True, False])
def test_what_a_scope_leaves_out_is_let_go(fresh: bool) -> None:
    """A scope is a person's decision; of what it may select, for all that is known, nothing is let go."""
    one, budget = live(), make_claimant(fresh=fresh)
    narrowed = replace(budget.evaluation, outside=frozenset({one.workload}))
    known = facts(one, holds=(held(one, claim()),))
    (kept,) = plan([budget], known, NOW).wishes
    (let_go,) = plan([replace(budget, evaluation=narrowed)], known, NOW).wishes
    assert (kept.claims, let_go.claims) == ((claim(),), ())


def test_protection_ends_a_hold() -> None:
    """A workload that is protected while it is held is given back, whatever the data."""
    one = live(replicas=0, annotations={PROTECTED: "true"})
    budget = make_claimant("llm", fresh=False)
    found = plan([budget], facts(one, holds=(held(one, claim()),)), NOW)
    assert not found.wishes[0].wanted


def test_stale_data_claims_nothing_new() -> None:
    """Without fresh data nobody is claimed, and no claim is due."""
    budget = make_claimant("llm", fresh=False)
    assert plan([budget], facts(live()), NOW).wishes == ()
    one = live()
    found = plan([budget], facts(one, holds=(held(one, claim(), original=None),)), NOW + timedelta(days=1))
    assert [(wish.wanted, wish.due) for wish in found.wishes] == [(True, False)]


def test_kill_switch_claims_nothing_new() -> None:
    """Paused, nobody is claimed and nothing is due; releases go on."""
    one = live()
    assert plan([make_claimant("llm")], facts(one, paused=True), NOW).wishes == ()
    below = make_claimant("llm", standing="Below")
    found = plan([below], facts(one, holds=(held(one, claim()),), paused=True), NOW)
    assert [wish.wanted for wish in found.wishes] == [False]


def test_a_second_budget_joins_what_is_held() -> None:
    """What is held already spends nothing; the next budget over its threshold claims it all the same."""
    one = live(replicas=0)
    second = make_claimant("llm", uid="b-2", rates={"llm": 0})
    found = plan([make_claimant("llm"), second], facts(one, holds=(held(one, claim()),)), NOW)
    assert [c.uid for c in found.wishes[0].claims] == ["b-1", "b-2"]


def test_notice_is_withdrawn() -> None:
    """A workload that stopped spending during its notice, or became somebody else's, is claimed no more."""
    one = live()
    hold = held(one, claim(), original=None)
    idle = make_claimant("llm", rates={"llm": 0})
    assert not plan([idle], facts(one, holds=(hold,)), NOW).wishes[0].wanted
    owned = live(ownerReferences=[{"kind": "LLMService", "name": "x", "controller": True}])
    assert not plan([make_claimant("llm")], facts(owned, holds=(hold,)), NOW).wishes[0].wanted


def test_vetoed_claim_is_remembered() -> None:
    """A vetoed claim goes to the workload's memory; a ClusterAIBudget's stays where no tenant can write."""
    one = live(replicas=0)
    found = plan([make_claimant("llm")], facts(one, holds=(held(one, claim(decision="Vetoed")),)), NOW)
    assert not found.wishes[0].wanted
    assert [c.uid for c in found.wishes[0].vetoes] == ["b-1"]
    wide = make_claimant("llm", kind="ClusterAIBudget")
    vetoed = claim(kind="ClusterAIBudget", decision="Vetoed")
    found = plan([wide], facts(one, holds=(held(one, vetoed),)), NOW)
    assert not found.wishes[0].wanted
    assert (found.wishes[0].claims, found.wishes[0].vetoes) == ((vetoed,), ())
    assert spare_reasons(found) == ["Vetoed"]


def test_pending_claim_is_never_due() -> None:
    """What waits for a decision is not acted on."""
    one = live()
    hold = held(one, claim(decision="Pending"), original=None)
    budget = make_claimant("llm", mode="Approve")
    found = plan([budget], facts(one, holds=(hold,)), NOW + timedelta(days=1))
    assert [wish.due for wish in found.wishes] == [False]


def test_hold_names() -> None:
    """One object has one name, which fits a label; another uid, kind or group has another."""
    deployment = KINDS["Deployment"]
    name = holds.hold_name(deployment, "llm", "uid-1")
    assert name.startswith("deployment-llm-")
    assert name == holds.hold_name(deployment, "llm", "uid-1")
    assert name != holds.hold_name(deployment, "llm", "uid-2")
    assert name != holds.hold_name(KINDS["StatefulSet"], "llm", "uid-1")
    for long in ("x" * 253, "a" * 51 + "-.-" + "b" * 60):
        found = holds.hold_name(deployment, long, "uid-1")
        assert len(found) <= 63
        assert found.replace("-", "").replace(".", "").isalnum()
