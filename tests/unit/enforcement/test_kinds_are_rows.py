"""Each kind is a row: what may be put back, what is refused, who follows whom, what autoscalers change."""

import asyncio
import json
from typing import Any

import pytest

from aibudget.api.hold import Hold
from aibudget.api.names import ALLOW_STOP, AUTOSCALER_ANNOTATION, HOLD_LABEL, KILL_SWITCH, PROTECTED, STOPPED
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.plan import plan
from aibudget.enforcement.release import release_all
from aibudget.enforcement.sparing import unfit
from aibudget.inventory.kubernetes import Forbidden, Objects
from aibudget.inventory.resource import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    HOLDS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    REPLICA_SETS,
    Resource,
)
from aibudget.inventory.workload import Workload
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace
from unit.enforcement.test_who_is_held import claim, facts, held


def cycle(api: FakeAPI, *claimants: Any) -> Report:
    return asyncio.run(Enforcer(api, Limits("aibudget-system"), lambda: True).run(claimants, NOW))


def team(api: FakeAPI | None = None) -> FakeAPI:
    api = api or FakeAPI()
    with_namespace(api, "team")
    return api


def an(kind: str, spec: dict[str, Any] | None = None, status: Any = None, **metadata: Any) -> Live:
    """An object of this kind named `llm`."""
    known = {"name": "llm", "namespace": "team", "uid": "uid-llm", "resourceVersion": "1", **metadata}
    return read({"kind": kind, "metadata": known, "spec": spec or {}, "status": status or {}})


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        ("Deployment", [None, "1", "100000"], ["0", "-1", "100001", "true", "1.0", '"1"', "null", "[1]"]),
        ("ReplicaSet", [None, "1"], ["0", "true"]),
        ("StatefulSet", [None, "1"], ["0", "true"]),
        ("Job", [None, "false"], ["true", "0", "1", '"false"', "null"]),
        ("CronJob", [None, "false"], ["true", "0", "1", '"false"', "null"]),
        ("DaemonSet", [None], ['"true"', '"false"', "true", "null", '"linux"', "{}"]),
    ],
)
def test_what_may_be_put_back(kind: str, accepted: list[str | None], refused: list[str]) -> None:
    """Only what an owner can have had there; never the value that stops, nor one of another type."""
    stop = KINDS[kind].stop
    assert stop is not None
    assert [value for value in (*accepted, *refused) if stop.accepts(value)] == accepted
    assert stop.stopped_json in refused


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (an("Job", status={"conditions": [{"type": "Complete", "status": "True"}]}), "Finished"),
        (an("Job", status={"conditions": [{"type": "FailureTarget", "status": "True"}]}), "Finished"),
        (an("Job", labels={"kueue.x-k8s.io/queue-name": "gpus"}), "ManagedByKueue"),
        (an("Job", {"suspend": True}), "AlreadyStopped"),
        (an("Job", ownerReferences=[{"kind": "RayJob", "name": "r", "controller": True}]), "Controlled"),
        (an("Job", ownerReferences=[{"kind": "JobSet", "name": "j", "controller": True}]), "Controlled"),
        (an("CronJob", {"suspend": True}), "AlreadyStopped"),
        (
            an("StatefulSet", {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}),
            "LosesVolumes",
        ),
        (
            an("StatefulSet", ownerReferences=[{"kind": "Notebook", "name": "n", "controller": True}]),
            "Controlled",
        ),
        (
            an("ReplicaSet", ownerReferences=[{"kind": "Deployment", "name": "d", "controller": True}]),
            "Controlled",
        ),
        (an("DaemonSet", {"template": {"spec": {"nodeSelector": {STOPPED: "yes"}}}}), "TooLarge"),
        (an("Pod"), "KindNotStopped"),
        (an("Job", status={"conditions": [{"type": "Complete", "status": "False"}]}), None),
        (an("Job", ownerReferences=[{"kind": "CronJob", "name": "c", "controller": True}]), None),
        (an("StatefulSet", {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}), None),
        (an("ReplicaSet", ownerReferences=[{"kind": "Deployment", "name": "d"}]), None),
        (an("DaemonSet"), None),
    ],
)
def test_objects_that_are_refused(one: Live, reason: str | None) -> None:
    """What a stop would destroy, what has ended, what somebody else would start again."""
    found = unfit(one)
    assert (found[0] if found else None) == reason


