"""Claims and slices, as the API gives them, become what each pod holds."""

from typing import Any

from aibudget.inventory.claims import FOR_A_REQUEST, Held, claim, device_slice, holds

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


def a_slice(*devices: dict[str, Any], generation: int = 1, node: str = "n") -> dict[str, Any]:
    """A ResourceSlice."""
    pool = {"name": "n", "generation": generation, "resourceSliceCount": 1}
    return {"spec": {"driver": DRIVER, "pool": pool, "nodeName": node, "devices": list(devices)}}


def device(name: str, **said: str) -> dict[str, Any]:
    """A device of a slice."""
    return {"name": name, "attributes": {key: {"string": value} for key, value in said.items()}}


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
    """Requests are counted as such, administration holds nothing, networks are no accelerators."""
    assert held([a_claim(result("a"), requested=True)]) == {}
    assert held([a_claim(result("a", adminAccess=True), result("nic", "net.example.com"))]) == {}
    assert held([{"metadata": {"namespace": "team", "name": "waiting"}, "status": {}}]) == {}
    assert held([a_claim(result("a"), pods=())]) == {}


def test_a_part_that_nobody_measures_is_unknown() -> None:
    """Of a device that is handed out in portions, or cut up without a profile."""
    assert held([a_claim(result("a", shareID="s"))]) == {row("p", part="unknown"): 1}
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
