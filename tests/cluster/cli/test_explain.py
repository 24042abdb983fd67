"""`aibudget explain` against a real API server: what only it has to say, and what cannot be explained."""

import json

import pytest

from cluster.cli.conftest import Desk, condition

pytestmark = pytest.mark.cluster

FREEZE = """
targetRef: {apiVersion: v1, kind: Namespace, name: NAMESPACE, uid: 0f6c}
action: Freeze
claims:
- {kind: AIBudget, name: training, uid: 7d1a, periodId: 2026-11@UTC, threshold: full, decision: Approved}
"""


def deploy(desk: Desk) -> None:
    labels = {"app": "llm"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    desk.plane.client.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llm", "namespace": desk.namespace},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }
    )


def test_a_frozen_namespace_is_told(desk: Desk) -> None:
    """Who wonders why no new pod starts finds the fence, and how to have it lifted."""
    deploy(desk)
    status = {"conditions": [condition("Applied", "True", "Held")]}
    desk.put("Hold", "freeze-0123456789", FREEZE.replace("NAMESPACE", desk.namespace), status)

    text = desk.aibudget("explain", "deployments/llm", "-n", desk.namespace)
    found = json.loads(desk.aibudget("explain", "deploy/llm", "-n", desk.namespace, "-o", "json").stdout)

    assert text.exit_code == 0
    assert f"Namespace {desk.namespace}: Freeze for AIBudget training: it may use no more" in text.stdout
    assert f"kubectl delete hold -n {desk.namespace} freeze-0123456789" in text.stdout
    assert found["state"] == "Free"
    assert found["fences"] == [
        {
            "action": "Freeze",
            "hold": "freeze-0123456789",
            "inForce": True,
            "budgets": ["AIBudget training"],
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("llm",), "write KIND/NAME"),
        (("rocket/llm",), "write KIND/NAME"),
        (("deploy/nobody",), "There is no Deployment nobody"),
        (("deploy/llm", "-A"), "name it with -n"),
    ],
)
def test_what_cannot_be_explained_ends_with_2(desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    """And says what to write instead."""
    ran = desk.aibudget("explain", *arguments, *([] if "-A" in arguments else ["-n", desk.namespace]))
    assert ran.exit_code == 2
    assert said in ran.stderr
