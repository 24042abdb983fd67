"""A real API server takes what the chart renders, and grants people what its roles say."""

from typing import Any

import pytest

from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until
from cluster.chart.conftest import SYSTEM

pytestmark = pytest.mark.cluster


def test_the_pod_is_admitted_where_only_restricted_ones_are(
    installed: list[dict[str, Any]], control_plane: ControlPlane
) -> None:
    """The Deployment's own ReplicaSet makes the pod; Pod Security admission is the judge."""
    assert installed
    path = f"/api/v1/namespaces/{SYSTEM}/pods"

    wait_until(lambda: bool(control_plane.client.items(path)), 30, "the operator's pod to be admitted")


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        ("view", {"get aibudgets", "list holds"}, {"create aibudgets", "delete holds"}),
        (
            "edit",
            {"get aibudgets", "create aibudgets"},
            {"patch aibudgets/status", "delete holds", "patch holds", "decide aibudgets"},
        ),
        (
            "admin",
            {"get holds", "delete aibudgets"},
            {"patch aibudgets/status", "delete holds", "decide aibudgets"},
        ),
        ("aibudget-hold-lifter", {"get holds", "delete holds"}, {"create holds", "patch holds"}),
        (
            "aibudget-approver",
            {"patch holds", "decide aibudgets"},
            {"create holds", "delete holds", "patch holds/status", "operate holds", "patch aibudgets"},
        ),
    ],
)
def test_people_may_do_what_their_role_says(
    installed: list[dict[str, Any]],
    control_plane: ControlPlane,
    role: str,
    allowed: set[str],
    refused: set[str],
) -> None:
    """Asked of the real authorizer, for a user bound to the role in one namespace."""
    assert installed
    bind(control_plane, role)

    # A controller fills the roles that aggregate, and the authorizer learns of the binding by a watch.
    wait_until(lambda: all(may(control_plane, role, act) for act in allowed), 15, f"{role} to be bound")
    assert not [act for act in refused if may(control_plane, role, act)]


def bind(plane: ControlPlane, role: str) -> None:
    """Give the role to a user of its name, in one namespace."""
    group = "rbac.authorization.k8s.io"
    plane.client.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": "default"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": f"{role}-user"}],
        }
    )


def may(plane: ControlPlane, role: str, act: str) -> bool:
    """Whether that user may do the act, such as `patch aibudgets/status`."""
    verb, _, resource = act.partition(" ")
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": "default", "group": "aibudget.io", "resource": plural, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"{role}-user",
            "resourceAttributes": {**attributes, "subresource": subresource},
        },
    }
    answer = plane.client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
