"""Which devices there are by Dynamic Resource Allocation, as the ResourceSlices of their drivers tell it.

A slice says what a device is, where it is, and which part of it there is to hand out; a driver that renews
its slices writes a newer generation of them beside the old one. Takes JSON objects, knows no API server and
no claims. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from aibudget.inventory.accelerators import is_device_driver
from aibudget.inventory.quantity import quantity

_PRODUCT: Final = ("productName", "model", "product", "tpuGen")
_PROFILE: Final = ("profile", "migProfile", "partitionProfile")
_CUT: Final = ("mig", "partition", "vgpu", "vf")
"""What the attribute `type` of a part of a device has in it."""

_SHUT: Final = ("NoSchedule", "NoExecute")
"""Effects of a taint by which a device is given to nobody that does not tolerate it."""

Json = Mapping[str, Any]
Amounts = Mapping[str, Fraction]
"""Of a device's capacity, by qualified name."""


class Place(NamedTuple):
    """A device as claims name it."""

    driver: str
    pool: str
    device: str


@dataclass(frozen=True, slots=True)
class Device:
    """What a slice says of a device: as the vendor's driver spells it, blanks as hyphens; "" is not said.

    Devices that draw on one of the same `counters` are ways to cut the same device. What is `tainted` is
    given to nobody. `capacity` is what claims that share the device consume.
    """

    node: str = ""
    product: str = ""
    profile: str = ""
    cut: bool = False
    counters: frozenset[str] = frozenset()
    tainted: bool = False
    capacity: Amounts = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.cut and not self.profile

    @property
    def is_sized(self) -> bool:
        """Whether it is known how much of a physical device it is."""
        return not self.cut or bool(self.profile)


@dataclass(frozen=True, slots=True)
class Slice:
    """One ResourceSlice: devices of a pool, as of a generation of it, which has so many slices."""

    generation: int
    devices: Mapping[Place, Device]
    pool: tuple[str, str] = ("", "")
    of: int = 1


@dataclass(frozen=True, slots=True)
class TaintRule:
    """Devices that a person has tainted by a DeviceTaintRule: all that fit what it names; "" fits any."""

    driver: str = ""
    pool: str = ""
    device: str = ""

    def taints(self, place: Place) -> bool:
        """Whether the device is one of them."""
        asked = (self.driver, self.pool, self.device)
        return all(name in ("", said) for name, said in zip(asked, place, strict=True))


def taint_rule(obj: Json) -> TaintRule | None:
    """A DeviceTaintRule (resource.k8s.io, any version); None where it keeps nobody from a device, or selects
    devices as only Kubernetes before 1.35 does: by class or expression.
    """
    spec = obj["spec"]
    selector = spec.get("deviceSelector") or {}
    if spec["taint"].get("effect") not in _SHUT or selector.keys() & {"deviceClassName", "selectors"}:
        return None
    return TaintRule(*(selector.get(name) or "" for name in Place._fields))


def device_slice(obj: Json) -> Slice:
    """A ResourceSlice (resource.k8s.io/v1) as the API server gives it."""
    spec = obj["spec"]
    driver, pool = spec["driver"], spec["pool"]
    found = {
        Place(driver, pool["name"], one["name"]): _device(
            one, one.get("nodeName") or spec.get("nodeName", ""), Place(driver, pool["name"], one["name"])
        )
        for one in (spec.get("devices") or () if is_device_driver(driver) else ())
    }
    slices = pool.get("resourceSliceCount", 1)
    return Slice(pool.get("generation", 0), found, (driver, pool["name"]), slices)


def amounts(said: Json, driver: str) -> Amounts:
    """Quantities by name; a name without a domain is of the driver's. What is no quantity is not there."""
    found = {}
    for name, text in said.items():
        try:
            found[name if "/" in name else f"{driver}/{name}"] = quantity(str(text))
        except ValueError:
            continue
    return found


def newest(slices: Iterable[Slice]) -> dict[Place, Device]:
    """Each device as the newest generation that has it tells of it."""
    return {
        place: device
        for one in sorted(slices, key=lambda one: one.generation)
        for place, device in one.devices.items()
    }


def complete(slices: list[Slice]) -> list[Slice]:
    """Without older generations of pools of which the newest is all there: what they alone had is gone."""
    latest: dict[tuple[str, str], list[Slice]] = {}
    for one in slices:
        there = latest.setdefault(one.pool, [one])
        if one.generation > there[0].generation:
            latest[one.pool] = [one]
        elif one.generation == there[0].generation and one is not there[0]:
            there.append(one)
    whole = {pool for pool, there in latest.items() if len(there) >= there[0].of}
    return [
        one for one in slices if one.pool not in whole or one.generation == latest[one.pool][0].generation
    ]


def _device(obj: Json, node: str, place: Place) -> Device:
    # Names may be qualified by the driver's domain.
    said = {
        name.rpartition("/")[2]: str(value.get("string", value.get("int", "")))
        for name, value in (obj.get("attributes") or {}).items()
    }
    kind = said.get("type", "").lower()
    values = {name: told.get("value", "") for name, told in (obj.get("capacity") or {}).items()}
    return Device(
        node=node,
        product=_first(said, _PRODUCT).replace(" ", "-"),
        profile=_first(said, _PROFILE),
        cut=any(word in kind for word in _CUT),
        counters=frozenset(
            f"{place.driver}/{place.pool}/{one['counterSet']}"
            for one in obj.get("consumesCounters") or ()
            if "counterSet" in one
        ),
        tainted=any(one.get("effect") in _SHUT for one in obj.get("taints") or ()),
        capacity=amounts(values, place.driver) if obj.get("allowMultipleAllocations") else {},
    )


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if said.get(name)), "")
