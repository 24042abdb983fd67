"""What a node's labels say of its price, and when."""

import pytest

from aibudget.metering.nodes import Nodes, dimensions, label_in_metrics
from aibudget.metering.shares import COUNT, PRODUCT
from unit.metering.fake import series


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


@pytest.mark.parametrize("suffix", ["", "-SHARED", "-MIG-1g.10gb", "-MIG-1g.10gb-SHARED"])
def test_the_product_is_the_physical_device_s(suffix: str) -> None:
    """However the device is shared or cut up; which part of it a unit is, is said beside it."""
    labels = {PRODUCT: f"NVIDIA-A100-SXM4-80GB{suffix}"}
    assert dimensions(labels)["gpuProduct"] == "NVIDIA-A100-SXM4-80GB"


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


def test_a_share_is_dated_as_the_labels_are() -> None:
    """A node that is configured anew has another share from then on; a plugin that is away has not."""
    nodes = Nodes(
        [
            series({"node": "n", PRODUCT: "NVIDIA-L4", COUNT: "4"}, [0], [1]),
            series({"node": "n", PRODUCT: "NVIDIA-L4-SHARED", COUNT: "4"}, [300], [1]),
            series({"node": "n", "resource": "nvidia_com_gpu"}, [0, 330, 600], [4, 16, 0]),
        ]
    )
    shares = [nodes.sku("n", "nvidia_com_gpu", t).dimension("share") for t in (0, 299, 300, 330, 600)]
    assert shares == [None, None, "unknown", "1/4", "1/4"]


def test_an_instance_has_a_profile() -> None:
    """MIG's profile is a dimension, whether the resource or the product names it."""
    nodes = Nodes([series({"node": "n", PRODUCT: "NVIDIA-H100-80GB-HBM3"}, [0], [1])])
    sku = nodes.sku("n", "nvidia_com_mig_2g_20gb", 0)
    assert (sku.dimension("migProfile"), sku.dimension("share")) == ("2g.20gb", "2/7")
    assert sku.dimension("resource") == "nvidia.com/mig-2g.20gb"


def test_what_is_told_of_a_claim_is_better_known() -> None:
    """Of a claim's own share the node's units say nothing."""
    nodes = Nodes([series({"node": "n", PRODUCT: "NVIDIA-L4"}, [0], [1])])
    assert nodes.sku("n", "nvidia_com_gpu", 0, (("share", "3/10"),)).dimension("share") == "3/10"
    assert nodes.sku("n", "nvidia_com_gpu", 0).dimension("share") is None


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
