"""`aibudget holds` against a real API server: what is held, and the way back."""

import json

import pytest

from cluster.cli.conftest import Desk, condition

pytestmark = pytest.mark.cluster

HOLD = """
targetRef: {apiVersion: apps/v1, kind: Deployment, name: llm, uid: 0f6c}
action: ScaleDown
claims:
- kind: AIBudget
  name: training
  uid: 7d1a
  periodId: 2026-11@UTC
  threshold: over
  decision: Approved
  noticeTime: "2026-11-21T10:00:00Z"
original: [{path: /spec/replicas, json: "6"}]
"""
HELD = {"conditions": [condition("Applied", "True", "Held")], "enforcedTime": "2026-11-21T10:15:02Z"}


def test_a_hold_is_told_with_the_way_back(desk: Desk) -> None:
    """The table is for reading on; the advice goes to stderr and names the program as it was called."""
    desk.put("Hold", "deployment-llm-3b9f0c12", HOLD, HELD)

    ran = desk.aibudget("holds", "-n", desk.namespace)

    assert ran.exit_code == 0
    assert "Deployment/llm" in ran.stdout
    assert "AIBudget/training (over)" in ran.stdout
    assert "/spec/replicas = 6" in ran.stdout
    assert "kubectl delete hold" in ran.stderr
    assert "release --all" in ran.stderr


def test_all_namespaces_are_asked_with_a(desk: Desk) -> None:
    """`-A` sees what `-n` of another namespace does not."""
    desk.put("Hold", "deployment-llm-3b9f0c12", HOLD, HELD)

    here, elsewhere = desk.aibudget("holds", "-A", "-o", "json"), desk.aibudget("holds", "-n", "default")

    assert desk.namespace in {item["metadata"]["namespace"] for item in json.loads(here.stdout)["items"]}
    assert elsewhere.stdout == ""
    assert "No workload is held in namespace default." in elsewhere.stderr
