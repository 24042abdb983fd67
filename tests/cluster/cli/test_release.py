"""`aibudget release --all` against a real API server: no operator runs, and everything comes back."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from aibudget.api.hold import Hold
from aibudget.api.names import API_VERSION, FIELD_MANAGER, KILL_SWITCH
from aibudget.enforcement.hold import hold_name, marks
from aibudget.enforcement.kinds import KINDS
from cluster.cli.conftest import Desk, condition

pytestmark = pytest.mark.cluster

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm}
spec:
  replicas: 6
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec: {containers: [{name: llm, image: llm}]}
"""
HELD = {"conditions": [condition("Applied", "True", "Held")], "enforcedTime": "2026-11-21T10:15:02Z"}


@pytest.fixture
def held(desk: Desk) -> Iterator[Desk]:
    """A Deployment of six, held at 0 as the operator would have left it; no kill switch is left behind."""
    client = desk.plane.client
    manifest = yaml.safe_load(DEPLOYMENT)
    manifest["metadata"]["namespace"] = desk.namespace
    (made,) = client.apply(manifest)
    uid = made["metadata"]["uid"]
    name = hold_name(KINDS["Deployment"], "llm", uid)
    claim = "kind: AIBudget, name: training, uid: 7d1a, periodId: 2026-11@UTC, threshold: over"
    desk.put(
        "Hold",
        name,
        f"""
        targetRef: {{apiVersion: apps/v1, kind: Deployment, name: llm, uid: {uid}}}
        action: ScaleDown
        claims: [{{{claim}, decision: Approved}}]
        original: [{{path: /spec/replicas, json: "6"}}]
        """,
        HELD,
    )
    hold = Hold.read(client.get(f"/apis/{API_VERSION}/namespaces/{desk.namespace}/holds/{name}"))
    labels, annotations = marks(hold)
    stopped = client.request(
        "PATCH",
        path(desk),
        {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"replicas": 0}},
        content_type="application/merge-patch+json",
        params={"fieldManager": FIELD_MANAGER},
    )
    assert stopped.ok, stopped.text
    yield desk
    client.delete(f"/api/v1/namespaces/{desk.namespace}/configmaps/{KILL_SWITCH}")
    client.delete(path(desk))


def path(desk: Desk) -> str:
    """The Deployment's path."""
    return f"/apis/apps/v1/namespaces/{desk.namespace}/deployments/llm"


def deployment(desk: Desk) -> dict[str, Any]:
    """The Deployment as it is."""
    return desk.plane.client.get(path(desk))


def test_everything_comes_back_and_nothing_new_is_held(held: Desk) -> None:
    """The original value, no mark of ours, no Hold, and the kill switch in the way of new acts."""
    ran = held.aibudget("release", "--all", "--yes", "--operator-namespace", held.namespace)

    back = deployment(held)
    client = held.plane.client
    assert ran.exit_code == 0, ran.output
    assert "Deployment/llm" in ran.stdout
    assert back["spec"]["replicas"] == 6
    assert not [name for name in back["metadata"].get("labels", {}) if name.startswith("aibudget.io/")]
    assert client.items(f"/apis/{API_VERSION}/namespaces/{held.namespace}/holds") == []
    assert client.exists(f"/api/v1/namespaces/{held.namespace}/configmaps/{KILL_SWITCH}")
    assert f"kubectl delete configmap -n {held.namespace} {KILL_SWITCH}" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "answer", "code"),
    [
        (["--all"], "n\n", 1),
        (["--all"], "", 1),
        ([], "", 2),
        (["--all", "--yes"], "", 2),
    ],
    ids=["refused", "nobody to ask", "without --all", "no operator and no namespace"],
)
def test_nothing_happens_without_a_clear_word(
    held: Desk, arguments: list[str], answer: str, code: int
) -> None:
    """Neither a slip nor a script without --yes gives everything back."""
    ran = held.aibudget("release", *arguments, answer=answer)

    assert ran.exit_code == code
    assert deployment(held)["spec"]["replicas"] == 0


def test_a_second_time_finds_nothing(held: Desk) -> None:
    """Safe to repeat."""
    arguments = ("release", "--all", "-y", "--operator-namespace", held.namespace)
    held.aibudget(*arguments)
    again = held.aibudget(*arguments)

    assert (again.exit_code, again.stdout) == (0, "")
    assert "Nothing was held." in again.stderr
