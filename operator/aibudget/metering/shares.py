"""How much of a physical device one unit of a resource is, from what its node says of itself.

A unit is a whole device only where nothing says otherwise: time-slicing and MPS hand a device out several
times, MIG and AMD's partitions cut it up, and then the name of the resource may be the same. MIG instances
are weighed by compute slices: they are in every profile's name, need no table of memory sizes, and the
instances that fit on a device never add up to more than it, which shares by the larger of compute and memory
do (3g.40gb + 4g.40gb: 1/2 + 4/7). What cannot be told is None, never a guess. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from aibudget.inventory.accelerators import AMD_PARTITIONS, MIG

WHOLE: Final = Fraction(1)
UNKNOWN: Final = "unknown"
"""What the dimension `share` says where it is not known."""

PRODUCT: Final = "label_nvidia_com_gpu_product"
COUNT: Final = "label_nvidia_com_gpu_count"
REPLICAS: Final = "label_nvidia_com_gpu_replicas"
SHARING: Final = "label_nvidia_com_gpu_sharing_strategy"
AWS_COUNT: Final = "label_karpenter_k8s_aws_instance_gpu_count"
GKE_PRODUCT: Final = "label_cloud_google_com_gke_accelerator"
GKE_SHARING: Final = "label_cloud_google_com_gke_gpu_sharing_strategy"
GKE_CLIENTS: Final = "label_cloud_google_com_gke_max_shared_clients_per_gpu"
GKE_PARTITION: Final = "label_cloud_google_com_gke_gpu_partition_size"
AMD_PRODUCT: Final = "label_amd_com_gpu_product_name"
AMD_MODE: Final = "label_amd_com_compute_memory_partition"
INTEL_COUNT: Final = "label_gpu_intel_com_device_count"
INSTANCE: Final = "label_node_kubernetes_io_instance_type"

SHARE_LABELS: Final = (
    COUNT,
    REPLICAS,
    SHARING,
    AWS_COUNT,
    GKE_SHARING,
    GKE_CLIENTS,
    GKE_PARTITION,
    AMD_MODE,
    INTEL_COUNT,
)
"""The labels that shares are read from, beside those of the product and the instance type."""

_PROFILE: Final = re.compile(r"(?:(\d)c\.)?(\d)g\.\d+gb")
# Compute slices of a device, by what its product's name holds as a word.
_SLICES: Final = {
    7: re.compile(r"\b(A100|A800|H100|H800|H20|H200|GH200|B200|GB200|B300|GB300)\b"),
    4: re.compile(r"\b(A30|RTX-PRO-6000)\b"),
}
_AMD_PARTITIONS: Final = {"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4}
# Compute dies of a device: with CPX each is a partition.
_AMD_DIES: Final = {6: re.compile(r"MI300A\b"), 8: re.compile(r"MI3\d\dX\b")}
_NEURON_CORES: Final = {"inf1": 4, "inf2": 2, "trn1": 2, "trn1n": 2}

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unit:
    """`share` is the part of a device that one unit is, None where unknown; `profile` is MIG's, or ""."""

    share: Fraction | None = WHOLE
    profile: str = ""

    def dimensions(self) -> dict[str, str]:
        """As a SKU has them: nothing of a whole device."""
        said = UNKNOWN if self.share is None else str(self.share)
        return {"share": "" if self.share == WHOLE else said, "migProfile": self.profile}


def unit(resource: str, labels: Labels, offered: Mapping[str, float]) -> Unit:
    """What a unit of the resource (as Kubernetes spells it) is on a node with these labels, as metrics spell
    them. `offered` is how many units of each resource the node has.
    """
    vendor, _, name = resource.partition("/")
    match vendor:
        case "nvidia.com":
            return _nvidia(resource, labels, offered)
        case "amd.com":
            mode = name if resource in AMD_PARTITIONS else labels.get(AMD_MODE, "")
            return Unit(_amd(mode.partition("_")[0].lower(), labels.get(AMD_PRODUCT, "")))
        case "gpu.intel.com":
            return Unit(_intel(resource, labels, offered))
        case _ if name == "neuroncore":
            return Unit(_neuron(labels, offered))
    return Unit()


def mig_share(profile: str, product: str) -> Fraction | None:
    """The compute slices of a MIG profile (`1g.10gb`, `1g.10gb.me`, `1c.3g.40gb`) over its device's."""
    found, name = _PROFILE.match(profile), _words(product)
    total = next((slices for slices, names in _SLICES.items() if names.search(name)), None)
    if found is None or total is None:
        return None
    slices = int(found[1] or found[2])
    return Fraction(slices, total) if 0 < slices <= total else None


