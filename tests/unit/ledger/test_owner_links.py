"""Owner links outlive their objects and the process that saw them."""

from collections.abc import Callable
from contextlib import closing

import pytest

from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.workload import Owner, Workload
from aibudget.ledger import links
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Usage
from aibudget.pricing.charge import Charge
from unit.ledger.conftest import FULL, H100

REPLICA_SET = Child("team", "ReplicaSet", "llm-5d")
POD = Child("team", "Pod", "llm-5d-x", "uid-1")


def test_links_survive_a_restart(ledger: Ledger, url: str) -> None:
    """Also those of an object that was seen to have no owner, and pods of one name by their uid."""
    told = {
        OwnerLink(REPLICA_SET, Owner("Deployment", "llm")),
        OwnerLink(POD, Owner("ReplicaSet", "llm-5d")),
        OwnerLink(POD._replace(uid="uid-2"), None),
    }
    ledger.remember_owners(told, at=1)
    ledger.close()
    with closing(Ledger.open(url, "here")) as again:
        assert set(again.owners()) == told


def test_the_first_owner_stays(ledger: Ledger) -> None:
    """An owner is never replaced; "no owner" gives way to one."""
    ledger.remember_owners([OwnerLink(REPLICA_SET, None)], at=1)
    ledger.remember_owners([OwnerLink(REPLICA_SET, Owner("Deployment", "llm")), OwnerLink(POD, None)], at=2)
    ledger.remember_owners([OwnerLink(REPLICA_SET, Owner("Rollout", "other")), OwnerLink(POD, None)], at=3)
    ledger.remember_owners([OwnerLink(REPLICA_SET, None)], at=4)
    ledger.remember_owners([], at=5)
    assert dict(ledger.owners()) == {REPLICA_SET: Owner("Deployment", "llm"), POD: None}


def test_many_links_are_written_in_parts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a hundred thousand pods are never there together; what stays is the same."""
    monkeypatch.setattr(links, "AT_ONCE", 2)
    pods = [OwnerLink(POD._replace(uid=f"uid-{n}"), Owner("ReplicaSet", "llm-5d")) for n in range(5)]
    late = OwnerLink(pods[0].child, Owner("ReplicaSet", "other"))
    ledger.remember_owners([*pods, late], at=1)
    assert set(ledger.owners()) == set(pods)


def test_pods_are_kept_for_a_while(ledger: Ledger) -> None:
    """What owns them is kept for good, and so is what chains of people lead through."""
    chained = OwnerLink(POD._replace(uid=""), Owner("StatefulSet", "group"))
    deployed = OwnerLink(REPLICA_SET, Owner("Deployment", "llm"))
    ledger.remember_owners([OwnerLink(POD, Owner("ReplicaSet", "llm-5d")), deployed, chained], at=10)
    young = OwnerLink(POD._replace(uid="uid-2"), None)
    ledger.remember_owners([young], at=20)
    ledger.forget_pods(20)
    assert set(ledger.owners()) == {deployed, chained, young}


def test_a_line_of_a_replica_set_is_its_deployment_s(
    ledger: Ledger, post: Callable[..., None], url: str
) -> None:
    """Whenever the Deployment is seen, be it long after the posting; and of a stranger nothing is said."""
    epoch = ledger.take_over()
    charges = [
        Charge(Usage(0, Workload("team", "ReplicaSet", name), H100, 1000), None)
        for name in ("llm-5d", "other-1")
    ]
    post(ledger, {0: FULL}, *charges, epoch=epoch)
    assert workloads(ledger) == {("ReplicaSet", "llm-5d"), ("ReplicaSet", "other-1")}
    ledger.remember_owners([OwnerLink(REPLICA_SET, Owner("Deployment", "llm"))], at=9000)
    assert workloads(ledger) == {("Deployment", "llm"), ("ReplicaSet", "other-1")}
    again = Ledger.open(url, "here")
    assert workloads(again) == workloads(ledger)
    again.close()


def workloads(ledger: Ledger) -> set[tuple[str, str]]:
    """Whose the lines of the first slot are."""
    lines = ledger.statement("gpu", Interval(0, SLOT_SECONDS)).lines
    return {(line.workload.kind, line.workload.name) for line in lines}
