"""The sandbox's metrics read exactly as kube-state-metrics' and dcgm-exporter's do."""

from dataclasses import replace

import pytest

from aibudget.sandbox.devices import DeviceBook
from aibudget.sandbox.exposition import dcgm, kube_state_metrics, label_name, number, scraped, text
from aibudget.sandbox.snapshot import (
    Container,
    Namespace,
    Node,
    Owned,
    Owner,
    Pod,
    Snapshot,
    pod_from,
    quantity,
)

POD = Pod(
    namespace="team-a",
    name="llm-7d9f-abcde",
    uid="6b0",
    containers=(Container("vllm", {"nvidia.com/gpu": 2, "cpu": 0.5, "memory": 2**31}),),
    created=1763751000,
    node="h100-1",
    phase="Running",
    owners=(Owner("ReplicaSet", "llm-7d9f"),),
    scheduled=1763751001,
    started=1763751002,
    host_ip="10.0.0.1",
    pod_ip="10.1.0.1",
)
NODE = Node(
    "h100-1",
    {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
    {"nvidia.com/gpu": 3, "memory": 2**41},
    {"nvidia.com/gpu": 3, "memory": 2**41},
)


def lines(snapshot: Snapshot) -> list[str]:
    """The page without its type lines."""
    return [line for line in text(kube_state_metrics(snapshot)).splitlines() if not line.startswith("#")]


def test_running_pod_reads_as_kube_state_metrics_writes_it() -> None:
    """Labels, their order, units, the five phases and Go's number format are the real ones."""
    who = 'namespace="team-a",pod="llm-7d9f-abcde",uid="6b0"'
    where = f'{who},container="vllm",node="h100-1"'
    assert lines(Snapshot(pods=(POD,))) == [
        f'kube_pod_container_resource_requests{{{where},resource="nvidia_com_gpu",unit="integer"}} 2',
        f'kube_pod_container_resource_requests{{{where},resource="cpu",unit="core"}} 0.5',
        f'kube_pod_container_resource_requests{{{where},resource="memory",unit="byte"}} 2.147483648e+09',
        f"kube_pod_created{{{who}}} 1.763751e+09",
        (
            f'kube_pod_info{{{who},host_ip="10.0.0.1",pod_ip="10.1.0.1",node="h100-1",created_by_kind="ReplicaSet",'
            'created_by_name="llm-7d9f",priority_class="",host_network="false"} 1'
        ),
        f'kube_pod_owner{{{who},owner_kind="ReplicaSet",owner_name="llm-7d9f",owner_is_controller="true"}} 1',
        f'kube_pod_restart_policy{{{who},type="Always"}} 1',
        f"kube_pod_start_time{{{who}}} 1.763751002e+09",
        f'kube_pod_status_phase{{{who},phase="Pending"}} 0',
        f'kube_pod_status_phase{{{who},phase="Succeeded"}} 0',
        f'kube_pod_status_phase{{{who},phase="Failed"}} 0',
        f'kube_pod_status_phase{{{who},phase="Unknown"}} 0',
        f'kube_pod_status_phase{{{who},phase="Running"}} 1',
        f"kube_pod_status_scheduled_time{{{who}}} 1.763751001e+09",
    ]


def test_pod_without_owner_or_node_says_so_with_empty_labels() -> None:
    """An unbound, ownerless pod has `node=""` and one owner series with three empty labels."""
    page = lines(Snapshot(pods=(replace(POD, node="", phase="Pending", owners=()),)))
    assert any('owner_kind="",owner_name="",owner_is_controller=""} 1' in line for line in page)
    assert all('node=""' in line for line in page if line.startswith("kube_pod_container_resource_requests"))


def test_finished_pod_keeps_its_requests() -> None:
    """A Succeeded pod still has its request series: phase is what ends the charge."""
    page = lines(Snapshot(pods=(replace(POD, phase="Succeeded", completed=1763751100),)))
    assert any(line.startswith("kube_pod_container_resource_requests") for line in page)
    assert any(line.startswith("kube_pod_completion_time") for line in page)


def test_owners_nodes_and_namespaces_are_told() -> None:
    """ReplicaSets and Jobs tell their owners, nodes and namespaces their sanitised labels."""
    snapshot = Snapshot(
        nodes=(NODE,),
        owned=(
            Owned("ReplicaSet", "team-a", "llm-7d9f", (Owner("Deployment", "llm"),)),
            Owned("Job", "team-a", "train"),
        ),
        namespaces=(Namespace("team-a", {"aibudget.io/team": "a"}),),
    )
    assert lines(snapshot) == [
        (
            'kube_job_owner{namespace="team-a",job_name="train",'
            'owner_kind="",owner_name="",owner_is_controller=""} 1'
        ),
        'kube_namespace_labels{namespace="team-a",label_aibudget_io_team="a"} 1',
        'kube_node_info{node="h100-1"} 1',
        (
            'kube_node_labels{node="h100-1",label_nvidia_com_gpu_memory="81559",'
            'label_nvidia_com_gpu_product="NVIDIA-H100-80GB-HBM3"} 1'
        ),
        'kube_node_spec_unschedulable{node="h100-1"} 0',
        'kube_node_status_allocatable{node="h100-1",resource="nvidia_com_gpu",unit="integer"} 3',
        'kube_node_status_allocatable{node="h100-1",resource="memory",unit="byte"} 2.199023255552e+12',
        'kube_node_status_capacity{node="h100-1",resource="nvidia_com_gpu",unit="integer"} 3',
        'kube_node_status_capacity{node="h100-1",resource="memory",unit="byte"} 2.199023255552e+12',
        'kube_node_status_condition{node="h100-1",condition="Ready",status="true"} 1',
        'kube_node_status_condition{node="h100-1",condition="Ready",status="false"} 0',
        'kube_node_status_condition{node="h100-1",condition="Ready",status="unknown"} 0',
        (
            'kube_replicaset_owner{namespace="team-a",replicaset="llm-7d9f",'
            'owner_kind="Deployment",owner_name="llm",owner_is_controller="true"} 1'
        ),
    ]


def test_devices_are_held_by_index_for_the_pods_life() -> None:
    """A pod keeps its GPUs when others come and go, and a freed index is given out again."""
    book = DeviceBook()

    def holders(*pods: Pod) -> list[str | None]:
        devices = book.devices(Snapshot(pods=pods, nodes=(NODE,)))
        return [device.holder.pod if device.holder else None for device in devices]

    one = Container("c", {"nvidia.com/gpu": 1})
    first, second, third = (replace(POD, uid=name, name=name, containers=(one,)) for name in "abc")
    assert holders(first, second) == ["a", "b", None]
    assert holders(second) == [None, "b", None]
    assert holders(second, third) == ["c", "b", None]
    assert holders(replace(second, phase="Succeeded"), third) == ["c", None, None]


def test_device_reads_as_dcgm_exporter_writes_it() -> None:
    """A busy device names its holder, an idle one has no pod labels; utilisation is percent and ratio."""
    pod = replace(POD, utilisation=40.0)
    page = text(dcgm(DeviceBook().devices(Snapshot(pods=(pod,), nodes=(NODE,)))))
    utilisation = [line for line in page.splitlines() if line.startswith("DCGM_FI_DEV_GPU_UTIL")]
    assert utilisation[0].startswith('DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-')
    assert 'modelName="NVIDIA H100 80GB HBM3",Hostname="h100-1"' in utilisation[0]
    assert utilisation[0].endswith('container="vllm",namespace="team-a",pod="llm-7d9f-abcde"} 40')
    assert "pod=" not in utilisation[2]
    assert utilisation[2].endswith("} 0")
    active = [line for line in page.splitlines() if line.startswith("DCGM_FI_PROF_GR_ENGINE_ACTIVE")]
    assert active[1].endswith("} 0.4")


def test_clashing_labels_move_to_exported_unless_honored() -> None:
    """The rule of honor_labels, both ways."""
    labels = (("namespace", "team-a"), ("gpu", "0"))
    target = {"namespace": "gpu-operator", "job": "dcgm-exporter"}
    assert scraped(labels, target, honor=False) == {
        "exported_namespace": "team-a",
        "gpu": "0",
        "namespace": "gpu-operator",
        "job": "dcgm-exporter",
    }
    assert scraped(labels, target, honor=True)["namespace"] == "team-a"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (612.4, "612.4"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1763751000.25, "1.76375100025e+09"),
        (0.00005, "5e-05"),
        (-2.5, "-2.5"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, written: str) -> None:
    """Six digits before an exponent is used, as strconv's 'g' has it."""
    assert number(value) == written


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("eks.amazonaws.com/capacityType", "label_eks_amazonaws_com_capacity_type"),
        ("nvidia.com/gpu.product", "label_nvidia_com_gpu_product"),
        ("aibudget.io/team", "label_aibudget_io_team"),
    ],
)
def test_label_keys_become_metric_labels(key: str, label: str) -> None:
    """Sanitised, snake_case, lower case."""
    assert label_name(key) == label


