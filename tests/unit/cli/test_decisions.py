"""Which claims `approve` and `veto` mean, what they write, and what they say of the rest."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from aibudget.api.hold import Hold
from aibudget.cli.decision import Request, Verdict, is_meant, patch, sorted_out

DECISIONS = {"training": "Pending", "research": "Approved", "chat": "Vetoed", "nightly": "Expired"}


def hold(**decisions: str) -> Hold:
    claims = [
        {
            "kind": "AIBudget",
            "name": name,
            "uid": name,
            "periodId": "p",
            "threshold": "over",
            "decision": made,
        }
        for name, made in decisions.items()
    ]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": "t"}
    metadata = {"name": "deployment-llm-1", "namespace": "team", "resourceVersion": "7"}
    spec = {"targetRef": target, "action": "ScaleDown", "claims": claims}
    return Hold.read(
        {"apiVersion": "aibudget.io/v1alpha1", "kind": "Hold", "metadata": metadata, "spec": spec}
    )


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("deployment-llm-1", True),
        ("hold/deployment-llm-1", True),
        ("deployment/llm", True),
        ("Deployments/llm", True),
        ("statefulset/llm", False),
        ("deployment/chat", False),
        ("llm", False),
        ("", False),
    ],
)
def test_a_target_is_a_hold_or_a_workload(target: str, meant: bool) -> None:
    """A workload's name alone could be that of many kinds, so it means none."""
    assert is_meant(hold(), target) is meant


@pytest.mark.parametrize(("verdict", "places"), [("Approved", [0]), ("Vetoed", [0, 1])])
def test_only_what_is_open_is_decided(verdict: Verdict, places: list[int]) -> None:
    """Approved from Pending alone; vetoed also what is approved already."""
    found, said = sorted_out(hold(**DECISIONS), Request(("x",), verdict))

    assert found == places
    assert len(found) + len(said) == len(DECISIONS)


@pytest.mark.parametrize(
    ("budget", "ok", "result"),
    [
        ("research", True, "Approved already"),
        ("AIBudget/research", True, "Approved already"),
        ("chat", False, "kubectl delete hold -n team deployment-llm-1"),
        ("nightly", False, "A higher threshold or the next period asks anew"),
        ("ClusterAIBudget/research", False, "ClusterAIBudget/research has no claim"),
    ],
)
def test_what_cannot_be_approved_says_why(budget: str, ok: bool, result: str) -> None:
    """What stands already is no failure; what is closed names the way out."""
    places, (answer,) = sorted_out(hold(**DECISIONS), Request(("x",), "Approved", budget))

    assert (places, answer.ok) == ([], ok)
    assert result in answer.result


def test_the_patch_decides_on_what_was_looked_at() -> None:
    """One patch, with the version that was read; an earlier decision's note goes."""
    noted: dict[str, Any] = {"decided_by": "alice", "decided_time": "2026-11-21T10:00:00Z"}
    one = hold(training="Approved")
    claim = one.spec.claims[0].__class__(**{**one.spec.claims[0].model_dump(), **noted})
    one = one.model_copy(update={"spec": one.spec.model_copy(update={"claims": (claim,)})})

    assert patch(one, [0], Request(("x",), "Vetoed"), "bob") == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/spec/claims/0/decision", "value": "Vetoed"},
        {"op": "add", "path": "/spec/claims/0/decidedBy", "value": "bob"},
        {"op": "remove", "path": "/spec/claims/0/decidedTime"},
    ]


def test_until_is_written_as_kubernetes_does() -> None:
    """In UTC, whatever zone it was typed in."""
    until = datetime(2026, 11, 22, 8, tzinfo=timezone(timedelta(hours=1)))
    written = patch(hold(training="Pending"), [0], Request(("x",), "Approved", until=until), "bob")
    assert {"op": "add", "path": "/spec/claims/0/decidedUntil", "value": "2026-11-22T07:00:00Z"} in written