@pytest.mark.parametrize("text", [None, "", "false", "yes", "True "])
def test_a_daemon_set_is_stopped_only_where_its_owner_says_so(text: str | None) -> None:
    """Nothing but "true" allows it, whoever's budget asks; taking it back ends a hold."""
    one = an("DaemonSet", annotations={} if text is None else {ALLOW_STOP: text})
    for kind in ("AIBudget", "ClusterAIBudget"):
        found = plan([make_claimant("llm", kind=kind, workload_kind="DaemonSet")], facts(one), NOW)
        assert [spared.reason for spared in found.spared] == ["NotAsked"]
        assert found.wishes == ()
    stopped = an("DaemonSet", {"template": {"spec": {"nodeSelector": {STOPPED: "true"}}}})
    body = json.loads(held(stopped, claim(), original=None).model_dump_json(by_alias=True, exclude_none=True))
    body["spec"]["original"] = [{"path": KINDS["DaemonSet"].stop.path}]  # type: ignore[union-attr]
    budget = make_claimant("llm", workload_kind="DaemonSet")
    (wish,) = plan([budget], facts(stopped, holds=(Hold.read(body),)), NOW).wishes
    assert not wish.wanted


def daemon_set(api: FakeAPI) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[DAEMON_SETS.plural, "team", "llm"]["spec"]["template"]["spec"]
    return found


def test_only_our_own_key_is_taken_out_of_a_node_selector() -> None:
    """Who changes the selector of a held DaemonSet finds his changes after the release, and our key gone."""
    api = team()
    allowed = {"annotations": {ALLOW_STOP: "true"}}
    api.seed(DAEMON_SETS, "llm", "team", metadata=allowed, spec={"template": {"spec": {}}})
    cycle(api, make_claimant("llm", workload_kind="DaemonSet"))
    assert daemon_set(api)["nodeSelector"] == {STOPPED: "true"}
    daemon_set(api)["nodeSelector"]["gpu"] = "a100"
    metadata = api.objects[DAEMON_SETS.plural, "team", "llm"]["metadata"]
    metadata["managedFields"][0]["manager"] = "flux"

    assert cycle(api, make_claimant("llm", workload_kind="DaemonSet")).acts == ()
    report = cycle(api, make_claimant("llm", workload_kind="DaemonSet", standing="Below"))

    assert [act.reason for act in report.acts] == ["WorkloadRestored"]
    assert daemon_set(api)["nodeSelector"] == {"gpu": "a100"}
    assert HOLD_LABEL not in api.objects[DAEMON_SETS.plural, "team", "llm"]["metadata"]["labels"]


class Night:
    """A CronJob `llm`, which spends, and its Jobs; `suspended` by its owner or not."""

    def __init__(self, *, suspended: bool = False, **metadata: Any) -> None:
        self.api = team()
        made = self.api.seed(CRON_JOBS, "llm", "team", metadata=metadata, spec={"suspend": suspended})
        self.owner = {"kind": "CronJob", "name": "llm", "uid": made["metadata"]["uid"], "controller": True}
        self.budget = make_claimant("llm", workload_kind="CronJob")
        self.below = make_claimant("llm", workload_kind="CronJob", standing="Below")

    def job(self, name: str, *, suspend: bool = False, status: Any = None, **metadata: Any) -> None:
        metadata["ownerReferences"] = [self.owner]
        status = status or {}
        self.api.seed(JOBS, name, "team", metadata=metadata, spec={"suspend": suspend}, status=status)

    def suspended(self) -> list[str]:
        objects = self.api.objects.items()
        return [
            name
            for (plural, _, name), o in objects
            if plural != HOLDS.plural and o.get("spec", {}).get("suspend")
        ]

    def holds(self) -> list[dict[str, Any]]:
        return [obj for (plural, *_), obj in self.api.objects.items() if plural == HOLDS.plural]

    def delete_hold(self, kind: str) -> None:
        for hold in self.holds():
            if hold["spec"]["targetRef"]["kind"] == kind:
                self.api.remove(HOLDS, hold["metadata"]["name"], "team")


def test_a_cron_job_takes_its_running_jobs_along() -> None:
    """Each has a Hold of its own under the same claims, and comes back with it; what has ended is let be."""
    night = Night()
    night.job("llm-1", status={"conditions": [{"type": "Complete", "status": "True"}]})
    night.job("llm-2")
    night.job("llm-3")

    cycle(night.api, night.budget)

    assert night.suspended() == ["llm", "llm-2", "llm-3"]
    claims = [hold["spec"]["claims"] for hold in night.holds()]
    assert claims == [claims[0]] * 3
    rates = [hold["status"].get("avoidedCostPerHour") for hold in night.holds()]
    assert sorted(filter(None, rates)) == ["4.00"], "the rate is the CronJob's, and counted once"
    cycle(night.api, night.below)
    assert night.suspended() == []
    assert night.holds() == []


