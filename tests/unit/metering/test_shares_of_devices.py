"""How much of a device a unit is: exact where the node tells, unknown where it does not, never a whole by
mistake.
"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.inventory.workload import PodKey
from aibudget.metering.coverage import Grid, Known
from aibudget.metering.devices import Devices
from aibudget.metering.holding import holdings
from aibudget.metering.integration import Amount, Cell, integrate
from aibudget.metering.nodes import Nodes
from aibudget.metering.shares import (
    AMD_MODE,
    AMD_PRODUCT,
    AWS_COUNT,
    COUNT,
    GKE_CLIENTS,
    GKE_PARTITION,
    GKE_PRODUCT,
    GKE_SHARING,
    INSTANCE,
    INTEL_COUNT,
    PRODUCT,
    REPLICAS,
    SHARING,
    mig_share,
    unit,
)
from aibudget.metering.slots import Interval
from unit.metering.fake import series

GPU = "nvidia.com/gpu"
L4, A100, H100 = "NVIDIA-L4", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"
SLICED = {PRODUCT: f"{L4}-SHARED", COUNT: "4", SHARING: "time-slicing"}
MI300X = {AMD_PRODUCT: "AMD_Instinct_MI300X_OAM"}


@pytest.mark.parametrize(
    ("resource", "labels", "offered", "share"),
    [
        (GPU, {PRODUCT: L4, COUNT: "4"}, {GPU: 4}, "1"),
        (GPU, {PRODUCT: L4}, {}, "1"),
        (GPU, {}, {GPU: 4}, "1"),
        # Replicas are per device for some and multiplied for others: it does not matter which.
        (GPU, SLICED | {REPLICAS: "4"}, {GPU: 16}, "1/4"),
        (GPU, SLICED | {REPLICAS: "16"}, {GPU: 16}, "1/4"),
        (GPU, {PRODUCT: L4, COUNT: "1", SHARING: "mps", REPLICAS: "4"}, {GPU: 4}, "1/4"),
        (f"{GPU}.shared", {PRODUCT: L4, COUNT: "1"}, {f"{GPU}.shared": 4}, "1/4"),
        (f"{GPU}.shared", {PRODUCT: L4, AWS_COUNT: "2"}, {f"{GPU}.shared": 20, GPU: 0}, "1/10"),
        (GPU, SLICED | {REPLICAS: "1"}, {GPU: 4}, "1"),
        # Labels and capacity do not change at once.
        (GPU, SLICED | {REPLICAS: "4"}, {GPU: 4}, None),
        (GPU, {PRODUCT: L4, COUNT: "4"}, {GPU: 16}, None),
        (GPU, SLICED, {}, None),
        (GPU, SLICED, {GPU: 15}, None),
        (f"{GPU}.shared", {PRODUCT: L4}, {f"{GPU}.shared": 4}, None),
        (GPU, {PRODUCT: L4, AWS_COUNT: "0"}, {GPU: 1}, None),
        # The count has the devices that are cut up, too.
        (GPU, SLICED, {GPU: 8, "nvidia.com/mig-1g.10gb": 14}, None),
        (GPU, {GKE_PRODUCT: "nvidia-l4", GKE_SHARING: "time-sharing", GKE_CLIENTS: "3"}, {GPU: 3}, "1/3"),
        (GPU, {GKE_PRODUCT: "nvidia-l4", GKE_SHARING: "mps"}, {GPU: 3}, None),
        # MIG, single strategy: whole-looking units.
        (GPU, {PRODUCT: f"{A100}-MIG-1g.10gb", COUNT: "56"}, {GPU: 56}, "1/7"),
        (GPU, {PRODUCT: f"{A100}-MIG-3g.40gb-SHARED", COUNT: "2", REPLICAS: "2"}, {GPU: 4}, "3/14"),
        (GPU, {PRODUCT: f"{A100}-MIG-INVALID", COUNT: "0"}, {GPU: 0}, None),
        (GPU, {PRODUCT: "NVIDIA-A30-MIG-1g.6gb", COUNT: "4"}, {GPU: 4}, "1/4"),
        (GPU, {GKE_PRODUCT: "nvidia-tesla-a100", GKE_PARTITION: "2g.10gb"}, {GPU: 3}, "2/7"),
        # MIG, mixed strategy.
        ("nvidia.com/mig-1g.10gb", {PRODUCT: H100, COUNT: "8"}, {"nvidia.com/mig-1g.10gb": 7}, "1/7"),
        ("nvidia.com/mig-1g.10gb.me", {PRODUCT: H100}, {}, "1/7"),
        ("nvidia.com/mig-7g.80gb", {PRODUCT: H100}, {}, "1"),
        ("nvidia.com/mig-1c.3g.40gb", {PRODUCT: H100}, {}, "1/7"),
        ("nvidia.com/mig-2g.12gb", {PRODUCT: "NVIDIA-A30"}, {}, "1/2"),
        ("nvidia.com/mig-1g.23gb", {PRODUCT: "NVIDIA-B200"}, {}, "1/7"),
        ("nvidia.com/mig-1g.10gb", {}, {}, None),
        ("nvidia.com/mig-1g.10gb", {PRODUCT: "NVIDIA-NEXT"}, {}, None),
        ("nvidia.com/mig-1g.10gb.shared", {PRODUCT: H100}, {}, None),
        ("nvidia.com/mig-1g.10gb", {PRODUCT: H100, COUNT: "1"}, {"nvidia.com/mig-1g.10gb": 14}, None),
        ("amd.com/gpu", MI300X, {"amd.com/gpu": 8}, "1"),
        ("amd.com/gpu", MI300X | {AMD_MODE: "spx_nps1"}, {}, "1"),
        ("amd.com/gpu", MI300X | {AMD_MODE: "cpx_nps4"}, {}, "1/8"),
        ("amd.com/gpu", {AMD_PRODUCT: "AMD_Instinct_MI300A", AMD_MODE: "cpx_nps1"}, {}, "1/6"),
        ("amd.com/gpu", {AMD_MODE: "cpx_nps1"}, {}, None),
        ("amd.com/dpx_nps2", MI300X, {}, "1/2"),
        ("google.com/tpu", {}, {}, "1"),
        ("habana.ai/gaudi", {}, {}, "1"),
        ("aws.amazon.com/neuron", {}, {}, "1"),
        ("aws.amazon.com/neurondevice", {}, {}, "1"),
        ("aws.amazon.com/neuroncore", {INSTANCE: "trn1.32xlarge"}, {}, "1/2"),
        ("aws.amazon.com/neuroncore", {INSTANCE: "inf1.xlarge"}, {}, "1/4"),
        (
            "aws.amazon.com/neuroncore",
            {INSTANCE: "trn2.48xlarge"},
            {"aws.amazon.com/neuroncore": 64, "aws.amazon.com/neuron": 16},
            "1/4",
        ),
        ("aws.amazon.com/neuroncore", {INSTANCE: "trn2.48xlarge"}, {}, None),
        ("gpu.intel.com/i915", {}, {"gpu.intel.com/i915": 10}, "1"),
        ("gpu.intel.com/i915", {INTEL_COUNT: "2"}, {"gpu.intel.com/i915": 2}, "1"),
        ("gpu.intel.com/i915", {INTEL_COUNT: "2"}, {"gpu.intel.com/i915": 20}, "1/10"),
    ],
)
def test_a_unit_is_what_its_node_tells(
    resource: str, labels: dict[str, str], offered: dict[str, float], share: str | None
) -> None:
    """Every vendor's way to share a device or to cut it up; None is unknown."""
    assert unit(resource, labels, offered).share == (None if share is None else Fraction(share))


