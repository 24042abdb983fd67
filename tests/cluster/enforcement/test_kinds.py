"""Every kind of the catalogue at once: held, interrupted and given back exactly, by real controllers."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aibudget.api.names import ALLOW_STOP, BUDGET_ANNOTATION, HOLD_LABEL, ORIGINAL_ANNOTATION
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Limits
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read, stop_of
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.release import release_all
from aibudget.inventory.kubernetes import Cluster, Json, Unavailable
from aibudget.inventory.resource import HOLDS, PODS
from aibudget.inventory.workload import Workload
from aibudget.sandbox.process import wait_until
from cluster.enforcement.conftest import NOW, OPERATOR, REPLICAS, Story

pytestmark = pytest.mark.cluster


class Fleet:
    """Of each kind one workload that says what stops it, `given`, and one that leaves it out, `absent`."""

    def __init__(self, story: Story, *names: str) -> None:
        self.story = story
        story.limits = Limits(OPERATOR, rails=Rails(percent=1000))
        self.names = names
        self.made: dict[Workload, Json] = {}
        for name in names:
            for kind in KINDS.values():
                self.make(kind.name, name)
        self.wait_for_pods()
        self.before = {workload: self.seen(workload) for workload in self.made}

    def make(self, kind: str, name: str, **spec: Any) -> Workload:
        """As a GitOps tool does."""
        given = name == "given"
        match kind:
            case "Pod":
                spec |= self.template(kind, name)["spec"]
            case "CronJob":
                spec |= {
                    "schedule": "0 0 1 1 *",
                    "jobTemplate": {"spec": {"template": self.template(kind, name)}},
                }
                spec |= {"suspend": False} if given else {}
            case "Job":
                spec |= {"template": self.template(kind, name), **({"suspend": False} if given else {})}
            case _:
                selector = {"matchLabels": {"app": f"{kind}-{name}"}}
                spec |= {"selector": selector, "template": self.template(kind, name)}
                if kind == "DaemonSet":
                    spec["template"]["spec"] |= (
                        {"nodeSelector": {"kubernetes.io/os": "linux"}} if given else {}
                    )
                elif given:
                    spec["replicas"] = 2
        workload = Workload(self.story.namespace, kind, f"{kind.lower()}-{name}")
        annotations = {ALLOW_STOP: "true"} if kind == "DaemonSet" else {}
        labels = {"app": f"{kind}-{name}"}
        manifest = {
            "apiVersion": KINDS[kind].resource.api_version,
            "kind": kind,
            "metadata": {
                "name": workload.name,
                "namespace": workload.namespace,
                "labels": labels,
                "annotations": annotations,
            },
            "spec": spec,
        }
        self.story.apply(manifest, manager="flux")
        self.made[workload] = manifest
        if kind == "CronJob":
            self.start_job(workload)
        return workload

    @staticmethod
    def template(kind: str, name: str) -> Json:
        gpu = {"limits": {"nvidia.com/gpu": "1"}}
        spec: Json = {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": gpu}],
        }
        if kind in ("Job", "CronJob"):
            spec["restartPolicy"] = "Never"
        # kwok lets the pods of Jobs complete; these run on.
        stage = "pod-complete.stage.kwok.x-k8s.io"
        running = {f"{stage}/delay": "3600s", f"{stage}/jitter-delay": "3600s"}
        return {"metadata": {"labels": {"app": f"{kind}-{name}"}, "annotations": running}, "spec": spec}

    def start_job(self, cron_job: Workload) -> Workload:
        """As the CronJob controller does at its time."""
        owner = self.seen(cron_job).uid
        job = Workload(cron_job.namespace, "Job", f"{cron_job.name}-1")
        reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cron_job.name, "uid": owner}
        spec = self.made[cron_job]["spec"]["jobTemplate"]["spec"]
        metadata = {"name": job.name, "ownerReferences": [{**reference, "controller": True}]}
        path = f"/apis/batch/v1/namespaces/{job.namespace}/jobs"
        self.made[job] = self.story.plane.client.create(path, {"metadata": metadata, "spec": spec})
        return job

    def seen(self, workload: Workload) -> Live:
        return read(self.object(workload))

    def objects(self) -> dict[Workload, Json]:
        """All of them, by one connection."""

        async def ask(cluster: Cluster) -> dict[Workload, Json]:
            found = {}
            for workload in self.made:
                obj = await cluster.get(KINDS[workload.kind].resource, workload.name, workload.namespace)
                assert obj is not None
                found[workload] = obj
            return found

        return self.story.run(ask)

    def object(self, workload: Workload) -> Json:
        resource = KINDS[workload.kind].resource
        found: Json | None = self.story.run(lambda c: c.get(resource, workload.name, workload.namespace))
        assert found is not None
        return found

    def billed(self, claimant: Claimant) -> Claimant:
        """The budget when all of them spend; a CronJob's Job is billed to the CronJob."""
        (one,) = claimant.evaluation.workloads or self.story.budget("x").evaluation.workloads
        tops = [w for w in self.made if self.before.get(w) is None or self.before[w].parent is None]
        spends = tuple(replace(one, workload=workload) for workload in tops)
        return replace(claimant, evaluation=replace(claimant.evaluation, workloads=spends))

    def running(self) -> set[str]:
        """`kind-name` of what has running pods."""
        pods = self.story.run(lambda c: c.list(PODS, self.story.namespace))
        phases = {
            p["metadata"]["labels"]["app"] for p in pods if p.get("status", {}).get("phase") == "Running"
        }
        return {app.lower() for app in phases}

    def wait_for_pods(self, *, gone: bool = False) -> None:
        kinds = ["Pod"] if gone else list(KINDS)
        wanted = {f"{kind.lower()}-{name}" for kind in kinds for name in self.names}
        wait_until(lambda: self.running() == wanted, 60, f"pods of {sorted(wanted)} alone")

    def check(self, *, held: bool | None = None) -> None:
        """Each as its owner asked, or held with its original on it and in its Hold; `held`: which of it."""
        holds = {hold["metadata"]["name"]: hold for hold in self.story.holds()}
        for workload, obj in self.objects().items():
            live, was = read(obj), self.before[workload]
            if live.kind.stop is None or (live.value == was.value and not held):
                continue
            assert held is not False
            assert live.stopped, workload
            hold = holds[live.labels[HOLD_LABEL]]
            original = {"path": stop_of(live).path} | ({} if was.value is None else {"json": was.value})
            assert hold["spec"]["original"] == [original]
            assert json.loads(live.annotations[ORIGINAL_ANNOTATION]).get("json") == was.value

    def check_free(self) -> None:
        """Nothing of ours is left anywhere, and what stops each is what it was, and nobody new's."""
        assert self.story.holds() == []
        for workload, obj in self.objects().items():
            live, was = read(obj), self.before[workload]
            assert live.labels == was.labels
            assert live.annotations.keys() == was.annotations.keys(), workload
            assert live.value == was.value
            assert live.managers <= was.managers, workload
            assert "aibudget" not in {entry["manager"] for entry in live.managed_fields}


