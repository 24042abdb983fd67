"""From links seen one at a time to the workload that a person knows."""

from itertools import permutations

import pytest

from aibudget.inventory.owners import Child, OwnerBook, OwnerLink, Resolution
from aibudget.inventory.workload import Owner, PodKey, Workload

POD = PodKey("team", "web-1-x", "u1")
IN_SET = OwnerLink(Child("team", "Pod", "web-1-x", "u1"), Owner("ReplicaSet", "web-1"))
DEPLOYED = OwnerLink(Child("team", "ReplicaSet", "web-1"), Owner("Deployment", "web"))
ALONE = OwnerLink(Child("team", "ReplicaSet", "web-1"), None)


@pytest.mark.parametrize("links", [*permutations((IN_SET, DEPLOYED, ALONE))])
def test_a_deployment_once_seen_stands(links: tuple[OwnerLink, ...]) -> None:
    """In whatever order the links come, and whatever is said of the ReplicaSet later."""
    book = OwnerBook()
    for link in links:
        book = book.with_links([link])
    assert book.resolve(POD) == Resolution(Workload("team", "Deployment", "web"), complete=True)


def test_a_half_known_chain_is_provisional() -> None:
    """Until the Deployment is seen the ReplicaSet stands in for it, and is known to."""
    book = OwnerBook.of([IN_SET])
    assert book.resolve(POD) == Resolution(Workload("team", "ReplicaSet", "web-1"), complete=False)
    assert book.missing([POD]) == {"ReplicaSet": {"web-1"}}
    assert OwnerBook.of([IN_SET, ALONE]).resolve(POD).complete


def test_an_unknown_pod_is_itself() -> None:
    """Never seen is not the same as seen to have no owner."""
    assert OwnerBook().resolve(POD) == Resolution(Workload("team", "Pod", "web-1-x"), complete=False)
    bare = OwnerBook.of([OwnerLink(Child("team", "Pod", "web-1-x", "u1"), None)])
    assert bare.resolve(POD) == Resolution(Workload("team", "Pod", "web-1-x"), complete=True)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "RayCluster", "PyTorchJob"])
def test_other_owners_are_the_workload(kind: str) -> None:
    """Only ReplicaSets and Jobs are looked through."""
    book = OwnerBook.of([OwnerLink(IN_SET.child, Owner(kind, "x"))])
    assert book.resolve(POD) == Resolution(Workload("team", kind, "x"), complete=True)


def test_a_job_is_its_cron_job() -> None:
    """And a Job of its own is itself."""
    in_job = OwnerLink(IN_SET.child, Owner("Job", "night-1"))
    cron = OwnerLink(Child("team", "Job", "night-1"), Owner("CronJob", "night"))
    single = OwnerLink(Child("team", "Job", "night-1"), None)
    assert OwnerBook.of([in_job, cron]).resolve(POD).workload == Workload("team", "CronJob", "night")
    assert OwnerBook.of([in_job, single]).resolve(POD).workload == Workload("team", "Job", "night-1")


def test_the_first_owner_stands() -> None:
    """A pod does not change hands in the books."""
    other = OwnerLink(IN_SET.child, Owner("ReplicaSet", "thief"))
    assert OwnerBook.of([IN_SET]).with_links([other]).resolve(POD) == OwnerBook.of([IN_SET]).resolve(POD)


def test_another_namespace_is_another_owner() -> None:
    """A ReplicaSet's namesake next door has nothing to do with it."""
    next_door = OwnerLink(Child("other", "ReplicaSet", "web-1"), Owner("Deployment", "theirs"))
    assert not OwnerBook.of([IN_SET, next_door]).resolve(POD).complete


def test_only_news_is_stored() -> None:
    """What a book adds to an earlier one: new links, and owners where none was known."""
    early = OwnerBook.of([IN_SET, ALONE])
    late = early.with_links([IN_SET, DEPLOYED])
    assert late.since(early) == (DEPLOYED,)
    assert late.since(late) == ()
    assert OwnerBook.of(late.links()).links() == late.links()


