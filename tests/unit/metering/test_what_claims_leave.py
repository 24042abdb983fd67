"""Devices for claims: what nobody holds of them is idle, whole, in instances or shared, and it adds up."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.metering.asking import Answer
from aibudget.metering.claims import Claimed, claimed, left, offered, told
from aibudget.metering.coverage import Grid, Sighting
from aibudget.metering.devices import Devices
from aibudget.metering.integration import integrate
from aibudget.metering.nodes import Nodes
from aibudget.metering.slots import Interval
from aibudget.metering.source import Series
from aibudget.metering.usage import Balance
from unit.metering.fake import series

GRID = Grid(Interval(0, 900), 30)
STEPS = list(GRID.instants)
H100 = "NVIDIA-H100-80GB-HBM3"
KIND = {"driver": "gpu.nvidia.com", "product": H100, "node": "n"}
SLOT = 900_000


def there(
    devices: float, times: list[int] = STEPS, profile: str = "", usable: str = "true", node: str = "n"
) -> Series:
    """So many devices of a node, as AIBudget tells."""
    what = {**KIND, "family": "devices", "profile": profile, "usable": usable, "node": node}
    return series(what, times, [devices] * len(times))


def hold(
    pod: str, devices: float = 1, times: list[int] = STEPS, profile: str = "", part: str = "1"
) -> Series:
    """So many of them held by a pod."""
    who = {"namespace": "team", "pod": pod, "uid": pod, "profile": profile, "part": part}
    return series({**KIND, **who}, times, [devices] * len(times))


def judged(
    offers: list[Series], held: list[Series], seen: list[int] = STEPS, elsewhere: tuple[str, ...] = ()
) -> tuple[Balance, int]:
    """All of the slot, and at how many steps nobody told; `seen` are those at which AIBudget was scraped."""
    sure = told(GRID, {t: Sighting(claims=True) for t in seen}, ())
    holds, nodes = claimed(held).held, Nodes([])
    taken = Claimed(holds, dict(integrate(holds, sure, nodes, Devices((), ()))), sure)
    found, untold = left(offered(Answer(offers)), elsewhere, taken, nodes)
    assert all(place.sku.dimension("share") is None for place in found)
    assert all(place.sku.dimension("gpuProduct") == H100 for place in found)
    return sum(found.values(), Balance()), len(untold)


def test_a_device_that_nobody_claims_is_idle() -> None:
    """Of two, one is held for a third of the time."""
    balance, untold = judged([there(2)], [hold("p", times=STEPS[:10])])
    assert (balance.capacity, balance.held, balance.idle) == (2 * SLOT, SLOT // 3, 2 * SLOT - SLOT // 3)
    assert (balance.over, balance.residual, untold) == (0, 0, 0)
    assert judged([there(2)], [])[0].idle == 2 * SLOT


def test_parts_are_taken_out_of_their_device() -> None:
    """Three pods share one, two hold instances of another that is told whole, and one holds both kinds."""
    shares = [hold(pod, part="1/3") for pod in "abc"]
    cut = [hold("d", profile="3g.40gb"), hold("e", profile="1g.10gb"), hold("e")]
    balance, _ = judged([there(4)], [*shares, *cut])
    assert (balance.capacity, balance.over) == (4 * SLOT, 0)
    assert balance.held == SLOT + SLOT * 3 // 7 + SLOT // 7 + SLOT
    assert balance.idle == 4 * SLOT - balance.held


def test_instances_that_are_told_one_by_one_are_parts_of_a_device() -> None:
    """Seven of them are one device, of which one is held."""
    balance, _ = judged([there(7, profile="1g.10gb")], [hold("p", profile="1g.10gb")])
    assert (balance.capacity, balance.held, balance.idle) == (SLOT, SLOT // 7, SLOT - SLOT // 7)


def test_what_nobody_could_have_used_is_not_idle() -> None:
    """A tainted device; then all that nobody holds of a node that is not ready. What is held stays held."""
    balance, _ = judged([there(2), there(1, usable="false")], [hold("p")])
    assert (balance.capacity, balance.idle, balance.unhealthy) == (3 * SLOT, SLOT, SLOT)
    closed = series({"family": "closed", "node": "n"}, STEPS[15:], [0.0] * 15)
    balance, _ = judged([there(2), there(1, usable="false"), closed], [hold("p")])
    assert (balance.idle, balance.unhealthy, balance.residual) == (SLOT // 2, SLOT + SLOT // 2, 0)


def test_while_nobody_tells_nothing_is_idle() -> None:
    """Three minutes are filled from both sides, and estimated; of ten nothing is said, and coverage knows."""
    for away, capacity, estimated, untold in ((180, SLOT, 150_000, 0), (600, 330_000, 0, 19)):
        seen = [t for t in STEPS if not 120 < t < 120 + away]
        balance, unsaid = judged([there(1, seen)], [], seen)
        assert (balance.capacity, balance.idle) == (capacity, capacity)
        assert (balance.estimated, unsaid) == (estimated, untold)


def test_shares_of_a_device_are_taken_out_of_it() -> None:
    """By what they consume of its memory in MiB; of what nobody consumes, nobody is charged."""
    shares = [hold("p", part="10240/81559"), hold("q", part="20480/81559"), hold("r", part="20480/81559")]
    balance, _ = judged([there(2)], shares)
    exact = SLOT * Fraction(51_200, 81_559)
    assert exact - 3 <= balance.held <= exact
    assert balance.idle == 2 * SLOT - balance.held
    assert (balance.capacity, balance.over, balance.residual) == (2 * SLOT, 0, 0)


def test_a_share_may_change_with_its_neighbours() -> None:
    """Two that are alike become three; together they hold the device, and never more."""
    until = [hold(pod, part="1/2", times=STEPS[:15]) for pod in "ab"]
    since = [hold(pod, part="1/3", times=STEPS[15:]) for pod in "abc"]
    balance, _ = judged([there(1)], [*until, *since])
    assert (balance.capacity, balance.over, balance.residual) == (SLOT, 0, 0)
    assert SLOT - 5 <= balance.held <= SLOT


def test_products_of_one_node_are_told_apart() -> None:
    """An instance of one is not taken out of the other."""
    other = Series({**there(1).labels, "product": "NVIDIA-L4"}, *there(1)[1:])
    sure = told(GRID, {t: Sighting(claims=True) for t in STEPS}, ())
    holds, nodes = claimed([hold("p", profile="1g.10gb")]).held, Nodes([])
    taken = Claimed(holds, dict(integrate(holds, sure, nodes, Devices((), ()))), sure)
    for offers in ([there(1), other], [other, there(1)]):
        found, _ = left(offered(Answer(offers)), (), taken, nodes)
        idle = {place.sku.dimension("gpuProduct"): balance.idle for place, balance in found.items()}
        assert idle == {H100: SLOT - SLOT // 7, "NVIDIA-L4": SLOT}


def test_devices_are_not_told_by_two() -> None:
    """A node whose plug-in tells of units is balanced by those; parts of no known size are in no balance."""
    assert judged([there(2)], [hold("p")], elsewhere=("n",))[0] == Balance()
    assert judged([there(2, profile="odd")], [hold("p", profile="odd")])[0] == Balance()
    balance, _ = judged([there(1)], [hold("p", part="unknown")])
    assert (balance.held, balance.idle) == (0, SLOT)


def test_what_is_held_of_other_devices_is_not_beyond_these() -> None:
    """A device that no slice has any more is held, and on no node that anybody knows."""
    gone = Series({**hold("p").labels, "node": "", "product": ""}, *hold("p")[1:])
    balance, _ = judged([there(1)], [gone])
    assert (balance.over, balance.held, balance.idle) == (0, 0, SLOT)


PROFILES = {"": Fraction(1), "1g.10gb": Fraction(1, 7), "3g.40gb": Fraction(3, 7), "4g.40gb": Fraction(4, 7)}
SHARES = (Fraction(1), Fraction(1, 4), Fraction(10_240, 81_559))
wishes = st.lists(
    st.tuples(
        st.sampled_from(sorted(PROFILES)),
        st.sampled_from(SHARES),
        st.integers(1, 9),
        st.integers(0, 29),
        st.integers(1, 30),
    ),
    max_size=8,
)


@settings(max_examples=25)
@given(st.integers(1, 4), wishes, st.sets(st.integers(1, 28), max_size=4))
def test_everything_adds_up(
    devices: int, wanted: list[tuple[str, Fraction, int, int, int]], away: set[int]
) -> None:
    """Of what fits, in any sizes and shares and for any times, with scrapes that are missed: nothing is lost
    or over.
    """
    seen = [t for number, t in enumerate(STEPS) if number not in away]
    room, held, exact = Fraction(devices), list[Series](), Fraction(0)
    for number, (profile, share, pods, first, steps) in enumerate(wanted):
        size = PROFILES[profile] * share
        if size > room:
            continue
        room -= size
        times = [t for t in STEPS[first : first + steps] if t in seen]
        part = str(share / pods)
        held += [hold(f"p{number}-{n}", 1, times, profile, part) for n in range(pods)]
        exact += size * len(times) * 30_000
    balance, untold = judged([there(devices, seen)], held, seen)
    assert (balance.residual, balance.over, untold) == (0, 0, 0)
    assert balance.capacity == devices * SLOT
    if not away:
        assert exact - len(held) <= balance.held <= exact