FITTING = {
    "NVIDIA-A100-SXM4-80GB": [
        ["1g.10gb"] * 7,
        ["3g.40gb"] * 2,
        ["4g.40gb", "3g.40gb"],
        ["1g.20gb"] * 4,
        ["2g.20gb"] * 3 + ["1g.10gb.me"],
        ["7g.80gb"],
    ],
    "NVIDIA-A30": [["1g.6gb"] * 4, ["2g.12gb"] * 2, ["4g.24gb"]],
    "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition": [["1g.24gb"] * 4],
}


def test_instances_that_fit_are_no_more_than_their_device() -> None:
    """In every layout that the driver allows."""
    for product, layouts in FITTING.items():
        for layout in layouts:
            assert sum(mig_share(profile, product) or 99 for profile in layout) <= 1, layout


GRID = Grid(Interval(0, 900), 30)
KNOWN = Known(GRID, frozenset(GRID.instants), ())


def counted(
    nodes: Nodes, claims: dict[str, dict[str, float]], devices: Devices | None = None
) -> dict[Cell, Amount]:
    """A slot of what these pods hold on node n, by resource as metrics spell it."""
    who = {"namespace": "team", "node": "n", "container": "c"}
    rows = [
        series({**who, "pod": pod, "resource": resource}, GRID.instants, [units] * len(GRID.instants))
        for pod, asked in claims.items()
        for resource, units in asked.items()
    ]
    return dict(integrate(holdings(rows)[0], KNOWN, nodes, devices or Devices((), ())))


@given(sharers=st.integers(1, 1000), missing=st.integers(0, 999))
def test_sharers_are_never_more_than_their_device(sharers: int, missing: int) -> None:
    """However many there are: at most a millisecond a slot and pod is rounded away, and none is added."""
    node = Nodes(
        [
            series({"node": "n", PRODUCT: f"{L4}-SHARED", COUNT: "1", REPLICAS: str(sharers)}, [0], [1]),
            series({"node": "n", "resource": "nvidia_com_gpu"}, [0], [sharers]),
        ]
    )
    pods = max(1, sharers - missing)
    cells = counted(node, {"p": {"nvidia_com_gpu": 1.0}})
    one = next(iter(cells.values())).quantity if sharers > 1 else 900_000
    assert one * pods <= 900_000 * pods / sharers < (one + 1) * pods


