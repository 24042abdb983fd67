"""The rules of a run: what an operator may never write, and what has to be so whenever the dust has settled.

Whatever is broken raises `Broken`. What an operator could not have known when its cycle began is not held
against it, except for what is on the workload itself: that is guarded by its resource version.
"""

from datetime import datetime

from aibudget.api.names import FIELD_MANAGER, HOLD_LABEL, ORIGINAL_ANNOTATION, REASON_ANNOTATION
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.hold import hold_name
from aibudget.enforcement.live import Live, is_protected, is_vetoed, mark_of, read
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HOLDS
from chaos.budgets import PROTECTED_BY_BUDGET
from chaos.people import DOWNSCALER
from chaos.shapes import without_field
from chaos.world import Broken, Process, World


def judge(world: World, process: Process, old: Json | None, new: Json | None) -> None:
    """A write of an operator to a workload: a stop that was due, or a restore to what its owner asked for."""
    if old is None or new is None:
        raise Broken(f"{process.name} created or deleted a workload")
    before, after = read(old), read(new)
    if without_field(old, before.kind) != without_field(new, after.kind):
        raise Broken(f"{process.name} changed more of {after.workload} than its one field")
    if process.enforcer is None:
        # What `release --all` lets go without its Hold is nobody's veto.
        world.vetoes = {
            (uid, budget, period): tick
            for (uid, budget, period), tick in world.vetoes.items()
            if uid != after.uid or is_vetoed(after, budget, period)
        }
    if before.value == after.value:
        return
    if after.stopped:
        world.counts["stops"] += 1
        _judge_stop(world, process, before)
        return
    world.counts["restores"] += 1
    if after.value != world.asked[after.uid]:
        raise Broken(
            f"{process.name} put {after.workload} back to {after.value}; "
            f"its owner asked for {world.asked[after.uid]}"
        )


def _judge_stop(world: World, process: Process, live: Live) -> None:
    what = f"{process.name} stopped {live.workload}"
    if live.workload.namespace in ("kube-system", "elsewhere"):
        raise Broken(f"{what} in an untouchable or uncovered namespace")
    if live.workload.name.removesuffix("-1") in world.server.without_devices and live.kind.name != "CronJob":
        raise Broken(f"{what}, which holds no accelerator")
    if world.switched is not None and world.switched < process.began:
        raise Broken(f"{what} while the kill switch was set")
    if not any(entitled(world, claimant, live, process) for claimant in process.claimants):
        raise Broken(f"{what}, and no budget could ask for it")


def entitled(world: World, claimant: Claimant, live: Live, process: Process | None = None) -> bool:
    """Whether this budget may have this workload held, by what its process could know."""
    known = world.tick + 1 if process is None else process.began
    namespace = live.workload.namespace
    budget, evaluation = claimant.budget, claimant.evaluation
    if budget.spec.enforcement.mode != "Enforce" or not evaluation.fresh:
        return False
    state = next(b for b in world.budgets if b.name == budget.name)
    if namespace not in state.namespaces or evaluation.thresholds[0].standing != "Active":
        return False
    if live.labels.get(PROTECTED_BY_BUDGET) == "prod" or world.protected.get(namespace, known) < known:
        return False
    if budget.kind == "AIBudget":
        # A team could forge the mark of another tool: what stands above it does not hear that.
        if DOWNSCALER in live.annotations:
            return False
        if is_protected(live.labels, live.annotations, world.now):
            return False
        if world.vetoes.get((live.uid, budget.uid, evaluation.period.id), known) < known:
            return False
    return process is None or _notice_is_over(world, claimant, live, process)


def _notice_is_over(world: World, claimant: Claimant, live: Live, process: Process) -> bool:
    name = hold_name(live.kind, live.workload.name, live.uid)
    hold = world.server.get(HOLDS, name, live.workload.namespace)
    if hold is None:
        return world.deleted_holds.get(name, -1) >= process.began
    for claim in hold["spec"]["claims"]:
        if claim["uid"] == claimant.budget.uid:
            begun = datetime.fromisoformat(claim["noticeTime"])
            return bool(begun + claimant.grace <= process.now)
    return False