def test_a_cron_job_that_its_owner_suspended_stays_so() -> None:
    """Its running Jobs are held all the same, and come back; the CronJob is not ours to start."""
    night = Night(suspended=True)
    night.job("llm-1")
    night.job("llm-2", suspend=True)

    report = cycle(night.api, night.budget)
    again = cycle(night.api, night.budget)

    assert [hold["spec"]["targetRef"]["name"] for hold in night.holds()] == ["llm-1"]
    assert {spared.reason for spared in report.spared} == {"AlreadyStopped"}
    assert again.acts == ()
    cycle(night.api, night.below)
    assert night.suspended() == ["llm", "llm-2"]
    assert night.holds() == []


def test_a_job_s_own_veto_is_its_own() -> None:
    """Deleting a Job's Hold gives back the Job alone; deleting the CronJob's gives back all."""
    night = Night()
    night.job("llm-1")
    cycle(night.api, night.budget)
    night.delete_hold("Job")
    for _ in range(3):
        cycle(night.api, night.budget)
        assert night.suspended() == ["llm"]
    night.delete_hold("CronJob")
    cycle(night.api, night.budget)
    assert night.suspended() == []

    other = Night()
    other.job("llm-1")
    cycle(other.api, other.budget)
    other.delete_hold("CronJob")
    cycle(other.api, other.budget)
    assert other.suspended() == []
    assert cycle(other.api, other.budget).acts == ()


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"annotations": {PROTECTED: "true"}}, "Protected"),
        ({"ownerReferences": [{"kind": "Pipeline", "name": "p", "controller": True}]}, "Controlled"),
    ],
)
def test_what_keeps_hands_off_a_cron_job_keeps_them_off_its_jobs(metadata: Any, reason: str) -> None:
    """A protection above counts below, and so does a controller that would undo the stop."""
    night = Night(**metadata)
    night.job("llm-1")
    report = cycle(night.api, night.budget)
    assert night.suspended() == []
    assert {spared.reason for spared in report.spared} == {reason}


def test_a_job_of_kueue_s_runs_on() -> None:
    """The CronJob starts nothing new; the Job is Kueue's, and it is told."""
    night = Night()
    night.job("llm-1", labels={"kueue.x-k8s.io/queue-name": "gpus"})
    report = cycle(night.api, night.budget)
    assert night.suspended() == ["llm"]
    assert [(spared.workload, spared.reason) for spared in report.spared] == [
        (Workload("team", "Job", "llm-1"), "ManagedByKueue")
    ]


def test_a_job_that_starts_while_its_cron_job_is_held_is_held_as_well() -> None:
    """Somebody starts one by hand: it follows at once, its notice was the CronJob's."""
    night = Night()
    night.job("llm-1")
    cycle(night.api, night.budget)
    night.job("llm-2")
    cycle(night.api, night.budget)
    assert night.suspended() == ["llm", "llm-1", "llm-2"]


@pytest.mark.parametrize("how", ["stale", "paused"])
def test_nobody_follows_anew_without_data_or_while_paused(how: str) -> None:
    """What is held stays held; what starts meanwhile runs."""
    night = Night()
    night.job("llm-1")
    cycle(night.api, night.budget)
    night.job("llm-2")
    budget = night.budget
    if how == "stale":
        budget = make_claimant("llm", workload_kind="CronJob", fresh=False)
    else:
        night.api.seed(CONFIG_MAPS, KILL_SWITCH, "aibudget-system")
    assert cycle(night.api, budget).acts == ()
    assert night.suspended() == ["llm", "llm-1"]


def test_notes_that_a_controller_copied_are_left_alone() -> None:
    """A Deployment's annotations are on its ReplicaSets, too; they are no notes of ours to take off."""
    api = team()
    copied = {"aibudget.io/budget": "AIBudget/gone", "aibudget.io/state": "LimitExceeded"}
    owner = {"kind": "Deployment", "name": "llm", "uid": "u", "controller": True}
    for name, owners in (("copy", [owner]), ("own", [])):
        api.seed(
            REPLICA_SETS, name, "team", metadata={"annotations": dict(copied), "ownerReferences": owners}
        )
    cycle(api)
    kept = {
        name: api.objects[REPLICA_SETS.plural, "team", name]["metadata"]["annotations"]
        for name in ("copy", "own")
    }
    assert kept == {"copy": copied, "own": {}}


