"""The API server refusing, forbidding, crashing, or holding objects that no model accepts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
import requests

from aibudget.sandbox.client import KubernetesClient, object_path
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.interception import Interception, Phase, Refusal, Write
from e2e.team import LITTLE, PLENTY, await_cycles

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/aibudget"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Saboteur:
    """Stands between the operator and the API server; refuses what its rule picks out."""

    def __init__(self) -> None:
        self.operator: Operator
        self._rule: Callable[[Write], Refusal | None] = lambda write: None

    def __call__(self, write: Write, phase: Phase) -> bool | Refusal:
        return (phase == "before" and self._rule(write)) or True

    @contextmanager
    def refusing(self, rule: Callable[[Write], Refusal | None]) -> Iterator[None]:
        """The rule holds within."""
        self._rule = rule
        try:
            yield
        finally:
            self._rule = lambda write: None


class OnceEach:
    """A rule: each step of the Hold protocol in a namespace is refused when it is tried first."""

    def __init__(self, refusal: Refusal, namespace: str) -> None:
        self.refused: list[str] = []
        self._refusal = refusal
        self._part = f"/namespaces/{namespace}/"

    def __call__(self, write: Write) -> Refusal | None:
        if self._part not in write.path or write.step in self.refused:
            return None
        self.refused.append(write.step)
        return self._refusal


@pytest.fixture(scope="module")
def saboteur(sandbox: Sandbox, instead: Instead) -> Iterator[Saboteur]:
    """Another operator in the place of the shared one, and somebody between it and the API server."""
    one = Saboteur()
    with (
        Interception(
            sandbox.control_plane.url,
            str(sandbox.control_plane.ca),
            wanted=lambda method, path: "/holds" in path or "/deployments/" in path,
            hook=one,
        ) as proxy,
        instead(api_url=proxy.url) as one.operator,
    ):
        yield one


REFUSALS = (
    Refusal(409, "Conflict"),
    Refusal(429, "TooManyRequests", retry_after=1),
    Refusal(500, "InternalError"),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.reason)
def test_a_refused_write_is_made_again(saboteur: Saboteur, team: MakeTeam, refusal: Refusal) -> None:
    """Each write of a hold and of its release is refused once, and both come to their end all the same."""
    one = team(f"refused-{refusal.code}")
    rule = OnceEach(refusal, one.name)
    with saboteur.refusing(rule):
        one.budget(LITTLE)
        one.await_held()
        one.assert_held()
        one.budget(PLENTY)
        one.await_free()
    assert len(rule.refused) >= 6, f"too few writes were seen to mean anything: {rule.refused}"


def test_what_is_forbidden_is_told_and_stops_no_other(saboteur: Saboteur, team: MakeTeam) -> None:
    """One namespace's Deployments cannot be patched: its budget says so, and another's is held."""
    closed, other = team("forbidden"), team("permitted")
    path = f"/apis/apps/v1/namespaces/{closed.name}/deployments/"
    forbidden = Refusal(403, "Forbidden")
    with saboteur.refusing(lambda write: forbidden if write.path.startswith(path) else None):
        closed.budget(LITTLE)
        other.budget(LITTLE)
        other.await_held()
        wait_until(
            lambda: closed.condition("Enforced").get("reason") == "EnforcementFailed", 30, "it to be told"
        )
        await_cycles(saboteur.operator)
        assert "Grant the permission" in closed.condition("Enforced")["message"]
        assert closed.condition("Ready")["status"] == "True"
        assert closed.replicas() == 1
    closed.await_held()
    assert closed.condition("Enforced").get("reason") != "EnforcementFailed"


def test_a_kind_that_is_forbidden_stops_no_other(
    sandbox: Sandbox, saboteur: Saboteur, team: MakeTeam
) -> None:
    """The role leaves out StatefulSets: Deployments are held and freed, and the log says what to grant."""
    one = team("without-a-kind")
    with narrowed(sandbox.control_plane.client, "statefulsets"):
        saboteur.operator.stop()
        saboteur.operator.start()
        one.budget(LITTLE)
        one.await_held()
        one.budget(PLENTY)
        one.await_free()
        assert saboteur.operator.process is not None
        log = saboteur.operator.process.log_tail(1000)
    assert "statefulsets" in log
    assert "Grant the permission" in log


def test_a_crash_of_the_api_server_in_the_grace_period(
    sandbox: Sandbox, team: MakeTeam, instead: Instead
) -> None:
    """The notice outlives the API server and the leader, who steps down meanwhile; then the act follows."""
    one = team("crashed-upon")
    with instead() as operator:
        one.budget(LITTLE, grace=5)
        wait_until(lambda: bool(one.holds()), 60, "notice to be given")
        (notice,) = one.holds()
        assert one.replicas() == 1
        assert operator.process is not None
        sandbox.control_plane.stop_api_server()
        try:
            leader = operator.process
            wait_until(lambda: not leader.alive, 30, "the leader to step down")
        finally:
            sandbox.control_plane.start_api_server()
        operator.start()
        one.await_held()
        one.assert_held()
        assert one.holds()[0]["metadata"]["uid"] == notice["metadata"]["uid"]
        one.budget(PLENTY)
        one.await_free()


POISON = (
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "poison", "namespace": "poisoned"},
        "spec": {"limit": {"amount": "a lot", "currency": "USD"}},
    },
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIPriceList",
        "metadata": {"name": "poison"},
        "spec": {
            "currency": "USD",
            "rates": [{"name": "l4", "meter": "gpu", "unit": "GPU-Hours", "price": "-1", "from": "now"}],
        },
    },
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "Hold",
        "metadata": {"name": "poison", "namespace": "poisoned"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "model"}, "claims": "mine"},
    },
)


def test_poisonous_objects_stop_no_other(sandbox: Sandbox, team: MakeTeam) -> None:
    """Stored under an older, looser CRD: each is Stalled with a reason, and other budgets are enforced."""
    client = sandbox.control_plane.client
    poisoned, healthy = team("poisoned"), team("healthy")
    for manifest in POISON:
        smuggle(client, manifest)
    try:
        healthy.budget(LITTLE)
        healthy.await_held()
        for manifest in POISON[:2]:
            path = object_path(manifest)
            wait_until(lambda path=path: bool(stalled(client, path)), 30, f"{path} to be Stalled")  # type: ignore[misc]
            assert stalled(client, path)["reason"] == "InvalidSpec"
        poisoned.budget(LITTLE)
        poisoned.await_held()
        healthy.budget(PLENTY)
        healthy.await_free()
    finally:
        for manifest in POISON:
            client.delete(object_path(manifest))


def test_a_budget_in_another_currency_stalls_alone(sandbox: Sandbox, team: MakeTeam) -> None:
    """There are no prices in euros: nothing is acted on for it, and its neighbour is held."""
    foreign, other = team("in-euros"), team("in-dollars")
    foreign.budget(LITTLE, currency="EUR")
    other.budget(LITTLE)
    other.await_held()
    wait_until(lambda: bool(foreign.condition("Stalled")), 30, "the euros to be Stalled")
    assert foreign.condition("Stalled")["reason"] == "MixedCurrencies"
    assert foreign.condition("Ready")["status"] == "False"
    await_cycles(sandbox.operator)
    assert foreign.holds() == []
    foreign.assert_untouched()


@contextmanager
def narrowed(client: KubernetesClient, resource: str) -> Iterator[None]:
    """The operator's role without one resource."""
    rules = client.get(ROLE)["rules"]
    fewer = [{**rule, "resources": [one for one in rule["resources"] if one != resource]} for rule in rules]
    client.patch(ROLE, {"rules": fewer})
    try:
        yield
    finally:
        client.patch(ROLE, {"rules": rules})


