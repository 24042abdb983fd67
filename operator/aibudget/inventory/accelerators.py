"""Which extended resources are accelerators, by the names Kubernetes gives them: one list for every room.

What is metered is what may be stopped, so metering and enforcement ask here. kube-state-metrics spells
`nvidia.com/gpu` as `nvidia_com_gpu`, which loses what stood there; only for names that are known can it be
undone. Past this module there is one spelling, that of manifests. Pure.
"""

import re
from typing import Final

NAMES: Final = (
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "amd.com/gpu",
    "google.com/tpu",
    "habana.ai/gaudi",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "aws.amazon.com/neurondevice",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
)
SAME_DEVICES: Final = ("aws.amazon.com/neuron", "aws.amazon.com/neurondevice", "aws.amazon.com/neuroncore")
"""Names under which a node offers the same devices at once; the first that it offers stands for them."""
MIG: Final = "nvidia.com/mig-"
"""How the names of parts of a device begin, such as nvidia.com/mig-1g.5gb."""
AMD_PARTITIONS: Final = tuple(
    f"amd.com/{compute}_{memory}"
    for compute in ("spx", "dpx", "tpx", "qpx", "cpx")
    for memory in ("nps1", "nps2", "nps4", "nps8")
)
"""AMD's devices where its plugin names them by how they are cut up."""
DEVICE_DRIVERS: Final = ("gpu", "tpu", "npu", "gaudi", "neuron", "accelerator")
"""How the names of DRA drivers of accelerators begin."""
HAMI: Final = ("nvidia.com/gpucores", "nvidia.com/gpumem", "nvidia.com/gpumem-percentage")
"""What a container asks HAMi for beside nvidia.com/gpu, which then is no whole device."""


def is_accelerator(resource: str) -> bool:
    """Whether a pod that requests this resource holds an accelerator or a part of one."""
    return resource in NAMES or resource in AMD_PARTITIONS or resource.startswith(MIG)


def is_device_driver(driver: str) -> bool:
    """Whether the devices of this DRA driver are accelerators, as those of gpu.nvidia.com are: networks and
    processors are claimed, too.
    """
    return driver.partition(".")[0] in DEVICE_DRIVERS


def in_metrics(resource: str) -> str:
    """As kube-state-metrics spells it: `nvidia_com_gpu`."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", resource)


def from_metrics(label: str) -> str:
    """As Kubernetes spells it: `nvidia.com/gpu`, `nvidia.com/mig-1g.5gb`; a name not known stays as it is."""
    mig = in_metrics(MIG)
    if label.startswith(mig):
        return MIG + label.removeprefix(mig).replace("_", ".")
    return _NAMES.get(label, label)


_NAMES: Final = {in_metrics(name): name for name in (*NAMES, *AMD_PARTITIONS)}

METRICS_PATTERN: Final = "|".join((*_NAMES, f"{in_metrics(MIG)}.+"))
"""A regular expression for the `resource` label of all of them."""
HAMI_PATTERN: Final = "|".join(map(in_metrics, HAMI))
"""One for what HAMi is asked for beside them."""