def scaled(least: int = 2, most: int = 8, target: str = "llm") -> FakeAPI:
    """A Deployment of 6 and an autoscaler."""
    api = team()
    api.deployment("llm", "team", 6)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec = {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": reference}
    api.seed(HORIZONTAL_POD_AUTOSCALERS, "web", "team", spec=spec)
    return api


def replicas(api: FakeAPI) -> int:
    return int(api.objects[DEPLOYMENTS.plural, "team", "llm"]["spec"]["replicas"])


@pytest.mark.parametrize(("least", "most", "back"), [(2, 8, 6), (1, 4, 4), (7, 9, 7), (0, 3, 3), (6, 6, 6)])
def test_the_original_is_fitted_into_an_autoscaler_as_it_is_then(least: int, most: int, back: int) -> None:
    """Its bounds at the release count, and what differs from the original is told."""
    api = scaled()
    cycle(api, make_claimant("llm"))
    (hold,) = [obj for (plural, *_), obj in api.objects.items() if plural == HOLDS.plural]
    assert hold["metadata"]["annotations"][AUTOSCALER_ANNOTATION].startswith(
        "HorizontalPodAutoscaler web (2 to 8 replicas)"
    )
    spec = api.objects[HORIZONTAL_POD_AUTOSCALERS.plural, "team", "web"]["spec"]
    spec |= {"minReplicas": least, "maxReplicas": most}

    report = cycle(api, make_claimant("llm", standing="Below"))

    assert replicas(api) == back
    assert ("It had 6" in report.acts[0].message) == (back != 6)


def test_an_orphan_is_fitted_as_well() -> None:
    """Without its Hold, by what its own mark says."""
    api = scaled()
    cycle(api, make_claimant("llm"))
    for key in [key for key in api.objects if key[0] == HOLDS.plural]:
        del api.objects[key]
    api.objects[HORIZONTAL_POD_AUTOSCALERS.plural, "team", "web"]["spec"]["maxReplicas"] = 3
    (act,) = asyncio.run(release_all(api, "aibudget-system", NOW))
    assert replicas(api) == 3
    assert "HorizontalPodAutoscaler web allows 2 to 3 now" in act.message


def test_another_s_autoscaler_changes_nothing() -> None:
    """Only the one that names the workload counts."""
    api = scaled(most=3, target="other")
    cycle(api, make_claimant("llm"))
    cycle(api, make_claimant("llm", standing="Below"))
    assert replicas(api) == 6


class Blind(FakeAPI):
    """May not read autoscalers."""

    async def list(self, resource: Resource, *arguments: Any, **options: Any) -> Objects:
        if resource is HORIZONTAL_POD_AUTOSCALERS:
            raise Forbidden("Forbidden", "no access")
        return await super().list(resource, *arguments, **options)


def test_a_release_does_not_need_to_read_autoscalers() -> None:
    """Whoever gives back may lack the right; the original is put back, and the gap is told."""
    api = scaled()
    cycle(api, make_claimant("llm"))
    blind = Blind()
    blind.objects = api.objects
    (act,) = asyncio.run(release_all(blind, "aibudget-system", NOW))
    assert replicas(api) == 6
    assert "could not be read (Forbidden)" in act.message


def test_what_an_autoscaler_wakes_is_a_revert_and_no_original() -> None:
    """One that scales from zero is counted, contests in the end, and the original of before stays ours."""
    api = scaled(least=0)
    told = []
    cycle(api, make_claimant("llm"))
    for _ in range(3):
        wake(api, 1)
        told += [act.reason for act in cycle(api, make_claimant("llm")).acts]
        assert replicas(api) == 0
    (hold,) = [obj for (plural, *_), obj in api.objects.items() if plural == HOLDS.plural]
    assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": "6"}]
    wake(api, 1)
    report = cycle(api, make_claimant("llm"))
    assert told == ["EnforcementReverted", "WorkloadScaledDown"] * 3
    assert [act.reason for act in report.acts] == ["EnforcementReverted", "EnforcementContested"]
    assert "its HorizontalPodAutoscaler" in report.acts[0].message
    assert replicas(api) == 1


def wake(api: FakeAPI, number: int) -> None:
    """As the controller does: through `/scale`."""
    api.scale("llm", "team", number, manager="kube-controller-manager")
    entry = api.objects[DEPLOYMENTS.plural, "team", "llm"]["metadata"]["managedFields"][0]
    entry["subresource"] = "scale"
