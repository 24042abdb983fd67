"""How busy the devices were that a pod held, as DCGM tells it.

A device is known by its UUID (and MIG instance) before any pod: where several pods are told for one device,
each got a copy of the whole device's value, and each is given its part of it. Rows of pods that hold
nothing, an idle device's exporter among them, and values that are no ratio (DCGM's blanks) are left out.
Pure.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from aibudget.metering.nodes import own
from aibudget.metering.source import Series

# A ratio that was averaged may pass 1 by a rounding error.
MOST = 1 + 1e-9


class Observed(NamedTuple):
    """At one instant: how many devices a pod was seen with, and how many of them were busy."""

    devices: float
    busy: float


class _Row(NamedTuple):
    device: tuple[str, str]
    times: "array[float]"
    values: "array[float]"


class Devices:
    """Utilisation by pod and instant, from the series of `Queries.utilisation`; `holders` are (namespace,
    pod).
    """

    def __init__(self, answer: Iterable[Series], holders: Collection[tuple[str, str]]) -> None:
        self._rows: dict[tuple[str, str], list[_Row]] = defaultdict(list)
        on_device: dict[tuple[str, str], list[_Row]] = defaultdict(list)
        for labels, times, values in answer:
            pod = own(labels, "namespace"), own(labels, "pod")
            if pod in holders:
                row = _Row((labels.get("UUID", ""), labels.get("GPU_I_ID", "")), times, values)
                self._rows[pod].append(row)
                on_device[row.device].append(row)
        self._copies = {
            device: Counter(
                t for row in rows for t, value in zip(row.times, row.values, strict=True) if _is_ratio(value)
            )
            for device, rows in on_device.items()
            if len(rows) > 1
        }

    def __bool__(self) -> bool:
        return bool(self._rows)

    def of(self, namespace: str, pod: str) -> dict[float, Observed]:
        """What was seen of the pod's devices, by instant; empty where nothing was."""
        seen: dict[float, Observed] = {}
        for row in self._rows.get((namespace, pod), ()):
            copies = self._copies.get(row.device)
            for t, value in zip(row.times, row.values, strict=True):
                if _is_ratio(value):
                    part = 1 / copies[t] if copies else 1.0
                    devices, busy = seen.get(t, (0.0, 0.0))
                    seen[t] = Observed(devices + part, busy + value * part)
        return seen


def _is_ratio(value: float) -> bool:
    """False for NaN too."""
    return 0 <= value <= MOST
