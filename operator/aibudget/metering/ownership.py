"""Whose pods they are: owner links asked of kube-state-metrics, for any pods that a meter found.

At most two queries, and none for what the book knows already: first the pods' own controllers, then those
of the ReplicaSets and Jobs among them. All meters of a cycle share the book, so that a pod is asked for once
and not once for each meter.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from sys import intern

from aibudget.inventory.owners import LINKS, Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, PodKey
from aibudget.metering.asking import over_window
from aibudget.metering.nodes import own
from aibudget.metering.promql import OWNED, Queries
from aibudget.metering.slots import Interval
from aibudget.metering.source import Labels, PromSource, Series, used_up


def learn(
    source: PromSource, queries: Queries, interval: Interval, pods: Collection[PodKey], book: OwnerBook
) -> OwnerBook:
    """The book, and what Prometheus can add to it for these pods, seen at any time of the interval.

    A pod whose uid the meter's source does not tell (`uid` "") is known by its name.
    """
    if unknown := book.unknown(pods):
        names = {(pod.namespace, pod.name) for pod in unknown}
        answer = over_window(source, lambda seconds: queries.pod_owners(names, seconds), interval)
        book = book.with_links(_pods(answer.series, unknown, names), {pod: pod for pod in unknown})
    if missing := book.missing(pods):
        answer = over_window(source, lambda seconds: queries.owners(missing, seconds), interval)
        book = book.with_links(_owned(answer.series, missing))
    return book


def _pods(
    answer: list[Series], pods: Collection[PodKey], names: Collection[tuple[str, str]]
) -> Iterator[OwnerLink]:
    shared: dict[Owner | None, Owner | None] = {}
    for said, _, _ in used_up(answer):
        labels = said.told() if isinstance(said, Labels) else said
        told = own(labels, "namespace"), own(labels, "pod"), labels.get("uid", "")
        # Links are kept for good: the strings of a hundred thousand pods are to be there once.
        pod = PodKey._make(map(intern, told))
        if (pod.namespace, pod.name) not in names:
            continue
        owner = _owner(labels)
        owner = shared.setdefault(owner, owner)
        yield OwnerLink(Child.of(pod), owner)
        if (nameless := pod._replace(uid="")) in pods:
            yield OwnerLink(Child.of(nameless), owner)


def _owned(answer: Iterable[Series], names: Mapping[str, Collection[str]]) -> Iterator[OwnerLink]:
    for labels, _, _ in answer:
        kind, name = next((kind, labels[label]) for kind, (_, label) in OWNED.items() if labels.get(label))
        # Deployments are told with their owners or not at all: whichever come are kept.
        if kind not in LINKS or name in names.get(kind, ()):
            yield OwnerLink(Child(own(labels, "namespace"), kind, name), _owner(labels))


def _owner(labels: Mapping[str, str]) -> Owner | None:
    """None for no controller, which kube-state-metrics before 2.8 spelled `<none>`."""
    kind, name = labels.get("owner_kind", ""), labels.get("owner_name", "")
    return Owner(kind, name) if kind not in ("", "<none>") else None
