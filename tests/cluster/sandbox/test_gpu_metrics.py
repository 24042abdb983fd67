"""Prometheus sees the sandbox's pods through the exporter as it would see a real cluster's."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.exporter import Exporter, Faults
from aibudget.sandbox.nodes import G6, node
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer

pytestmark = pytest.mark.cluster

NamespaceFactory = Callable[..., str]

HELD = (
    "sum(max by (namespace,pod,container,node) (last_over_time(kube_pod_container_resource_requests{{"
    'resource="nvidia_com_gpu",node!="",namespace="{namespace}"}}[3s])) * on (namespace,pod) group_left () '
    'max by (namespace,pod) (last_over_time(kube_pod_status_phase{{phase=~"Pending|Running"}}[3s]) == 1))'
)


@pytest.fixture
def exporter(control_plane: ControlPlane) -> Iterator[Exporter]:
    """An exporter of the shared control plane."""
    with control_plane.connect() as client, Exporter(client) as running:
        yield running


@pytest.fixture
def prometheus(exporter: Exporter, prometheus_factory: Callable[..., PrometheusServer]) -> PrometheusServer:
    """A Prometheus that scrapes the exporter each second."""
    return prometheus_factory(exporter.jobs())


def deploy(client: KubernetesClient, namespace: str, *, replicas: int, gpus: int) -> None:
    """Apply a Deployment `llm` of GPU pods that are 40 % busy."""
    template = {
        "metadata": {
            "labels": {"app": "llm"},
            "annotations": {"sandbox.aibudget.io/gpu-utilisation": "40"},
        },
        "spec": {
            "containers": [
                {"name": "vllm", "image": "vllm", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
            ]
        },
    }
    client.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llm", "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "llm"}},
                "template": template,
            },
        }
    )


def scale(client: KubernetesClient, namespace: str, replicas: int) -> None:
    """Set the Deployment's replicas."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/llm/scale"
    client.patch(path, {"spec": {"replicas": replicas}})


def value(prometheus: PrometheusServer, expression: str) -> float | None:
    """The only sample of an instant query, None when there is none."""
    found = prometheus.query(expression)
    assert len(found) <= 1, found
    return found[0][1] if found else None


def test_held_gpus_appear_and_end_with_the_pods(
    control_plane: ControlPlane, prometheus: PrometheusServer, namespace: NamespaceFactory
) -> None:
    """A Deployment's GPUs are held in Prometheus while it runs and no longer after it is scaled to 0."""
    where = namespace()
    client = control_plane.client
    deploy(client, where, replicas=3, gpus=2)
    held = HELD.format(namespace=where)
    wait_until(lambda: value(prometheus, held) == 6, 30, "six held GPUs")
    pod_owners = prometheus.query(f'kube_pod_owner{{namespace="{where}",owner_kind="ReplicaSet"}}')
    ((replica_set, _),) = prometheus.query(f'kube_replicaset_owner{{namespace="{where}"}}')
    assert [labels["owner_name"] for labels, _ in pod_owners] == [replica_set["replicaset"]] * 3
    assert (replica_set["owner_kind"], replica_set["owner_name"]) == ("Deployment", "llm")

    scale(client, where, 0)
    wait_until(lambda: value(prometheus, held) is None, 30, "the series to end")


def test_device_metrics_name_the_holder_as_exported(
    control_plane: ControlPlane, prometheus: PrometheusServer, namespace: NamespaceFactory
) -> None:
    """Each held device is attributed once, in `exported_*`; an idle one has the exporter's own pod only."""
    where = namespace()
    deploy(control_plane.client, where, replicas=2, gpus=4)
    busy = f'DCGM_FI_DEV_GPU_UTIL{{exported_namespace="{where}",exported_container="vllm"}}'
    wait_until(lambda: value(prometheus, f"count({busy})") == 8, 30, "eight attributed devices")
    devices = prometheus.query(busy)
    assert {share for _, share in devices} == {40.0}
    assert len({labels["UUID"] for labels, _ in devices}) == 8
    assert {(labels["namespace"], labels["pod"]) for labels, _ in devices} == {
        ("gpu-operator", "nvidia-dcgm-exporter-0")
    }
    assert value(prometheus, 'count(DCGM_FI_DEV_GPU_UTIL{exported_pod=""}) > 0')
    assert value(prometheus, "count(count by (UUID) (DCGM_FI_DEV_GPU_UTIL))") == 24


def test_nodes_tell_what_pricing_asks(prometheus: PrometheusServer) -> None:
    """Instance type, product, region and capacity type of each node are labels of kube_node_labels."""
    wait_until(lambda: value(prometheus, "count(kube_node_labels)") == 4, 30, "the four nodes")
    ((labels, _),) = prometheus.query('kube_node_labels{node="h100-1"}')
    assert labels["label_node_kubernetes_io_instance_type"] == "p5.48xlarge"
    assert labels["label_nvidia_com_gpu_product"] == "NVIDIA-H100-80GB-HBM3"
    assert labels["label_topology_kubernetes_io_region"] == "us-east-1"
    assert labels["label_karpenter_sh_capacity_type"] == "on-demand"


def test_second_exporter_instance_doubles_the_series(
    control_plane: ControlPlane, exporter: Exporter, prometheus: PrometheusServer, namespace: NamespaceFactory
) -> None:
    """Two kube-state-metrics at once, as in a roll-over, give each series twice."""
    where = namespace()
    deploy(control_plane.client, where, replicas=1, gpus=1)
    prometheus.scrape(exporter.jobs(ksm_instances=2))
    requests = (
        f'kube_pod_container_resource_requests{{namespace="{where}",node!="",resource="nvidia_com_gpu"}}'
    )
    wait_until(lambda: value(prometheus, f"count({requests})") == 2, 30, "the second instance")


def test_faulty_exporter_says_nan_and_drops_families(
    exporter: Exporter, prometheus: PrometheusServer
) -> None:
    """A fault set while the exporter runs shows at the next scrapes."""
    exporter.faults = Faults(
        silent_families=frozenset({"kube_node_labels"}), nan_families=frozenset({"kube_node_info"})
    )
    wait_until(lambda: value(prometheus, "count(kube_node_info != kube_node_info)") == 4, 30, "NaN")
    wait_until(lambda: not prometheus.query("kube_node_labels"), 30, "the node labels to go")


def test_metrics_repeat_while_the_api_server_is_away(
    tmp_path: Path, prometheus_factory: Callable[..., PrometheusServer]
) -> None:
    """An outage of the API server ends no series; after it the same address serves again."""
    plane = ControlPlane(tmp_path / "plane", components=())
    with plane, plane.connect() as client, Exporter(client) as exporter:
        client.create("/api/v1/nodes", node("l4-1", G6))
        prometheus = prometheus_factory(exporter.jobs())
        wait_until(lambda: bool(prometheus.query("kube_node_info")), 30, "the node")
        plane.stop_api_server()
        stopped = time.time()
        later = f"timestamp(kube_node_info) > {stopped + 2}"
        wait_until(lambda: bool(prometheus.query(later)), 30, "a scrape during the outage")
        plane.start_api_server()
        assert client.exists("/api/v1/nodes/l4-1")
