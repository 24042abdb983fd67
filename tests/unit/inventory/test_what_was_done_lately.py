"""What an object says was done to it, in time to be behind something unusual."""

import asyncio
from typing import Any

from aibudget.inventory.changes import EARLIER, Changes, changed
from aibudget.inventory.kubernetes import Forbidden, Json
from aibudget.inventory.resource import Resource
from aibudget.inventory.workload import Workload

NOON = 1_793_534_400
SPEC: dict[str, Any] = {"f:spec": {"f:template": {}}}


def metadata(**more: Any) -> dict[str, Any]:
    """Of a Deployment that was made long ago."""
    return {"name": "llm", "creationTimestamp": "2026-01-01T00:00:00Z", **more}


def managed(time: str, **more: Any) -> dict[str, Any]:
    """One entry of managedFields."""
    return {"manager": "argocd-controller", "operation": "Apply", "time": time, "fieldsV1": SPEC} | more


def test_the_last_change_is_told_with_who_made_it() -> None:
    """And with the revision that came of it."""
    old, new = managed("2026-11-01T08:00:00Z"), managed("2026-11-01T11:30:00Z", manager="kubectl")
    told = changed(
        metadata(managedFields=[old, new], annotations={"deployment.kubernetes.io/revision": "7"}),
        NOON,
        NOON + 3600,
    )
    assert told == "changed by kubectl, revision 7 at 2026-11-01T11:30:00Z"


def test_what_is_new_was_created_and_not_changed() -> None:
    """Its first fields are as old as itself."""
    time = "2026-11-01T11:00:00Z"
    assert changed(metadata() | {"creationTimestamp": time, "managedFields": [managed(time)]}, NOON, NOON + 1)
    assert (
        changed(metadata() | {"creationTimestamp": time, "managedFields": [managed(time)]}, NOON, NOON + 1)
        == "created at 2026-11-01T11:00:00Z"
    )


def test_a_scale_is_told_and_a_status_is_none() -> None:
    """Who scales writes the subresource; who tells a status has changed nothing."""
    scaled = managed("2026-11-01T11:30:00Z", subresource="scale", manager="keda")
    status = managed("2026-11-01T11:40:00Z", subresource="status", manager="kube-controller-manager")
    label = managed("2026-11-01T11:50:00Z", fieldsV1={"f:metadata": {}})
    told = changed(metadata(managedFields=[scaled, status, label]), NOON, NOON + 3600)
    assert told == "scaled by keda at 2026-11-01T11:30:00Z"


def test_what_was_long_before_or_came_after_is_not_behind_it() -> None:
    """Nothing is said then."""
    at = managed("2026-11-01T11:30:00Z")
    begin = NOON - 1800
    assert changed(metadata(managedFields=[at]), begin + EARLIER, begin + EARLIER + 1)
    assert not changed(metadata(managedFields=[at]), begin + EARLIER + 1, begin + EARLIER + 2)
    assert not changed(metadata(managedFields=[at]), begin - 3600, begin)


class API:
    """One Deployment that may be read, and one that may not."""

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None:
        """As the API server answers."""
        if name == "secret":
            raise Forbidden("Forbidden", "no")
        found = {"metadata": metadata(managedFields=[managed("2026-11-01T11:30:00Z")])}
        return found if (name, metadata_only) == ("llm", True) else None


def test_what_cannot_be_asked_for_stays_unsaid() -> None:
    """Another kind, an object that is gone, one that may not be read."""

    async def told(kind: str, name: str) -> str:
        return await Changes(API()).of(Workload("team", kind, name), NOON, NOON + 3600)

    assert asyncio.run(told("Deployment", "llm")) == "changed by argocd-controller at 2026-11-01T11:30:00Z"
    for kind, name in (("Deployment", "gone"), ("Deployment", "secret"), ("NodePool", "rack")):
        assert asyncio.run(told(kind, name)) == ""
