"""What a namespace's people try against Holds, budgets and marks: refused by the API server, or harmless."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aibudget.api.names import (
    FENCES,
    FREEZE_QUOTA,
    HOLD_LABEL,
    KILL_SWITCH,
    ORIGINAL_ANNOTATION,
    REASON_ANNOTATION,
)
from aibudget.cli.main import cli
from aibudget.sandbox.binaries import locate
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until
from cluster.chart.arena import Arena, Person, decision
from cluster.chart.conftest import SYSTEM
from cluster.enforcement.conftest import NOW, REPLICAS

pytestmark = pytest.mark.cluster

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def arena(
    installed: list[dict[str, Any]],
    control_plane: ControlPlane,
    namespace: Callable[..., str],
    tmp_path: Path,
) -> Iterator[Arena]:
    """A namespace of its own, with nobody in it yet."""
    assert installed
    kubectl = str(locate(["kubectl"], lambda _: None)["kubectl"])
    yield Arena(control_plane, namespace(), kubectl, directory=tmp_path)
    root = "/apis/aibudget.io/v1alpha1/clusteraibudgets"
    for budget in control_plane.client.items(root):
        control_plane.client.delete(f"{root}/{budget['metadata']['name']}")


def meddler(arena: Arena) -> Person:
    """Somebody who was given every verb of Kubernetes on Holds by mistake."""
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    rule = {"apiGroups": ["aibudget.io"], "resources": ["holds", "holds/status"], "verbs": verbs}
    metadata = {"name": "meddler"}
    arena.plane.client.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": [rule],
        }
    )
    person = arena.enter("meddler", role="meddler")
    arena.await_right(person, "create", "holds")
    return person


def forged(arena: Arena, **changes: Any) -> dict[str, Any]:
    """A Hold as somebody would like it."""
    spec = arena.hold["spec"]
    metadata = {"name": "deployment-llm-0000000000", "namespace": arena.namespace}
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "Hold",
        "metadata": metadata | changes.pop("metadata", {}),
        "spec": {**spec, **changes},
    }


@dataclass(frozen=True, slots=True)
class Write:
    """One change of the existing Hold that nobody but the operator may make."""

    name: str
    body: Callable[[Arena], Any]
    subresource: str = ""


def replaced(path: str, value: Any) -> Callable[[Arena], Any]:
    return lambda _: [{"op": "add", "path": path, "value": value}]


def _claims(arena: Arena, **changes: Any) -> Any:
    first, *rest = arena.hold["spec"]["claims"]
    return [{"op": "replace", "path": "/spec/claims", "value": [{**first, **changes}, *rest]}]


CHANGES = [
    Write("another target", replaced("/spec/targetRef/name", "gateway")),
    Write("another original", replaced("/spec/original", [{"path": "/spec/replicas", "json": "1000"}])),
    Write("no original", lambda _: [{"op": "remove", "path": "/spec/original"}]),
    Write("no claim", replaced("/spec/claims", [])),
    Write("a budget of one's own", lambda a: _claims(a, uid="mine")),
    Write("an earlier notice", lambda a: _claims(a, noticeTime="2020-01-01T00:00:00Z")),
    Write("another period", lambda a: _claims(a, periodId="2099-01@UTC")),
    Write("a later end", lambda a: _claims(a, expireTime="2099-01-01T00:00:00Z")),
    Write("somebody else decided", lambda a: _claims(a, decidedBy="alice")),
    Write("another end of a decision", lambda a: _claims(a, decidedUntil="2099-01-01T00:00:00Z")),
    Write("noted in the operator's name", lambda a: _claims(a, decidedTime="2026-11-21T10:00:00Z")),
    Write("forgotten reverts", lambda _: {"metadata": {"annotations": {"aibudget.io/reverts": "-1"}}}),
    Write("a label", lambda _: {"metadata": {"labels": {"mine": "true"}}}),
    Write("a finalizer", lambda _: {"metadata": {"finalizers": ["mine.io/stay"]}}),
    Write("a contested status", lambda _: {"status": {"conditions": []}}, "/status"),
]


def test_nobody_writes_holds_but_the_operator(arena: Arena) -> None:
    """Every change but a decision, by an editor, an approver, and one who has all verbs on Holds."""
    arena.deploy()
    budget = arena.budget()
    arena.operate(budget)
    before = arena.hold
    assert before["spec"]["original"], "the policy lets the operator itself act"
    editor, approver = arena.enter("editor", role="edit"), arena.enter("approver", role="aibudget-approver")
    arena.await_right(approver, "patch", "holds")
    arena.await_right(editor, "create", "aibudgets")
    mighty = meddler(arena)

    taken = [
        f"{write.name} by {person.name}: {answer.status_code}"
        for person in (editor, approver, mighty)
        for write in CHANGES
        for answer in [
            person.patch(arena.hold_path(before["metadata"]["name"]) + write.subresource, write.body(arena))
        ]
        if answer.status_code not in (403, 422) or answer.ok
    ]

    assert not taken
    assert arena.hold == before
    same = mighty.client.request("PUT", arena.hold_path(before["metadata"]["name"]), before)
    assert same.ok, f"a storage migration writes what is there already: {same.text}"
    explained = mighty.patch(arena.hold_path(before["metadata"]["name"]), _claims(arena, periodId="x")).text
    assert "only decision, decidedBy and decidedUntil of a claim" in explained


def test_nobody_creates_holds_but_the_operator(arena: Arena) -> None:
    """For a workload of another namespace, with an original of one's own, under a name that would fit."""
    arena.deploy()
    arena.operate(arena.budget())
    mighty, editor = meddler(arena), arena.enter("editor", role="edit")
    much = [{"path": "/spec/replicas", "json": "1000"}]
    for person in (mighty, editor):
        for hold, where in (
            (forged(arena, original=much), arena.namespace),
            (forged(arena, metadata={"namespace": "default"}), "default"),
            (forged(arena, targetRef={**arena.hold["spec"]["targetRef"], "name": "other"}), arena.namespace),
        ):
            answer = person.client.request("POST", arena.hold_path(namespace=where), hold)
            assert answer.status_code == 403, answer.text
    assert (
        "only AIBudget itself creates Holds"
        in mighty.client.request("POST", arena.hold_path(), forged(arena)).text
    )
    assert len(arena.holds()) == 1