@pytest.mark.parametrize(
    ("written", "amount"),
    [("500m", 0.5), ("2Gi", 2.0 * 2**30), ("4", 4.0), ("1k", 1000.0), ("3M", 3e6), ("1e3", 1000.0)],
)
def test_quantities_are_read(written: str, amount: float) -> None:
    """Decimal, binary and exponent forms."""
    assert quantity(written) == amount


def test_pod_is_read_from_the_api_servers_json() -> None:
    """Node, phase, owner, requests, times and utilisation come from where Kubernetes has them."""
    pod = pod_from(
        {
            "metadata": {
                "namespace": "team-a",
                "name": "train-x",
                "uid": "u",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"sandbox.aibudget.io/gpu-utilisation": "5"},
                "ownerReferences": [{"kind": "Job", "name": "train", "controller": True}],
            },
            "spec": {
                "nodeName": "l4-1",
                "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}],
            },
            "status": {
                "phase": "Succeeded",
                "startTime": "2026-01-01T00:00:02Z",
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}
                ],
                "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-01-01T01:00:00Z"}}}],
            },
        }
    )
    midnight = 1767225600.0
    assert pod == Pod(
        namespace="team-a",
        name="train-x",
        uid="u",
        containers=(Container("c", {"nvidia.com/gpu": 1.0}),),
        created=midnight,
        node="l4-1",
        phase="Succeeded",
        owners=(Owner("Job", "train"),),
        scheduled=midnight + 1,
        started=midnight + 2,
        completed=midnight + 3600,
        utilisation=5.0,
    )
