"""Which pod holds which devices by Dynamic Resource Allocation, and how many there are to be held.

No metric of kube-state-metrics tells it, and the API has no past: the operator says it in metrics of its own
and meters those. A claim names its devices and the pods it is reserved for; of a device that several claims
share, each has its part. A device allocated for administration is nobody's. Takes JSON objects, knows no API
server. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from aibudget.inventory.accelerators import is_device_driver
from aibudget.inventory.devices import (
    Amounts,
    Device,
    Json,
    Place,
    Slice,
    TaintRule,
    amounts,
    complete,
    newest,
)

FOR_A_REQUEST: Final = "resource.kubernetes.io/extended-resource-claim"
"""The annotation of claims that the scheduler makes for extended resources."""


class Consumer(NamedTuple):
    """A pod that a claim is reserved for."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A device that a claim was given; all of it, or a `share` of it that consumes so much of its capacity,
    where that is told.
    """

    place: Place
    share: str = ""
    consumed: Amounts | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What one ResourceClaim holds; `requested` says that the scheduler made it for an extended resource, and
    `reserved` that somebody uses it, be it no pod.
    """

    namespace: str
    grants: tuple[Grant, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    requested: bool = False
    reserved: bool = False

    @property
    def is_strangers(self) -> bool:
        """Whether it is used by what is no pod, such as a PodGroup: it is not known who holds the devices."""
        return self.reserved and not self.consumers


class Held(NamedTuple):
    """A pod's hold on devices of one kind. `part` is how much of each is its own: `1`, `1/2` where two pods
    share a claim, or `unknown`; a MIG instance is one device of a `profile`. `requested` is `true` of devices
    that were given for a request of an extended resource.
    """

    namespace: str
    pod: str
    uid: str
    node: str
    driver: str
    product: str
    profile: str
    part: str
    requested: str = "false"


class Offered(NamedTuple):
    """Devices of one kind on a node; `usable` is `false` where they are given to nobody."""

    node: str
    driver: str
    product: str
    profile: str
    usable: str


Parts = Mapping[tuple[Place, str], Fraction | None]
"""How much of its device each share is; None where that cannot be known."""


def claim(obj: Json) -> Claim:
    """A ResourceClaim (resource.k8s.io/v1) as the API server gives it; without devices where it has none."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    return Claim(
        namespace=metadata.get("namespace", ""),
        grants=tuple(
            _grant(one)
            for one in ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
            if not one.get("adminAccess") and is_device_driver(one.get("driver", ""))
        ),
        consumers=tuple(
            Consumer(one["name"], one["uid"])
            for one in status.get("reservedFor") or ()
            if one.get("resource") == "pods" and not one.get("apiGroup")
        ),
        requested=(metadata.get("annotations") or {}).get(FOR_A_REQUEST) == "true",
        reserved=bool(status.get("reservedFor")),
    )


def holds(claims: Iterable[Claim], slices: Iterable[Slice]) -> dict[Held, int]:
    """How many devices of each kind each pod holds. A device of which no slice tells is held all the same."""
    claims, known = list(claims), newest(slices)
    parts, found = _parts(claims, known), Counter[Held]()
    for claim in claims:
        requested = "true" if claim.requested else "false"
        for grant in claim.grants:
            place, device = grant.place, known.get(grant.place, Device())
            whole = parts[place, grant.share] if grant.share and claim.reserved else Fraction(1)
            kind = (device.node, place.driver, device.product, device.profile)
            for name, uid in claim.consumers:
                part = "unknown"
                if whole is not None and device.is_sized:
                    part = str(whole / len(claim.consumers))
                # A share that takes nothing of what others may have holds nothing.
                if part != "0":
                    found[Held(claim.namespace, name, uid, *kind, part, requested)] += 1
    return dict(found)


def offers(
    claims: Iterable[Claim], slices: Iterable[Slice], rules: Collection[TaintRule] = ()
) -> dict[Offered, int]:
    """How many devices of each kind there are for claims to hold, each of them once.

    Left out is what claims do not account for: devices that are shared in parts of unknown size or held by
    what is no pod, and parts of devices that are. Of what can be cut in several ways the whole stands, if
    there is one whole.
    """
    claims, known = list(claims), newest(complete(list(slices)))
    unknown = {place for (place, _), part in _parts(claims, known).items() if part is None}
    unknown |= {grant.place for claim in claims if claim.is_strangers for grant in claim.grants}
    wholes = Counter(name for device in known.values() if device.is_whole for name in device.counters)
    spoilt = {name for place in unknown & known.keys() for name in known[place].counters}
    found: Counter[Offered] = Counter()
    for place, device in known.items():
        once = all(device.is_whole and wholes[name] == 1 for name in device.counters)
        if device.is_sized and once and place not in unknown and not device.counters & spoilt:
            tainted = device.tainted or any(rule.taints(place) for rule in rules)
            usable = "false" if tainted else "true"
            found[Offered(device.node, place.driver, device.product, device.profile, usable)] += 1
    return dict(found)


def _parts(claims: Sequence[Claim], known: Mapping[Place, Device]) -> Parts:
    """Of every share that somebody holds."""
    used = [claim.grants for claim in claims if claim.reserved]
    shared = {grant.place for grants in used for grant in grants if grant.share}
    holders: dict[Place, list[Grant]] = defaultdict(list)
    for grants in used if shared else ():
        for grant in grants:
            if grant.place in shared:
                holders[grant.place].append(grant)
    found: dict[tuple[Place, str], Fraction | None] = {}
    for place, sharing in holders.items():
        parts = _divided(sharing, known.get(place, Device()).capacity)
        found |= {(place, grant.share): part for grant, part in zip(sharing, parts, strict=True)}
    return found


def _divided(grants: Sequence[Grant], capacity: Amounts) -> Sequence[Fraction | None]:
    """A share is as much of its device as it consumes of the capacity that it takes most of: that much nobody
    else can have. Together they are never more than the device. Where none says what it consumes they are
    alike; where some do not, or consume what the device is not known to have, nothing is known of any.
    """
    alike = [Fraction(1, len(grants))] * len(grants)
    if all(grant.share and not grant.consumed for grant in grants):
        return alike
    most = [_most(grant.consumed, capacity) if grant.share else None for grant in grants]
    told = [part for part in most if part is not None]
    if len(told) < len(grants):
        return [None] * len(grants)
    total = sum(told, Fraction(0))
    if not total:
        return alike
    return [part / max(total, Fraction(1)) for part in told]


def _most(consumed: Amounts | None, capacity: Amounts) -> Fraction | None:
    parts = [
        used / capacity[name] if capacity.get(name) else None
        for name, used in (consumed or {}).items()
        if used or capacity.get(name)
    ]
    told = [part for part in parts if part is not None]
    return max(told) if told and len(told) == len(parts) else None


def _grant(result: Json) -> Grant:
    driver = result["driver"]
    consumed = result.get("consumedCapacity")
    return Grant(
        place=Place(driver, result["pool"], result["device"]),
        share=result.get("shareID") or "",
        consumed=amounts(consumed, driver) if consumed else None,
    )
