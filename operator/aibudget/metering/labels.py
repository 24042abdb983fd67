"""What kube-state-metrics tells of labels: each namespace's team at each time, and what pods are part of.

Both families of labels are exported only where an allow-list names the labels. For a program that can ask no
API server; the operator reads namespaces and owners there. Pure but for the `PromSource` it asks.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aibudget.inventory.lineage import KIN, LABELS, named_by
from aibudget.inventory.owners import LINKS, Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.asking import over_range, over_window
from aibudget.metering.coverage import Grid
from aibudget.metering.nodes import label_in_metrics, own
from aibudget.metering.promql import Matcher, Queries
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.source import PromSource, Series
from aibudget.metering.usage import Reading

Labels = tuple[tuple[str, str], ...]

_SPELLED: Mapping[str, str] = {label_in_metrics(key): key for key in LABELS}
# A name that any pod may have, as app.kubernetes.io/name, tells something only beside what goes with it.
_TELLING = tuple(
    Matcher(label_in_metrics(kin.only[0][0]), "=", kin.only[0][1])
    if kin.only
    else Matcher(label_in_metrics(kin.label), "!=", "")
    for kin in KIN
    if kin.label
)


class Teams:
    """Each namespace's team from slot to slot: the last known at or before one, else the first after."""

    def __init__(self, told: Iterable[tuple[str, int, str]] = ()) -> None:
        at: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for namespace, slot, team in told:
            at[namespace][slot].add(team)
        self._told = {namespace: _settled(slots) for namespace, slots in at.items()}

    def of(self, namespace: str, slot: int) -> str:
        """The team; "" where no label ever named one."""
        told = self._told.get(namespace)
        if told is None:
            return ""
        slots, teams = told
        return teams[max(0, bisect_right(slots, slot) - 1)]

    def __bool__(self) -> bool:
        return bool(self._told)


def read_teams(source: PromSource, queries: Queries, interval: Interval, label: str) -> Teams:
    """The teams that a label of namespaces names, in each slot of the interval."""
    name = label_in_metrics(label)
    answer = over_range(source, queries.namespace_labels(name, SLOT_SECONDS), Grid(interval, SLOT_SECONDS))
    return Teams(
        (own(labels, "namespace"), int(t) - SLOT_SECONDS, labels.get(name, ""))
        for labels, times, _ in answer.series
        for t in times
    )


