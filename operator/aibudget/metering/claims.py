"""Devices held by claims (Dynamic Resource Allocation), as AIBudget itself tells of them in a metric.

Where AIBudget was not scraped they are not known: a short gap is filled from both sides, as any other, and a
longer one is told. Before AIBudget was there, nobody told. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from aibudget.inventory.workload import PodKey
from aibudget.metering.coverage import Grid, Known, Sighting, known
from aibudget.metering.holding import Holding, Samples, joined, plausible
from aibudget.metering.nodes import Dimensions, own
from aibudget.metering.promql import CLAIM
from aibudget.metering.shares import UNKNOWN, Unit, cut_unit, share_of
from aibudget.metering.source import Series


def claimed(answer: Iterable[Series]) -> dict[Holding, Samples]:
    """The claims of the answer to `Queries.held`, by holding: the SKU's resource is the driver."""
    found: dict[Holding, Samples] = {}
    for labels, times, values in answer:
        pod = PodKey(own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))
        told = _dimensions(*(labels.get(name, "") for name in CLAIM))
        key = Holding(pod, "", own(labels, "node"), labels["driver"], told)
        samples = plausible(Samples(times, values))
        found[key] = joined(found[key], samples) if key in found else samples
    return found


def told(grid: Grid, seen: Mapping[int, Sighting], without: Collection[int]) -> Known:
    """Where AIBudget could tell of claims."""
    there = {t: Sighting({"": 1.0}, nodes=1.0) for t, sighting in seen.items() if sighting.claims}
    return known(grid, there, without)


def missing(held: Mapping[Holding, Samples], sure: Known) -> dict[float, int]:
    """Steps between the first claim that is known and the last at which nobody told, and nobody fills in; and
    how many holdings by claims were told of most at once, for as many may be missing.
    """
    there = Counter(t for samples in held.values() for t in samples.times)
    if not there:
        return {}
    first, last, most = min(there), max(there), max(there.values())
    filled = {t for bridge in sure.bridges for t in sure.gap(bridge)}
    within = (t for t in sure.grid.instants if first < t < last)
    return {t: most for t in within if t not in sure.covered and t not in filled}


def _dimensions(driver: str, product: str, profile: str, part: str) -> Dimensions:
    own_part = share_of(part or UNKNOWN)
    device = cut_unit(profile, product)
    share = None if own_part is None or device.share is None else own_part * device.share
    named = {"gpuProduct": product} if product else {}
    return tuple({**named, "resource": driver, **Unit(share, device.profile).dimensions()}.items())
