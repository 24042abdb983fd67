"""What people and other tools do in a run, one function each; the number says to what, the other how.

The writes are those that the tools make: which manager, which verb, which fields.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aibudget.api.names import FREEZE_QUOTA, HOLD_LABEL, KILL_SWITCH, PROTECTED
from aibudget.enforcement.live import mark_of, read
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import CONFIG_MAPS, HOLDS, NAMESPACES, RESOURCE_QUOTAS
from chaos.budgets import PROTECTED_BY_BUDGET
from chaos.shapes import Value, manifest, running, setter, stopped
from chaos.world import OPERATOR, PLACES, World

DOWNSCALER: Final = "downscaler/original-replicas"
_KEPT_BY_UNDO = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")


def _edit(world: World, number: int, change: Callable[[Json], None], manager: str | None = "kubectl") -> None:
    kind, namespace, name = world.workload(number)
    world.someone(lambda: world.server.edit(kind.resource, name, namespace, change, manager))


def _value(world: World, number: int, how: int) -> Value:
    kind = world.workload(number)[0]
    values = (*running(kind), *running(kind), stopped(kind))
    return values[how % len(values)]


def scale(world: World, number: int, how: int) -> None:
    """`kubectl scale` to some value; a write of 0 through `/scale` leaves the field without an owner."""
    kind = world.workload(number)[0]
    assert kind.stop is not None, "only what can be stopped takes part"
    value = _value(world, number, how)
    nobody = kind.stop.is_count and value == 0
    _edit(world, number, setter(kind, value), None if nobody else "kubectl")


def edit(world: World, number: int, how: int) -> None:
    """`kubectl edit`: also to what it was before, and to stopped."""
    kind = world.workload(number)[0]
    _edit(world, number, setter(kind, _value(world, number, how)), "kubectl-edit")


def replace(world: World, number: int, how: int) -> None:
    """`kubectl replace`: neither our marks nor a veto are in the file, and so they are gone."""
    kind, namespace, name = world.workload(number)
    if (live := world.live(number)) is not None:
        world.vetoes = {key: tick for key, tick in world.vetoes.items() if key[0] != live.uid}
    # Who replaces what is held by itself, stopped, has asked for nothing that the API server would record.
    values = running(kind)
    whole = manifest(kind, namespace, name, values[how % len(values)])

    def change(obj: Json) -> None:
        obj["spec"] = whole["spec"]
        obj["metadata"] |= {key: whole["metadata"][key] for key in ("labels", "annotations")}

    _edit(world, number, change, "kubectl-replace")


def apply(world: World, number: int, how: int) -> None:
    """Server-side apply: forced or not, with the field in Git or without."""
    kind, namespace, name = world.workload(number)
    value = None if how % 3 == 0 else _value(world, number, how // 3)
    config = manifest(kind, namespace, name, value)

    def act() -> None:
        applied = read(world.server.apply(kind.resource, config, "gitops", force=how % 2 == 0))
        # Also where nothing changes the field is his from now on: he has asked for what is there.
        if value is not None:
            world.asked[applied.uid] = applied.value
        elif applied.stopped and (hold := world.hold(applied)) is not None and hold["spec"].get("original"):
            # Nor does he any more who leaves out of Git what he had asked for only while it was held.
            world.asked[applied.uid] = hold["spec"]["original"][0].get("json")

    world.someone(act)


def sync(world: World, number: int, how: int) -> None:
    """Argo CD that was told to ignore the field applies what is in the cluster: that is no wish."""
    live = world.live(number)
    if live is not None and live.value is not None:
        kind, namespace, name = world.workload(number)
        config = manifest(kind, namespace, name, json.loads(live.value))
        world.someone(lambda: world.server.apply(kind.resource, config, "argocd-controller", force=True))


def apply_client_side(world: World, number: int, how: int) -> None:
    """`kubectl apply`: a patch of what differs between Git and the cluster."""
    kind = world.workload(number)[0]
    _edit(world, number, setter(kind, _value(world, number, how)), "kubectl-client-side-apply")


def forget_field(world: World, number: int, how: int) -> None:
    """The field is taken out by an update; the API server fills in its default."""
    _edit(world, number, setter(world.workload(number)[0], None))


def autoscale(world: World, number: int, how: int) -> None:
    """An HPA: inactive at 0, else it moves the replicas."""
    live = world.live(number)
    if live is not None and not live.stopped and live.kind.stop is not None and live.kind.stop.is_count:
        value = running(live.kind)[how % len(running(live.kind))]
        _edit(world, number, setter(live.kind, value), "kube-controller-manager")


def downscale(world: World, number: int, how: int) -> None:
    """kube-downscaler: its mark and the zero in one update; or its restore."""
    live = world.live(number)
    if live is None or live.kind.name == "DaemonSet":
        return

    def change(obj: Json) -> None:
        annotations = obj["metadata"].setdefault("annotations", {})
        if not live.stopped:
            annotations[DOWNSCALER] = str(live.value)
            setter(live.kind, stopped(live.kind))(obj)
        elif DOWNSCALER in annotations:
            del annotations[DOWNSCALER]
            setter(live.kind, running(live.kind)[-1])(obj)

    _edit(world, number, change, "kopf")


def restart(world: World, number: int, how: int) -> None:
    """`kubectl rollout restart`: a new revision; the old one keeps the annotations of this moment."""
    live = world.live(number)
    if live is None:
        return
    world.revisions.setdefault(live.uid, []).append(dict(live.annotations))

    def change(obj: Json) -> None:
        template = obj["spec"]["template"]["metadata"].setdefault("annotations", {})
        template["kubectl.kubernetes.io/restartedAt"] = str(how)

    _edit(world, number, change, "kubectl-rollout")


def undo(world: World, number: int, how: int) -> None:
    """`kubectl rollout undo`: the old ReplicaSet's annotations take the place of those that are there."""
    live = world.live(number)
    if live is None or live.kind.name != "Deployment" or not world.revisions.get(live.uid):
        return
    old = world.revisions[live.uid].pop()

    def change(obj: Json) -> None:
        now = obj["metadata"].get("annotations") or {}
        kept = {key: value for key, value in now.items() if key in _KEPT_BY_UNDO}
        obj["metadata"]["annotations"] = {**old, **kept}
        obj["spec"]["template"]["metadata"]["annotations"] = {}

    _edit(world, number, change, "kubectl-rollout")


