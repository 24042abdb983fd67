"""Freeze and Block on a real API server: what is refused, what goes on, and how both are given back."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from aibudget.api.names import FENCES, FREEZE_QUOTA, KILL_SWITCH
from aibudget.enforcement.block import Board
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.port import Site
from aibudget.enforcement.release import release_all
from aibudget.inventory.kubernetes import Cluster, Json
from aibudget.inventory.resource import CONFIG_MAPS, HOLDS, REPLICA_SETS, RESOURCE_QUOTAS
from aibudget.sandbox.binaries import locate
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.operator import chart
from aibudget.sandbox.process import wait_until
from cluster.enforcement.conftest import NOW, OPERATOR, REPLICAS, Story
from cluster.enforcement.test_interrupted import Faulty, Killed, heal, interrupt

pytestmark = pytest.mark.cluster

GPU = "nvidia.com/gpu"
FREEZE, BLOCK = ("Freeze",), ("Block",)


@pytest.fixture(scope="module")
def policy(installed: ControlPlane) -> ControlPlane:
    """The chart's admission policy and its ConfigMap, as the chart renders them."""
    programs = locate(["helm", "kubectl"], lambda _: None)
    rendered = subprocess.run(
        [
            *(programs["helm"], "template", "aibudget", str(chart()), "--namespace", OPERATOR),
            *("--set", "prometheus.url=http://p:9090", "--show-only", "templates/block-policy.yaml"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    kubectl = (programs["kubectl"], "--kubeconfig", str(installed.kubeconfig))
    subprocess.run(
        [*kubectl, "apply", "--server-side", "-f-"],
        input=rendered.stdout,
        text=True,
        check=True,
        capture_output=True,
    )
    return installed


@pytest.fixture
def fenced(story: Story, policy: ControlPlane) -> Iterator[Story]:
    """A story with the policy; no key of it is left behind."""
    yield story
    policy.client.patch(f"/api/v1/namespaces/{OPERATOR}/configmaps/{FENCES}", {"data": None})


def pod(name: str, gpus: int = 1, **spec: Any) -> Json:
    limits = {GPU: str(gpus)} if gpus else {"cpu": "1"}
    container = {"name": "c", "image": "i", "resources": {"limits": limits}}
    return {
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def ask(story: Story, body: Json) -> requests.Response:
    """Create a pod, as anybody might."""
    return story.plane.client.request("POST", f"/api/v1/namespaces/{story.namespace}/pods", body)


def refusal(story: Story, body: Json) -> str:
    """What the API server says to a pod that it must not take."""
    answer = ask(story, body)
    assert answer.status_code == 403, answer.text
    said: str = answer.json()["message"]
    return said


def quota(story: Story) -> Json | None:
    found: Json | None = story.run(lambda c: c.get(RESOURCE_QUOTAS, FREEZE_QUOTA, story.namespace))
    return found


def key(story: Story) -> str | None:
    content = story.run(lambda c: c.get(CONFIG_MAPS, FENCES, OPERATOR))
    assert content is not None
    value: str | None = (content.get("data") or {}).get(story.namespace)
    return value


def told(story: Story, report: Report) -> list[str]:
    """What was done here: namespaces of other tests end at their own pace."""
    return [act.reason for act in report.acts if act.workload.namespace == story.namespace]


def hold_of(story: Story, action: str) -> str:
    """The name of the only Hold with this action."""
    (name,) = [one["metadata"]["name"] for one in story.holds() if one["spec"]["action"] == action]
    return str(name)


def again(story: Story, budget: Claimant, **how: Any) -> Claimant:
    """The same budget in a later period."""
    return story.relaxed(budget, **({"standing": "Active", "names": ("llm",), "period": "2026-12@UTC"} | how))


def test_frozen_at_what_it_uses(fenced: Story) -> None:
    """Growth is refused, what runs stays, a pod that ends comes back, and CPU is free."""
    fenced.deploy()
    budget = fenced.budget(actions=FREEZE)

    report = fenced.cycle(budget)

    assert told(fenced, report) == ["NamespaceFrozen"]
    assert "AIBudget training (threshold over" in report.acts[0].message
    found = quota(fenced)
    assert found is not None
    assert found["spec"]["hard"]["requests.nvidia.com/gpu"] == "3"
    assert found["spec"]["hard"]["requests.amd.com/gpu"] == "0"
    (hold,) = fenced.holds()
    assert json.loads(hold["spec"]["original"][0]["json"]) == found["spec"]["hard"]
    assert fenced.replicas() == REPLICAS
    assert "exceeded quota: aibudget-freeze" in refusal(fenced, pod("more"))
    assert ask(fenced, pod("cpu", gpus=0)).status_code == 201
    fenced.wait_for_pods(REPLICAS + 1)
    fenced.ctl("delete", "pod", "-l", "app=llm", "--wait=true")
    fenced.wait_for_pods(REPLICAS + 1)
    assert told(fenced, fenced.cycle(budget)) == []
    assert fenced.conditions() == {"Applied": "True", "Effective": "True"}

    last = fenced.cycle(fenced.relaxed(budget))

    assert told(fenced, last) == ["NamespaceReleased"]
    assert quota(fenced) is None
    assert fenced.holds() == []
    assert ask(fenced, pod("more")).status_code == 201


def test_what_is_held_already_has_room_to_come_back(fenced: Story) -> None:
    """A freeze that comes after a stop counts what it stopped: who vetoes the stop gets the workload back."""
    fenced.deploy()
    stops = fenced.budget("stops")
    fenced.cycle(stops)
    fenced.wait_for_pods(0)

    fenced.cycle(stops, fenced.budget("freezes", actions=FREEZE))

    found = quota(fenced)
    assert found is not None
    assert found["spec"]["hard"]["requests.nvidia.com/gpu"] == "3"
    fenced.ctl("delete", "holds.aibudget.io", hold_of(fenced, "ScaleDown"))
    fenced.cycle(stops)
    fenced.wait_for_pods(REPLICAS)


def test_frozen_device_classes(fenced: Story) -> None:
    """A claim to a DRA device is growth as well."""
    device = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.test"}}
    fenced.ctl("apply", "-f-", stdin=json.dumps({**device, "spec": {}}))
    requests_ = [{"name": "r", "exactly": {"deviceClassName": "gpu.test"}}]
    claim = {"metadata": {"name": "claim"}, "spec": {"devices": {"requests": requests_}}}
    fenced.cycle(fenced.budget(actions=FREEZE))

    path = f"/apis/resource.k8s.io/v1/namespaces/{fenced.namespace}/resourceclaims"
    answer = fenced.plane.client.request("POST", path, claim)

    assert answer.status_code == 403
    assert "gpu.test.deviceclass.resource.k8s.io/devices" in answer.json()["message"]
    fenced.cycle()
    assert fenced.conditions()["Effective"] == "True"


def test_two_budgets_hold_one_freeze(fenced: Story) -> None:
    """It stays until the last of them lets go, at what it was when the first one asked."""
    fenced.deploy()
    ours, theirs = fenced.budget(actions=FREEZE), fenced.budget("research", cluster=True, actions=FREEZE)
    fenced.cycle(ours, theirs)
    (hold,) = fenced.holds()
    assert [claim["kind"] for claim in hold["spec"]["claims"]] == ["AIBudget", "ClusterAIBudget"]

    fenced.cycle(fenced.relaxed(ours), theirs)

    (hold,) = fenced.holds()
    assert [claim["kind"] for claim in hold["spec"]["claims"]] == ["ClusterAIBudget"]
    found = quota(fenced)
    assert found is not None
    assert "AIBudget training" not in found["metadata"]["annotations"]["aibudget.io/reason"]
    fenced.cycle(fenced.relaxed(ours), fenced.relaxed(theirs))
    assert quota(fenced) is None


def test_a_quota_that_is_deleted_comes_back_three_times(fenced: Story) -> None:
    """With the limits that it had; then acting stops, and the Hold says who did what."""
    fenced.deploy()
    budget = fenced.budget(actions=FREEZE)
    fenced.cycle(budget)
    reasons = []
    for _ in range(4):
        fenced.ctl("delete", "resourcequota", FREEZE_QUOTA)
        reasons += told(fenced, fenced.cycle(budget))

    assert reasons == ["EnforcementReverted", "NamespaceFrozen"] * 3 + [
        "EnforcementReverted",
        "EnforcementContested",
    ]
    assert quota(fenced) is None
    assert fenced.conditions()["Contested"] == "True"
    assert told(fenced, fenced.cycle(budget)) == []
    fenced.cycle(fenced.relaxed(budget))
    assert fenced.holds() == []


def test_a_loosened_quota_is_a_revert(fenced: Story) -> None:
    """What the Hold keeps is put back."""
    fenced.deploy()
    budget = fenced.budget(actions=FREEZE)
    fenced.cycle(budget)
    patch = json.dumps({"spec": {"hard": {"requests.nvidia.com/gpu": "8"}}})
    fenced.ctl("patch", "resourcequota", FREEZE_QUOTA, "--type=merge", "-p", patch)

    report = fenced.cycle(budget)

    assert told(fenced, report) == ["EnforcementReverted", "NamespaceFrozen"]
    found = quota(fenced)
    assert found is not None
    assert found["spec"]["hard"]["requests.nvidia.com/gpu"] == "3"


@pytest.mark.parametrize("action", [FREEZE, BLOCK], ids="".join)
def test_a_deleted_hold_is_a_veto(fenced: Story, action: tuple[str, ...]) -> None:
    """For this period and an AIBudget; the next period may act again, and a ClusterAIBudget at once."""
    fenced.deploy()
    budget = fenced.budget(actions=action)
    fenced.cycle(budget)
    (hold,) = fenced.holds()
    fenced.ctl("delete", "holds.aibudget.io", hold["metadata"]["name"])

    report = fenced.cycle(budget)

    assert told(fenced, report) == ["NamespaceReleased"]
    assert [spared.reason for spared in report.spared] == ["Vetoed"]
    assert (quota(fenced), key(fenced), fenced.holds()) == (None, None, [])
    assert [spared.reason for spared in fenced.cycle(budget).spared] == ["Vetoed"]
    theirs = fenced.budget("research", cluster=True, actions=action)
    fenced.cycle(budget, theirs)
    (hold,) = fenced.holds()
    assert [claim["kind"] for claim in hold["spec"]["claims"]] == ["ClusterAIBudget"]
    fenced.cycle(again(fenced, budget), fenced.relaxed(theirs))
    (hold,) = fenced.holds()
    assert [claim["periodId"] for claim in hold["spec"]["claims"]] == ["2026-12@UTC"]


def test_blocked_but_for_what_asks_for_nothing(fenced: Story) -> None:
    """Containers, init containers and claims count, a request of 0 does not; the answer names the budget."""
    fenced.deploy()
    budget = fenced.budget(actions=BLOCK)

    report = fenced.cycle(budget)

    assert told(fenced, report) == ["NamespaceBlocked"]
    said = refusal(fenced, pod("gpu"))
    assert "AIBudget training (threshold over, period 2026-11@UTC)" in said
    assert "2026-12-01T00:00:00Z" in said
    assert "kubectl delete hold" in said
    (container,) = pod("mig")["spec"]["containers"]
    container["resources"] = {
        "requests": {"nvidia.com/mig-1g.5gb": "1"},
        "limits": {"nvidia.com/mig-1g.5gb": "1"},
    }
    refusal(fenced, pod("init", gpus=0, initContainers=[{**container, "name": "i"}]))
    refusal(fenced, pod("claim", gpus=0, resourceClaims=[{"name": "g", "resourceClaimName": "g"}]))
    zero = pod("zero", gpus=0)
    zero["spec"]["containers"][0]["resources"] = {"limits": {GPU: 0}}
    assert ask(fenced, zero).status_code == 201
    assert ask(fenced, pod("cpu", gpus=0)).status_code == 201
    fenced.wait_for_pods(REPLICAS + 2)
    assert told(fenced, fenced.cycle(budget)) == []
    assert fenced.conditions() == {"Applied": "True", "Effective": "True"}

    last = fenced.cycle(fenced.relaxed(budget))

    assert told(fenced, last) == ["NamespaceReleased"]
    assert (key(fenced), fenced.holds()) == (None, [])
    assert ask(fenced, pod("gpu")).status_code == 201


def test_protected_workloads_pass_a_block(fenced: Story) -> None:
    """A protected Deployment gets its pods back, also by a rollout's new ReplicaSet; nobody else does."""
    fenced.deploy("llm", annotations={"aibudget.io/protected": "true"})
    budget = fenced.budget(actions=BLOCK)
    fenced.cycle(budget)
    refusal(fenced, pod("stranger"))

    fenced.ctl("rollout", "restart", "deployment/llm")
    fenced.ctl("rollout", "status", "deployment/llm", "--timeout=60s")
    fenced.wait_for_pods(REPLICAS)

    fenced.ctl("annotate", "deployment/llm", "aibudget.io/protected-")
    fenced.cycle(budget)
    fenced.ctl("delete", "pod", "-l", "app=llm", "--wait=true")
    said = "aibudget-block"
    wait_until(lambda: said in fenced.ctl("get", "events"), 30, "the ReplicaSet to be refused its pods")
    fenced.wait_for_pods(0)


def test_what_a_tenant_protects_is_no_exemption_from_a_cluster_budget(fenced: Story) -> None:
    """Its own `protect` is; where two budgets block, only what both spare passes."""
    fenced.apply(fenced.manifest("llm", annotations={"aibudget.io/protected": "true"}), manager="flux")
    fenced.apply(fenced.manifest("web", labels={"tier": "critical"}), manager="flux")
    theirs = fenced.budget(
        "research", cluster=True, actions=BLOCK, protect={"matchLabels": {"tier": "critical"}}
    )

    fenced.cycle(theirs)

    value = key(fenced)
    assert value is not None
    assert value.split("\n")[2:] == ["Deployment/web"]
    assert "ClusterAIBudget research is not the namespace's to lift" in value
    ours = fenced.budget(actions=BLOCK)
    fenced.cycle(theirs, ours)
    value = key(fenced)
    assert value is not None
    assert value.split("\n")[2:] == []


class Recorder(Faulty):
    """A connection that remembers the order of what is written to others."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, Killed(), 0)
        self.order: list[str] = []

    def _faulty(self, name: str) -> Any:
        work = super()._faulty(name)

        async def call(resource: Any, *arguments: Any, **options: Any) -> Any:
            # Of ReplicaSets no more than what was copied onto them is cleared away.
            if resource not in (HOLDS, REPLICA_SETS):
                self.order.append(f"{name} {resource.plural}")
            return await work(resource, *arguments, **options)

        return call


def test_fences_go_up_first_and_come_down_first(fenced: Story) -> None:
    """Frozen, blocked, then stopped; let in, unfrozen, then given back: what comes back finds room."""
    fenced.deploy()
    budget = fenced.budget(actions=("Freeze", "Block", "ScaleDown"))
    connections: list[Recorder] = []

    def wrap(cluster: Cluster) -> Recorder:
        connections.append(Recorder(cluster))
        return connections[-1]

    fenced.wrap = wrap
    fenced.cycle(budget)
    fenced.wait_for_pods(0)
    fenced.cycle(fenced.relaxed(budget))

    # A controller that writes in between makes us write once more.
    up, down = (list(dict.fromkeys(connection.order)) for connection in connections)
    assert up == ["create resourcequotas", "patch resourcequotas", "patch configmaps", "patch deployments"]
    assert down == ["patch configmaps", "delete resourcequotas", "patch deployments"]
    fenced.wait_for_pods(REPLICAS)


def test_killed_after_any_write(fenced: Story) -> None:
    """Killed after each write of raising and of lifting, it ends up standing with its Hold, or gone with it.

    After one write is before the next.
    """
    budget = fenced.budget(actions=("Freeze", "Block"))
    below = fenced.relaxed(budget)
    for claimant, other, up in ((budget, below, True), (below, budget, False)):
        nth = 0
        while True:
            nth += 1
            connections = interrupt(fenced, Killed(), nth, unheard=True)
            try:
                fenced.cycle(claimant)
            except Killed:
                check(fenced)
            heal(fenced)
            report = fenced.cycle(claimant)
            check(fenced)
            assert "EnforcementReverted" not in told(fenced, report)
            assert not [spared for spared in report.spared if spared.reason == "Vetoed"]
            assert (quota(fenced) is not None, key(fenced) is not None) == (up, up)
            if connections[0].writes < nth:
                break
            fenced.cycle(other)
        assert nth > 6
    assert fenced.holds() == []


def check(story: Story) -> None:
    """No fence stands without its Hold, and none refuses what nobody has decided."""
    actions = {hold["spec"]["action"] for hold in story.holds()}
    found = quota(story)
    assert found is None or "Freeze" in actions
    assert key(story) is None or "Block" in actions


def test_the_kill_switch_lets_go_and_does_nothing_new(fenced: Story) -> None:
    """Nothing is raised while it is set, and nothing put back that somebody took away; lifting goes on."""
    budget = fenced.budget(actions=("Freeze", "Block"))
    maps = f"/api/v1/namespaces/{OPERATOR}/configmaps"
    fenced.plane.client.create(maps, {"metadata": {"name": KILL_SWITCH}})
    fenced.cycle(budget)
    assert fenced.holds() == []
    fenced.plane.client.delete(f"{maps}/{KILL_SWITCH}")
    fenced.cycle(budget)
    fenced.plane.client.create(maps, {"metadata": {"name": KILL_SWITCH}})
    fenced.ctl("delete", "resourcequota", FREEZE_QUOTA)
    fenced.cycle(budget)
    assert quota(fenced) is None

    fenced.cycle(fenced.relaxed(budget))

    assert (key(fenced), fenced.holds()) == (None, [])


def test_without_data_nothing_moves(fenced: Story) -> None:
    """Stale data raises nothing and lifts nothing; the end of the period lifts by the clock."""
    budget = fenced.budget(actions=("Freeze", "Block"))
    stale = fenced.relaxed(budget, standing="Active", fresh=False)
    fenced.cycle(stale)
    assert fenced.holds() == []
    fenced.cycle(budget)
    fenced.cycle(fenced.relaxed(budget, fresh=False))
    assert len(fenced.holds()) == 2

    fenced.cycle(fenced.relaxed(budget, fresh=False, period="2026-12@UTC"))

    assert (quota(fenced), key(fenced), fenced.holds()) == (None, None, [])


def test_a_protected_namespace_is_let_be(fenced: Story) -> None:
    """Also by a ClusterAIBudget, and also what was raised already."""
    theirs = fenced.budget("research", cluster=True, actions=("Freeze", "Block"))
    fenced.cycle(theirs)
    fenced.ctl("annotate", "namespace", fenced.namespace, "aibudget.io/protected=true")

    report = fenced.cycle(theirs)

    assert {spared.reason for spared in report.spared} == {"NamespaceProtected"}
    assert (quota(fenced), key(fenced), fenced.holds()) == (None, None, [])


def test_a_deleted_budget_lets_go(fenced: Story) -> None:
    """Nobody evaluates it any more, and the API server says that it is gone."""
    budget = fenced.budget(actions=("Freeze", "Block"))
    fenced.cycle(budget)
    fenced.cycle()
    assert len(fenced.holds()) == 2
    fenced.ctl("delete", "aib", "training")

    fenced.cycle()

    assert (quota(fenced), key(fenced), fenced.holds()) == (None, None, [])


def test_a_budget_that_waits_for_a_person_fences_nothing(fenced: Story) -> None:
    """Mode Approve: the Holds ask; approved, they act."""
    budget = fenced.budget(actions=("Freeze", "Block"), mode="Approve")
    report = fenced.cycle(budget)
    assert set(told(fenced, report)) == {"ApprovalRequested"}
    assert (quota(fenced), key(fenced)) == (None, None)
    decision = json.dumps(
        [
            {"op": "replace", "path": "/spec/claims/0/decision", "value": "Approved"},
            {"op": "add", "path": "/spec/claims/0/decidedBy", "value": "anna"},
        ]
    )
    for hold in fenced.holds():
        fenced.ctl("patch", "holds.aibudget.io", hold["metadata"]["name"], "--type=json", "-p", decision)

    report = fenced.cycle(budget)

    assert {"NamespaceFrozen", "NamespaceBlocked"} <= set(told(fenced, report))
    assert quota(fenced) is not None
    assert key(fenced) is not None


def test_release_all_without_an_operator(fenced: Story) -> None:
    """Everything is lifted, also what has lost its Hold."""
    fenced.deploy()
    fenced.cycle(fenced.budget(actions=("Freeze", "Block", "ScaleDown")))
    fenced.ctl("delete", "holds.aibudget.io", hold_of(fenced, "Freeze"))

    acts = fenced.run(lambda cluster: release_all(cluster, OPERATOR, NOW))

    ours = [act.reason for act in acts if act.workload.namespace == fenced.namespace]
    assert ours == ["NamespaceReleased", "NamespaceReleased", "WorkloadRestored"]
    assert (quota(fenced), key(fenced), fenced.holds()) == (None, None, [])
    fenced.wait_for_pods(REPLICAS)


def test_two_leaders_lose_nothing_of_each_other(fenced: Story) -> None:
    """A key written by another leader since the ConfigMap was read is still there."""

    async def work(cluster: Cluster) -> dict[str, str]:
        site = Site(cluster, OPERATOR, lambda: True, NOW)
        first, second = await Board.read(site), await Board.read(site)
        await first.edit("team-a", lambda _: "one")
        await second.edit("team-b", lambda _: "two")
        return dict((await Board.read(site)).data)

    assert {"team-a": "one", "team-b": "two"}.items() <= fenced.run(work).items()


def test_a_namespace_that_is_gone_leaves_nothing(fenced: Story) -> None:
    """Its key, and what was vetoed in it, go with it."""
    fenced.cycle(fenced.budget(actions=BLOCK))
    patch = {"data": {"no-such-namespace": "text", "no-such-namespace.vetoed": "Freeze/u=p"}}
    fenced.plane.client.patch(f"/api/v1/namespaces/{OPERATOR}/configmaps/{FENCES}", patch)

    async def work(cluster: Cluster) -> None:
        await Enforcer(cluster, Limits(OPERATOR), lambda: True).run([], NOW)

    fenced.run(work)

    content = fenced.run(lambda c: c.get(CONFIG_MAPS, FENCES, OPERATOR))
    assert content is not None
    assert list(content["data"]) == [fenced.namespace]


def test_a_block_outlives_an_api_server(fenced: Story) -> None:
    """From its first answer on after a restart it refuses; nothing slips through while it reads policies."""
    fenced.cycle(fenced.budget(actions=BLOCK))
    refusal(fenced, pod("before"))
    fenced.plane.stop_api_server()

    fenced.plane.start_api_server()

    for number in range(20):
        refusal(fenced, pod(f"after-{number}"))
    budgets = "/apis/aibudget.io/v1alpha1/clusteraibudgets"
    wait_until(lambda: fenced.plane.client.exists(budgets), 30, "our CRDs to be served again")