def read_kin(source: PromSource, queries: Queries, interval: Interval, book: OwnerBook) -> OwnerBook:
    """The book, and what well-known labels of the pods in it say that their workloads are part of.

    An owner that was seen stands: a label goes on where the chain ends, and whose a pod is it never says.
    """
    answer = over_window(
        source, lambda seconds: queries.pod_labels(tuple(_SPELLED), _TELLING, seconds), interval
    )
    return book.with_links(_links(answer.series, book))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which labels usage is kept with: `always` those, where pods have them; and by namespace ("" is each)
    those that selectors speak of, to which it matters as well that pods do not have them.
    """

    always: tuple[str, ...] = ()
    selected: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(sorted(frozenset(self.always).union(*self.selected.values())))

    def selects(self, namespace: str) -> frozenset[str]:
        """Those of which it has to be known whether pods of the namespace have them."""
        nothing = frozenset[str]()
        return self.selected.get(namespace, nothing) | self.selected.get("", nothing)


class PodLabels:
    """What pods said of themselves in each slot of an interval, by the keys that were asked for.

    `exported` are the keys of which somebody would tell: what is not told of them is not there.
    """

    def __init__(
        self,
        wanted: Wanted,
        told: Iterable[tuple[int, PodKey, Labels]],
        exported: Collection[str] = (),
    ) -> None:
        self._wanted = wanted
        self._told = tuple(told)
        self._exported = frozenset(exported) | self.keys_told

    @property
    def keys_told(self) -> frozenset[str]:
        """The keys that some pod has."""
        return frozenset(key for labels in {labels for _, _, labels in self._told} for key, _ in labels)

    def on(self, reading: Reading, book: OwnerBook) -> Reading:
        """The reading with the labels of each workload: those that most of its pods had in the slot."""
        said: dict[tuple[int, Workload], Counter[Labels]] = defaultdict(Counter)
        for slot, pod, labels in self._told:
            if book.knows(Child.of(pod)):
                said[slot, book.resolve(pod).workload][labels] += 1
        most = {key: max(sorted(of), key=of.__getitem__) for key, of in said.items()}
        usages = tuple(
            replace(usage, labels=self._kept(usage.workload, most.get((usage.slot, usage.workload), ())))
            if self._concerns(usage.workload.namespace)
            else usage
            for usage in reading.usages
        )
        missing = self._wanted.always if not self.keys_told & set(self._wanted.always) else ()
        problems = (_absent(missing),) if missing else ()
        return replace(reading, usages=usages, problems=(*reading.problems, *problems))

    def _concerns(self, namespace: str) -> bool:
        selected = self._wanted.selected
        return bool(namespace) and (bool(self._wanted.always) or "" in selected or namespace in selected)

    def _kept(self, workload: Workload, most: Labels) -> Labels:
        told, selected = dict(most), self._wanted.selects(workload.namespace)
        absent = dict.fromkeys(selected & self._exported, "")
        keys = {*self._wanted.always, *selected}
        return tuple(sorted((absent | {key: told[key] for key in told.keys() & keys}).items()))


def read_pod_labels(
    source: PromSource,
    queries: Queries,
    interval: Interval,
    wanted: Wanted,
    exported: Collection[str] = (),
) -> PodLabels:
    """The pods of an interval that have any of these labels."""
    spelled = {label_in_metrics(key): key for key in wanted.keys}
    having = [Matcher(name, "!=", "") for name in spelled]

    def query(seconds: int) -> str:
        return queries.pod_labels(tuple(spelled), having, seconds)

    whole = Grid(interval, SLOT_SECONDS)
    series = over_range(source, query(SLOT_SECONDS), whole).series
    # The last slot of a head is not over yet.
    if (begun := slot_of(interval.end)) < interval.end:
        series += over_window(source, query, Interval(begun, interval.end)).series
    told = (
        (slot_of(int(t) - 1), _pod(labels), _spoken(labels, spelled))
        for labels, times, _ in series
        for t in times
    )
    return PodLabels(wanted, told, exported)


def _pod(labels: Mapping[str, str]) -> PodKey:
    return PodKey(own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))


def _spoken(labels: Mapping[str, str], spelled: Mapping[str, str]) -> Labels:
    return tuple(sorted((key, labels[name]) for name, key in spelled.items() if labels.get(name)))


def _absent(keys: Sequence[str]) -> str:
    listed = ",".join(keys)
    return (
        f"kube_pod_labels tells none of the labels {listed}. Let kube-state-metrics export them with "
        f"--metric-labels-allowlist=pods=[{listed}]."
    )


def _links(answer: Iterable[Series], book: OwnerBook) -> Iterator[OwnerLink]:
    for labels, _, _ in answer:
        pod = PodKey(own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))
        named = named_by({key: labels[name] for name, key in _SPELLED.items() if labels.get(name)})
        if named is None or not book.knows(Child.of(pod)):
            continue
        chain = book.chain(book.resolve(pod).workload)
        kind, name = chain[-1].kind, chain[-1].name
        if kind not in (*LINKS, "Pod") and all((one.kind, one.name) != named for one in chain):
            yield OwnerLink(Child(pod.namespace, kind, name), named)


def _settled(slots: Mapping[int, set[str]]) -> tuple[Sequence[int], Sequence[str]]:
    """One team in each slot: of two, the label changed, and it is the one that was not there before."""
    found: dict[int, str] = {}
    before = ""
    for slot in sorted(slots):
        before = min(slots[slot] - {before}, default=before)
        found[slot] = before
    return list(found), list(found.values())
