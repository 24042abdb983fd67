"""What a node's labels say of its price, and when."""

import pytest

from aibudget.metering.nodes import Nodes, dimensions, label_in_metrics
from unit.metering.fake import series

PRODUCT = "label_nvidia_com_gpu_product"


@pytest.mark.parametrize(
    ("labels", "capacity"),
    [
        ({"label_karpenter_sh_capacity_type": "spot"}, "spot"),
        ({"label_karpenter_sh_capacity_type": "reserved"}, "reserved"),
        ({"label_eks_amazonaws_com_capacity_type": "ON_DEMAND"}, "on-demand"),
        ({"label_eks_amazonaws_com_capacity_type": "CAPACITY_BLOCK"}, "reserved"),
        ({"label_cloud_google_com_gke_spot": "true", "label_cloud_google_com_gke_nodepool": "p"}, "spot"),
        ({"label_cloud_google_com_gke_preemptible": "true"}, "spot"),
        ({"label_cloud_google_com_gke_nodepool": "p"}, "on-demand"),
        ({"label_kubernetes_azure_com_scalesetpriority": "spot"}, "spot"),
        ({"label_kubernetes_azure_com_agentpool": "p"}, "on-demand"),
        ({"label_something": "else"}, None),
    ],
)
def test_capacity_types_of_the_clouds(labels: dict[str, str], capacity: str | None) -> None:
    """Each cloud's word for the same three things; none where no cloud says it."""
    assert dimensions(labels).get("capacityType") == capacity


@pytest.mark.parametrize(
    ("labels", "product", "share"),
    [
        ({PRODUCT: "NVIDIA-L4"}, "NVIDIA-L4", None),
        ({PRODUCT: "NVIDIA-L4-SHARED"}, "NVIDIA-L4", "unknown"),
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"}, "NVIDIA-A100-SXM4-80GB", "unknown"),
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb-SHARED"}, "NVIDIA-A100-SXM4-80GB", "unknown"),
        ({PRODUCT: "NVIDIA-L4", "label_nvidia_com_gpu_sharing_strategy": "mps"}, "NVIDIA-L4", "unknown"),
        ({PRODUCT: "NVIDIA-L4", "label_nvidia_com_gpu_sharing_strategy": "none"}, "NVIDIA-L4", None),
        ({"label_cloud_google_com_gke_accelerator": "nvidia-l4"}, "nvidia-l4", None),
    ],
)
def test_a_shared_device_is_not_a_whole_one(labels: dict[str, str], product: str, share: str | None) -> None:
    """The product is the physical device's; that units are parts of it is said beside it."""
    found = dimensions(labels)
    assert found.get("gpuProduct") == product
    assert found.get("share") == share


@pytest.mark.parametrize(
    ("labels", "own", "pool"),
    [
        ({"label_karpenter_sh_nodepool": "h100"}, "", "h100"),
        ({"label_eks_amazonaws_com_nodegroup": "h100"}, "", "h100"),
        ({"label_cloud_google_com_gke_nodepool": "h100"}, "", "h100"),
        ({"label_kubernetes_azure_com_agentpool": "h100"}, "", "h100"),
        ({"label_example_com_node_pool": "rack-7", "label_karpenter_sh_nodepool": "x"}, "nodePool", "rack-7"),
        ({"label_karpenter_sh_nodepool": "h100"}, "nodePool", "h100"),
        ({"label_something": "else"}, "", None),
    ],
)
def test_node_pools_of_the_clouds(labels: dict[str, str], own: str, pool: str | None) -> None:
    """Each cloud's word for a pool; a label of the operator's choice is asked first."""
    label = label_in_metrics(f"example.com/{own}") if own else ""
    assert dimensions(labels, label).get("nodePool") == pool


def test_resources_of_parts_are_parts() -> None:
    """The resource tells it too, where labels do not."""
    nodes = Nodes([series({"node": "n", PRODUCT: "NVIDIA-L4"}, [0], [1])])
    for label, resource, share in (
        ("nvidia_com_gpu", "nvidia.com/gpu", None),
        ("nvidia_com_gpu_shared", "nvidia.com/gpu.shared", "unknown"),
        ("nvidia_com_mig_1g_5gb", "nvidia.com/mig-1g.5gb", "unknown"),
    ):
        sku = nodes.sku("n", label, 0)
        assert (sku.dimension("resource"), sku.dimension("share")) == (resource, share)


def test_looking_up_is_total() -> None:
    """At or before, else the first after, else nothing: never an error and never another node's."""
    nodes = Nodes(
        [
            series({"node": "n", PRODUCT: "one"}, [100, 300], [1, 1]),
            series({"node": "n", PRODUCT: "two"}, [200], [1]),
        ]
    )
    products = [nodes.sku("n", "r", t).dimension("gpuProduct") for t in (0, 100, 199, 200, 299, 300, 999)]
    assert products == ["one", "one", "one", "two", "two", "one", "one"]
    assert nodes.changes("n")
    assert not nodes.changes("other")
    assert nodes.sku("other", "r", 100).dimensions == (("resource", "r"),)


def test_of_two_at_once_the_fuller_stands() -> None:
    """Two exporters, one of which does not allow all labels: the order of answers decides nothing."""
    full = series({"node": "n", PRODUCT: "one", "label_node_kubernetes_io_instance_type": "i"}, [0], [1])
    bare = series({"node": "n"}, [0], [1])
    for order in ([full, bare], [bare, full]):
        assert Nodes(order).sku("n", "r", 0).dimension("instanceType") == "i"
