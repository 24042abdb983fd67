"""Claims and slices, as the API gives them, become what each pod holds."""

from typing import Any

import pytest

from aibudget.inventory.claims import FOR_A_REQUEST, Held, Offered, claim, holds, offers
from aibudget.inventory.devices import TaintRule, device_slice, taint_rule

DRIVER = "gpu.nvidia.com"


def a_claim(
    *results: dict[str, Any], pods: tuple[str, ...] = ("p",), requested: bool = False
) -> dict[str, Any]:
    """An allocated ResourceClaim."""
    annotations = {FOR_A_REQUEST: "true"} if requested else {}
    return {
        "metadata": {"namespace": "team", "name": "c", "annotations": annotations},
        "status": {
            "allocation": {"devices": {"results": list(results)}},
            "reservedFor": [{"resource": "pods", "name": pod, "uid": f"uid-{pod}"} for pod in pods],
        },
    }


def result(device: str, driver: str = DRIVER, **more: object) -> dict[str, Any]:
    """One allocated device."""
    return {"request": "r", "driver": driver, "pool": "n", "device": device, **more}


def a_slice(*devices: dict[str, Any], generation: int = 1, node: str = "n", of: int = 1) -> dict[str, Any]:
    """A ResourceSlice."""
    pool = {"name": "n", "generation": generation, "resourceSliceCount": of}
    return {"spec": {"driver": DRIVER, "pool": pool, "nodeName": node, "devices": list(devices)}}


def device(name: str, **said: str) -> dict[str, Any]:
    """A device of a slice."""
    return {"name": name, "attributes": {key: {"string": value} for key, value in said.items()}}


def share(device: str, name: str, **consumed: str) -> dict[str, Any]:
    """One share of a device that others may have shares of."""
    more = {"consumedCapacity": consumed} if consumed else {}
    return {**result(device, shareID=name), **more}


def held(claims: list[dict[str, Any]], slices: list[dict[str, Any]] | None = None) -> dict[Held, int]:
    """From JSON to holds."""
    return holds(map(claim, claims), map(device_slice, slices or []))


def row(pod: str, product: str = "", profile: str = "", part: str = "1", node: str = "") -> Held:
    """What is expected of a pod."""
    return Held("team", pod, f"uid-{pod}", node, DRIVER, product, profile, part)


def test_devices_are_what_their_slices_tell() -> None:
    """Products are spelled as labels spell them; attributes may be qualified; instances have a profile."""
    h100 = {f"{DRIVER}/productName": "NVIDIA H100 80GB HBM3", "type": "gpu"}
    mig = {"productName": "NVIDIA H100 80GB HBM3", "type": "mig", "profile": "1g.10gb"}
    slices = [a_slice(device("a", **h100), device("b", **h100), device("m", **mig))]
    found = held([a_claim(result("a"), result("b"), result("m"))], slices)
    product = "NVIDIA-H100-80GB-HBM3"
    assert found == {row("p", product, node="n"): 2, row("p", product, "1g.10gb", node="n"): 1}


def test_a_shared_claim_is_divided() -> None:
    """Each pod that it is reserved for has its part; other users than pods have none."""
    shared = a_claim(result("a"), pods=("p", "q", "r"))
    shared["status"]["reservedFor"].append({"apiGroup": "x", "resource": "things", "name": "t", "uid": "u"})
    assert held([shared]) == {row(pod, part="1/3"): 1 for pod in ("p", "q", "r")}


def test_what_is_no_hold_is_left_out() -> None:
    """Administration holds nothing, and networks are no accelerators."""
    assert held([a_claim(result("a", adminAccess=True), result("nic", "net.example.com"))]) == {}
    assert held([{"metadata": {"namespace": "team", "name": "waiting"}, "status": {}}]) == {}
    assert held([a_claim(result("a"), pods=())]) == {}


def test_a_part_that_nobody_measures_is_unknown() -> None:
    """Of a device that is cut up without a profile."""
    partition = a_slice(device("a", type="amdgpu-partition"))
    assert held([a_claim(result("a"))], [partition]) == {row("p", part="unknown", node="n"): 1}


def test_the_newest_generation_of_a_pool_stands() -> None:
    """While a driver renews its slices, both are there."""
    slices = [
        a_slice(device("a", productName="new"), generation=2),
        a_slice(device("a", productName="old"), generation=1),
    ]
    for order in (slices, slices[::-1]):
        assert held([a_claim(result("a"))], order) == {row("p", "new", node="n"): 1}


def offered(claims: list[dict[str, Any]], *slices: dict[str, Any]) -> dict[Offered, int]:
    """From JSON to what there is for claims."""
    return offers(map(claim, claims), map(device_slice, slices))


def kind(product: str = "", profile: str = "", usable: str = "true") -> Offered:
    """What is expected of the node."""
    return Offered("n", DRIVER, product, profile, usable)


