"""Which pod holds which devices by Dynamic Resource Allocation, from ResourceClaims and ResourceSlices.

No metric of kube-state-metrics tells it, and the API has no past: the operator says it as a metric of its
own and meters that. A claim names its devices and the pods it is reserved for; a slice says what a device is
and where. A claim that was made for an extended resource is left out, for the request is counted; a device
allocated for administration is nobody's. Takes JSON objects, knows no API server. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aibudget.inventory.accelerators import is_device_driver

FOR_A_REQUEST: Final = "resource.kubernetes.io/extended-resource-claim"
"""The annotation of claims that the scheduler makes for extended resources."""

_PRODUCT: Final = ("productName", "model", "product", "tpuGen")
_PROFILE: Final = ("profile", "migProfile", "partitionProfile")
_CUT: Final = ("mig", "partition", "vgpu", "vf")
"""What the attribute `type` of a part of a device has in it."""

Json = Mapping[str, Any]


class Place(NamedTuple):
    """A device as claims name it."""

    driver: str
    pool: str
    device: str


class Consumer(NamedTuple):
    """A pod that a claim is reserved for."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What one ResourceClaim holds. Of the devices in `portions` others may hold a part, of unknown size."""

    namespace: str
    devices: tuple[Place, ...] = ()
    portions: frozenset[Place] = frozenset()
    consumers: tuple[Consumer, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """What a slice says of a device: as the vendor's driver spells it, blanks as hyphens; "" is not said."""

    node: str = ""
    product: str = ""
    profile: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """One ResourceSlice: devices of a pool, as of a generation of it."""

    generation: int
    devices: Mapping[Place, Device]


class Held(NamedTuple):
    """A pod's hold on devices of one kind. `part` is how much of each is its own: `1`, `1/2` where two pods
    share a claim, or `unknown`; a MIG instance is one device of a `profile`.
    """

    namespace: str
    pod: str
    uid: str
    node: str
    driver: str
    product: str
    profile: str
    part: str


def claim(obj: Json) -> Claim:
    """A ResourceClaim (resource.k8s.io/v1) as the API server gives it; without devices where it has none."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    empty = Claim(metadata.get("namespace", ""))
    if (metadata.get("annotations") or {}).get(FOR_A_REQUEST) == "true":
        return empty
    results = [
        one
        for one in ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
        if not one.get("adminAccess") and is_device_driver(one.get("driver", ""))
    ]
    places = [(Place(one["driver"], one["pool"], one["device"]), one) for one in results]
    return Claim(
        namespace=empty.namespace,
        devices=tuple(place for place, _ in places),
        portions=frozenset(place for place, one in places if one.get("shareID")),
        consumers=tuple(
            Consumer(one["name"], one["uid"])
            for one in status.get("reservedFor") or ()
            if one.get("resource") == "pods" and not one.get("apiGroup")
        ),
    )


def device_slice(obj: Json) -> Slice:
    """A ResourceSlice (resource.k8s.io/v1) as the API server gives it."""
    spec = obj["spec"]
    driver, pool = spec["driver"], spec["pool"]
    found = {
        Place(driver, pool["name"], one["name"]): _device(
            one, one.get("nodeName") or spec.get("nodeName", "")
        )
        for one in (spec.get("devices") or () if is_device_driver(driver) else ())
    }
    return Slice(pool.get("generation", 0), found)


def holds(claims: Iterable[Claim], slices: Iterable[Slice]) -> dict[Held, int]:
    """How many devices of each kind each pod holds. A device of which no slice tells is held all the same."""
    known: dict[Place, tuple[int, Device]] = {}
    for one in slices:
        for place, device in one.devices.items():
            known[place] = max(known.get(place, (-1, device)), (one.generation, device), key=lambda of: of[0])
    found: Counter[Held] = Counter()
    for claim in claims:
        for place in claim.devices:
            device = known[place][1] if place in known else Device()
            part = _part(claim, place, device)
            for name, uid in claim.consumers:
                kind = (device.node, place.driver, device.product, device.profile)
                found[Held(claim.namespace, name, uid, *kind, part)] += 1
    return dict(found)


def _part(claim: Claim, place: Place, device: Device) -> str:
    if place in claim.portions or (device.cut and not device.profile):
        return "unknown"
    return "1" if len(claim.consumers) == 1 else f"1/{len(claim.consumers)}"


def _device(obj: Json, node: str) -> Device:
    # Names may be qualified by the driver's domain.
    said = {
        name.rpartition("/")[2]: str(value.get("string", value.get("int", "")))
        for name, value in (obj.get("attributes") or {}).items()
    }
    kind = said.get("type", "").lower()
    return Device(
        node=node,
        product=_first(said, _PRODUCT).replace(" ", "-"),
        profile=_first(said, _PROFILE),
        cut=any(word in kind for word in _CUT),
    )


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if said.get(name)), "")