def check_originals(world: World) -> None:
    """At any moment: what does not run as asked is stopped, and its original is kept somewhere."""
    if wrong := {place for _, place in world.fences()} - {"team-a", "team-b"}:
        raise Broken(f"a fence around {wrong}, which are out of scope or untouchable")
    for live in world.lives():
        if live.value == world.asked[live.uid]:
            continue
        if not live.stopped:
            raise Broken(f"{live.workload} is {live.value}, its owner asked for {world.asked[live.uid]}")
        hold = world.hold(live)
        kept = [] if hold is None else [o.get("json") for o in hold["spec"].get("original", ())]
        mark = mark_of(live)
        if world.asked[live.uid] not in [*kept, *([] if mark is None else [mark.original])]:
            raise Broken(f"the original {world.asked[live.uid]} of {live.workload} is lost")


def check_settled(world: World) -> None:
    """Each workload is what its owner asked for, or is held with its original and a standing claim."""
    check_originals(world)
    _check_fences(world)
    for live in world.lives():
        asked = world.asked[live.uid]
        hold = world.hold(live)
        if live.value == asked:
            # What was put back is stopped again only by fresh data; till then the marks stay beside the Hold.
            if hold is None:
                _check_unmarked(world, live)
            _check_not_forgotten(world, live, hold)
            continue
        if hold is None or live.hold_label != hold["metadata"]["name"]:
            raise Broken(f"{live.workload} is stopped, and no Hold says why")
        if [one.get("json") for one in hold["spec"].get("original", ())] != [asked]:
            raise Broken(f"the Hold of {live.workload} keeps {hold['spec'].get('original')}, not {asked}")
        if not any(_stands(world, claim, live) for claim in hold["spec"]["claims"]):
            raise Broken(f"{live.workload} is held, and no claim on it stands: {hold['spec']['claims']}")


def _check_fences(world: World) -> None:
    """Each fence has a Hold with a claim that stands; nothing else is fenced."""
    holds = world.server.list(HOLDS)
    for action, place in sorted(world.fences()):
        mine = [h for h in holds if h["spec"]["action"] == action and h["metadata"]["namespace"] == place]
        claims = [claim for hold in mine for claim in hold["spec"]["claims"]]
        if not any(_stands(world, claim) for claim in claims):
            raise Broken(f"{place} has a {action}, and no claim on it stands: {claims}")


def check_free(world: World) -> None:
    """With every budget kept nothing of ours is left anywhere."""
    for live in world.lives():
        if live.value != world.asked[live.uid]:
            raise Broken(f"{live.workload} is {live.value}; its owner asked for {world.asked[live.uid]}")
        _check_unmarked(world, live)
        if live.owned:
            raise Broken(f"the field of {live.workload} is still owned by {FIELD_MANAGER}")
    if fences := world.fences():
        raise Broken(f"fences are left: {fences}")
    if left := world.server.list(HOLDS):
        raise Broken(f"Holds are left: {[hold['metadata']['name'] for hold in left]}")


def _check_unmarked(world: World, live: Live) -> None:
    ours = {ORIGINAL_ANNOTATION, REASON_ANNOTATION} & set(live.annotations)
    if HOLD_LABEL in live.labels or ours:
        raise Broken(f"{live.workload} is free, and still marked: {live.labels} {sorted(ours)}")


def _check_not_forgotten(world: World, live: Live, hold: Json | None) -> None:
    """What a budget may stop is stopped in the end, unless somebody would not have it."""
    if live.stopped or DOWNSCALER in live.annotations or live.parent is not None:
        return
    if live.workload.name in world.server.without_devices:
        return
    if live.workload.namespace.startswith("kube-"):
        return
    conditions = (hold or {}).get("status", {}).get("conditions", ())
    if any(c["type"] == "Contested" and c["status"] == "True" for c in conditions):
        world.counts["contested"] += 1
        return
    claims = [] if hold is None else hold["spec"]["claims"]
    closed = {(c["uid"], c["periodId"]) for c in claims if c["decision"] == "Vetoed"}
    for claimant in world.claimants():
        key = claimant.budget.uid, claimant.evaluation.period.id
        if entitled(world, claimant, live) and key not in closed and not is_vetoed(live, *key):
            raise Broken(f"{live.workload} runs, though {claimant.budget.name} would have it held")


def _stands(world: World, claim: Json, live: Live | None = None) -> bool:
    for budget in world.budgets:
        if (budget.uid, budget.period_id) == (claim["uid"], claim["periodId"]) and budget.enforce:
            kept = not budget.fresh or budget.over
            own = budget.kind == "AIBudget"
            vetoed = live is not None and own and (live.uid, budget.uid, budget.period_id) in world.vetoes
            return kept and not vetoed
    return False
