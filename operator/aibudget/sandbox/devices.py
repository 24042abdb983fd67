"""Which pod holds which GPU of its node: indices are given out at bind and kept for the pod's life.

The part that a kubelet's device plugin plays. `DeviceBook` is its only state; the devices it tells of
become dcgm-exporter's metrics in `exposition`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import NAMESPACE_DNS, uuid5

from aibudget.sandbox.snapshot import GPU, Node, Pod, Snapshot

BOARD_WATTS = {"NVIDIA-H100-80GB-HBM3": 700.0, "NVIDIA-L4": 72.0}
USUAL_WATTS = 350.0
IDLE_SHARE_OF_WATTS = 0.12
USED_SHARE_OF_MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class Holder:
    """The container a device is given to."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU; `utilisation` is 0 to 100, `model` as the driver spells it."""

    node: str
    index: int
    model: str
    holder: Holder | None
    utilisation: float
    watts: float
    used_mib: float

    @property
    def uuid(self) -> str:
        """Stable over restarts: made from the node's name and the index."""
        return f"GPU-{uuid5(NAMESPACE_DNS, f'{self.node}/{self.index}')}"


def device(node: Node, index: int, holder: Holder | None = None, utilisation: float = 0.0) -> Device:
    """A device of a node with the power and memory that its product and utilisation suggest."""
    product = node.labels.get("nvidia.com/gpu.product", "")
    board = BOARD_WATTS.get(product, USUAL_WATTS)
    memory = float(node.labels.get("nvidia.com/gpu.memory", "0"))
    return Device(
        node=node.name,
        index=index,
        model=product.replace("-", " "),
        holder=holder,
        utilisation=utilisation,
        watts=round(board * (IDLE_SHARE_OF_WATTS + (1 - IDLE_SHARE_OF_WATTS) * utilisation / 100), 3),
        used_mib=round(memory * USED_SHARE_OF_MEMORY) if holder is not None else 0.0,
    )


class DeviceBook:
    """Who holds which indices, by (pod uid, container)."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {}

    def hold(self, uid: str, container: str, node: str, count: int) -> tuple[int, ...]:
        """The container's indices on its node: those it has, else the lowest free ones."""
        key = (uid, container)
        if key not in self._held:
            taken = {index for where, indices in self._held.values() if where == node for index in indices}
            free = (index for index in range(len(taken) + count) if index not in taken)
            self._held[key] = (node, tuple(index for index, _ in zip(free, range(count), strict=False)))
        return self._held[key][1]

    def release(self, uid: str) -> None:
        """The pod is gone or has finished."""
        for key in [key for key in self._held if key[0] == uid]:
            del self._held[key]

    def devices(self, snapshot: Snapshot) -> Iterator[Device]:
        """Every GPU of every node, held or idle; releases what left, then gives to those who came."""
        holding = [pod for pod in snapshot.pods if pod.holds_devices]
        for uid in {uid for uid, _ in self._held} - {pod.uid for pod in holding}:
            self.release(uid)
        holders: dict[tuple[str, int], tuple[Holder, float]] = {}
        for pod in sorted(holding, key=lambda one: (one.created, one.uid)):
            for container, count in gpu_requests(pod):
                for index in self.hold(pod.uid, container, pod.node, count):
                    holder = Holder(pod.namespace, pod.name, container)
                    holders[(pod.node, index)] = (holder, pod.utilisation if pod.phase == "Running" else 0.0)
        for node in snapshot.nodes:
            for index in range(int(node.capacity.get(GPU, 0))):
                yield device(node, index, *holders.get((node.name, index), (None, 0.0)))


def gpu_requests(pod: Pod) -> Iterator[tuple[str, int]]:
    """(container, number of GPUs) of each container that asks for any."""
    for container in pod.containers:
        if count := int(container.requests.get(GPU, 0)):
            yield container.name, count
