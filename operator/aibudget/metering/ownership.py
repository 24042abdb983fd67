"""Whose pods they are: owner links asked of kube-state-metrics, for pods that hold accelerators only.

At most two queries, and none for what the book knows already: first the pods' own controllers, then those
of the ReplicaSets and Jobs among them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, PodKey
from aibudget.metering.asking import over_window
from aibudget.metering.nodes import own
from aibudget.metering.promql import OWNED, Queries
from aibudget.metering.slots import Interval
from aibudget.metering.source import PromSource, Series


def learn(
    source: PromSource, queries: Queries, interval: Interval, pods: Collection[PodKey], book: OwnerBook
) -> OwnerBook:
    """The book, and what Prometheus can add to it for these pods, seen at any time of the interval."""
    if any(not book.knows(Child(pod.namespace, "Pod", pod.name, pod.uid)) for pod in pods):
        book = book.with_links(_pods(over_window(source, queries.pod_owners, interval).series))
    if missing := book.missing(pods):
        answer = over_window(source, lambda seconds: queries.owners(missing, seconds), interval)
        book = book.with_links(_owned(answer.series, missing))
    return book


def _pods(answer: Iterable[Series]) -> Iterator[OwnerLink]:
    for labels, _, _ in answer:
        child = Child(own(labels, "namespace"), "Pod", own(labels, "pod"), labels.get("uid", ""))
        yield OwnerLink(child, _owner(labels.get("owner_kind", ""), labels.get("owner_name", "")))


def _owned(answer: Iterable[Series], names: Mapping[str, Collection[str]]) -> Iterator[OwnerLink]:
    for labels, _, _ in answer:
        for kind, wanted in names.items():
            name = labels.get(OWNED[kind][1], "")
            if name in wanted:
                child = Child(own(labels, "namespace"), kind, name)
                yield OwnerLink(child, _owner(labels.get("owner_kind", ""), labels.get("owner_name", "")))


def _owner(kind: str, name: str) -> Owner | None:
    """None for no controller, which kube-state-metrics before 2.8 spelled `<none>`."""
    return Owner(kind, name) if kind not in ("", "<none>") else None