def test_every_kind(story: Story) -> None:
    """Held, its pods gone, given back as it was, its field owned by nobody new; a bare Pod is annotated."""
    fleet = Fleet(story, "given", "absent")
    specs = {workload: obj["spec"] for workload, obj in fleet.objects().items()}
    made = story.budget()
    budget, below = fleet.billed(made), story.relaxed(made)

    report = story.cycle(budget)

    assert [act for act in report.acts if act.reason == "EnforcementFailed"] == []
    assert [spared.reason for spared in report.spared] == ["KindNotStopped"] * 2
    fleet.check(held=True)
    fleet.wait_for_pods(gone=True)
    report = story.cycle(budget)
    for hold in report.holds:
        assert {c.type: c.status for c in hold.status.conditions} == {"Applied": "True", "Effective": "True"}
    assert len(report.holds) == len([workload for workload in fleet.made if workload.kind != "Pod"])
    pod = fleet.seen(Workload(story.namespace, "Pod", "pod-given"))
    assert pod.annotations[BUDGET_ANNOTATION] == "AIBudget/training"

    report = story.cycle(below)

    assert {act.reason for act in report.acts} == {"WorkloadRestored"}
    fleet.check_free()
    assert {workload: obj["spec"] for workload, obj in fleet.objects().items()} == specs
    fleet.wait_for_pods()

    story.cycle(budget)
    fleet.check(held=True)
    story.ctl("delete", "holds.aibudget.io", "--all")
    acts = story.run(lambda cluster: release_all(cluster, OPERATOR, NOW))

    assert {act.reason for act in acts if act.workload.namespace == story.namespace} == {"WorkloadRestored"}
    story.cycle(below)
    fleet.check_free()


