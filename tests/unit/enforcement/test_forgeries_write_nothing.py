"""Labels, annotations and Holds that a tenant forges never make the operator write anything else."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from aibudget.api.names import HOLD_LABEL, ORIGINAL_ANNOTATION
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.hold import hold_name
from aibudget.enforcement.kinds import KINDS
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import NotServed, Unavailable
from aibudget.inventory.resource import DEPLOYMENTS, HOLDS
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace


def cycle(api: FakeAPI, *claimants: Any, enforcer: Enforcer | None = None) -> Report:
    enforcer = enforcer or Enforcer(api, Limits("aibudget-system"), lambda: True)
    return asyncio.run(enforcer.run(claimants, NOW))


def forged(original: Any, replicas: int = 0) -> FakeAPI:
    """A Deployment that says a Hold, which is gone, has stopped it."""
    api = FakeAPI()
    with_namespace(api, "team")
    made = api.deployment("llm", "team", replicas)
    name = hold_name(KINDS["Deployment"], "llm", made["metadata"]["uid"])
    live = api.objects[DEPLOYMENTS.plural, "team", "llm"]["metadata"]
    live["labels"] = {HOLD_LABEL: name}
    live["annotations"] = {ORIGINAL_ANNOTATION: json.dumps({"hold": "x", "claims": [], "json": original})}
    live["managedFields"] = []
    return api


def deployment(api: FakeAPI) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[DEPLOYMENTS.plural, "team", "llm"]
    return found


@pytest.mark.parametrize(
    "original", ["-1", "0", "1e9", "2147483647", '"6"', "6.0", "true", "[6]", "{}", "", "NaN", 6, [6]]
)
def test_originals_that_are_none(original: Any) -> None:
    """What is not a plausible number of replicas is not put back; the marks go, and it is told."""
    api = forged(original)
    report = cycle(api)
    assert deployment(api)["spec"]["replicas"] == 0
    assert HOLD_LABEL not in deployment(api)["metadata"]["labels"]
    assert [act.reason for act in report.acts] == ["WorkloadLeftAlone"]


@pytest.mark.parametrize("mark", ["", "{", "[]", "null", '{"hold": "x"}', '{"claims": 3, "hold": "x"}'])
def test_marks_that_are_none(mark: str) -> None:
    """An annotation that is not as we write it is taken off and not followed."""
    api = forged("6")
    deployment(api)["metadata"]["annotations"][ORIGINAL_ANNOTATION] = mark
    cycle(api)
    assert deployment(api)["spec"]["replicas"] == 0
    assert ORIGINAL_ANNOTATION not in deployment(api)["metadata"]["annotations"]


def test_marks_of_another_workload() -> None:
    """Marks that were copied from a held Deployment to another one restore nothing there."""
    api = forged("6")
    deployment(api)["metadata"]["labels"][HOLD_LABEL] = hold_name(KINDS["Deployment"], "llm", "another")
    report = cycle(api)
    assert deployment(api)["spec"]["replicas"] == 0
    assert "It was 6" in report.acts[0].message


@pytest.mark.parametrize(
    "spec",
    [
        {"original": [{"path": "/spec/template/spec/serviceAccountName", "json": '"admin"'}]},
        {"original": [{"path": "/spec/replicas", "json": "-1"}]},
        {
            "targetRef": {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "name": "x",
                "uid": "u",
            }
        },
        {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": "u"}},
    ],
)
def test_holds_that_are_none_of_ours(spec: dict[str, Any]) -> None:
    """A Hold with another path, value, kind or name is reported, and nothing is written for it."""
    api = FakeAPI()
    with_namespace(api, "team")
    uid = api.deployment("llm", "team", 0)["metadata"]["uid"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": uid}
    name = hold_name(KINDS["Deployment"], "llm", uid)
    whole = {"targetRef": target, "action": "ScaleDown", "claims": [], **spec}
    api.seed(HOLDS, name, "team", spec=whole)

    report = cycle(api)

    assert api.written == []
    assert [act.reason for act in report.acts] == ["EnforcementFailed"]


def test_poisonous_hold() -> None:
    """A Hold that cannot even be read is reported, and the others go on."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    api.seed(HOLDS, "broken", "team", spec={"claims": 3})
    report = cycle(api, make_claimant("llm"))
    assert deployment(api)["spec"]["replicas"] == 0
    assert [a.workload.kind for a in report.acts if a.reason == "EnforcementFailed"] == ["Hold"]