def test_what_there_is_to_claim_is_told_held_or_not() -> None:
    """Administration takes nothing away, and a taint that lets nobody in keeps a device from use."""
    tainted = {**device("c", productName="H"), "taints": [{"key": "sick", "effect": "NoSchedule"}]}
    noted = {**device("d", productName="H"), "taints": [{"key": "old", "effect": "None"}]}
    found = a_slice(device("a", productName="H"), device("b", productName="H"), tainted, noted)
    claims = [a_claim(result("a")), a_claim(result("b", adminAccess=True))]
    for these in ([], claims):
        assert offered(these, found) == {kind("H"): 3, kind("H", usable="false"): 1}


def a_rule(effect: str = "NoSchedule", **spec: Any) -> TaintRule | None:
    """A DeviceTaintRule, as the API server of Kubernetes 1.36 gives it."""
    taint = {"key": "example.com/x", "value": "y", "effect": effect, "timeAdded": "2026-11-22T18:13:50Z"}
    metadata = {"name": "one", "uid": "u", "resourceVersion": "265", "generation": 1}
    return taint_rule({"metadata": metadata, "spec": {**spec, "taint": taint}, "status": {}})


@pytest.mark.parametrize(
    ("spec", "unusable"),
    [
        ({"deviceSelector": {"pool": "n", "device": "a"}}, 1),
        ({"deviceSelector": {"driver": DRIVER}}, 3),
        ({"deviceSelector": {"driver": "other.example.com", "device": "a"}}, 0),
        ({"deviceSelector": {"pool": "other"}}, 0),
        ({"deviceSelector": {}}, 3),
        # Its documentation says that such a rule taints nothing; the scheduler of 1.36 keeps it all.
        ({}, 3),
        ({"deviceSelector": {"device": "a"}, "effect": "NoExecute"}, 1),
        ({"deviceSelector": {"device": "a"}, "effect": "None"}, 0),
        ({"deviceSelector": {"device": "a", "deviceClassName": "gpu"}}, 0),
        ({"deviceSelector": {"selectors": [{"cel": {"expression": "true"}}]}}, 0),
    ],
)
def test_a_rule_taints_what_it_selects(spec: dict[str, Any], unusable: int) -> None:
    """Nobody can have it; what is held of it stays held. Rules by class or expression are not read."""
    found = a_slice(*(device(name, productName="H") for name in "abc"))
    rule = a_rule(spec.get("effect", "NoSchedule"), **{k: v for k, v in spec.items() if k != "effect"})
    rules = [rule] if rule else []
    there = offers([claim(a_claim(result("a")))], [device_slice(found)], rules)
    assert there == {
        key: number
        for key, number in ((kind("H"), 3 - unusable), (kind("H", usable="false"), unusable))
        if number
    }


def test_what_was_requested_is_a_hold_that_says_so() -> None:
    """The claim knows which device it is, and the device is there for claims."""
    found = a_slice(device("a", productName="H"), device("b", productName="H"))
    requested = a_claim(result("a"), requested=True)
    assert held([requested], [found]) == {row("p", "H", node="n")._replace(requested="true"): 1}
    assert offered([requested], found) == {kind("H"): 2}


def test_what_is_no_pod_holds_devices_that_are_not_there_for_others() -> None:
    """A claim may be reserved for a PodGroup: who uses the device is not known, and idle it is not."""
    group = a_claim(result("a"), pods=())
    group["status"]["reservedFor"] = [
        {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "u"}
    ]
    found = a_slice(device("a"), device("b"))
    assert held([group], [found]) == {}
    assert offered([group], found) == {kind(): 1}
    assert offered([a_claim(result("a"), pods=())], found) == {kind(): 2}


def test_parts_of_no_known_size_are_not_offered() -> None:
    """How many of them make a device is not known."""
    assert offered([], a_slice(device("a"), device("d", type="vgpu"))) == {kind(): 1}


def test_a_device_that_can_be_cut_up_is_there_once() -> None:
    """The whole stands for its instances; where several are whole, or none is, it is not known how many
    there are.
    """

    def cut(name: str, counters: str, **said: str) -> dict[str, Any]:
        return {**device(name, **said), "consumesCounters": [{"counterSet": counters, "counters": {}}]}

    parts = [cut(f"m{n}", "c0", profile="1g.10gb") for n in range(7)]
    composed = [cut("left", "c1"), cut("right", "c1"), cut("only", "c2", profile="1g.10gb")]
    found = a_slice(cut("a", "c0"), *parts, *composed)
    assert offered([], found) == {kind(): 1}
    assert offered([a_claim(result("m3"))], found) == {kind(): 1}
    assert offered([a_claim(share("m3", "s", memory="1Gi"))], found) == {}


def test_what_a_pool_no_longer_has_is_gone_once_its_new_slices_are_there() -> None:
    """Until then a device of the old ones is still there."""
    old = a_slice(device("a"), device("b"), generation=1)
    one, two = (a_slice(device(name), generation=2, of=2) for name in "bc")
    assert offered([], old, one) == {kind(): 2}
    for order in ((old, one, two), (two, old, one)):
        assert offered([], *order) == {kind(): 2}
    assert offered([], old, a_slice(generation=2)) == {}