def cut_unit(profile: str, product: str) -> Unit:
    """A device that is named by the profile it was cut out with, MIG's or AMD's; "" is a whole one."""
    if not profile:
        return Unit()
    if _PROFILE.match(profile):
        return Unit(mig_share(profile, product), profile)
    return Unit(_amd(profile.partition("_")[0].lower(), product))


def physical(product: str) -> str:
    """The device's own name, of a product label that says how it is shared or cut up."""
    return product.removesuffix("-SHARED").partition("-MIG-")[0]


def share_of(dimension: str | None) -> Fraction | None:
    """What the dimension `share` of a SKU says: the whole of a device where it is absent."""
    if dimension is None:
        return WHOLE
    return None if dimension == UNKNOWN else Fraction(dimension)


def part_of(units: int, share: Fraction | None) -> int:
    """Units as devices, rounded down: so what shares a device never adds up to more than it."""
    return units if share is None or share is WHOLE else units * share.numerator // share.denominator


def _nvidia(resource: str, labels: Labels, offered: Mapping[str, float]) -> Unit:
    product = labels.get(PRODUCT, "") or labels.get(GKE_PRODUCT, "")
    name = physical(product)
    if resource.startswith(MIG):
        profile = resource.removeprefix(MIG)
        # Where the replicas of MIG instances are not told apart, only their number gives them away.
        part = None if _oversold(name, labels, offered) else mig_share(profile, name)
        return Unit(None if profile.endswith(".shared") else part, profile.removesuffix(".shared"))
    profile = product.removesuffix("-SHARED").partition("-MIG-")[2] or labels.get(GKE_PARTITION, "")
    part, sharers = mig_share(profile, name) if profile else WHOLE, _sharers(resource, labels, offered)
    known = None if part is None or sharers is None else part * sharers
    return Unit(known, profile if _PROFILE.match(profile) else "")


def _sharers(resource: str, labels: Labels, offered: Mapping[str, float]) -> Fraction | None:
    """The part of a device, or of a MIG instance, that a unit is by being handed out several times."""
    if labels.get(GKE_SHARING):
        clients = _number(labels.get(GKE_CLIENTS, ""))
        return Fraction(1, clients) if clients else None
    if labels.get(AWS_COUNT) == "0":
        return None  # an instance that has a part of a device
    strategy, product = labels.get(SHARING, ""), labels.get(PRODUCT, "")
    spoken = resource.endswith(".shared") or product.endswith("-SHARED") or strategy not in ("", "none")
    cut = any(units for name, units in offered.items() if name.startswith(MIG))
    if spoken and cut:
        return None  # the count has the devices that are cut up, too
    devices, units = _number(labels.get(COUNT) or labels.get(AWS_COUNT, "")), offered.get(resource, 0.0)
    if not spoken:
        # More units than devices: something shares them that says nothing of it.
        return None if 0 < devices < units else WHOLE
    share = _ratio(devices, units)
    # Replicas of which there are none are yet to come: labels and capacity do not change at once.
    return None if share == WHOLE and labels.get(REPLICAS) != "1" else share


def _ratio(devices: int, units: float) -> Fraction | None:
    return Fraction(devices, int(units)) if 0 < devices <= units and not units % devices else None


def _intel(resource: str, labels: Labels, offered: Mapping[str, float]) -> Fraction | None:
    devices, units = _number(labels.get(INTEL_COUNT, "")), offered.get(resource, 0.0)
    return _ratio(devices, units) if 0 < devices < units else WHOLE


def _oversold(product: str, labels: Labels, offered: Mapping[str, float]) -> bool:
    """Whether a node has more MIG instances than fit on its devices."""
    devices = _number(labels.get(COUNT, ""))
    parts = (
        (mig_share(name.removeprefix(MIG), product) or 0) * Fraction(units)
        for name, units in offered.items()
        if name.startswith(MIG) and not name.endswith(".shared")
    )
    return bool(devices) and sum(parts) > devices


def _amd(mode: str, product: str) -> Fraction | None:
    if not mode:
        return WHOLE
    dies = next((dies for dies, names in _AMD_DIES.items() if names.search(_words(product))), None)
    partitions = dies if mode == "cpx" else _AMD_PARTITIONS.get(mode)
    return Fraction(1, partitions) if partitions else None


def _neuron(labels: Labels, offered: Mapping[str, float]) -> Fraction | None:
    """Cores are advertised beside their devices; else the family of the instance tells how many there are."""
    devices = offered.get("aws.amazon.com/neuron") or offered.get("aws.amazon.com/neurondevice")
    cores = offered.get("aws.amazon.com/neuroncore")
    if devices and cores and not cores % devices:
        return Fraction(int(devices), int(cores))
    each = _NEURON_CORES.get(labels.get(INSTANCE, "").partition(".")[0])
    return Fraction(1, each) if each else None


def _words(product: str) -> str:
    return re.sub(r"[ _]", "-", product.upper())


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
