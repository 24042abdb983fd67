"""How busy the devices were that a pod held, as the exporters of their vendors tell it.

A device is known by its UUID (and MIG instance) before any pod: where several pods are told for one device,
each got a copy of the whole device's value, and each is given its part of it. A MIG instance counts as the
share of its device that it is. Rows of pods that hold nothing, an idle device's exporter among them, have no
part of what is shared; values that are no ratio (DCGM's blanks), and AMD's partitions, of which only the
first is told, are left out. Pure.
"""

from array import array
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from sys import intern
from types import MappingProxyType
from typing import Final, NamedTuple

from aibudget.metering.nodes import own
from aibudget.metering.shares import mig_share
from aibudget.metering.source import Series, keys_of, meaning
from aibudget.metering.utilisation import EVER, Span

# A ratio that was averaged may pass 1 by a rounding error.
MOST = 1 + 1e-9

MOST_ALIKE = 1024
"""Of how many samples it is remembered whether they are ratios: rows that share theirs mostly follow each
other.
"""

_IDENTITY = ("UUID", "GPU_I_ID", "serial_number", "gpu_id", "accelerator_id")


class Observed(NamedTuple):
    """At one instant: how many devices a pod was seen with, and how many of them were busy."""

    devices: float
    busy: float


class Told(NamedTuple):
    """What the labels of a row say: the pod, by namespace and name, and the device, or the MIG instance that
    is `weight` of one. It is known by the key of what identifies it: a hundred thousand texts would take
    twice as much.
    """

    namespace: str
    pod: str
    device: int
    weight: float


class Row(NamedTuple):
    """How busy one device was, as told for one pod; as a `Series` otherwise."""

    told: Told
    times: "array[float]"
    values: "array[float]"


_row_of: Final = partial(tuple.__new__, Row)
"""As `Row(*parts)`, in a third of the time."""
_UNSEEN: Final = Row(Told("", "", 0, 1.0), array("d"), array("d"))


class Devices:
    """Utilisation by pod and instant, from the series of `Queries.utilisation` over a `span`; `holders` are
    (namespace, pod), asked for only where several pods are told for one device.
    """

    def __init__(
        self, answer: Iterable[Series], holders: Container[tuple[str, str]], span: Span = EVER
    ) -> None:
        self.span: Final = span
        # The first row of each pod, by namespace and name; and all rows of those that have several.
        self._rows: dict[str, dict[str, Row]] = {}
        self._several: dict[tuple[str, str], list[Row]] = {}
        # By identity: samples that many rows share are looked at once.
        self._plain: dict[int, bool] = {}
        met, shared = set[int](), set[int]()
        for labels, times, values in answer:
            told = meaning(labels, _told)
            namespace, pod, device, weight = told
            if weight:
                (shared if device in met else met).add(device)
                of = self._rows.get(namespace)
                if of is None:
                    of = self._rows[namespace] = {}
                row = _row_of((told, times, values))
                first = of.setdefault(pod, row)
                if first is not row:
                    self._several.setdefault((namespace, pod), [first]).append(row)
        self._copies = self._copied(self._shared(holders)) if shared else {}

    def _shared(self, holders: Container[tuple[str, str]]) -> Collection[int]:
        """The devices that several rows of holders are of; rows of other pods are let go of."""
        for namespace, of in self._rows.items():
            self._rows[namespace] = {pod: row for pod, row in of.items() if (namespace, pod) in holders}
        times = Counter(row.told.device for row in self._held())
        return {device for device, count in times.items() if count > 1}

    def _copied(self, shared: Collection[int]) -> Mapping[int, Counter[float]]:
        """For how many pods these devices were told, by instant."""
        found = {device: Counter[float]() for device in shared}
        for told, times, values in self._held():
            if told.device in found:
                samples = zip(times, values, strict=True)
                found[told.device].update(t for t, value in samples if _is_ratio(value))
        return found

    def _held(self) -> Iterator[Row]:
        for of in self._rows.values():
            for row in of.values():
                yield from self._all(row.told.namespace, row.told.pod)

    def tells_of(self, pods: Iterable[tuple[str, str]]) -> bool:
        """Whether anything was seen of any of them."""
        return any(pod in self._rows.get(namespace, ()) for namespace, pod in pods)

    def sole(self, namespace: str, pod: str) -> Row | None:
        """The row of the one device that the pod was seen with, all of it and at ratios alone; no times where
        nothing was seen. None where there is more to it.
        """
        row = self._rows.get(namespace, _NONE).get(pod, _UNSEEN)
        if row is _UNSEEN:
            return row
        if (self._several and (namespace, pod) in self._several) or row.told.device in self._copies:
            return None
        plain = self._plain.get(id(row.values))
        if plain is None:
            if len(self._plain) >= MOST_ALIKE:
                self._plain.clear()
            plain = self._plain[id(row.values)] = _are_ratios(row.values)
        return row if plain else None

    def of(self, namespace: str, pod: str) -> dict[float, Observed]:
        """What was seen of the pod's devices, by instant; empty where nothing was."""
        seen: dict[float, Observed] = {}
        for told, times, values in self._all(namespace, pod):
            weight, copies = told.weight, self._copies.get(told.device)
            for t, value in zip(times, values, strict=True):
                if _is_ratio(value):
                    part = weight / copies[t] if copies else weight
                    devices, busy = seen.get(t, (0.0, 0.0))
                    seen[t] = Observed(devices + part, busy + value * part)
        return seen

    def _all(self, namespace: str, pod: str) -> Sequence[Row]:
        row = self._rows.get(namespace, _NONE).get(pod)
        return () if row is None else self._several.get((namespace, pod), [row])


_NONE: Final[Mapping[str, Row]] = MappingProxyType({})


def _told(labels: Mapping[str, str]) -> Told:
    namespace, pod = intern(own(labels, "namespace")), intern(own(labels, "pod"))
    (device,) = keys_of([" ".join(labels.get(name, "") for name in _IDENTITY)])
    return Told(namespace, pod, device, _weight(labels))


def _weight(labels: Mapping[str, str]) -> float:
    """How much of a device the row tells of; 0 where that is not known."""
    if labels.get("gpu_compute_partition_type", "").upper() not in ("", "SPX"):
        return 0.0
    if labels.get("GPU_I_ID"):
        return float(mig_share(labels.get("GPU_I_PROFILE", ""), labels.get("modelName", "")) or 0)
    return 1.0


def _are_ratios(values: "array[float]") -> bool:
    # A sum with NaN is NaN, whatever the smallest and the largest look like.
    return bool(values) and min(values) >= 0 and max(values) <= MOST and sum(values) >= 0


def _is_ratio(value: float) -> bool:
    """False for NaN too."""
    return 0 <= value <= MOST
