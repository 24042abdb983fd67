"""The `gpu-idle` meter: capacity that nobody held, by node pool, and whether it all adds up.

It is counted beside `gpu`, from what that meter has read and one query more. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from aibudget.inventory.workload import Workload
from aibudget.metering.capacity import balances, capacity
from aibudget.metering.catalogue import GPU_IDLE, scale_of
from aibudget.metering.claims import Claimed, left, offered
from aibudget.metering.coverage import Known
from aibudget.metering.holding import Holding, Samples, doubted
from aibudget.metering.scene import Scene
from aibudget.metering.slots import SLOT_SECONDS, iso
from aibudget.metering.source import QueryRefused
from aibudget.metering.totals import Place
from aibudget.metering.usage import Balance, Coverage, Reading, Sku, Usage, sku

POOL: Final = "NodePool"
"""The kind of `Workload` that idle capacity belongs to. Its namespace is "", its name that of the pool; ""
where no label tells it.
"""
STATES: Final = ("idle", "unhealthy", "unknown")
NODES_NAMED: Final = 3

NOT_TOLD: Final = (
    "No capacity of accelerators is known, so that idle capacity is unknown, too. "
    "Let kube-state-metrics export kube_node_status_capacity and kube_node_status_allocatable."
)


def read_idle(
    scene: Scene,
    held: Mapping[Holding, Samples],
    places: Mapping[Place, int],
    known: Known,
    claimed: Claimed | None = None,
) -> tuple[Reading, tuple[str, ...]]:
    """What was left of the nodes' capacity, and what that says of what was held, as sentences.

    Where it cannot be asked for, or no node tells of any though devices are held, nothing is known of it:
    not that nothing was idle. `gpu` is read all the same.
    """
    coverage = known.by_slot()
    try:
        found = capacity(scene.capacity)
    except QueryRefused as refused:
        unknown = _without(coverage, coverage)
        return Reading(scene.grid.interval, (), unknown, head=None, problems=(refused.message,)), ()
    remains, untold = balances(found, held, places, known, scene.nodes)
    told = replace(known, covered=known.covered - found.unread)
    if claimed is not None:
        there = offered(scene.capacity)
        of_claims, lost = left(there, {offer.node for offer in found.offered}, claimed, scene.nodes)
        remains |= of_claims
        told = replace(told, doubted={**told.doubted, **doubted({**found.offered, **there.offered}, lost)})
    pools: dict[tuple[int, str], Balance] = defaultdict(Balance)
    for place, balance in remains.items():
        pools[place.slot, pool_of(place.sku)] += balance
    reading = Reading(
        interval=scene.grid.interval,
        usages=_usages(remains),
        coverage=_without(told.by_slot(), untold),
        head=told.head(),
        problems=(NOT_TOLD,) if untold else (),
        balances=pools,
    )
    return reading, tuple(_over(remains, scene.grid.step))


def pool_of(of: Sku) -> str:
    """The node pool of a SKU; "" where no label told it."""
    return of.dimension("nodePool") or ""


def _usages(left: Mapping[Place, Balance]) -> tuple[Usage, ...]:
    sums: Counter[tuple[int, Sku]] = Counter()
    estimated: Counter[tuple[int, Sku]] = Counter()
    for place, balance in left.items():
        for state, quantity in zip(STATES, (balance.idle, balance.unhealthy, balance.unknown), strict=True):
            if quantity:
                sums[place.slot, _sku(place.sku, state)] += quantity
        if balance.estimated:
            estimated[place.slot, _sku(place.sku, "idle")] += balance.estimated
    return tuple(
        Usage(slot, Workload("", POOL, pool_of(of)), of, quantity, estimated[slot, of])
        for (slot, of), quantity in sorted(sums.items())
    )


def _sku(held: Sku, state: str) -> Sku:
    return sku(GPU_IDLE.name, {**dict(held.dimensions), "state": state})


def _without(coverage: Mapping[int, Coverage], unknown: Collection[int]) -> dict[int, Coverage]:
    return {
        slot: Coverage(0, told.total_seconds) if slot in unknown else told for slot, told in coverage.items()
    }


def _over(left: Mapping[Place, Balance], step: int) -> Iterator[str]:
    """Said from more than one step of a node's devices on.

    A pod that ends to the second and one that begins to the step may meet by less than that.
    """
    nodes, slots = Counter[str](), set[int]()
    for place, balance in left.items():
        if balance.over * SLOT_SECONDS > balance.capacity * step:
            nodes[place.node] += balance.over
            slots.add(place.slot)
    if nodes:
        names = ", ".join(name for name, _ in nodes.most_common(NODES_NAMED))
        more = f" and {len(nodes) - NODES_NAMED} more" if len(nodes) > NODES_NAMED else ""
        hours, since = nodes.total() / scale_of(GPU_IDLE.name), iso(min(slots))
        yield (
            f"{hours:.2f} GPU-Hours more than there are were held on {names}{more}, from {since} on. "
            "Either pods are told of twice, by two kube-state-metrics that label them differently, or they "
            "were left on nodes that are gone or have lost devices."
        )