class Striking:
    """A Cluster on which the `nth` write for each workload fails: unsent, or done and unheard, by turns."""

    def __init__(self, cluster: Cluster, nth: int) -> None:
        self._cluster = cluster
        self._nth = nth
        self._writes: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return (
            getattr(self._cluster, name) if name not in ("create", "patch", "delete") else self._faulty(name)
        )

    def most(self) -> int:
        return max(self._writes.values(), default=0)

    def _faulty(self, verb: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            about = self._about(verb, *arguments)
            self._writes[about] = self._writes.get(about, 0) + 1
            strikes = self._writes[about] == self._nth
            fault = Unavailable("APIServerUnavailable", "500")
            if strikes and (self._nth + len(about)) % 2:
                raise fault
            answer = await getattr(self._cluster, verb)(*arguments, **options)
            if strikes:
                raise fault
            return answer

        return call

    @staticmethod
    def _about(verb: str, resource: Any, *arguments: Any) -> str:
        name = arguments[0]["metadata"]["name"] if verb == "create" else arguments[0]
        return str(name).rpartition("-")[0] if resource is HOLDS else f"{resource.kind.lower()}-{name}"


def test_every_kind_interrupted_at_every_write(story: Story) -> None:
    """Whichever write of a hold or a release fails, heard or not, the next process completes it."""
    fleet = Fleet(story, "given")
    made = story.budget()
    budget, below = fleet.billed(made), story.relaxed(made)
    nth, most = 0, 1
    while nth < most:
        nth += 1
        struck: list[Striking] = []

        def strike(cluster: Cluster, nth: int = nth, struck: list[Striking] = struck) -> Striking:
            struck.append(Striking(cluster, nth))
            return struck[-1]

        for claimant in (budget, below):
            story.wrap = strike
            story.cycle(claimant)
            fleet.check()
            story.wrap = lambda cluster: cluster
            story.cycle(claimant)
            fleet.check(held=claimant is budget)
        story.cycle(below)
        fleet.check_free()
        fleet.wait_for_pods()
        most = max(one.most() for one in struck)
    assert nth > 4


def test_an_autoscaler_bounds_what_comes_back(story: Story) -> None:
    """What one writes through `/scale` while it is held is a revert; its bounds at the release count."""
    story.deploy()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    scaler: Json = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": story.namespace},
        "spec": {"minReplicas": 1, "maxReplicas": 8, "scaleTargetRef": target},
    }
    story.apply(scaler, manager="flux")
    budget = story.budget()
    story.cycle(budget)
    path = f"/apis/apps/v1/namespaces/{story.namespace}/deployments/llm/scale"
    written = story.plane.client.request(
        "PATCH",
        path,
        {"spec": {"replicas": 1}},
        content_type="application/merge-patch+json",
        params={"fieldManager": "kube-controller-manager"},
    )
    assert written.ok
    story.wait_for_pods(1)

    report = story.cycle(budget)

    assert [act.reason for act in report.acts] == ["EnforcementReverted", "WorkloadScaledDown"]
    assert story.replicas() == 0
    (hold,) = story.holds()
    assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": str(REPLICAS)}]
    story.apply({**scaler, "spec": {**scaler["spec"], "maxReplicas": 2}}, manager="flux")
    report = story.cycle(story.relaxed(budget))
    assert story.replicas() == 2
    assert "It had 3; HorizontalPodAutoscaler web allows 1 to 2 now." in report.acts[0].message
    assert story.owners() == []