def erase_owners(world: World, number: int, how: int) -> None:
    """Managed fields are erased as a whole."""
    _edit(world, number, lambda obj: obj["metadata"].update(managedFields=[{}]))


def recreate(world: World, number: int, how: int) -> None:
    """The workload is deleted, and made again under its name if it was gone already."""
    kind, namespace, name = world.workload(number)
    if not world.server.delete(kind.resource, name, namespace):
        world.deploy(number % len(PLACES), how)


def replace_at_once(world: World, number: int, how: int) -> None:
    """`kubectl replace --force`."""
    kind, namespace, name = world.workload(number)
    world.server.delete(kind.resource, name, namespace)
    world.deploy(number % len(PLACES), how)


def protect(world: World, number: int, how: int) -> None:
    """A protection is written onto a workload or taken off, by its annotation or by the budgets' label."""

    def change(obj: Json) -> None:
        part, key, value = (
            ("annotations", PROTECTED, "true") if how % 2 else ("labels", PROTECTED_BY_BUDGET, "prod")
        )
        carried = obj["metadata"].setdefault(part, {})
        if carried.pop(key, None) is None and how % 3 == 0:
            carried[key] = value

    _edit(world, number, change)


def protect_namespace(world: World, number: int, how: int) -> None:
    """A namespace is protected, or no more."""
    namespace = PLACES[number % len(PLACES)][0]
    value = "false" if namespace in world.protected or how % 3 else "true"
    if value == "false":
        world.protected.pop(namespace, None)
    else:
        world.protected[namespace] = world.tick
    world.server.edit(
        NAMESPACES, namespace, "", lambda obj: obj["metadata"]["annotations"].update({PROTECTED: value}), "x"
    )


def delete_hold(world: World, number: int, how: int) -> None:
    """A person has a workload back by deleting its Hold."""
    live = world.live(number)
    if live is None or (hold := world.hold(live)) is None:
        return
    name = hold["metadata"]["name"]
    mark = mark_of(live)
    if live.stopped and live.labels.get(HOLD_LABEL) == name and mark is not None:
        claims = [claim for claim in mark.claims if claim.kind == "AIBudget"]
        # What its owner has stopped himself is not given back, and nothing is vetoed by it.
        if mark.hold_uid == hold["metadata"]["uid"]:
            world.vetoes |= {(live.uid, claim.uid, claim.period_id): world.tick for claim in claims}
    world.deleted_holds[name] = world.tick
    world.server.delete(HOLDS, name, live.workload.namespace)


