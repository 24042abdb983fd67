"""The survey of a cycle: reads `Facts` from the API server, past any cache, for what is held or may be.

What cannot be read is left out of the facts and told in the outcome; it is never taken for gone.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from aibudget.api.hold import Claim, Hold
from aibudget.enforcement.candidates import victims
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Facts, NamespaceFacts, Untouchable
from aibudget.enforcement.hold import workload_of
from aibudget.enforcement.kinds import KINDS, PARENTS
from aibudget.enforcement.live import Live
from aibudget.enforcement.outcome import Outcome, each
from aibudget.enforcement.port import Port, look, started_by
from aibudget.errors import InvalidManifest
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS, NAMESPACES
from aibudget.inventory.workload import Workload

BUDGETS: Final = {"AIBudget": AIBUDGETS, "ClusterAIBudget": CLUSTER_AIBUDGETS}
_STOPPABLE: Final = frozenset(kind.name for kind in KINDS.values() if kind.stop is not None)


async def survey(
    outcome: Outcome,
    claimants: Sequence[Claimant],
    objects: Sequence[Json],
    untouchable: Untouchable,
    *,
    paused: bool,
) -> Facts:
    """The facts about these Holds (`objects`, as listed) and about whatever the budgets may want held."""
    cluster = outcome.site.cluster
    found = [hold for obj in objects if (hold := parse_hold(outcome, obj)) is not None]
    spends = {spend.workload for claimant in claimants for spend in victims(claimant)}
    wanted = {w for w in spends if w.kind in _STOPPABLE and w.namespace not in untouchable}
    wanted |= {workload_of(hold) for hold in found if hold.spec.target_ref.kind in _STOPPABLE}
    lives: dict[Workload, Live | None] = {}
    along: dict[Workload, list[Workload]] = {}
    namespaces: dict[str, NamespaceFacts] = {}

    async def see(workload: Workload) -> None:
        lives[workload] = await look(cluster, workload)

    async def see_along(namespace: str, parents: Mapping[str, Workload]) -> None:
        for live in await started_by(cluster, namespace, parents.keys()):
            assert live.controller is not None, "it was started by one"
            lives[live.workload] = live
            along.setdefault(parents[live.controller.uid], []).append(live.workload)

    async def know(namespace: str) -> None:
        obj = await cluster.get(NAMESPACES, namespace)
        if obj is not None:
            metadata = obj["metadata"]
            namespaces[namespace] = NamespaceFacts(
                metadata.get("labels") or {}, metadata.get("annotations") or {}
            )

    await each(sorted(wanted), lambda w: outcome.guard(w, see(w)))
    parents = {live.parent for live in lives.values() if live is not None and live.parent is not None}
    await each(sorted(parents - lives.keys()), lambda w: outcome.guard(w, see(w)))
    starting: dict[str, dict[str, Workload]] = {}
    for live in lives.values():
        if live is not None and live.kind.name in PARENTS:
            starting.setdefault(live.workload.namespace, {})[live.uid] = live.workload
    await each(
        starting.items(),
        lambda one: outcome.guard(Workload(one[0], "Namespace", one[0]), see_along(*one)),
    )
    await each(
        sorted({w.namespace for w in wanted}), lambda n: outcome.guard(Workload(n, "Namespace", n), know(n))
    )
    gone = await gone_budgets(outcome, claimants, found)
    return Facts(tuple(found), lives, namespaces, gone, paused, untouchable, along=along)


async def budget_uid(cluster: Port, kind: str, name: str, namespace: str | None) -> str | None:
    """The uid of the budget that has this name now; None where there is none."""
    obj = await cluster.get(BUDGETS[kind], name, namespace)
    return None if obj is None else str(obj["metadata"]["uid"])


async def gone_budgets(
    outcome: Outcome, claimants: Sequence[Claimant], found: Sequence[Hold]
) -> frozenset[str]:
    """The uids of claiming budgets that a GET, past any cache, says are no more."""
    known = {claimant.budget.uid for claimant in claimants}
    asked = {
        claim.uid: (claim, hold) for hold in found for claim in hold.spec.claims if claim.uid not in known
    }
    gone: set[str] = set()

    async def ask(claim: Claim, hold: Hold) -> None:
        namespace = hold.namespace if claim.kind == "AIBudget" else None
        if await budget_uid(outcome.site.cluster, claim.kind, claim.name, namespace) != claim.uid:
            gone.add(claim.uid)

    await each(asked.values(), lambda pair: outcome.guard(workload_of(pair[1]), ask(*pair)))
    return frozenset(gone)


def parse_hold(outcome: Outcome, obj: Json) -> Hold | None:
    """The Hold, or None and a failure in the outcome."""
    try:
        return Hold.read(obj)
    except InvalidManifest as error:
        metadata = obj["metadata"]
        outcome.fail(Workload(metadata.get("namespace", ""), "Hold", metadata["name"]), error.message)
        return None