def test_four_sharers_are_one_device() -> None:
    """Four pods that time-slice one GPU for an hour use one GPU-hour between them."""
    node = Nodes(
        [
            series({"node": "n", PRODUCT: f"{L4}-SHARED", COUNT: "1", REPLICAS: "4"}, [0], [1]),
            series({"node": "n", "resource": "nvidia_com_gpu"}, [0], [4]),
        ]
    )
    cells = counted(node, {f"p{n}": {"nvidia_com_gpu": 1.0} for n in range(4)})
    assert [amount.quantity for amount in cells.values()] == [225_000] * 4
    assert {cell.sku.dimension("share") for cell in cells} == {"1/4"}


def test_more_than_a_device_is_shown() -> None:
    """Two exporters that tell of other pods on one device: what is too much is not cut off."""
    node = Nodes(
        [
            series({"node": "n", PRODUCT: f"{L4}-SHARED", COUNT: "1", REPLICAS: "2"}, [0], [1]),
            series({"node": "n", "resource": "nvidia_com_gpu"}, [0], [2]),
        ]
    )
    cells = counted(node, {f"p{n}": {"nvidia_com_gpu": 1.0} for n in range(3)})
    assert sum(amount.quantity for amount in cells.values()) == 1_350_000


def test_hami_tells_a_part_of_a_device() -> None:
    """Percent of the cores are the share; of memory alone no share follows; who asks for neither is whole."""
    node = Nodes([series({"node": "n", PRODUCT: L4}, [0], [1])])
    cells = counted(
        node,
        {
            "cores": {"nvidia_com_gpu": 2.0, "nvidia_com_gpucores": 25.0, "nvidia_com_gpumem": 3000.0},
            "memory": {"nvidia_com_gpu": 1.0, "nvidia_com_gpumem": 3000.0},
            "whole": {"nvidia_com_gpu": 1.0},
        },
    )
    by_pod = {cell.pod.name: (cell.sku.dimension("share"), amount.quantity) for cell, amount in cells.items()}
    assert by_pod == {"cores": ("1/4", 450_000), "memory": ("unknown", 900_000), "whole": (None, 900_000)}


def test_an_instance_is_as_busy_as_its_share() -> None:
    """An instance's ratio is of its own slices; a GPU utilisation of zero beside it says nothing."""
    node = Nodes([series({"node": "n", PRODUCT: H100}, [0], [1])])
    row = {"UUID": "1", "GPU_I_ID": "7", "GPU_I_PROFILE": "1g.10gb", "modelName": "NVIDIA H100 80GB HBM3"}
    ratio = series({**row, "namespace": "team", "pod": "p"}, GRID.instants, [0.5] * len(GRID.instants))
    seen = Devices([ratio], {("team", "p")})
    ((cell, amount),) = counted(node, {"p": {"nvidia_com_mig_1g_10gb": 1.0}}, seen).items()
    assert cell.pod == PodKey("team", "p", "")
    assert amount.quantity == 900_000 // 7
    assert amount.observed == pytest.approx(900_000 / 7)
    assert amount.busy == pytest.approx(450_000 / 7)


def test_of_a_shared_device_no_more_is_seen_than_is_held() -> None:
    """One of four sharers that is told the whole device's value saw its quarter at work."""
    node = Nodes(
        [
            series({"node": "n", PRODUCT: f"{L4}-SHARED", COUNT: "1", REPLICAS: "4"}, [0], [1]),
            series({"node": "n", "resource": "nvidia_com_gpu"}, [0], [4]),
        ]
    )
    row = series({"UUID": "1", "namespace": "team", "pod": "p"}, GRID.instants, [0.8] * len(GRID.instants))
    cells = counted(node, {"p": {"nvidia_com_gpu": 1.0}}, Devices([row], {("team", "p")}))
    ((_, amount),) = cells.items()
    assert (amount.quantity, amount.observed, amount.busy) == (225_000, 225_000, 180_000)


@pytest.mark.parametrize(
    ("labels", "observed"),
    [
        ({"gpu_id": "0", "serial_number": "s", "gpu_compute_partition_type": "SPX"}, True),
        ({"gpu_id": "0", "serial_number": "s", "gpu_compute_partition_type": "CPX"}, False),
        ({"accelerator_id": "a-0"}, True),
        ({"UUID": "1", "GPU_I_ID": "7", "GPU_I_PROFILE": "1g.10gb", "modelName": "NVIDIA NEXT"}, False),
    ],
)
def test_of_whom_the_exporter_does_not_tell_nothing_is_known(labels: dict[str, str], observed: bool) -> None:
    """AMD tells of the first partition only; a device that is not known cannot be weighed."""
    row = series({**labels, "namespace": "team", "pod": "p"}, [30.0], [0.5])
    assert bool(Devices([row], {("team", "p")}).of("team", "p")) is observed
