"""Of a device that several claims share each holds what it consumes, and together they hold it once."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.inventory.claims import Held, Offered, claim, holds, offers
from aibudget.inventory.devices import device_slice
from aibudget.inventory.quantity import quantity

DRIVER = "gpu.nvidia.com"


def share(name: str, *, pods: tuple[str, ...] = ("",), device: str = "a", **consumed: str) -> dict[str, Any]:
    """A claim of one share of a device, as the scheduler allocates it; its pods are named for it."""
    result = {"request": "r", "driver": DRIVER, "pool": "n", "device": device, "shareID": name}
    if consumed:
        result["consumedCapacity"] = consumed  # type: ignore[assignment]
    users = [{"resource": "pods", "name": f"{name}{pod}", "uid": f"{name}{pod}"} for pod in pods]
    return {
        "metadata": {"namespace": "team", "name": name},
        "status": {"allocation": {"devices": {"results": [result]}}, "reservedFor": users},
    }


def shareable(**capacity: str) -> dict[str, Any]:
    """A slice of a device that may be allocated several times, and has so much to give."""
    device = {
        "name": "a",
        "allowMultipleAllocations": True,
        "capacity": {name: {"value": value} for name, value in capacity.items()},
    }
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    return {"spec": {"driver": DRIVER, "pool": pool, "nodeName": "n", "devices": [device]}}


def parts(claims: list[dict[str, Any]], *slices: dict[str, Any]) -> dict[str, str]:
    """How much of a device each pod holds."""
    found = holds(map(claim, claims), map(device_slice, slices))
    assert set(found.values()) <= {1}
    return {held.pod: held.part for held in found}


def offered(claims: list[dict[str, Any]], *slices: dict[str, Any]) -> int:
    """How many devices there are for claims."""
    found: dict[Offered, int] = offers(map(claim, claims), map(device_slice, slices))
    return sum(found.values())


def test_a_share_is_what_it_consumes() -> None:
    """Of 80 GiB one has 40, one 10 for two pods; names may be qualified by the driver, and 30 are left."""
    device = shareable(**{f"{DRIVER}/memory": "80Gi"})
    claims = [share("x", memory="40Gi"), share("y", memory="10Gi", pods=("1", "2"))]
    assert parts(claims, device) == {"x": "1/2", "y1": "1/16", "y2": "1/16"}
    assert offered(claims, device) == 1


def test_a_share_is_as_much_as_it_takes_most_of() -> None:
    """A quarter of the memory with all the cores leaves nothing to anybody else."""
    device = shareable(memory="80Gi", cores="100")
    assert parts([share("x", memory="20Gi", cores="100")], device) == {"x": "1"}
    assert parts([share("x", memory="20Gi", cores="10")], device) == {"x": "1/4"}


def test_shares_are_never_more_than_their_device() -> None:
    """One takes most of the memory and the other of the cores: the device is there once."""
    device = shareable(memory="80Gi", cores="100")
    claims = [share("x", memory="60Gi", cores="25"), share("y", memory="20Gi", cores="75")]
    assert parts(claims, device) == {"x": "1/2", "y": "1/2"}


def test_where_nothing_is_consumed_shares_are_alike() -> None:
    """A device without capacity may be handed out any number of times; what no pod uses holds nothing."""
    claims = [share("x"), share("y"), share("z"), share("nobody", pods=())]
    for device in (shareable(), shareable(memory="80Gi")):
        assert parts(claims, device) == {"x": "1/3", "y": "1/3", "z": "1/3"}
        assert offered(claims, device) == 1
    assert parts([share("x", memory="0"), share("y", memory="0")], shareable(memory="80Gi")) == {
        "x": "1/2",
        "y": "1/2",
    }


def test_a_share_that_takes_nothing_holds_nothing() -> None:
    """Beside one that takes a half."""
    claims = [share("x", memory="40Gi"), share("y", memory="0")]
    assert parts(claims, shareable(memory="80Gi")) == {"x": "1/2"}


@pytest.mark.parametrize(
    ("claims", "slices"),
    [
        ([share("x", memory="40Gi"), share("y")], [shareable(memory="80Gi")]),
        ([share("x", memory="40Gi")], [shareable(cores="100")]),
        ([share("x", memory="40Gi", cores="1")], [shareable(memory="80Gi")]),
        ([share("x", memory="40Gi")], []),
        ([share("x", memory="40Gi"), share("")], [shareable(memory="80Gi")]),
    ],
    ids=["one says nothing", "another capacity", "one more capacity", "no slice", "one holds it whole"],
)
def test_a_share_that_cannot_be_known_is_unknown(
    claims: list[dict[str, Any]], slices: list[dict[str, Any]]
) -> None:
    """Nor is it known what is left of the device: it is not offered."""
    found = parts(claims, *slices)
    assert {part for pod, part in found.items() if pod} == {"unknown"}
    assert offered(claims, *slices) == 0


def test_a_claim_may_have_two_shares_of_one_device() -> None:
    """Each is its own."""
    both = share("x", memory="20Gi")
    results = both["status"]["allocation"]["devices"]["results"]
    results.append({**results[0], "shareID": "y", "consumedCapacity": {"memory": "40Gi"}})
    found: Counter[Held] = Counter(holds([claim(both)], [device_slice(shareable(memory="80Gi"))]))
    assert {held.part for held in found} == {"1/4", "1/2"}


amounts = st.integers(0, 12)
wishes = st.lists(st.tuples(amounts, amounts, st.integers(1, 3)), min_size=1, max_size=6)


@settings(max_examples=50)
@given(wishes)
def test_together_they_hold_the_device_at_most_once(wanted: list[tuple[int, int, int]]) -> None:
    """Whatever they take of two capacities: to the last fraction, and never less than what is gone."""
    device, claims, memory, cores = shareable(memory="24", cores="12"), [], Fraction(0), Fraction(0)
    for number, (one, other, pods) in enumerate(wanted):
        if memory + one > 24 or cores + other > 12:
            continue
        memory, cores = memory + one, cores + other
        users = tuple(map(str, range(pods)))
        claims.append(share(f"s{number}-", pods=users, memory=str(one), cores=str(other)))
    total = sum(map(Fraction, parts(claims, device).values()))
    assert total <= 1
    assert total >= max(memory / 24, cores / 12)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("4", Fraction(4)),
        ("40Gi", Fraction(40 * 1024**3)),
        ("1.5k", Fraction(1500)),
        ("500m", Fraction(1, 2)),
        ("2e3", Fraction(2000)),
        ("1E", Fraction(10**18)),
        (".5", Fraction(1, 2)),
    ],
)
def test_quantities_are_exact(text: str, exact: Fraction) -> None:
    """As the API server reads them."""
    assert quantity(text) == exact


@pytest.mark.parametrize("text", ["", "Gi", "4 Gi", "4GiB", "1e9999", "four"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """And the error says what would be one."""
    with pytest.raises(ValueError, match="40Gi"):
        quantity(text)
