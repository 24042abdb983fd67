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
H100, L4 = "NVIDIA H100 80GB HBM3", "NVIDIA L4"
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
    """GPUs, one that may be shared and a MIG instance on one node; and a network card, no accelerator."""
    client = control_plane.client
    cards = [device(f"gpu-{n}", type="gpu", productName=H100) for n in range(4)]
    part = device("gpu-4-mig-0", type="mig", productName=H100, profile="1g.10gb")
    several = {
        **device("gpu-5", type="gpu-for-several", productName=L4),
        "allowMultipleAllocations": True,
        "capacity": {
            "memory": {"value": "24Gi"},
            "cores": {"value": "100", "requestPolicy": {"default": "0"}},
        },
    }
    for driver, found in ((DRIVER, [*cards, part, several]), (NETWORK, [device("nic-0", type="nic")])):
        pool = {"name": "h100-1", "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": driver, "nodeName": "h100-1", "pool": pool, "devices": found}
        client.create(f"{DRA}/resourceslices", {"metadata": {"name": f"{driver}-h100-1"}, "spec": spec})
    kind = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].type == '
    for name, expression in (
        ("gpu", f'{kind}"gpu"'),
        ("mig", f'{kind}"mig"'),
        ("several", f'{kind}"gpu-for-several"'),
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


def claim(
    plane: ControlPlane, namespace: str, name: str, of: str, *, admin: bool = False, memory: str = ""
) -> None:
    """A claim of one device of a class, or of a share of one."""
    exactly: dict[str, Any] = {"deviceClassName": of, **({"adminAccess": True} if admin else {})}
    if memory:
        exactly["capacity"] = {"requests": {"memory": memory}}
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


def told(plane: ControlPlane, namespace: str, expected: int) -> tuple[Rows, Rows]:
    """What the operator's metrics page says of a namespace once it says that much, and what there is for
    claims: labels → devices.
    """
    exporter, rows, there = Exporter(), Rows(), Rows()
    exporter.show(Snapshot(leader=True))

    async def main() -> None:
        async with await Cluster.connect(plane.kubeconfig) as cluster:
            cache = Cache()
            exporter.ask_devices(cache.devices_held, cache.devices_offered)
            watch = Watch(cluster, cache, lambda: None)
            running = asyncio.create_task(watch.run())
            try:
                async with asyncio.timeout(30):
                    while len(held(exporter, namespace)) != expected or not offered(exporter):  # noqa: ASYNC110 - events are waited for
                        await asyncio.sleep(0.05)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                rows.update(held(exporter, namespace))
                there.update(offered(exporter))

    asyncio.run(main())
    return rows, there


def held(exporter: Exporter, namespace: str) -> Rows:
    """The rows of one scrape on what the namespace's pods hold."""
    names = ("namespace", "pod", "uid", "node", "driver", "product", "profile", "part", "requested")
    return {
        row: value
        for row, value in page(exporter, "aibudget_dra_device_held", names).items()
        if row[0] == namespace
    }


def offered(exporter: Exporter) -> Rows:
    """Those on what there is to be held."""
    return page(exporter, "aibudget_dra_devices", ("node", "driver", "product", "profile", "usable"))


def page(exporter: Exporter, name: str, labels: tuple[str, ...]) -> Rows:
    """The rows of one scrape that a metric has."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(b"".join(exporter.render()).decode())
        for sample in family.samples
        if sample.name == name
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
    assert told(control_plane, team, 4)[0] == {
        (team, "solo", solo, *common, "", "1", "false"): 1.0,
        (team, "solo", solo, *common, "1g.10gb", "1", "false"): 1.0,
        (team, "one", one, *common, "", "1/2", "false"): 1.0,
        (team, "two", two, *common, "", "1/2", "false"): 1.0,
    }


def test_a_device_that_claims_share_is_divided_by_what_they_consume(
    control_plane: ControlPlane, namespace: NamespaceFactory
) -> None:
    """A quarter and a third of its memory; the rest of it is there, and nobody's."""
    team = namespace()
    for name, memory in (("quarter", "6Gi"), ("third", "8Gi")):
        claim(control_plane, team, name, "several", memory=memory)
        pod(control_plane, team, name, name)
    holds, there = told(control_plane, team, 2)
    assert {(row[1], row[5], row[7]) for row in holds} == {
        ("quarter", "NVIDIA-L4", "1/4"),
        ("third", "NVIDIA-L4", "1/3"),
    }
    assert there["h100-1", DRIVER, "NVIDIA-L4", "", "true"] == 1


def test_what_is_requested_is_told_and_what_is_nobody_s_is_not(
    control_plane: ControlPlane, namespace: NamespaceFactory
) -> None:
    """The claim behind a request says which device it is; who administers a device does not hold it; and
    what ended holds nothing.
    """
    client = control_plane.client
    team = namespace({"resource.kubernetes.io/admin-access": "true"})
    claim(control_plane, team, "watching", "gpu", admin=True)
    claim(control_plane, team, "own", "gpu")
    pod(control_plane, team, "watcher", "watching")
    pod(control_plane, team, "requester", asks=REQUESTED)
    pod(control_plane, team, "by-class", asks="deviceclass.resource.kubernetes.io/gpu")
    pod(control_plane, team, "solo", "own")
    pod(control_plane, team, "solo-again", "own")
    made = client.items(f"{DRA}/namespaces/{team}/resourceclaims")
    assert sum(bool((one.get("status") or {}).get("allocation")) for one in made) == 4
    client.delete(f"/api/v1/namespaces/{team}/pods/solo")
    holds, there = told(control_plane, team, 3)
    assert {(row[1], row[8]) for row in holds} == {
        ("solo-again", "false"),
        ("requester", "true"),
        ("by-class", "true"),
    }
    kind = ("h100-1", DRIVER, H100.replace(" ", "-"))
    assert there[*kind, "", "true"] == 4
    assert there[*kind, "1g.10gb", "true"] == 1
