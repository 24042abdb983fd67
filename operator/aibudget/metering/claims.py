"""Devices held by claims (Dynamic Resource Allocation), and those that there are, as AIBudget itself tells.

Where AIBudget was not scraped they are not known: a short gap is filled from both sides, as any other, and a
longer one is told. Before AIBudget was there, nobody told. A device may be held whole, in instances or by
several pods, so what becomes of it is counted in parts of one size. Pure.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from aibudget.inventory.workload import PodKey
from aibudget.metering.asking import Answer
from aibudget.metering.capacity import NOTHING, Capacity, Offer, balances
from aibudget.metering.coverage import Grid, Known, Sighting, known
from aibudget.metering.holding import Holding, Samples, joined, plausible
from aibudget.metering.integration import Amount, Cell
from aibudget.metering.nodes import Dimensions, Nodes, own
from aibudget.metering.promql import CLAIM, OWN_WINDOW
from aibudget.metering.shares import UNKNOWN, Unit, cut_unit, share_of
from aibudget.metering.slots import Interval
from aibudget.metering.source import Series
from aibudget.metering.totals import Place
from aibudget.metering.usage import Balance, Sku, sku

PARTS: Final = 5040
"""Of a device, in a balance: sevenths, quarters and what up to ten pods share are whole numbers of them."""
_PART: Final = f"1/{PARTS}"
REQUESTED: Final = "requested"
"""Stands for the container of what was requested, which several of a pod may share."""
LATE: Final = 2 * OWN_WINDOW // 1000
"""How many seconds a claim is told later than a request, at most; longer before it, AIBudget told of none."""
MOST: Final = 2.0**20
"""Devices of one kind: beyond is a mistake. Those of a network are on no node, and are many."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What was told of claims, by holding: the SKU's resource is the driver. `requesters` are the pods that
    asked for an extended resource and were given a claim, with the time in which that was told.
    """

    held: Mapping[Holding, Samples]
    requesters: Mapping[PodKey, Interval] = field(default_factory=dict)

    def unserved(
        self, held: Mapping[Holding, Samples], known: Known, offered: Mapping[Offer, Samples]
    ) -> dict[Holding, Samples]:
        """What was requested, without what the claims account for. While nobody tells of claims, the request
        is all that is known.
        """
        accounted = known.covered | {t for bridge in known.bridges for t in known.gap(bridge)}
        found = {}
        for key, samples in held.items():
            if key.pod not in self.requesters:
                found[key] = samples
                continue
            rest = {
                t: units
                for t, units in zip(*samples, strict=True)
                if t not in accounted
                or int(t) not in self.requesters[key.pod]
                or not self.serve(key, (t,), offered)
            }
            if rest:
                found[key] = Samples.of(rest)
        return found

    def serve(self, key: Holding, times: Iterable[float], offered: Mapping[Offer, Samples]) -> bool:
        """Whether a claim is what the pod was given: the scheduler makes one for what a node has no units
        of.
        """
        units = offered.get(Offer(key.node, key.resource), NOTHING)
        return key.pod in self.requesters and not any(units.at(int(t)) for t in times)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What pods held by claims, where that is known, and what it comes to."""

    held: Mapping[Holding, Samples]
    cells: Mapping[Cell, Amount]
    known: Known


def claimed(answer: Iterable[Series]) -> Claims:
    """The claims of the answer to `Queries.held`."""
    found: dict[Holding, Samples] = {}
    requesters: dict[PodKey, Interval] = {}
    for labels, times, values in answer:
        pod = PodKey(own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))
        driver, product, profile, part, requested = (labels.get(name, "") for name in CLAIM)
        key = Holding(pod, "", own(labels, "node"), driver, _dimensions(driver, product, profile, part))
        samples = plausible(Samples(times, values))
        # A pod may have a claim of its own and another for what it requests, of the same kind.
        if requested == "true":
            if (around := _around(samples, requesters.get(pod))) is not None:
                requesters[pod] = around
            key = key._replace(container=REQUESTED)
        found[key] = joined(found[key], samples) if key in found else samples
    return Claims(found, requesters)


def _around(samples: Samples, known: Interval | None) -> Interval | None:
    """From when until when a claim is told, with what is too early for a scrape on both sides."""
    if not samples.times:
        return known
    told_of = Interval(int(samples.times[0]) - LATE, int(samples.times[-1]) + LATE)
    if known is None:
        return told_of
    return Interval(min(told_of.start, known.start), max(told_of.end, known.end))


def told(grid: Grid, seen: Mapping[int, Sighting], without: Collection[int]) -> Known:
    """Where AIBudget could tell of claims."""
    there = {t: Sighting({"": 1.0}, nodes=1.0) for t, sighting in seen.items() if sighting.claims}
    return known(grid, there, without)


