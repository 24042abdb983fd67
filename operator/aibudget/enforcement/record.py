"""What is written into a Hold's own object: claims, the original, a count, its status; each safe to repeat.

A person's decision in between wins: each is a JSON patch with a `test` of the resourceVersion. A status has
no version of its own; what its answer shows decided is a conflict.
"""

from aibudget.api.hold import Claim, Hold, HoldStatus
from aibudget.enforcement import hold as holds
from aibudget.enforcement.edits import edit_map, put
from aibudget.enforcement.live import Live, stop_of
from aibudget.enforcement.port import Port, Site
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HOLDS


async def claim(site: Site, hold: Hold, claims: tuple[Claim, ...]) -> Hold:
    """The Hold with these claims; new ones need that acting is allowed."""
    if claims == hold.spec.claims:
        return hold
    known = {claim.uid for claim in hold.spec.claims}
    if all(claim.uid in known for claim in claims):
        site.check_lease()
    else:
        await site.check_may_act()
    patch = [_test(hold), put("/spec/claims", holds.claims_json(claims))]
    return Hold.read(await site.cluster.patch(HOLDS, hold.name, patch, hold.namespace))


async def original(cluster: Port, hold: Hold, live: Live) -> Hold:
    """The original, once, before anything is done to the workload."""
    if holds.original_of(hold) is not None:
        return hold
    value = put("/spec/original", holds.original_json(stop_of(live).path, live.value))
    return Hold.read(await cluster.patch(HOLDS, hold.name, [_test(hold), value], hold.namespace))


async def kept(cluster: Port, hold: Hold, path: str, value: str | None) -> Hold:
    """The Hold of a fence with what was written for it, once."""
    operation = put("/spec/original", holds.original_json(path, value))
    return Hold.read(await cluster.patch(HOLDS, hold.name, [_test(hold), operation], hold.namespace))


async def annotate(cluster: Port, hold: Hold, annotations: dict[str, str]) -> Hold:
    """The Hold with these annotations, too."""
    patch = [_test(hold), *edit_map("/metadata/annotations", hold.metadata.annotations, annotations)]
    return Hold.read(await cluster.patch(HOLDS, hold.name, patch, hold.namespace))


async def status(cluster: Port, hold: Hold, status: HoldStatus) -> Hold:
    """The Hold with this status, unless it says so already; `Conflict` if its claims were decided meanwhile.

    A status has no precondition: without this a person's decision in the answer would be taken for read.
    """
    status = status.model_copy(update={"observed_generation": hold.metadata.generation})
    if status == hold.status:
        return hold
    patch = {"status": status.to_dict()}
    after = Hold.read(await cluster.patch(HOLDS, hold.name, patch, hold.namespace, status=True))
    if after.spec.claims != hold.spec.claims:
        raise Conflict("Conflict", "A claim was decided meanwhile; it is read at the next cycle.")
    return after


def _test(hold: Hold) -> Json:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": hold.metadata.resource_version}