def smuggle(client: KubernetesClient, manifest: JsonObject) -> None:
    """Store an object that its CRD refuses, while the CRD takes any spec."""
    path = object_path(manifest)
    definition = f"{DEFINITIONS}/{path.split('/')[-2]}.aibudget.io"
    strict = client.get(definition)["spec"]["versions"]
    loose = deepcopy(strict)
    for version in loose:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    client.patch(definition, {"spec": {"versions": loose}})
    try:
        wait_until(lambda: is_taken(client, manifest), 30, f"{path} to be taken")
    finally:
        client.patch(definition, {"spec": {"versions": strict}})
    other = {**manifest, "metadata": {**manifest["metadata"], "name": "probe"}}
    wait_until(lambda: not is_taken(client, other, dry=True), 30, "the CRD to be strict again")


def is_taken(client: KubernetesClient, manifest: JsonObject, *, dry: bool = False) -> bool:
    collection = object_path(manifest).rpartition("/")[0]
    answer = client.request("POST", collection, manifest, params={"dryRun": "All"} if dry else None)
    return bool(answer.status_code == requests.codes.created)


def stalled(client: KubernetesClient, path: str) -> JsonObject:
    """The Stalled condition, empty if there is none."""
    conditions: list[JsonObject] = client.get(path).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Stalled"), {})
