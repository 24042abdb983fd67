"""Real claims, allocated by the real scheduler, become the metric that the `gpu` meter reads."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aibudget.controller.cache import Cache
from aibudget.controller.watch import Watch
from aibudget.inventory.kubernetes import Cluster
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.snapshot import Snapshot
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until
from cluster.conftest import NamespaceFactory

pytestmark = pytest.mark.cluster

DRA = "/apis/resource.k8s.io/v1"
DRIVER, NETWORK = "gpu.nvidia.com", "net.example.com"
REQUESTED = "example.com/card"
H100 = "NVIDIA H100 80GB HBM3"
Rows = dict[tuple[str, ...], float]


@pytest.fixture(scope="module", autouse=True)
def crds(control_plane: ControlPlane) -> None:
    """The watch needs our group to be served."""
    client = control_plane.client
    for path in sorted((Path(__file__).parents[3] / "crds").glob("*.yaml")):
        client.apply(path.read_text())
    for crd in client.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
        served = f"/apis/{crd['spec']['group']}/v1alpha1/{crd['spec']['names']['plural']}"
        wait_until(partial(client.exists, served), 30, f"{served} to be served")


@pytest.fixture(scope="module", autouse=True)
def devices(control_plane: ControlPlane) -> Iterator[None]:
    """Two GPUs and a MIG instance on one node, and a network card that is no accelerator."""
    client = control_plane.client
    cards = [device(f"gpu-{n}", type="gpu", productName=H100) for n in range(4)]
    part = device("gpu-4-mig-0", type="mig", productName=H100, profile="1g.10gb")
    for driver, found in ((DRIVER, [*cards, part]), (NETWORK, [device("nic-0", type="nic")])):
        pool = {"name": "h100-1", "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": driver, "nodeName": "h100-1", "pool": pool, "devices": found}
        client.create(f"{DRA}/resourceslices", {"metadata": {"name": f"{driver}-h100-1"}, "spec": spec})
    kind = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].type == '
    for name, expression in (
        ("gpu", f'{kind}"gpu"'),
        ("mig", f'{kind}"mig"'),
        ("nic", f'device.driver == "{NETWORK}"'),
    ):
        selected: dict[str, Any] = {"selectors": [{"cel": {"expression": expression}}]}
        if name == "gpu":
            selected["extendedResourceName"] = REQUESTED
        client.create(f"{DRA}/deviceclasses", {"metadata": {"name": name}, "spec": selected})
    yield
    for driver in (DRIVER, NETWORK):
        client.delete(f"{DRA}/resourceslices/{driver}-h100-1")


def device(name: str, **attributes: str) -> dict[str, Any]:
    """As a driver's slice tells of it."""
    return {"name": name, "attributes": {key: {"string": value} for key, value in attributes.items()}}


def claim(plane: ControlPlane, namespace: str, name: str, of: str, *, admin: bool = False) -> None:
    """A claim of one device of a class."""
    exactly = {"deviceClassName": of, **({"adminAccess": True} if admin else {})}
    spec = {"devices": {"requests": [{"name": "device", "exactly": exactly}]}}
    plane.client.create(
        f"{DRA}/namespaces/{namespace}/resourceclaims", {"metadata": {"name": name}, "spec": spec}
    )


def pod(plane: ControlPlane, namespace: str, name: str, *claims: str, asks: str = "") -> str:
    """A pod that uses these claims, and one of an extended resource; its uid, once it runs."""
    resources: dict[str, Any] = {"claims": [{"name": one} for one in claims]}
    if asks:
        resources |= {"requests": {asks: "1"}, "limits": {asks: "1"}}
    container = {"name": "main", "image": "none", "resources": resources}
    spec = {
        "containers": [container],
        "resourceClaims": [{"name": one, "resourceClaimName": one} for one in claims],
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = plane.client.create(path, {"metadata": {"name": name}, "spec": spec})
    wait_until(
        lambda: plane.client.get(f"{path}/{name}")["status"]["phase"] == "Running", 30, f"{name} to run"
    )
    return str(made["metadata"]["uid"])


def told(plane: ControlPlane, namespace: str, expected: int) -> Rows:
    """What the operator's metrics page says of a namespace once it says that much: labels → devices."""
    exporter, rows = Exporter(), Rows()
    exporter.show(Snapshot(leader=True))

    async def main() -> None:
        async with await Cluster.connect(plane.kubeconfig) as cluster:
            cache = Cache()
            exporter.ask_devices(cache.devices_held)
            watch = Watch(cluster, cache, lambda: None)
            running = asyncio.create_task(watch.run())
            try:
                async with asyncio.timeout(30):
                    while len(page(exporter, namespace)) != expected:  # noqa: ASYNC110 - events are waited for
                        await asyncio.sleep(0.05)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                rows.update(page(exporter, namespace))

    asyncio.run(main())
    return rows


def page(exporter: Exporter, namespace: str) -> Rows:
    """The rows of one scrape."""
    names = ("namespace", "pod", "uid", "node", "driver", "product", "profile", "part")
    return {
        tuple(sample.labels[name] for name in names): sample.value
        for family in text_string_to_metric_families(exporter.render().decode())
        for sample in family.samples
        if sample.name == "aibudget_dra_device_held" and sample.labels["namespace"] == namespace
    }


def test_what_pods_hold_is_told(control_plane: ControlPlane, namespace: NamespaceFactory) -> None:
    """A device of one's own, one that two pods share and an instance; no network card, nobody's claim."""
    team = namespace()
    for name, of in (("own", "gpu"), ("shared", "gpu"), ("part", "mig"), ("nic", "nic"), ("idle", "gpu")):
        claim(control_plane, team, name, of)
    solo = pod(control_plane, team, "solo", "own", "part", "nic")
    one, two = (pod(control_plane, team, name, "shared") for name in ("one", "two"))
    product = H100.replace(" ", "-")
    common = ("h100-1", DRIVER, product)
    assert told(control_plane, team, 4) == {
        (team, "solo", solo, *common, "", "1"): 1.0,
        (team, "solo", solo, *common, "1g.10gb", "1"): 1.0,
        (team, "one", one, *common, "", "1/2"): 1.0,
        (team, "two", two, *common, "", "1/2"): 1.0,
    }


def test_what_is_counted_elsewhere_or_is_nobody_s_is_not_told(
    control_plane: ControlPlane, namespace: NamespaceFactory
) -> None:
    """The claim behind a request is counted as the request; who administers a device does not hold it; and
    what ended holds nothing.
    """
    client = control_plane.client
    team = namespace({"resource.kubernetes.io/admin-access": "true"})
    claim(control_plane, team, "watching", "gpu", admin=True)
    claim(control_plane, team, "own", "gpu")
    pod(control_plane, team, "watcher", "watching")
    pod(control_plane, team, "requester", asks=REQUESTED)
    pod(control_plane, team, "solo", "own")
    pod(control_plane, team, "solo-again", "own")
    made = client.items(f"{DRA}/namespaces/{team}/resourceclaims")
    assert sum(bool((one.get("status") or {}).get("allocation")) for one in made) == 3
    client.delete(f"/api/v1/namespaces/{team}/pods/solo")
    assert {row[1] for row in told(control_plane, team, 1)} == {"solo-again"}