def offered(answer: Answer) -> Capacity:
    """What the answer to `Queries.capacity` tells of devices for claims, in `PARTS` of them."""
    there: dict[Offer, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    shut: dict[Offer, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    closed: dict[str, set[float]] = defaultdict(set)
    for labels, times, values in answer.series:
        node = own(labels, "node")
        if labels["family"] == "closed":
            closed[node].update(times)
        if labels["family"] != "devices":
            continue
        share = cut_unit(labels.get("profile", ""), labels.get("product", "")).share
        if share is None:
            continue
        driver, product = labels["driver"], labels.get("product", "")
        offer = Offer(node, driver, _in_parts(driver, product))
        for t, devices in zip(*plausible(Samples(times, values), MOST), strict=True):
            units = devices * float(PARTS * share)
            there[offer][t] += units
            if labels.get("usable") == "false":
                shut[offer][t] += units
    for offer, told_of in there.items():
        shut[offer].update({t: told_of[t] for t in closed[offer.node] & told_of.keys()})
    unusable = {offer: Samples.of(units) for offer, units in shut.items() if units}
    return Capacity({offer: Samples.of(units) for offer, units in there.items()}, unusable, answer.unread)


def left(
    there: Capacity, elsewhere: Collection[str], claimed: Claimed, nodes: Nodes
) -> tuple[dict[Place, Balance], dict[float, int]]:
    """What became of the devices for claims, and steps at which nobody told of them, as of `missing`.

    `elsewhere` are nodes that tell of units of a device plug-in, maybe of the same devices. They are left
    out, and so is what is held of devices that are not offered, or of which it is not known how much.
    """
    offered, unusable = (
        {offer: samples for offer, samples in family.items() if offer.node not in elsewhere}
        for family in (there.offered, there.unusable)
    )
    kinds = {(offer.node, offer.resource) for offer in offered}
    held: dict[Holding, Samples] = {}
    for key, samples in claimed.held.items():
        said = dict(key.told)
        share = share_of(said.get("share") or None)
        if share is not None and (key.node, key.resource) in kinds:
            whole = key._replace(told=_in_parts(key.resource, said.get("gpuProduct", "")))
            parts = _times(samples, PARTS * share)
            held[whole] = _sum(held[whole], parts) if whole in held else parts
    skus: dict[Sku, Sku] = {}
    places = Counter[Place]()
    for cell, amount in claimed.cells.items():
        said = dict(cell.sku.dimensions)
        if share_of(said.get("share")) is not None and (cell.node, said["resource"]) in kinds:
            what = skus.setdefault(cell.sku, sku("gpu", said | {"migProfile": "", "share": _PART}))
            places[Place(cell.slot, cell.node, what)] += amount.quantity
    found, _ = balances(Capacity(offered, unusable, there.unread), held, places, claimed.known, nodes)
    return {_whole(place): balance for place, balance in found.items()}, missing(offered, claimed.known)


def missing(held: Mapping[Any, Samples], sure: Known) -> dict[float, int]:
    """Steps between the first claim that is known and the last at which nobody told, and nobody fills in; and
    how many holdings by claims were told of most at once, for as many may be missing. Of offers the same.
    """
    there = Counter(t for samples in held.values() for t in samples.times)
    if not there:
        return {}
    first, last, most = min(there), max(there), max(there.values())
    filled = {t for bridge in sure.bridges for t in sure.gap(bridge)}
    within = (t for t in sure.grid.instants if first < t < last)
    return {t: most for t in within if t not in sure.covered and t not in filled}


def _in_parts(driver: str, product: str) -> Dimensions:
    named = {"gpuProduct": product} if product else {}
    return tuple({**named, "resource": driver, "share": _PART}.items())


def _whole(place: Place) -> Place:
    return place._replace(sku=sku("gpu", dict(place.sku.dimensions) | {"share": ""}))


def _times(samples: Samples, factor: Fraction) -> Samples:
    return Samples(samples.times, array("d", (units * float(factor) for units in samples.units)))


def _sum(one: Samples, other: Samples) -> Samples:
    units = Counter(dict(zip(*one, strict=True)))
    units.update(dict(zip(*other, strict=True)))
    return Samples.of(units)


def _dimensions(driver: str, product: str, profile: str, part: str) -> Dimensions:
    own_part = share_of(part or UNKNOWN)
    device = cut_unit(profile, product)
    share = None if own_part is None or device.share is None else own_part * device.share
    named = {"gpuProduct": product} if product else {}
    return tuple({**named, "resource": driver, **Unit(share, device.profile).dimensions()}.items())
