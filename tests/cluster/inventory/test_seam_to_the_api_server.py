"""The seam against a real API server: what its answers mean is what the server means."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aibudget.errors import Conflict
from aibudget.inventory import kubernetes
from aibudget.inventory.kubernetes import AlreadyExists, Cluster, Forbidden, NotFound, NotServed
from aibudget.inventory.resource import CONFIG_MAPS, DEPLOYMENTS, Refused, Resource
from aibudget.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.cluster

Work = Callable[[Cluster], Awaitable[Any]]
_UNKNOWN = Resource("aibudget.io/v9", "nothings", "Nothing")


@pytest.fixture
def run(api_server: ControlPlane) -> Callable[[Work], Any]:
    """Do something with a connection."""

    def do(work: Work) -> Any:
        async def connected() -> Any:
            async with await Cluster.connect(api_server.kubeconfig) as cluster:
                return await work(cluster)

        return asyncio.run(connected())

    return do


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"test": "seam"}}, "data": data}


def test_create_read_patch_delete(run: Callable[[Work], Any]) -> None:
    """Each verb does what it says, under our name; what is not there is None or a conflict."""

    async def work(cluster: Cluster) -> None:
        made = await cluster.create(CONFIG_MAPS, config_map("one", a="1"), "default")
        with pytest.raises(AlreadyExists):
            await cluster.create(CONFIG_MAPS, config_map("one"), "default")
        assert await cluster.get(CONFIG_MAPS, "one", "default") == made
        assert await cluster.get(CONFIG_MAPS, "none", "default") is None
        merged = await cluster.patch(CONFIG_MAPS, "one", {"data": {"b": "2"}}, "default")
        assert merged["data"] == {"a": "1", "b": "2"}
        assert {entry["manager"] for entry in merged["metadata"]["managedFields"]} == {"aibudget"}
        applied = await cluster.apply(
            CONFIG_MAPS, {"metadata": {"name": "two", "namespace": "default"}, "data": {"c": "3"}}
        )
        assert applied["metadata"]["managedFields"][0]["operation"] == "Apply"
        with pytest.raises(NotFound):
            await cluster.patch(CONFIG_MAPS, "none", {"data": {}}, "default")
        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAPS, "one", "default", uid="another")
        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAPS, "one", "default", resource_version="1")
        assert await cluster.delete(CONFIG_MAPS, "one", "default", uid=made["metadata"]["uid"])
        assert not await cluster.delete(CONFIG_MAPS, "one", "default")
        assert abs(cluster.skew_seconds or 0) < 60

    run(work)


def test_a_failed_test_is_a_conflict_and_nonsense_is_refused(run: Callable[[Work], Any]) -> None:
    """A JSON patch whose `test` or path does not fit is to be decided again; an invalid value is refused."""
    labels = {"app": "seam"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}

    async def work(cluster: Cluster) -> None:
        made = await cluster.create(DEPLOYMENTS, {"metadata": {"name": "seam"}, "spec": spec}, "default")
        version = made["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        replicas = {"op": "add", "path": "/spec/replicas", "value": 2}
        await cluster.patch(DEPLOYMENTS, "seam", [test, replicas], "default")
        with pytest.raises(Conflict):
            await cluster.patch(DEPLOYMENTS, "seam", [test, {**replicas, "value": 3}], "default")
        gone = {"op": "remove", "path": "/metadata/annotations/none"}
        with pytest.raises(Conflict):
            await cluster.patch(DEPLOYMENTS, "seam", [gone], "default")
        for value in (-1, "x"):
            with pytest.raises(Refused):
                await cluster.patch(DEPLOYMENTS, "seam", [{**replicas, "value": value}], "default")
        await cluster.delete(DEPLOYMENTS, "seam", "default")

    run(work)


def test_lists_are_whole(run: Callable[[Work], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """More objects than a page holds; by label; as metadata alone; across namespaces."""
    monkeypatch.setattr(kubernetes, "_PAGE", 2)

    async def work(cluster: Cluster) -> None:
        names = [f"page-{number}" for number in range(5)]
        for name in names:
            await cluster.create(CONFIG_MAPS, config_map(name, big="x"), "default")
        found = await cluster.list(CONFIG_MAPS, "default", labels="test=seam")
        assert [obj["metadata"]["name"] for obj in found if obj["metadata"]["name"] in names] == names
        assert all("data" in obj for obj in found if obj["metadata"]["name"] in names)
        lean = await cluster.list(CONFIG_MAPS, labels="test=seam", metadata_only=True)
        assert {obj["kind"] for obj in lean} == {"ConfigMap"}
        assert not any("data" in obj for obj in lean)
        for call in (cluster.list(_UNKNOWN), cluster.get(_UNKNOWN, "x", "default")):
            with pytest.raises(NotServed):
                await call

    run(work)


def test_what_is_not_permitted(api_server: ControlPlane, run: Callable[[Work], Any], tmp_path: Any) -> None:
    """Without the permission a read and a write are Forbidden, never None and never an empty list."""
    body = {"metadata": {"name": "nobody", "namespace": "default"}}
    api_server.client.create("/api/v1/namespaces/default/serviceaccounts", body)
    path = api_server.kubeconfig_for_service_account("default", "nobody", tmp_path / "kubeconfig")

    async def work() -> None:
        async with await Cluster.connect(path) as cluster:
            for call in (
                cluster.get(CONFIG_MAPS, "one", "default"),
                cluster.list(CONFIG_MAPS),
                cluster.create(CONFIG_MAPS, config_map("no"), "default"),
                cluster.patch(CONFIG_MAPS, "no", {"data": {}}, "default"),
                cluster.delete(CONFIG_MAPS, "no", "default"),
            ):
                with pytest.raises(Forbidden, match="nobody"):
                    await call

    asyncio.run(work())
