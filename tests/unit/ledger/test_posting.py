"""Posting a slot replaces it, moves the watermark, and happens wholly or not at all."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from aibudget.errors import Conflict
from aibudget.inventory.workload import Workload
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

FULL, HALF, NONE = Coverage(900, 900), Coverage(450, 900), Coverage(0, 900)
Post = Callable[..., None]
MakeCharge = Callable[..., Charge]
MakeRate = Callable[..., Rate]


def quantities(ledger: Ledger, start: int = 0, end: int = 100) -> dict[str, int]:
    """Workload to quantity, over slots by number."""
    statement = ledger.statement("gpu", Interval(start * 900, end * 900))
    return {line.workload.name: line.quantity for line in statement.lines}


def test_a_new_ledger_knows_nothing(ledger: Ledger) -> None:
    """Nothing posted is unknown and incomplete, not a spend of zero."""
    statement = ledger.statement("gpu", Interval(0, 900))
    assert (ledger.watermark("gpu"), ledger.begins("gpu")) == (None, None)
    assert (statement.lines, statement.as_of, statement.complete) == ((), None, False)


def test_posting_again_changes_nothing(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """The same slot twice is the same spend once, also when totals were read in between."""
    for _ in range(3):
        post(ledger, {0: FULL}, make_charge(0, "llm", 5))
        assert quantities(ledger) == {"llm": 5}


def test_a_later_reading_replaces_an_earlier_one(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """Late data for an old slot counts instead of what was there, and the watermark stays."""
    post(ledger, {0: HALF, 1: FULL}, make_charge(0, "llm", 5), make_charge(1, "llm", 7))
    assert quantities(ledger) == {"llm": 12}
    assert ledger.gaps("gpu", 0) == (0,)
    post(ledger, {0: FULL}, make_charge(0, "etl", 9))
    assert quantities(ledger) == {"llm": 7, "etl": 9}
    assert ledger.gaps("gpu", 0) == ()
    assert ledger.watermark("gpu") == 1800


def test_usage_of_one_line_in_one_slot_is_added(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """Two usages that differ in nothing but quantity are one row."""
    post(ledger, {0: FULL}, make_charge(0, "llm", 5), make_charge(0, "llm", 6))
    assert quantities(ledger) == {"llm": 11}


def test_a_hole_before_the_watermark_is_refused(ledger: Ledger, post: Post) -> None:
    """A slot that nobody asked for must be posted as a gap, or it would look like a slot without usage."""
    post(ledger, {0: FULL})
    with pytest.raises(ValueError, match="not in the posting"):
        post(ledger, {2: FULL})
    post(ledger, {1: NONE, 2: FULL})
    statement = ledger.statement("gpu", Interval(0, 2700))
    assert statement.coverage == Coverage(1800, 2700)
    assert statement.complete


def test_a_ledger_that_begins_late_is_incomplete(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """Until the back-fill reaches the interval's start the sums are a lower bound, and say so."""
    post(ledger, {2: FULL}, make_charge(2, "llm", 1))
    assert not ledger.statement("gpu", Interval(0, 2700)).complete
    assert ledger.statement("gpu", Interval(1800, 2700)).complete
    post(ledger, {0: FULL}, make_charge(0, "llm", 1))
    assert not ledger.statement("gpu", Interval(0, 2700)).complete, "slot 1 is still to be asked for"
    post(ledger, {1: NONE})
    assert ledger.statement("gpu", Interval(0, 2700)).complete
    assert ledger.begins("gpu") == 0


