"""A workload's labels are part of its line: what was used under others stays under them."""

from collections.abc import Callable, Mapping

from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.pricing.charge import Charge
from unit.ledger.conftest import FULL

OLD, NEW = (("app.kubernetes.io/part-of", "search"),), (("app.kubernetes.io/part-of", "chat"),)


def quantities(ledger: Ledger, slots: int) -> dict[str, int]:
    """By the value of the label."""
    lines = ledger.statement("gpu", Interval(0, slots * SLOT_SECONDS)).lines
    return {part_of(line.labels): line.quantity for line in lines}


def part_of(labels: Mapping[str, str]) -> str:
    return labels.get("app.kubernetes.io/part-of", "")


def test_labels_are_those_of_the_time(
    ledger: Ledger, make_charge: Callable[..., Charge], post: Callable[..., None], url: str
) -> None:
    """A label that changes begins a new line; the same again is the same line, after a restart as well."""
    epoch = ledger.take_over()
    for slot, labels in enumerate((OLD, OLD, NEW, ())):
        charge = make_charge(slot, "llm", 10**slot, labels=labels)
        post(ledger, {slot: FULL}, charge, epoch=epoch)
    assert quantities(ledger, 4) == {"search": 11, "chat": 100, "": 1000}
    ledger.close()
    again = Ledger.open(url, "here")
    post(again, {4: FULL}, make_charge(4, "llm", 10_000, labels=OLD), epoch=again.take_over())
    assert quantities(again, 5) == {"search": 10_011, "chat": 100, "": 1000}
    again.close()


def test_the_head_is_told_with_its_labels(make_charge: Callable[..., Charge]) -> None:
    """What is not posted yet is no other line than it will be."""
    from aibudget.ledger.spend import provisional

    charges = [make_charge(0, "llm", 1, labels=labels) for labels in (OLD, NEW, OLD)]
    lines = provisional(charges, {0: FULL}, {}, 0, SLOT_SECONDS).lines
    assert {part_of(line.labels): line.quantity for line in lines} == {"search": 2, "chat": 1}
