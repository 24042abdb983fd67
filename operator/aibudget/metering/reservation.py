"""The `cpu` and `memory` meters: what pods reserve of their nodes, used or not.

Counted as the scheduler counts: a pod's effective request, from the moment it is bound until it is finished.
Both meters come from one query. Their SKUs carry the dimensions of the node, so that a price of a GPU can
say that it includes its host. Usage above what is requested is not counted here. Pure but for the
`PromSource` it asks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.asking import over_range
from aibudget.metering.catalogue import CPU, MEMORY
from aibudget.metering.coverage import Known, known
from aibudget.metering.holding import Holding, Samples, doubted, holdings
from aibudget.metering.integration import Amount, Cell, bridged
from aibudget.metering.meter import nothing, whole
from aibudget.metering.nodes import Nodes
from aibudget.metering.ownership import learn
from aibudget.metering.scene import Scene, Scenes
from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.totals import Totals
from aibudget.metering.usage import Reading, Sku, sku

RESERVED: Final = (CPU.name, MEMORY.name)
# Of the meter's smallest unit in a second: core-milliseconds, and KiB-seconds of a byte.
WORTH: Final[Mapping[str, float]] = {CPU.name: 1000.0, MEMORY.name: 1 / 1024}
# A pebibyte: a number beyond is a mistake, not a bill.
MOST: Final = 2.0**50


def read_reserved(scenes: Scenes, interval: Interval, owners: OwnerBook) -> Mapping[str, Reading]:
    """What both meters say of an interval that starts on a slot. Raises the source's errors."""
    parts = list(_parts(scenes, interval, owners))
    return {meter: whole(interval, (part[meter] for part in parts)) for meter in RESERVED}


def _parts(scenes: Scenes, interval: Interval, book: OwnerBook) -> Iterator[Mapping[str, Reading]]:
    for part, scene in scenes.of(interval):
        if scene is None:
            yield dict.fromkeys(RESERVED, nothing(part, scenes.settings))
            continue
        readings = _read(scene, book)
        book = book.with_links(readings[CPU.name].links)
        yield readings


def _read(scene: Scene, owners: OwnerBook) -> Mapping[str, Reading]:
    answer = over_range(scene.source, scene.queries.reserved(scene.scrape.window), scene.reach)
    held, lost = holdings(answer.series, MOST)
    beyond = {t for t in scene.seen if t not in scene.reach.instants}
    sure = known(scene.grid, scene.seen, scene.coverage.unread | answer.unread | beyond)
    sure = replace(sure, doubted=doubted(held, lost))
    pods = {key.pod for key in held}
    book = learn(scene.source, scene.queries, scene.grid.wider().interval, pods, owners)
    totals = Totals(book.resolved(pods))
    totals.add(_counted(held, sure, scene.nodes).items())
    usages = totals.usages()
    return {
        meter: Reading(
            interval=scene.grid.interval,
            usages=tuple(usage for usage in usages if usage.sku.meter == meter),
            coverage=sure.by_slot(),
            head=sure.head(),
            problems=tuple(_doubts(lost.total(), len(answer.unread))),
            links=book.since(owners),
            step=scene.grid.step,
            scrape_interval=scene.scrape.interval,
        )
        for meter in RESERVED
    }


def _counted(held: Mapping[Holding, Samples], sure: Known, nodes: Nodes) -> dict[Cell, Amount]:
    cells: dict[Cell, Amount] = {}
    skus: dict[tuple[str, str, tuple[tuple[str, str], ...]], Sku] = {}

    def amount_at(key: Holding, t: int) -> Amount:
        known = nodes.dimensions_at(key.node, t)
        short = key.resource, key.node, tuple(known.items())
        what = skus.get(short) or skus.setdefault(short, sku(key.resource, known))
        return cells.setdefault(Cell(slot_of(t - sure.grid.step), key.pod, key.node, what), Amount())

    for key, samples in held.items():
        worth, steady = WORTH[key.resource] * sure.grid.step, not nodes.changes(key.node)
        slot, amount = -1, None
        for t, units in zip(samples.times, samples.units, strict=True):
            if not sure.grid.instants.start <= t <= sure.grid.interval.end:
                continue
            here = slot_of(int(t) - sure.grid.step)
            if amount is None or here != slot or not steady:
                slot, amount = here, amount_at(key, int(t))
            amount.quantity += round(units * worth)
        for t, units in bridged(samples, sure):
            amount = amount_at(key, t)
            amount.quantity += round(units * worth)
            amount.estimated += round(units * worth)
    return cells


def _doubts(dropped: int, unread: int) -> Iterator[str]:
    if dropped:
        yield (
            f"{dropped} requests of CPU or memory were no quantity (NaN, negative or beyond "
            "a pebibyte) and were left out. Look at kube-state-metrics."
        )
    if unread:
        yield (
            f"{unread} steps of CPU and memory requests were too much for Prometheus even alone and are "
            "gaps. Raise its query.max-samples or query.timeout."
        )
