"""What one cluster posts to a shared ledger another one reads, at each look as it is then."""

from collections.abc import Callable
from contextlib import closing

from aibudget.ledger.neighbours import Neighbours
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.pricing.charge import Charge
from unit.ledger.conftest import FULL

DAY = Interval(0, 86_400)


def test_postings_of_another_process_are_seen_and_nothing_is_made(
    url: str, ledger: Ledger, make_charge: Callable[..., Charge], post: Callable[..., None]
) -> None:
    """A look creates no cluster and no meter; what came meanwhile, of new workloads too, is in the next."""
    with closing(Neighbours.open(url)) as neighbours:
        assert neighbours.named("there") is None
        with closing(Ledger.open(url, "there")) as there:
            epoch = there.take_over()
            for slot, names in enumerate((["a"], ["a", "b"])):
                charges = [make_charge(slot, name, 1000) for name in names]
                post(there, {slot: FULL}, *charges, epoch=epoch)
                found = neighbours.named("there")
                assert found is not None
                assert found.watermark("gpu") == (slot + 1) * SLOT_SECONDS
                assert found.statements(DAY) == {"gpu": there.recount("gpu", DAY)} == found.recount(DAY)
                assert sorted(line.workload.name for line in found.newest()["gpu"].lines) == names
        here = neighbours.named("here")
        assert here is not None
        assert here.statements(DAY) == {}