def test_decisions_are_one_s_own_and_go_one_way(arena: Arena) -> None:
    """In one's own name, where one may decide, from Pending on, and never back."""
    arena.deploy()
    asked, wide = arena.budget(mode="Approve"), arena.budget("research", cluster=True, mode="Approve")
    arena.operate(asked, wide)
    assert arena.decisions() == {"AIBudget": "Pending", "ClusterAIBudget": "Pending"}
    places = {claim["kind"]: at for at, claim in enumerate(arena.hold["spec"]["claims"])}
    own, other = places["AIBudget"], places["ClusterAIBudget"]
    approver, mighty = arena.enter("approver", role="aibudget-approver"), meddler(arena)
    overseer = arena.enter("overseer", role="aibudget-approver", cluster=True)
    arena.await_right(approver, "decide", "aibudgets")
    arena.await_right(overseer, "decide", "clusteraibudgets", cluster=True)
    path = arena.hold_path(arena.hold["metadata"]["name"])

    for person, body, said in (
        (mighty, decision(own, "Approved", mighty.name), "verb decide on aibudgets"),
        (approver, decision(own, "Approved", "alice"), "decidedBy must be who decides"),
        (approver, decision(own, "Approved", approver.name)[:1], "decidedBy must be who decides"),
        (approver, decision(other, "Approved", approver.name), "on clusteraibudgets"),
        (approver, decision(other, "Vetoed", approver.name), "on clusteraibudgets"),
        (approver, decision(own, "Expired", approver.name), "no other way"),
    ):
        answer = person.patch(path, body)
        assert (answer.status_code, said in answer.text) == (403, True), answer.text

    assert approver.patch(path, decision(own, "Approved", approver.name)).ok
    assert overseer.patch(path, decision(other, "Vetoed", overseer.name)).ok
    for person, body in (
        (approver, decision(own, "Pending", approver.name)),
        (overseer, decision(other, "Approved", overseer.name)),
    ):
        answer = person.patch(path, body)
        assert (answer.status_code, "no other way" in answer.text) == (403, True), answer.text
    report = arena.operate(asked, wide)
    assert [act.reason for act in arena.own(report)] == ["HoldApproved", "HoldVetoed", "WorkloadScaledDown"]
    assert arena.replicas() == 0