def test_a_circle_ends() -> None:
    """Owner references that go round are no endless loop."""
    there = OwnerLink(Child("team", "ReplicaSet", "web-1"), Owner("ReplicaSet", "web-2"))
    back = OwnerLink(Child("team", "ReplicaSet", "web-2"), Owner("ReplicaSet", "web-1"))
    assert OwnerBook.of([IN_SET, there, back]).resolve(POD).workload.kind == "ReplicaSet"


def test_a_chain_goes_on_to_what_a_person_knows() -> None:
    """What is above a workload is told, and the workload that is billed and stopped stays what it was."""
    served = OwnerLink(Child("team", "Deployment", "web"), Owner("InferenceService", "llm"))
    book = OwnerBook.of([IN_SET, DEPLOYED, served])
    assert book.resolve(POD).workload == (deployment := Workload("team", "Deployment", "web"))
    assert book.chain(deployment) == (deployment, service := Workload("team", "InferenceService", "llm"))
    assert book.top(deployment) == service
    assert book.top(service) == service


def test_only_open_ends_are_asked_for() -> None:
    """An end of which it was seen that nothing is above is settled."""
    open_end = Workload("team", "Deployment", "web")
    settled = Workload("team", "StatefulSet", "db")
    book = OwnerBook.of([OwnerLink(Child("team", "StatefulSet", "db"), None)])
    assert book.ends([open_end, settled]) == {Child("team", "Deployment", "web")}


def test_a_chain_that_goes_round_ends() -> None:
    """And so does one that is too long."""
    there = OwnerLink(Child("team", "StatefulSet", "a"), Owner("Pod", "b"))
    back = OwnerLink(Child("team", "Pod", "b"), Owner("StatefulSet", "a"))
    assert len(OwnerBook.of([there, back]).chain(Workload("team", "StatefulSet", "a"))) == 2
    ladder = [OwnerLink(Child("team", "K", str(n)), Owner("K", str(n + 1))) for n in range(50)]
    assert len(OwnerBook.of(ladder).chain(Workload("team", "K", "0"))) == 8


def test_many_pods_are_looked_up_as_one_by_one() -> None:
    """Settled, half known and unknown ones, twice over: what is remembered changes no answer."""
    pods = [PodKey("team", name, "u") for name in ("settled", "half", "alone", "stranger")]
    links = (
        OwnerLink(Child.of(pods[0]), Owner("StatefulSet", "db")),
        OwnerLink(Child.of(pods[1]), Owner("ReplicaSet", "llm-7d9f")),
        OwnerLink(Child.of(pods[2]), None),
    )
    book, other = OwnerBook.of(links), OwnerBook.of(links)
    for _ in range(2):
        assert book.resolved(pods) == {pod: other.resolve(pod) for pod in pods}
        assert book.unknown(pods) == {pods[3]}
        assert book.missing(pods) == {"ReplicaSet": {"llm-7d9f"}}


def test_what_is_learnt_of_pods_that_were_looked_up_before_counts() -> None:
    """What can still change is not remembered: neither a half known chain nor that there is no owner."""
    pods = [PodKey("team", name, "u") for name in ("half", "alone", "stranger")]
    half, alone = (
        OwnerLink(Child.of(pods[0]), Owner("ReplicaSet", "llm-7d9f")),
        OwnerLink(Child.of(pods[1]), None),
    )
    book = OwnerBook.of([half, alone])
    before = dict(book.resolved(pods))
    wiser = book.with_links(
        [
            OwnerLink(Child("team", "ReplicaSet", "llm-7d9f"), Owner("Deployment", "llm")),
            OwnerLink(Child.of(pods[1]), Owner("Job", "train")),
            OwnerLink(Child("team", "Job", "train"), Owner("JobSet", "train")),
            OwnerLink(Child.of(pods[2]), Owner("StatefulSet", "db")),
        ]
    )
    names = [
        (found[pod].workload.kind, found[pod].complete) for found in [wiser.resolved(pods)] for pod in pods
    ]
    assert names == [("Deployment", True), ("JobSet", True), ("StatefulSet", True)]
    assert wiser.unknown(pods) == set()
    assert wiser.missing(pods) == {}
    assert {pod: book.resolved(pods)[pod] for pod in pods} == before