def test_a_statement_ends_at_the_watermark(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """Coverage speaks of what was asked for; time to come is neither covered nor a gap."""
    post(ledger, {0: FULL, 1: HALF}, make_charge(0, "llm", 1))
    statement = ledger.statement("gpu", Interval(0, 90_000))
    assert (statement.as_of, statement.coverage) == (1800, Coverage(1350, 1800))
    ahead = ledger.statement("gpu", Interval(2700, 90_000))
    assert (ahead.lines, ahead.as_of, ahead.complete) == ((), 1800, True)


def test_a_writer_with_old_knowledge_is_refused(
    ledger: Ledger, url: str, post: Post, make_charge: MakeCharge
) -> None:
    """Of two writers at one revision the second gets a Conflict, and the first one's slot stands."""
    rival = Ledger.open(url, "here")
    state = rival.state("gpu")
    post(ledger, {0: FULL}, make_charge(0, "llm", 5))
    late = Posting("gpu", {0: FULL}, (make_charge(0, "llm", 99),), 900, state.revision, at=900)
    with pytest.raises(Conflict, match="revision 1"):
        rival.post(late)
    assert quantities(rival) == {"llm": 5}
    post(rival, {1: FULL}, make_charge(1, "llm", 1))
    assert quantities(ledger) == {"llm": 6}, "what another process posted is seen"
    rival.close()


def test_taking_over_shuts_out_the_writer_before(ledger: Ledger, url: str, post: Post) -> None:
    """A leader that was paused cannot write once its successor has begun, whatever it reads first."""
    ours = ledger.take_over()
    post(ledger, {0: FULL}, epoch=ours)
    successor = Ledger.open(url, "here")
    theirs = successor.take_over()
    with pytest.raises(Conflict, match="took the ledger over"):
        post(ledger, {1: FULL}, epoch=ours)
    post(successor, {1: FULL}, epoch=theirs)
    successor.close()


def test_a_posting_that_contradicts_itself_is_refused(make_charge: MakeCharge) -> None:
    """Usage outside of its slots, slots after the watermark and odd instants are the caller's mistakes."""
    with pytest.raises(ValueError, match="no coverage"):
        Posting("gpu", {0: FULL}, (make_charge(1, "llm", 1),), 1800, 0, at=0)
    with pytest.raises(ValueError, match="after the watermark"):
        Posting("gpu", {900: FULL}, (), 900, 0, at=0)
    with pytest.raises(ValueError, match="multiples of 900"):
        Posting("gpu", {901: FULL}, (), 1800, 0, at=0)
    with pytest.raises(ValueError, match="negative"):
        Posting("gpu", {0: FULL}, (make_charge(0, "llm", -1),), 900, 0, at=0)


def test_labels_are_those_of_the_time_of_use(ledger: Ledger, post: Post, make_charge: MakeCharge) -> None:
    """A namespace that changes its labels is two lines: each selector finds what was true then."""
    post(ledger, {0: FULL}, make_charge(0, "llm", 5), namespace_labels={"team": {"department": "old"}})
    post(ledger, {1: FULL}, make_charge(1, "llm", 7), namespace_labels={"team": {"department": "new"}})
    post(ledger, {2: FULL}, make_charge(2, "llm", 9))
    lines = ledger.statement("gpu", Interval(0, 2700)).lines
    assert {line.namespace_labels.get("department"): line.quantity for line in lines} == {
        "old": 5,
        "new": 7,
        None: 9,
    }


def test_empty_and_foreign_names_are_lines_of_their_own(ledger: Ledger, post: Post) -> None:
    """Usage without a namespace and names of any script are kept apart, and posted twice they stay one."""
    device = sku("gpu", {})
    charges = [
        Charge(Usage(0, Workload(namespace, "", name), device, 1), None)
        for namespace in ("", "-", "ns")
        for name in ("", "größe", '"quoted"')
    ]
    post(ledger, {0: FULL}, *charges)
    post(ledger, {0: FULL}, *charges)
    lines = ledger.statement("gpu", Interval(0, 900)).lines
    assert {line.workload for line in lines} == {charge.usage.workload for charge in charges}
    assert {line.quantity for line in lines} == {1}


def test_rates_and_observation_come_back(
    ledger: Ledger, url: str, post: Post, make_charge: MakeCharge, make_rate: MakeRate
) -> None:
    """A price is the one of its slot; unpriced usage has no cost, and unobserved devices no idle time."""
    old, new = make_rate("2"), make_rate("3", 1)
    post(
        ledger,
        {0: FULL, 1: FULL},
        make_charge(0, "llm", 3_600_000, old, busy=5, observed=10, estimated=2),
        make_charge(1, "llm", 3_600_000, new),
        make_charge(1, "odd", 3_600_000),
    )
    ledger.close()
    with closing(Ledger.open(url, "here")) as again:
        lines = again.statement("gpu", Interval(0, 1800)).lines
    found = {(line.workload.name, line.rate): (line.cost, line.busy, line.observed) for line in lines}
    assert found == {
        ("llm", old): (Decimal(2), 5, 10),
        ("llm", new): (Decimal(3), None, None),
        ("odd", None): (None, None, None),
    }


def test_clusters_share_a_file_and_nothing_else(
    ledger: Ledger, url: str, post: Post, make_charge: MakeCharge
) -> None:
    """The namesake in another cluster has lines, a watermark and an epoch of its own."""
    other = Ledger.open(url, "elsewhere")
    post(ledger, {0: FULL}, make_charge(0, "llm", 5))
    assert other.watermark("gpu") is None
    post(other, {0: FULL}, make_charge(0, "llm", 7))
    assert (quantities(ledger), quantities(other)) == ({"llm": 5}, {"llm": 7})
    other.close()


KILLED = """
import sys
from aibudget.inventory.workload import Workload
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.charge import Charge

ledger = Ledger.open(sys.argv[1], "here")
slot = 0
while True:
    charges = tuple(
        Charge(Usage(slot, Workload("team", "Job", f"{slot}-{i}"), sku("gpu", {}), 1), None)
        for i in range(300)
    )
    ledger.post(Posting("gpu", {slot: Coverage(900, 900)}, charges, slot + 900, slot // 900, at=slot))
    print(slot, flush=True)
    slot += 900
"""


@pytest.mark.parametrize("after", [1, 4])
def test_a_killed_writer_leaves_whole_slots(url: str, after: int) -> None:
    """Killed at any moment, the ledger holds every slot before its watermark wholly, and nothing after it."""
    source_root = Path(sys.modules["aibudget"].__path__[0]).parent
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(source_root)},
    ) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(after)]
        writer.kill()
    ledger = Ledger.open(url, "here")
    watermark = ledger.watermark("gpu") or 0
    assert watermark > told[-1], "what was told to be posted is posted"
    lines = ledger.statement("gpu", Interval(0, watermark + 900)).lines
    assert len(lines) == sum(line.quantity for line in lines) == watermark // 900 * 300
    ledger.close()
