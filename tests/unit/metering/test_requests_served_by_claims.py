"""A request that a claim serves is counted once: as the claim, or as itself while nobody tells of claims."""

from aibudget.metering.capacity import Offer
from aibudget.metering.claims import LATE, Claims, claimed, told
from aibudget.metering.coverage import Grid, Sighting
from aibudget.metering.holding import Holding, Samples, holdings
from aibudget.metering.slots import Interval
from aibudget.metering.source import Series
from unit.metering.fake import series

GRID = Grid(Interval(0, 900), 30)
STEPS = list(GRID.instants)
GPU = "nvidia_com_gpu"


def request(pod: str = "p", node: str = "n", resource: str = GPU, times: list[int] = STEPS) -> Series:
    """Two units that a container asks for, as kube-state-metrics tells."""
    who = {"namespace": "team", "pod": pod, "uid": pod, "container": "main"}
    return series({**who, "node": node, "resource": resource}, times, [2.0] * len(times))


def served(pod: str = "p", requested: str = "true", times: list[int] = STEPS) -> Series:
    """The devices that it was given, as AIBudget tells."""
    who = {"namespace": "team", "pod": pod, "uid": pod, "node": "n", "driver": "gpu.nvidia.com"}
    what = {"product": "", "profile": "", "part": "1", "requested": requested}
    return series({**who, **what}, times, [2.0] * len(times))


def left(
    requests: list[Series], claims: Claims, seen: list[int] = STEPS, plugin: tuple[str, list[int]] = ("", [])
) -> dict[Holding, Samples]:
    """What is counted as a request; `seen` is when AIBudget was scraped. The node has units of the plug-in's
    resource, for so long.
    """
    sure = told(GRID, {t: Sighting(claims=True) for t in seen}, ())
    resource, times = plugin
    offered = {Offer("n", resource): Samples.of(dict.fromkeys(times, 8.0))}
    return claims.unserved(holdings(requests)[0], sure, offered)


def test_what_a_claim_serves_is_the_claim() -> None:
    """The devices of a request and those of a claim of the pod's own are told apart, if alike."""
    claims = claimed([served(), served(requested="false")])
    assert left([request()], claims) == {}
    assert len(claims.held) == 2
    assert {units for samples in claims.held.values() for units in samples.units} == {2.0}


def test_a_request_that_nobody_was_given_a_claim_for_counts() -> None:
    """Another pod's, one of a life before, and one whose pod has a claim of its own beside it."""
    requests = [request(), request("q")]
    assert left(requests, claimed([served()])).keys() == holdings([request("q")])[0].keys()
    for others in ([], [served(requested="false")]):
        assert left(requests, claimed(others)) == holdings(requests)[0]


def test_what_the_nodes_plug_in_serves_counts_beside() -> None:
    """A pod that asks for two kinds, of which the node has units of one alone."""
    requests = [request(), request(resource="amd_com_gpu")]
    found = left(requests, claimed([served()]), plugin=("amd_com_gpu", STEPS))
    assert {key.resource for key in found} == {"amd_com_gpu"}


def test_a_plug_in_that_was_there_before_serves_nothing_any_more() -> None:
    """A node that is moved from a plug-in to a driver, and a pod on either side of that."""
    moved = STEPS[15]
    before = [t for t in STEPS if t < moved]
    claims = claimed([served("q", times=STEPS[15:])])
    requests = [request(times=before), request("q", times=STEPS[15:])]
    (key,) = left(requests, claims, plugin=(GPU, before))
    assert key.pod.name == "p"


def test_a_claim_serves_what_its_node_has_no_units_of() -> None:
    """Be it asked of a pod that no scrape saw before it had ended."""
    (key,) = holdings([request()])[0]
    (other,) = holdings([request("q")])[0]
    claims, units = claimed([served()]), {Offer("n", GPU): Samples.of({30.0: 8.0})}
    assert claims.serve(key, STEPS, {})
    assert not claims.serve(other, STEPS, {})
    assert not claims.serve(key, STEPS, units)
    assert claims.serve(key, STEPS[1:], units)


def test_while_nobody_tells_of_claims_the_request_is_what_is_known() -> None:
    """Before AIBudget was there, and in a long absence; a short one is filled with the claim."""
    away = [t for t in STEPS if 90 < t < 210 or t > 300]
    seen = [t for t in STEPS if t not in away]
    (samples,) = left([request()], claimed([served(times=seen)]), seen).values()
    assert list(samples.times) == [t for t in STEPS if t > 300]
    assert set(samples.units) == {2.0}


def test_a_request_counts_until_aibudget_begins_to_tell_of_its_claim() -> None:
    """It was there, and had no right to read claims yet, or was of an older version: long before the first
    word of a claim nothing is accounted for by it, and long after the last neither.
    """
    late = [t for t in STEPS if 300 <= t <= 600]
    first, then = (served(times=[t for t in late if (t < 450) is early]) for early in (True, False))
    (samples,) = left([request()], claimed([then, first])).values()
    assert list(samples.times) == [t for t in STEPS if not 300 - LATE <= t < 600 + LATE]
