"""Which namespaces are frozen and blocked, for whom, and what is done next: planning alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from aibudget.api.conditions import Condition
from aibudget.api.hold import Hold
from aibudget.api.kinds import parse
from aibudget.api.names import API_VERSION, REVERTS_ANNOTATION
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Untouchable
from aibudget.enforcement.fences import (
    Fence,
    FenceFacts,
    Place,
    Sight,
    Step,
    fence_name,
    next_step,
    plan_fences,
    wanted_places,
)
from aibudget.enforcement.placard import (
    exempt_in,
    hard_of,
    invalid,
    mark_in,
    mark_of,
    mark_text,
    value_of,
    vetoes_at,
    with_vetoes,
    words,
)
from unit.enforcement.conftest import NOW, make_claimant

TEAM = Place("team", "n-1", {}, {})
BOTH = ("Freeze", "Block")


def facts(*holds: Hold, **how: Any) -> FenceFacts:
    whole: dict[str, Any] = {
        "places": {"team": TEAM},
        "vetoes": {},
        "gone": frozenset(),
        "paused": False,
        "untouchable": Untouchable(frozenset({"aibudget-system"})),
    }
    return FenceFacts(tuple(holds), **(whole | how))


def budget(*actions: str, names: tuple[str, ...] = ("llm",), **how: Any) -> Claimant:
    """A budget over its only threshold, with these actions."""
    made = make_claimant(*names, **how)
    (state,) = made.evaluation.thresholds
    threshold = state.threshold.model_copy(update={"actions": actions})
    evaluation = replace(made.evaluation, thresholds=(replace(state, threshold=threshold),))
    return Claimant(made.budget, evaluation)


def hold_of(fence: Fence, *, original: bool = True, **metadata: Any) -> Hold:
    """The Hold that this fence leads to."""
    name = fence_name(fence.action, fence.place.name, fence.place.uid)
    path = {"path": "/spec/hard", "json": '{"requests.nvidia.com/gpu":"3"}'}
    if fence.action == "Block":
        path = {"path": f"/data/{fence.place.name}"}
    target = {"apiVersion": "v1", "kind": "Namespace", "name": fence.place.name, "uid": fence.place.uid}
    spec = {
        "targetRef": target,
        "action": fence.action,
        "claims": [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in fence.claims],
        **({"original": [path]} if original else {}),
    }
    whole = {"name": name, "namespace": fence.place.name, "uid": f"h-{fence.action}", **metadata}
    made = parse({"apiVersion": API_VERSION, "kind": "Hold", "metadata": whole, "spec": spec})
    assert isinstance(made, Hold)
    return made


def planned(*claimants: Claimant, **how: Any) -> tuple[Fence, ...]:
    return plan_fences(claimants, facts(**how), NOW)[0]


def test_a_budget_fences_its_own_namespace_at_once() -> None:
    """There is no notice to wait for, since nothing that runs is stopped."""
    fences = planned(budget(*BOTH, gracePeriodSeconds=900))

    assert [(fence.action, fence.place.name, fence.due) for fence in fences] == [
        ("Freeze", "team", True),
        ("Block", "team", True),
    ]
    assert [claim.decision for fence in fences for claim in fence.claims] == ["Approved"] * 2


def test_a_cluster_budget_fences_where_it_is_spent() -> None:
    """A covered namespace in which nothing was spent has nothing to freeze."""
    theirs = budget("Freeze", kind="ClusterAIBudget")

    assert wanted_places([theirs]) == {"team"}
    assert wanted_places([budget("Freeze", kind="ClusterAIBudget", names=())]) == frozenset()
    assert wanted_places([budget("ScaleDown")]) == frozenset()


def test_lifting_comes_first_and_a_block_goes_before_a_freeze() -> None:
    """And is raised after it: whatever comes back finds the way free."""
    ours = budget(*BOTH)
    holds = [hold_of(fence) for fence in planned(ours)]
    other = Place("other", "n-2", {}, {})
    theirs = budget(*BOTH, namespace="other", uid="b-2")

    fences, _ = plan_fences(
        [budget(*BOTH, standing="Below"), theirs], facts(*holds, places={"team": TEAM, "other": other}), NOW
    )

    assert [(fence.wanted, fence.action) for fence in fences] == [
        (False, "Block"),
        (False, "Freeze"),
        (True, "Freeze"),
        (True, "Block"),
    ]


def test_all_budgets_are_claims_in_one_hold() -> None:
    """And it goes on for those that are left."""
    ours, theirs = budget("Block"), budget("Block", kind="ClusterAIBudget", uid="b-2")
    (fence,) = planned(ours, theirs)
    assert [claim.uid for claim in fence.claims] == ["b-1", "b-2"]

    fences, _ = plan_fences([budget("Block", standing="Below"), theirs], facts(hold_of(fence)), NOW)

    assert [[claim.uid for claim in fence.claims] for fence in fences] == [["b-2"]]


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"standing": "Below"}, False),
        ({"standing": "Below", "fresh": False}, True),
        ({"standing": "Unknown"}, True),
        ({"period": "2026-12@UTC", "fresh": False, "standing": "Below"}, False),
        ({"mode": "Observe", "fresh": False}, False),
    ],
    ids=["raised", "stale", "undecided", "over", "observes"],
)
def test_what_ends_a_claim(how: dict[str, Any], *, kept: bool) -> None:
    """What people and the clock decide always does, data only if they are fresh and say so."""
    (fence,) = planned(budget("Freeze"))

    fences, _ = plan_fences([budget("Freeze", **how)], facts(hold_of(fence)), NOW)

    assert [bool(one.claims) for one in fences] == [kept]


def test_a_budget_that_nobody_evaluated_lets_go_only_if_it_is_gone() -> None:
    """An empty list is no answer."""
    (fence,) = planned(budget("Freeze"))
    hold = hold_of(fence)

    assert plan_fences([], facts(hold), NOW)[0][0].claims == hold.spec.claims
    assert plan_fences([], facts(hold, gone=frozenset({"b-1"})), NOW)[0][0].claims == ()


def test_a_namespace_that_becomes_untouchable_is_let_go() -> None:
    """It is read no more, and what stands in it goes."""
    (fence,) = planned(budget("Freeze"))
    apart = {"places": {}, "untouchable": Untouchable(frozenset({"team"}))}

    fences, _ = plan_fences([budget("Freeze")], facts(hold_of(fence), **apart), NOW)

    assert [one.wanted for one in fences] == [False]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (
            {"places": {"team": Place("team", "n-1", {}, {"aibudget.io/protected": "true"})}},
            "NamespaceProtected",
        ),
        ({"untouchable": Untouchable(frozenset({"team"}))}, "UntouchableNamespace"),
        ({"vetoes": {"team": frozenset({("Freeze", "b-1", "2026-11@UTC")})}}, "Vetoed"),
        ({"places": {}}, "NotReadable"),
        ({"vetoes": None}, "NotReadable"),
        ({"places": {"team": None}}, "Gone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_spared(how: dict[str, Any], reason: str) -> None:
    """With the reason; also where it stands already, for what a person has decided."""
    fences, spared = plan_fences([budget("Freeze")], facts(**how), NOW)

    assert fences == ()
    assert [str(one.reason) for one in spared] == [reason]


def test_a_cluster_budget_does_not_hear_a_tenants_veto() -> None:
    """A veto of the same period, by whoever may delete Holds in the namespace."""
    theirs = budget("Freeze", kind="ClusterAIBudget")
    vetoes = {"team": frozenset({("Freeze", "b-1", "2026-11@UTC")})}

    assert [fence.due for fence in planned(theirs, vetoes=vetoes)] == [True]


def test_the_kill_switch_makes_nothing_due_and_claims_nothing() -> None:
    """What stands goes on standing."""
    assert planned(budget("Freeze"), paused=True) == ()
    (fence,) = planned(budget("Freeze"))

    fences, _ = plan_fences([budget("Freeze")], facts(hold_of(fence), paused=True), NOW)

    assert [(one.wanted, one.due) for one in fences] == [(True, False)]


def test_a_claim_that_waits_for_a_person_is_not_due() -> None:
    """Mode Approve."""
    (fence,) = planned(budget("Block", mode="Approve"))

    assert (fence.wanted, fence.due) == (True, False)
    assert [claim.decision for claim in fence.claims] == ["Pending"]


NOTHING, BEGUN, STANDS = Sight(False, False), Sight(True, False), Sight(True, True)


@pytest.mark.parametrize(
    ("sight", "wanted", "may_act", "step"),
    [
        (NOTHING, True, True, Step.RAISE),
        (NOTHING, True, False, Step.WAIT),
        (BEGUN, True, True, Step.RAISE),
        (STANDS, True, False, Step.CHECK),
        (STANDS, False, True, Step.LIFT),
        (BEGUN, False, False, Step.LIFT),
        (NOTHING, False, False, Step.DELETE),
    ],
)
def test_the_next_step(sight: Sight, *, wanted: bool, may_act: bool, step: Step) -> None:
    """By what is there now, whatever was interrupted."""
    (fence,) = planned(budget("Freeze"))

    assert next_step(hold_of(fence), sight, wanted=wanted, may_act=may_act) is step


def test_what_somebody_takes_away_is_counted_and_given_up() -> None:
    """After three times."""
    (fence,) = planned(budget("Freeze"))
    applied = Condition(type="Applied", status="True", reason="Held", last_transition_time=NOW)
    hold = hold_of(fence)
    standing = hold.model_copy(update={"status": hold.status.model_copy(update={"conditions": (applied,)})})

    assert next_step(standing, NOTHING, wanted=True, may_act=True) is Step.COUNT
    often = hold_of(fence, annotations={REVERTS_ANNOTATION: "4"})
    assert next_step(often, NOTHING, wanted=True, may_act=True) is Step.CONTEST


def test_a_key_says_it_all_and_is_read_again() -> None:
    """The answer is one line; the mark is known, whoever is exempt has a line."""
    (fence,) = planned(budget("Block"))
    hold = hold_of(fence)
    value = value_of(replace(fence, until=datetime(2026, 12, 1, tzinfo=UTC)), hold, frozenset({"u-1", "u-2"}))

    answer, *_ = value.split("\n")
    assert "AIBudget b-1 (threshold over, period 2026-11@UTC)" in answer
    assert "2026-12-01T00:00:00Z" in answer
    assert f"kubectl delete hold -n team {hold.name}" in answer
    assert exempt_in(value) == {"u-1", "u-2"}
    mark = mark_in(value)
    assert mark is not None
    assert (mark.hold, mark.uid, [claim.uid for claim in mark.claims]) == (hold.name, hold.uid, ["b-1"])


def test_a_freeze_says_what_waits() -> None:
    """A rolling update that needs surge does; whoever looks for the reason finds it here."""
    (fence,) = planned(budget("Freeze"))

    assert "a rolling update that needs more pods for a while waits" in words(fence, hold_of(fence))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"name": "x"}', '{"claims": 1}'])
def test_a_mark_that_is_not_ours_is_none(text: str | None) -> None:
    """Whoever may edit quotas may write there."""
    assert mark_of(text) is None


def test_vetoes_are_kept_for_the_newest_period() -> None:
    """So that what is remembered of a namespace does not grow for ever."""
    first = with_vetoes(None, frozenset({("Freeze", "b", "2026-11@UTC"), ("Block", "b", "2026-11@UTC")}))
    second = with_vetoes(first, frozenset({("Freeze", "b", "2026-12@Europe/Berlin")}))

    assert vetoes_at(second) == {("Freeze", "b", "2026-12@Europe/Berlin"), ("Block", "b", "2026-11@UTC")}
    assert vetoes_at("rubbish Freeze/=x") == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "freeze-team-0000000000"},
        {"targetRef": {"apiVersion": "v1", "kind": "Namespace", "name": "other", "uid": "n-1"}},
        {"original": [{"path": "/spec/hard", "json": '{"pods":"0"}'}]},
        {"original": [{"path": "/spec/hard", "json": '{"requests.nvidia.com/gpu":"-1"}'}]},
        {"original": [{"path": "/spec/hard", "json": "[]"}]},
        {"original": [{"path": "/spec/scopes", "json": "{}"}]},
        {"original": [{"path": "/spec/hard"}]},
    ],
)
def test_a_forged_hold_is_no_way_to_write_other_things(change: dict[str, Any]) -> None:
    """Only a quota over accelerators, in the Hold's own namespace, is ever written for one."""
    (fence,) = planned(budget("Freeze"))
    ours = hold_of(fence)
    spec = ours.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec |= {key: value for key, value in change.items() if key != "name"}
    metadata = {"name": change.get("name", ours.name), "namespace": "team", "uid": ours.uid}
    forged = parse({"apiVersion": API_VERSION, "kind": "Hold", "metadata": metadata, "spec": spec})

    assert isinstance(forged, Hold)
    assert invalid(forged) is not None
    assert invalid(hold_of(fence)) is None
    assert hard_of(hold_of(fence)) == {"requests.nvidia.com/gpu": "3"}
    assert mark_of(mark_text(forged)) is not None
