"""Owner links outlive their objects and the process that saw them."""

from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.workload import Owner
from aibudget.ledger.store import Ledger

REPLICA_SET = Child("team", "ReplicaSet", "llm-5d")
POD = Child("team", "Pod", "llm-5d-x", "uid-1")


def test_links_survive_a_restart(ledger: Ledger, url: str) -> None:
    """Also those of an object that was seen to have no owner, and pods of one name by their uid."""
    links = {
        OwnerLink(REPLICA_SET, Owner("Deployment", "llm")),
        OwnerLink(POD, Owner("ReplicaSet", "llm-5d")),
        OwnerLink(POD._replace(uid="uid-2"), None),
    }
    ledger.remember_owners(links, at=1)
    ledger.close()
    assert set(Ledger.open(url, "here").owners()) == links


def test_the_first_owner_stays(ledger: Ledger) -> None:
    """An owner is never replaced; "no owner" gives way to one."""
    ledger.remember_owners([OwnerLink(REPLICA_SET, None)], at=1)
    ledger.remember_owners([OwnerLink(REPLICA_SET, Owner("Deployment", "llm")), OwnerLink(POD, None)], at=2)
    ledger.remember_owners([OwnerLink(REPLICA_SET, Owner("Rollout", "other")), OwnerLink(POD, None)], at=3)
    ledger.remember_owners([OwnerLink(REPLICA_SET, None)], at=4)
    ledger.remember_owners([], at=5)
    assert dict(ledger.owners()) == {REPLICA_SET: Owner("Deployment", "llm"), POD: None}
