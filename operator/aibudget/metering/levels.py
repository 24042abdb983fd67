"""What a counter stands at, and who it is.

Prometheus is asked for levels at the instants of a grid; `growth` makes increments of them. A counter is its
family and the labels of its series, with `exported_*` twins folded: what differs between replicas that tell
the same is aggregated away by the family's query. Pure.
"""

import math
from bisect import bisect_right
from collections import Counter as Count
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, le
from typing import Final, NamedTuple

from aibudget.metering.families import DEVICE, Family, Shape
from aibudget.metering.memory import Counter, Level
from aibudget.metering.nodes import own
from aibudget.metering.scene import refuse_mixture
from aibudget.metering.slots import SLOT_SECONDS
from aibudget.metering.source import Series

FAMILY: Final = "aibudget_family"
"""The label by which the answer to a query over several families tells them apart."""
UP: Final = "(up)"
CLUSTERS: Final = "(clusters)"
"""What is told beside the families, under names that no source can have."""
BEYOND: Final = 2.0**53
"""No counter stands there: what exporters say for "not supported" does (9223372036854775794)."""
MOST: Final = 2**62
"""The largest amount that the ledger keeps."""
REPLICAS: Final = ("prometheus", "prometheus_replica", "__replica__")
"""Labels of who scraped: of two that scrape the same, one is as good as the other."""

EXPORTERS: Final = ("dcgm-exporter", "metrics-exporter")
"""In the names of pods that tell of devices, and that an idle device is told with."""


Holders = dict[Counter, dict[int, dict["Holder", int]]]
"""Who shares each device's counter at each instant, and with which weight."""


class Holder(NamedTuple):
    """A pod by its name; both "" for nobody."""

    namespace: str
    pod: str


NOBODY: Final = Holder("", "")


@dataclass(frozen=True, slots=True)
class Told:
    """An answer taken apart: levels by counter, in order of time; `up` are the instants at which anything was
    scraped; `odd` counts values by family that no counter has (NaN, negative, sentinels).
    """

    levels: dict[Counter, list[Level]]
    up: frozenset[int]
    odd: Count[str]
    holders: Holders


def told(answer: Iterable[Series], families: Mapping[str, Family], step: int) -> Told:
    """The answer to `Counting.levels` on a grid of `step` seconds. Pieces of a range may come in any order,
    and twice: then the higher level stands. Raises Stalled where several clusters are mixed up.
    """
    rows: dict[Counter, list[Series]] = defaultdict(list)
    up: set[int] = set()
    clusters: dict[float, set[str]] = defaultdict(set)
    for series in answer:
        name = series.labels.get(FAMILY, "")
        if name == UP:
            up.update(int(t) for t in series.times)
        elif name == CLUSTERS:
            for t in series.times:
                clusters[t].add(series.labels.get("cluster", ""))
        else:
            rows[counter_of(series.labels, families[name])].append(series)
    for several in clusters.values():
        refuse_mixture(several)
    heap = Told({}, frozenset(up), Count(), {})
    # What tells all of a counter that only grew: where a slot ends, and where nothing was scraped.
    telling = {t for t in up if t % SLOT_SECONDS == 0 or not {t - step, t + step} <= up}
    for counter, pieces in rows.items():
        level = families[counter.family].shape is Shape.LEVEL
        smooth = level and len(pieces) == 1 and _is_smooth(pieces[0], step)
        _take(heap, counter, families[counter.family], pieces, telling if smooth else None)
    return heap


def _take(
    heap: Told, counter: Counter, family: Family, several: Sequence[Series], telling: set[int] | None
) -> None:
    found: dict[int, int] = {}
    holders: dict[int, dict[Holder, int]] = defaultdict(dict)
    for labels, times, values in several:
        holder, weight = _holder(labels, family)
        for at, value in zip(times, values, strict=True):
            t = int(at)
            if telling is not None and t not in telling and at not in (times[0], times[-1]):
                continue
            if not (math.isfinite(value) and 0 <= value < BEYOND and value * family.factor < MOST):
                heap.odd[family.name] += 1
                continue
            found[t] = max(round(value * family.factor), found.get(t, 0))
            if holder is not None:
                holders[t][holder] = weight
    if found:
        heap.levels[counter] = [Level(t, value) for t, value in sorted(found.items())]
    if holders:
        heap.holders[counter] = holders


def _is_smooth(series: Series, step: int) -> bool:
    """Whether nothing happened but growth, at every instant: most counters, most of the time."""
    _, times, values = series
    whole = times[-1] - times[0] == (len(times) - 1) * step
    return whole and values[0] >= 0 and values[-1] < BEYOND and all(map(le, values, islice(values, 1, None)))


def cut(whole: Told, at: int) -> tuple[Told, Told]:
    """What was told up to and with an instant, and what after it."""
    if max(whole.up, default=at) <= at:
        return whole, Told({}, frozenset(), Count(), {})
    early: dict[Counter, list[Level]] = {}
    late: dict[Counter, list[Level]] = {}
    for counter, levels in whole.levels.items():
        place = bisect_right(levels, at, key=attrgetter("at"))
        if place:
            early[counter] = levels[:place]
        if place < len(levels):
            late[counter] = levels[place:]
    before = frozenset(t for t in whole.up if t <= at)
    return (
        Told(early, before, whole.odd, whole.holders),
        Told(late, whole.up - before, Count(), whole.holders),
    )


def counter_of(labels: Mapping[str, str], family: Family) -> Counter:
    """Whose series this is. The pods on a device are told with its counter, and are no part of it."""
    shared = (*_pod_labels(family), "GPU_I_PROFILE", "GPU_I_ID") if labels.get(DEVICE) else ()
    names = {name.removeprefix("exported_") for name in labels} - {FAMILY, *REPLICAS, *shared}
    named = ((name, own(labels, name)) for name in sorted(names))
    return Counter(family.name, tuple((name, value) for name, value in named if value))


def _holder(labels: Mapping[str, str], family: Family) -> tuple["Holder | None", int]:
    """The pod that a row of a device's counter is of, with its slices of the device; an exporter's own pod
    stands where nobody holds it.
    """
    if not labels.get(DEVICE):
        return None, 0
    namespace, pod = _pod_labels(family)
    holder = Holder(own(labels, namespace), own(labels, pod))
    if not holder.pod or any(name in holder.pod for name in EXPORTERS):
        return None, 0
    slices = labels.get("GPU_I_PROFILE", "").partition("g")[0]
    return holder, int(slices) if slices.isdecimal() else 1


def _pod_labels(family: Family) -> tuple[str, str]:
    labels = family.attribution
    return (labels and labels.namespace) or "namespace", (labels and labels.pod) or "pod"