def delete_fence(world: World, number: int, how: int) -> None:
    """A person deletes the Hold of a Freeze or a Block, or the quota itself."""
    place = PLACES[number % len(PLACES)][0]
    if how % 3 == 0:
        world.server.delete(RESOURCE_QUOTAS, FREEZE_QUOTA, place)
        return
    for hold in world.server.list(HOLDS, place):
        if hold["spec"]["action"] == ("Freeze", "Block")[how % 2]:
            world.server.delete(HOLDS, hold["metadata"]["name"], place)


def decide(world: World, number: int, how: int) -> None:
    """A person writes a veto into a claim."""
    live = world.live(number)
    if live is None or (hold := world.hold(live)) is None:
        return

    def change(obj: Json) -> None:
        for claim in obj["spec"]["claims"]:
            claim["decision"] = "Vetoed"
            if claim["kind"] == "AIBudget":
                world.vetoes[live.uid, claim["uid"], claim["periodId"]] = world.tick

    world.server.edit(HOLDS, hold["metadata"]["name"], live.workload.namespace, change, "kubectl-edit")


def linger(world: World, number: int, how: int) -> None:
    """A pod hangs in its finalizer, or comes off it."""
    live = world.live(number)
    if live is not None:
        world.server.lingering ^= {live.uid}


def switch(world: World, number: int, how: int) -> None:
    """The kill switch is taken away, or else set at times."""
    if not world.switch_off() and how % 3 == 0:
        body: Json = {"metadata": {"name": KILL_SWITCH}, "data": {}}
        world.server.create(CONFIG_MAPS, body, OPERATOR, "kubectl")
        world.switched = world.tick


def release(world: World, number: int, how: int) -> None:
    """`aibudget release --all`."""
    world.release_all()


def spend(world: World, number: int, how: int) -> None:
    """A budget goes over its threshold, or its limit is raised."""
    budget = world.budgets[number % len(world.budgets)]
    budget.over = how % 4 > 0


def lose_data(world: World, number: int, how: int) -> None:
    """A budget's data grows stale, or is fresh again."""
    world.budgets[number % len(world.budgets)].fresh = how % 3 > 0


def observe(world: World, number: int, how: int) -> None:
    """A budget is set to Observe or to Enforce."""
    budget = world.budgets[number % len(world.budgets)]
    budget.enforce = how % 4 > 0


def next_period(world: World, number: int, how: int) -> None:
    """A budget's period ends; it comes by the clock, whatever the data."""
    world.budgets[number % len(world.budgets)].period += 1


def remake_budget(world: World, number: int, how: int) -> None:
    """A budget is deleted, or made anew under its name."""
    budget = world.budgets[number % len(world.budgets)]
    if budget.uid:
        world.delete_budget(budget)
    else:
        world.make_budget(budget)


PEOPLE: Final[Mapping[str, tuple[int, Callable[[World, int, int], Any]]]] = {
    "scale": (6, scale),
    "edit": (4, edit),
    "replace": (2, replace),
    "apply": (8, apply),
    "sync": (4, sync),
    "apply_client_side": (4, apply_client_side),
    "forget_field": (1, forget_field),
    "autoscale": (3, autoscale),
    "downscale": (2, downscale),
    "restart": (3, restart),
    "undo": (3, undo),
    "erase_owners": (1, erase_owners),
    "recreate": (2, recreate),
    "replace_at_once": (1, replace_at_once),
    "protect": (5, protect),
    "protect_namespace": (2, protect_namespace),
    "delete_hold": (6, delete_hold),
    "delete_fence": (3, delete_fence),
    "decide": (2, decide),
    "linger": (1, linger),
    "switch": (4, switch),
    "release": (1, release),
    "spend": (6, spend),
    "lose_data": (3, lose_data),
    "observe": (2, observe),
    "next_period": (2, next_period),
    "remake_budget": (2, remake_budget),
}
"""How often each is done, and how."""
