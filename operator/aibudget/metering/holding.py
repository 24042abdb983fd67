"""Who holds what, and when: the samples of `Queries.held`, by container and resource.

What is no amount that can be held is left out and told. Nothing is counted here, and nothing known of nodes.
Pure; a hundred thousand pods take a tenth of a second where they were there a minute ago.
"""

import math
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from sys import intern
from typing import Any, NamedTuple

from aibudget.inventory.accelerators import HAMI, in_metrics
from aibudget.inventory.workload import PodKey
from aibudget.metering.nodes import Dimensions, own
from aibudget.metering.shares import Unit
from aibudget.metering.source import Series, by_names, meaning

# More devices than any container can hold: a number beyond is a mistake, not a bill.
MOST_UNITS = 1024
_GPU = "nvidia_com_gpu"
_BESIDE = tuple(map(in_metrics, HAMI))
_CORES = _BESIDE[0]


Who = tuple[str, str]
"""Namespace and name of a pod, whichever of its lives it is."""


class Holding(NamedTuple):
    """One container's claim on one resource of one node, under one life of its pod. `told` are dimensions
    that are known of this claim better than of the node's units in general.
    """

    pod: PodKey
    container: str
    node: str
    resource: str
    told: Dimensions = ()


class Samples(NamedTuple):
    """Units held: `times` in Unix seconds, ascending."""

    times: "array[float]"
    units: "array[float]"

    @classmethod
    def of(cls, units: Mapping[float, float]) -> "Samples":
        """From units by instant, in any order."""
        ordered = sorted(units)
        return cls(array("d", ordered), array("d", (units[t] for t in ordered)))

    def at(self, instant: int) -> float:
        place = bisect_left(self.times, instant)
        return self.units[place] if place < len(self.times) and self.times[place] == instant else 0.0


def holdings(
    answer: Iterable[Series], most: float = MOST_UNITS
) -> tuple[dict[Holding, Samples], Counter[float]]:
    """The answer to `Queries.held` by holding; and by instant, how many holdings said nothing but what is no
    amount that can be held (NaN, negative, …).
    """
    families = by_names(answer)
    # Where the scrape renames labels, a pod without exported_node is one that is not bound yet.
    renamed = any("exported_node" in names for names in families)
    bound = (family for names, family in families.items() if not renamed or "exported_node" in names)
    found: dict[Holding, Samples] = {}
    dropped: dict[Holding, set[float]] = defaultdict(set)
    told: dict[tuple[int, int], tuple[Samples, float]] = {}
    pieces: dict[tuple[int, int], tuple[Samples, Samples, Samples]] = {}
    for labels, times, values in chain.from_iterable(bound):
        key = meaning(labels, _holding)
        # Looked at as a whole, and once where series share them: a million values one by one take long.
        ids = id(times), id(values)
        if ids not in told:
            told[ids] = Samples(times, values), _largest(values)
        samples, largest = told[ids]
        if not largest <= most:
            # Memory asked for beside a GPU is in MiB.
            samples = plausible(samples, math.inf if key.resource in _BESIDE else most)
            dropped[key].update(set(times).difference(samples.times))
        before = found.setdefault(key, samples)
        if before is not samples:
            both = id(before), id(samples)
            if both not in pieces:
                # Kept with what it is of: known by identity, they must not be gone before the last is asked.
                pieces[both] = before, samples, joined(before, samples)
            found[key] = pieces[both][-1]
    lost = Counter(t for key, instants in dropped.items() for t in instants.difference(found[key].times))
    return _of_hami(found), lost


def _holding(labels: Mapping[str, str]) -> Holding:
    # Remembered with the labels: the strings of a hundred thousand pods are to be there once.
    pod = PodKey(*map(intern, (own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))))
    of = (own(labels, "container"), own(labels, "node"), labels.get("resource", ""))
    container, node, resource = map(intern, of)
    return Holding(pod, container, node, resource)


def _largest(values: "array[float]") -> float:
    """NaN where one of them is no amount at all."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return high if math.isfinite(sum(values)) and low >= 0 else math.nan


def doubted(held: Mapping[Any, Samples], lost: Mapping[float, int]) -> dict[int, float]:
    """Which part of the holdings, or of what is offered, was lost, at each instant at which any was."""
    if not lost:
        return {}
    told = Counter(t for samples in held.values() for t in samples.times if t in lost)
    return {int(t): count / (count + told[t]) for t, count in lost.items()}


def _of_hami(found: dict[Holding, Samples]) -> dict[Holding, Samples]:
    """With what containers ask HAMi for beside a GPU taken for the share of it: percent of its cores. Of
    memory alone no share of device time follows.
    """
    beside = [key for key in found if key.resource in _BESIDE]
    asked: dict[tuple[PodKey, str, str], Fraction | None] = {}
    for key in beside:
        samples = found.pop(key)
        percent = round(max(samples.units, default=0.0)) if key.resource == _CORES else 0
        who = key[:3]
        asked[who] = asked.get(who) or (Fraction(percent, 100) if 0 < percent <= 100 else None)
    if not asked:
        return found
    return {
        key._replace(told=told(asked[key[:3]])) if key.resource == _GPU and key[:3] in asked else key: samples
        for key, samples in found.items()
    }


def told(share: Fraction | None) -> Dimensions:
    """A share as dimensions of a holding."""
    return tuple(Unit(share).dimensions().items())


def plausible(samples: Samples, most: float = MOST_UNITS) -> Samples:
    """Without what is no amount that can be held."""
    # Looked at as a whole first: a million values one by one take long.
    low, high = min(samples.units, default=0.0), max(samples.units, default=0.0)
    if math.isfinite(sum(samples.units)) and low >= 0 and high <= most:
        return samples
    # A comparison with NaN is False, too.
    return Samples.of({t: units for t, units in zip(*samples, strict=True) if 0 <= units <= most})


def joined(one: Samples, other: Samples) -> Samples:
    """Two answers on one holding, from halves of a range or from two exporters: the larger where both
    speak.
    """
    merged = dict(zip(*one, strict=True))
    for t, units in zip(*other, strict=True):
        merged[t] = max(units, merged.get(t, 0.0))
    return Samples.of(merged)


def instants(held: Mapping[Holding, Samples]) -> Iterator[float]:
    """Every time at which something was held, with some repeats: what holdings have in common comes once."""
    for times in {id(samples.times): samples.times for samples in held.values()}.values():
        yield from times
