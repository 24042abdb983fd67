"""The API server that refuses, is busy or forbids: what can be repeated is repeated, the rest is told."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.interception import Interception, Phase, Refusal, Write
from e2e.team import LITTLE, PLENTY, await_cycles

pytestmark = pytest.mark.e2e

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/aibudget"


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


class InTurn:
    """A rule: each step of the Hold protocol in a namespace is refused in each way once, then let be."""

    def __init__(self, refusals: Sequence[Refusal], namespace: str) -> None:
        self.seen: Counter[str] = Counter()
        self._refusals = refusals
        self._part = f"/namespaces/{namespace}/"

    def __call__(self, write: Write) -> Refusal | None:
        turn = self.seen[write.step]
        if self._part not in write.path or turn == len(self._refusals):
            return None
        self.seen[write.step] += 1
        return self._refusals[turn]


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


def test_a_refused_write_is_made_again(saboteur: Saboteur, team: MakeTeam) -> None:
    """Each write of a hold and of its release is refused in three ways; both come to their end."""
    one = team("refused")
    rule = InTurn(REFUSALS, one.name)
    with saboteur.refusing(rule):
        one.budget(LITTLE)
        one.await_held()
        one.assert_held()
        one.budget(PLENTY)
        one.await_free()
    often = [step for step, times in rule.seen.items() if times == len(REFUSALS)]
    assert len(often) >= 6, f"too few writes were seen to mean anything: {rule.seen}"


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
    wait_until(lambda: closed.condition("Enforced").get("reason") == "WorkloadsHeld", 30, "that to be told")


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