def test_what_an_editor_may_not_reach(arena: Arena) -> None:
    """Statuses, budgets over many namespaces, the operator's namespace, and roles that it has not itself."""
    arena.deploy()
    arena.operate(arena.budget(), arena.budget("research", cluster=True))
    editor, admin = arena.enter("editor", role="edit"), arena.enter("admin", role="admin")
    arena.await_right(editor, "create", "aibudgets")
    arena.await_right(admin, "create", "aibudgets")
    group = "/apis/aibudget.io/v1alpha1"
    own = f"{group}/namespaces/{arena.namespace}/aibudgets/training"
    spent = {"status": {"spend": {"amount": "0"}, "thresholds": [{"name": "over", "state": "Active"}]}}
    maps = f"/api/v1/namespaces/{SYSTEM}/configmaps"
    quotas = f"/api/v1/namespaces/{arena.namespace}/resourcequotas"
    switch = {"metadata": {"name": KILL_SWITCH}, "data": {"enabled": "true"}}
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{arena.namespace}"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "aibudget-approver"}
    binding = {
        "metadata": {"name": "mine"},
        "roleRef": reference,
        "subjects": [{"kind": "ServiceAccount", "name": "admin", "namespace": arena.namespace}],
    }
    rule = {"apiGroups": ["aibudget.io"], "resources": ["holds"], "verbs": ["operate", "create"]}
    for person in (editor, admin):
        for method, path, body in (
            ("PATCH", f"{own}/status", spent),
            ("PATCH", f"{group}/clusteraibudgets/research", {"spec": {"limit": {"amount": 1}}}),
            ("PATCH", f"{group}/clusteraibudgets/research/status", spent),
            ("DELETE", f"{group}/clusteraibudgets/research", None),
            ("DELETE", arena.hold_path(arena.hold["metadata"]["name"]), None),
            ("POST", maps, switch),
            ("PATCH", f"{maps}/{KILL_SWITCH}", switch),
            ("DELETE", f"{maps}/{KILL_SWITCH}", None),
            ("PATCH", f"{maps}/{FENCES}", {"data": None}),
            ("DELETE", f"{maps}/{FENCES}", None),
            ("PATCH", f"{quotas}/{FREEZE_QUOTA}", {"spec": {"hard": None}}),
            ("DELETE", f"{quotas}/{FREEZE_QUOTA}", None),
            ("DELETE", f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/aibudget", None),
            ("PATCH", f"/api/v1/namespaces/{arena.namespace}", {"metadata": {"labels": {"a": "b"}}}),
            ("POST", f"{roles}/rolebindings", binding),
            ("POST", f"{roles}/roles", {"metadata": {"name": "mine"}, "rules": [rule]}),
        ):
            content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
            answer = person.client.request(method, path, body, content_type=content_type)
            assert answer.status_code == 403, f"{method} {path}: {answer.text}"


def test_what_a_tenant_writes_on_a_workload_lifts_no_cluster_budget(arena: Arena) -> None:
    """Protection and vetoes count against the tenant's own budget; the ClusterAIBudget holds all the same."""
    arena.deploy(
        annotations={"aibudget.io/protected": "true", "aibudget.io/protected-until": "2099-01-01T00:00:00Z"}
    )
    own, wide = arena.budget(), arena.budget("research", cluster=True)
    editor = arena.enter("editor", role="edit")
    arena.await_right(editor, "create", "aibudgets")
    path = f"/apis/apps/v1/namespaces/{arena.namespace}/deployments/llm"
    vetoes = {f"vetoed.aibudget.io/{one.budget.uid}": "2026-11_40UTC" for one in (own, wide)}
    faked = {"labels": vetoes, "annotations": {"downscaler/original-replicas": "3"}}
    assert editor.patch(path, {"metadata": faked}).ok

    report = arena.operate(own, wide)

    assert arena.decisions() == {"ClusterAIBudget": "Approved"}
    assert arena.replicas() == 0
    assert [spared.reason for spared in report.spared] == ["Protected"]
    marks = {HOLD_LABEL: None, "aibudget.io/protected": "true"}
    assert editor.patch(path, {"metadata": {"labels": marks, "annotations": {ORIGINAL_ANNOTATION: None}}}).ok
    arena.operate(own, wide)
    assert arena.deployment()["metadata"]["labels"][HOLD_LABEL] == arena.hold["metadata"]["name"]
    assert arena.replicas() == 0


def test_a_namespace_is_protected_by_its_own_object_alone(arena: Arena) -> None:
    """Who may write the Namespace protects it, also against a ClusterAIBudget."""
    arena.deploy()
    wide = arena.budget("research", cluster=True)
    protected = {"metadata": {"annotations": {"aibudget.io/protected": "true"}}}
    arena.plane.client.patch(f"/api/v1/namespaces/{arena.namespace}", protected)

    report = arena.operate(wide)

    assert [spared.reason for spared in report.spared] == ["NamespaceProtected"]
    assert (arena.replicas(), arena.holds()) == (REPLICAS, [])


def test_marks_on_other_workloads_restore_nothing_there(arena: Arena) -> None:
    """Copied and moved labels and annotations, and originals of one's own, change no replicas."""
    arena.deploy()
    arena.apply(arena.manifest("copy", replicas=0), manager="tenant")
    arena.apply(arena.manifest("greedy", replicas=0), manager="tenant")
    budget = arena.budget()
    arena.operate(budget)
    editor = arena.enter("editor", role="edit")
    arena.await_right(editor, "create", "aibudgets")
    held = arena.deployment()["metadata"]
    marks = {
        "labels": {HOLD_LABEL: held["labels"][HOLD_LABEL]},
        "annotations": {key: held["annotations"][key] for key in (ORIGINAL_ANNOTATION, REASON_ANNOTATION)},
    }
    root = f"/apis/apps/v1/namespaces/{arena.namespace}/deployments"
    assert editor.patch(f"{root}/copy", {"metadata": marks}).ok
    much = {ORIGINAL_ANNOTATION: '{"hold": "x", "claims": [], "json": "1000"}'}
    assert editor.patch(f"{root}/greedy", {"metadata": {"labels": marks["labels"], "annotations": much}}).ok
    assert editor.patch(f"{root}/llm", {"metadata": {"annotations": much}}).ok

    arena.operate(budget)
    arena.operate(budget)

    assert (arena.replicas("copy"), arena.replicas("greedy"), arena.replicas()) == (0, 0, 0)
    for name in ("copy", "greedy"):
        assert HOLD_LABEL not in arena.deployment(name)["metadata"].get("labels", {})
    arena.operate(arena.relaxed(budget))
    assert (arena.replicas("copy"), arena.replicas("greedy"), arena.replicas()) == (0, 0, REPLICAS)


def test_a_deleted_hold_of_a_cluster_budget_comes_back(arena: Arena) -> None:
    """Who may delete Holds has the workload back until the grace period has passed anew, and no longer."""
    arena.deploy()
    wide = arena.budget("research", cluster=True, gracePeriodSeconds=900)
    arena.operate(wide)
    arena.operate(wide, now=NOW + timedelta(minutes=15))
    assert arena.replicas() == 0
    lifter = arena.enter("lifter", role="aibudget-hold-lifter")
    arena.await_right(lifter, "delete", "holds")
    lifter.client.delete(arena.hold_path(arena.hold["metadata"]["name"]))

    report = arena.operate(wide, now=LATER)

    assert [act.reason for act in arena.own(report)] == ["WorkloadRestored", "ScaleDownNotice"]
    arena.wait_for_pods(REPLICAS)
    arena.operate(wide, now=LATER + timedelta(minutes=15))
    assert arena.replicas() == 0


def test_a_budget_of_one_s_own_reaches_no_further_than_its_namespace(arena: Arena) -> None:
    """An editor may hold its own workloads; that the budget says it saw others' spend changes nothing."""
    arena.deploy()
    editor = arena.enter("editor", role="edit")
    arena.await_right(editor, "create", "aibudgets")
    spec = {
        "limit": {"amount": 1, "currency": "USD"},
        "thresholds": [{"name": "over", "percent": 1, "actions": ["ScaleDown"]}],
        "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, "onAlreadyCrossed": "Enforce"},
    }
    path = "/apis/aibudget.io/v1alpha1/namespaces/{}/aibudgets"
    body = {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    made = editor.client.create(path.format(arena.namespace), body)
    assert editor.client.request("POST", path.format("default"), body).status_code == 403

    arena.operate(arena.claimant(made, "llm"))

    assert arena.replicas() == 0


def test_the_command_line_decides_in_one_s_own_name(arena: Arena) -> None:
    """`approve` and `veto` as people call them: what they may, what they may not, and why."""
    arena.deploy()
    asked, wide = arena.budget(mode="Approve"), arena.budget("research", cluster=True, mode="Approve")
    arena.operate(asked, wide)
    approver, editor = arena.enter("approver", role="aibudget-approver"), arena.enter("editor", role="edit")
    arena.await_right(approver, "decide", "aibudgets")
    arena.await_right(editor, "list", "holds")
    hold = arena.hold["metadata"]["name"]

    refused = aibudget(editor, "approve", "deployment/llm", "--budget", "training")
    assert (refused.exit_code, "aibudget-approver" in refused.stderr) == (2, True), refused.output
    partly = aibudget(approver, "approve", hold)
    assert partly.exit_code == 2
    assert f"approved by {approver.name}" in partly.stdout
    assert "ClusterRoleBinding" in partly.stderr
    again = aibudget(approver, "approve", "deployment/llm", "--budget", "AIBudget/training")
    assert (again.exit_code, "Approved already" in again.stdout) == (0, True), again.output
    arena.operate(asked, wide)
    assert arena.replicas() == 0
    vetoed = aibudget(approver, "veto", f"hold/{hold}", "--budget", "training", "-o", "json")
    assert vetoed.exit_code == 0, vetoed.output
    report = arena.operate(asked, wide)
    assert [act.reason for act in arena.own(report)] == ["HoldVetoed", "WorkloadRestored"]
    assert approver.name in arena.own(report)[0].message
    assert arena.decisions() == {"ClusterAIBudget": "Pending"}
    gone = aibudget(approver, "approve", "deployment/none")
    assert (gone.exit_code, "has no Hold" in gone.stderr) == (2, True)


def aibudget(person: Person, *arguments: str) -> Result:
    """The program at that person's terminal."""
    return CliRunner().invoke(cli, ["--kubeconfig", str(person.kubeconfig), *arguments])


def test_an_administrator_gives_everything_back_under_the_policy(arena: Arena) -> None:
    """`release --all` works with no operator, for whoever may operate Holds."""
    arena.deploy()
    arena.operate(arena.budget())
    assert arena.replicas() == 0
    administrator = ["--kubeconfig", str(arena.plane.kubeconfig)]

    ran = CliRunner().invoke(
        cli, [*administrator, "release", "--all", "--yes", "--operator-namespace", SYSTEM]
    )

    arena.plane.client.delete(f"/api/v1/namespaces/{SYSTEM}/configmaps/{KILL_SWITCH}")
    assert ran.exit_code == 0, ran.output
    assert (arena.replicas(), arena.holds()) == (REPLICAS, [])


def test_a_hold_s_deletion_in_the_foreground_ends(arena: Arena) -> None:
    """The garbage collector takes off the finalizer that a foreground deletion puts on."""
    arena.deploy()
    arena.operate(arena.budget(gracePeriodSeconds=900))
    path = arena.hold_path(arena.hold["metadata"]["name"])
    answer = arena.plane.client.request("DELETE", path, params={"propagationPolicy": "Foreground"})
    assert answer.ok

    wait_until(lambda: not arena.plane.client.exists(path), 30, "the Hold to be gone")