def test_held_at_a_guess_never() -> None:
    """Without pods on accelerators in the API nothing is stopped: metrics can be forged."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    api.pods_run = False
    cycle(api, make_claimant("llm"))
    cycle(api, make_claimant("llm"))
    assert deployment(api)["spec"]["replicas"] == 6
    (hold,) = [obj for (plural, *_), obj in api.objects.items() if plural == HOLDS.plural]
    assert hold["status"]["conditions"][0]["reason"] == "Pending"


def test_ownership_is_given_up_at_last() -> None:
    """Where giving the field up fails once, the same process does it in the next cycle."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
    cycle(api, make_claimant("llm"), enforcer=enforcer)
    for key in [key for key in api.objects if key[0] == HOLDS.plural]:
        del api.objects[key]
    writes = iter([None, Unavailable("APIServerUnavailable", "500")])

    def second_fails() -> None:
        if (fault := next(writes, None)) is not None:
            raise fault

    api.before_write = second_fails
    report = cycle(api, enforcer=enforcer)
    assert deployment(api)["spec"]["replicas"] == 6
    assert [act.reason for act in report.acts] == ["EnforcementFailed"]
    cycle(api, enforcer=enforcer)
    assert deployment(api)["metadata"]["managedFields"] == [{}]


def test_pods_that_do_not_end() -> None:
    """Pods past their termination grace are told once, and shown as Ineffective."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    api.pods_end = False
    enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
    told = []
    for minutes in (0, 1, 2, 3):
        when = NOW + timedelta(minutes=minutes)
        report = asyncio.run(enforcer.run([make_claimant("llm")], when))
        told += [act.reason for act in report.acts]
    assert told == ["ScaleDownNotice", "WorkloadScaledDown", "EnforcementIneffective"]
    types = {c.type: c.status for c in report.holds[0].status.conditions}
    assert types == {"Applied": "True", "Effective": "False", "Ineffective": "True"}


def test_conflicts_are_followed_up() -> None:
    """A controller that writes in between is no failure."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    faults = iter([None, None, Conflict("Conflict", "it changed"), Conflict("Conflict", "again")])

    def busy() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault

    api.before_write = busy
    report = cycle(api, make_claimant("llm"))
    assert [act.reason for act in report.acts] == ["ScaleDownNotice", "WorkloadScaledDown"]


def test_a_burst_of_other_writes_is_outlasted() -> None:
    """A controller that is busy for a while is waited for, and does not see all attempts pass at once."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    claimant = make_claimant("llm")
    cycle(api, claimant)
    enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)

    def busy() -> None:
        raise Conflict("Conflict", "it changed")

    def calm() -> None:
        api.before_write = lambda: None

    async def give_back() -> Report:
        api.before_write = busy
        asyncio.get_running_loop().call_later(0.01, calm)
        return await enforcer.run([make_claimant("llm", standing="Below")], NOW + timedelta(minutes=1))

    assert [act.reason for act in asyncio.run(give_back()).acts] == ["WorkloadRestored"]
    assert deployment(api)["spec"]["replicas"] == 6


def test_a_veto_during_a_conflict_counts() -> None:
    """Who vetoes a claim in the moment of the act is heard: the claims are not written over."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    patient = make_claimant("llm", gracePeriodSeconds=900)
    cycle(api, patient)
    (hold,) = [obj for (plural, *_), obj in api.objects.items() if plural == HOLDS.plural]

    def veto() -> None:
        api.before_write = lambda: None
        stored = api.objects[HOLDS.plural, "team", hold["metadata"]["name"]]
        stored["spec"]["claims"][0]["decision"] = "Vetoed"
        stored["metadata"]["resourceVersion"] = "999"

    api.before_write = veto
    enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
    asyncio.run(enforcer.run([patient], NOW + timedelta(hours=1)))
    assert deployment(api)["spec"]["replicas"] == 6
    report = asyncio.run(enforcer.run([patient], NOW + timedelta(hours=1)))
    assert deployment(api)["spec"]["replicas"] == 6
    assert [act.reason for act in report.acts] == ["HoldVetoed"]
    assert [spared.reason for spared in report.spared] == ["Vetoed"]


def test_a_kind_that_is_not_served_releases_nothing() -> None:
    """While the Holds cannot be listed nothing at all is done."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    cycle(api, make_claimant("llm"))
    api.unserved = HOLDS
    with pytest.raises(NotServed):
        cycle(api, make_claimant("llm", standing="Below"))
    assert deployment(api)["spec"]["replicas"] == 0


def test_conflicts_are_followed_up_without_a_hold() -> None:
    """Nor are they one while a workload is given back whose Hold a person has deleted."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    cycle(api, make_claimant("llm"))
    for key in [key for key in api.objects if key[0] == HOLDS.plural]:
        del api.objects[key]
    changed = Conflict("Conflict", "it changed")
    faults = iter([changed, changed, None, changed])

    def busy() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault

    api.before_write = busy
    report = cycle(api)
    assert [act.reason for act in report.acts] == ["WorkloadRestored"]
    assert deployment(api)["metadata"]["managedFields"] == [{}]
