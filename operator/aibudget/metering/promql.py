"""The PromQL that the `gpu` meter asks, as text.

Every selector carries its source's matchers and the cluster's, with values escaped. Joins are one-to-one by
construction: both sides are aggregated by the same labels, so two kube-state-metrics or a reused pod name
cannot make them many-to-many. `exported_*` twins ride along in every grouping, so it does not matter
whether the scrape honors labels. Pure.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aibudget.errors import Stalled
from aibudget.inventory.accelerators import HAMI_PATTERN, METRICS_PATTERN

POD = "namespace, exported_namespace, pod, exported_pod, uid"
NODE = "node, exported_node"
DEVICE = "UUID, GPU_I_ID, GPU_I_PROFILE, modelName"
OTHER_DEVICE = "serial_number, gpu_id, gpu_compute_partition_type, accelerator_id"

SCHEDULED, COMPLETED = "kube_pod_status_scheduled_time", "kube_pod_completion_time"
# What AIBudget tells of itself: devices held by claims, by what; those that there are; and, at every scrape,
# whether it leads.
CLAIMED, CLAIMABLE, LEADER = "aibudget_dra_device_held", "aibudget_dra_devices", "aibudget_leader"
CLAIM = ("driver", "product", "profile", "part", "requested")
DEVICES = ("driver", "product", "profile", "usable")
# AIBudget is scraped at an interval of its own, which is seldom more than a minute; in milliseconds.
OWN_WINDOW = 63_000

# How often the survey counts series, in seconds; a shorter look back could fall between two counts.
SIZING = 900
# Names that go into one regex.
MOST_NAMES = 1000

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Matcher(NamedTuple):
    """One label matcher; `value` is unescaped."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value.translate(_ESCAPES)}"'


Matchers = tuple[Matcher, ...]

# A pod that is restarted whenever it ends does not come to an end: it is deleted.
ENDING = ("kube_pod_restart_policy", Matcher("type", "!=", "Always"))


def matchers(text: str) -> Matchers:
    """`job="x",team=~"a|b"` as a person writes it. Raises Stalled on anything else."""
    found, rest = [], text.strip()
    while rest:
        match = _MATCHER.match(rest)
        if match is None:
            raise Stalled(
                "InvalidSettings", f'{text!r} are no label matchers. Write them as job="name",cluster="a".'
            )
        label, operator, value = match.groups()
        found.append(Matcher(label, operator, re.sub(r"\\(.)", _unescaped, value)))
        rest = rest[match.end() :]
    return tuple(found)


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def one_of(label: str, names: Iterable[str]) -> Matcher:
    """A matcher for exactly these values."""
    return Matcher(label, "=~", "|".join(re.escape(name) for name in sorted(names)))


def _few(label: str, names: Collection[str]) -> list[Matcher]:
    """A matcher for exactly these values, none for many: a long regex costs more than reading on."""
    return [one_of(label, names)] if len(names) <= MOST_NAMES else []


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries over one pair of sources; `window` is always a look-back in milliseconds."""

    kube_state_metrics: Matchers
    dcgm: Matchers
    cluster: Matchers = ()
    accelerators: str = METRICS_PATTERN

    def survey(self, seconds: int) -> str:
        """`family` newest: the node seen last in the seconds before, valued with the time of its last
        scrape; pods and accelerators: the most series at once; dated: how many pods run to
        their end; devices: whether AIBudget told of any for claims.
        """
        seconds = max(seconds, SIZING)
        info = self._state("kube_node_info")
        pods = self._state("kube_pod_status_phase", Matcher("phase", "=", "Running"))
        return _families(
            {
                "newest": f"topk(1, max by ({NODE}) (max_over_time(timestamp({info})[{seconds}s:300s])))",
                "pods": f"max_over_time(count({pods})[{seconds}s:{SIZING}s])",
                "accelerators": f"max_over_time(count({self._requests()})[{seconds}s:{SIZING}s])",
                "dated": f"max_over_time(count({self._state(*ENDING)})[{seconds}s:300s])",
                "devices": f"max_over_time(count({selector(CLAIMABLE, self.cluster)})[{seconds}s:300s])",
            }
        )

    def scrapes_of(self, node: Matcher, seconds: int) -> str:
        """Raw samples of one node's info, from each instance that tells of it."""
        return f"{self._state('kube_node_info', node)}[{seconds}s]"

    def coverage(self, window: int) -> str:
        """`family` source: nodes told of by (cluster, instance); nodes: how many there are; claims: whether
        AIBudget could tell who holds devices by them; down: which targets could not be scraped;
        scraped: when the newest scrape was.
        """
        leader = selector(LEADER, self.cluster)
        info = _fresh(self._state("kube_node_info"), window)
        return _families(
            {
                "scraped": f"max(timestamp({self._state('kube_node_info')}))",
                "source": f"count by (cluster, instance) ({info})",
                "nodes": f"count(group by ({NODE}) ({info}))",
                "down": f"count by (cluster, instance) ({_fresh(self._state('up'), window)} == 0)",
                "claims": f"count({_fresh(leader, max(window, OWN_WINDOW))} == 1)",
            }
        )

    def phaseless(self, window: int) -> str:
        """How many pods ask for accelerators and have no phase at all."""
        phase = last(self._state("kube_pod_status_phase", Matcher("phase", "=", "Running")), window)
        requests = _fresh(self._requests(), window)
        return f"count(group by ({POD}) ({requests}) unless on ({POD}) {phase})"

    def held(self, window: int, step: int | None) -> str:
        """Units of each accelerator resource that each container holds: bound, and Pending or Running. Beside
        them, by `driver`, the devices that each pod holds by claims, as AIBudget itself tells it; and, by
        `family`, when pods began and ended, which needs the `step`; None where no pod runs to its end.

        Only what the newest scrape of its exporter told counts. A look-back alone would hold a pod whose
        series ended for one scrape more wherever two scrapes fall into it, which with a fixed scrape offset
        is never or always. Where node info is scraped by another job, there is no newest scrape to compare
        with and the look-back decides.
        """
        claims = f"max by ({POD}, {NODE}, {', '.join(CLAIM)}) ({self._told(CLAIMED, window)})"
        requests = self._requests(HAMI_PATTERN)
        held = f"{self.held_of(requests, window)} or {claims}"
        return held if step is None else f"{held} or {self._edges(requests, window, step)}"

    def _edges(self, requests: str, window: int, step: int) -> str:
        """`family` scheduled and completed: when, of pods that run to their end, and began or ended so lately
        that the steps around may show it; finished: what those that ended held.
        """
        since = f"time() - {2 * step + window / 1000}"
        # These never change while a pod is there: the plain look-back, which costs least, does no harm.
        scheduled, completed = (
            f"max by ({POD}) ({self._state(name)} > {since})" for name in (SCHEDULED, COMPLETED)
        )
        times = _families({"scheduled": scheduled, "completed": completed})
        finished = _families({"finished": f"({requests} and on ({POD}) {completed})"})
        return f"({times}) and on ({POD}) {self._state(*ENDING)} or {finished}"

    def held_of(self, requests: str, window: int) -> str:
        """The same of any selector of requests by container."""
        phase = self._state("kube_pod_status_phase", Matcher("phase", "=~", "Pending|Running"))
        return (
            f"max by ({POD}, container, exported_container, {NODE}, resource)"
            f" ({self._newest(requests, window)})"
            f" and on ({POD}) {last(phase, window)} == 1"
        )

    def reserved(self, window: int) -> str:
        """The effective requests of each bound pod that is Pending or Running: cpu in cores, memory in bytes.

        The larger of what its containers ask for together and what one of its init containers asks for, and
        its overhead on top, as the scheduler counts. Each operand is aggregated by the same labels.
        """
        by = f"{POD}, {NODE}, resource"
        containers = f"sum by ({by}) ({self._once('kube_pod_container_resource_requests', window)})"
        beginning = f"max by ({by}) ({self._once('kube_pod_init_container_resource_requests', window)})"
        asked = f"(({containers} > {beginning}) or {beginning} or {containers})"
        overhead = " or ".join(
            f"label_replace(max by ({POD}) ({last(self._state(family), window)}),"
            f' "resource", "{resource}", "", "")'
            for resource, family in OVERHEAD.items()
        )
        phase = self._state("kube_pod_status_phase", Matcher("phase", "=~", "Pending|Running"))
        return (
            f"({asked} + on ({POD}, resource) group_left () ({overhead}) or {asked})"
            f" * on ({POD}) group_left () max by ({POD}) ({last(phase, window)} == 1)"
        )

    def capacity(self, window: int, *, claimable: bool = False) -> str:
        """`family` offered: units of each accelerator resource that each node has; unusable: how many of them
        nobody could use, the device, its plug-in or the node being unwell, or the node cordoned. Where there
        are devices for claims, devices: how many, as AIBudget tells it; closed: nodes of no use.
        """
        by, accelerators = f"{NODE}, resource", self._accelerators()
        capacity = self._state("kube_node_status_capacity", accelerators)
        allocatable = _fresh(self._state("kube_node_status_allocatable", accelerators), window)
        ready = self._state(
            "kube_node_status_condition", Matcher("condition", "=", "Ready"), Matcher("status", "=", "true")
        )
        cordoned = _fresh(self._state("kube_node_spec_unschedulable"), window)
        offered = f"max by ({by}) ({self._newest(capacity, window)})"
        closed = f"(max by ({NODE}) ({_fresh(ready, window)}) == 0 or max by ({NODE}) ({cordoned}) == 1)"
        unhealthy = f"{offered} - on ({by}) max by ({by}) ({allocatable})"
        unusable = f"({offered} and on ({NODE}) {closed} or ({unhealthy}))"
        families = {"offered": f"({offered} > 0)", "unusable": f"({unusable} > 0)"}
        if claimable:
            told = self._told(CLAIMABLE, window)
            families |= {"devices": f"max by ({NODE}, {', '.join(DEVICES)}) ({told})", "closed": closed}
        return _families(families)

    def nodes(self, labels: Iterable[str], window: int, step: int, whole_until: int) -> str:
        """Each node's labels, and how many units of each resource it has, when they are new against the step
        before; all of them up to `whole_until`.

        Capacity before allocatable: a device that is unhealthy is no share of the others.
        """
        settled = f"and on () vector(time()) > {whole_until}"
        told = self._state("kube_node_labels")
        offered = [
            self._state(f"kube_node_status_{what}", self._accelerators())
            for what in ("capacity", "allocatable")
        ]

        def labelled(ago: str = "") -> str:
            return f"group by ({', '.join((NODE, *labels))}) (last_over_time({told}[{window}ms]{ago}))"

        def units(ago: str = "") -> str:
            each = (f"max by ({NODE}, resource) (last_over_time({one}[{window}ms]{ago}))" for one in offered)
            return f"({' or '.join(each)})"

        ago = f" offset {step}s"
        return (
            f"({labelled()} unless ({labelled(ago)} {settled}))"
            f" or ({units()} unless ({units()} == {units(ago)} {settled}))"
        )

    def pod_owners(self, pods: Collection[tuple[str, str]], seconds: int) -> str:
        """The controllers of these pods, by (namespace, name), and of some others. Of many pods those of all
        their namespaces are asked for: a long regex costs more.
        """
        controller = Matcher("owner_is_controller", "=~", "true|")
        few = len(pods) <= MOST_NAMES
        label, names = ("pod", {pod for _, pod in pods}) if few else ("namespace", {of for of, _ in pods})
        asked = [
            last(self._state("kube_pod_owner", controller, one_of(f"{twin}{label}", names)), seconds * 1000)
            for twin in ("", "exported_")
        ]
        return f"group by ({POD}, owner_kind, owner_name) ({' or '.join(asked)})"

    def owners(self, names: Mapping[str, Collection[str]], seconds: int) -> str:
        """The controllers of these ReplicaSets and Jobs, and of every Deployment that has one. Of many names
        all are asked for.
        """
        controller = Matcher("owner_is_controller", "=~", "true|")
        asked = {kind: (controller, *_few(OWNED[kind][1], wanted)) for kind, wanted in names.items()}
        asked["Deployment"] = (controller, Matcher("owner_kind", "!=", ""))
        return " or ".join(
            f"group by (namespace, exported_namespace, {label}, owner_kind, owner_name)"
            f" ({last(self._state(family, *asked[kind]), seconds * 1000)})"
            for kind, (family, label) in OWNED.items()
            if kind in asked
        )

    def namespace_labels(self, label: str, seconds: int) -> str:
        """The namespaces with each value of a label that they had in the seconds before."""
        labels = self._state("kube_namespace_labels", Matcher(label, "!=", ""))
        return f"group by (namespace, exported_namespace, {label}) ({last(labels, seconds * 1000)})"

    def pod_labels(self, labels: Collection[str], having: Iterable[Matcher], seconds: int) -> str:
        """These labels of the pods of the seconds before that fit any of the matchers."""
        pods = (last(self._state("kube_pod_labels", matcher), seconds * 1000) for matcher in having)
        return f"group by ({POD}, {', '.join(labels)}) ({' or '.join(pods)})"

    def utilisation(self, window: int) -> str:
        """How busy each device was, 0 to 1, by the pod it is mapped to: of NVIDIA's, engine activity before
        GPU utilisation, which MIG instances do not have; of AMD's and Google's, their own.
        """
        mapped = "namespace, exported_namespace, pod, exported_pod"
        by, others = f"avg by ({DEVICE}, {mapped})", f"avg by ({OTHER_DEVICE}, {mapped})"
        uncut, tpu = Matcher("GPU_I_ID", "=", ""), Matcher("make", "=", "cloud-tpu")
        active, percent, amd, google = (
            f"avg_over_time({selector(name, matching)}[{window}ms])"
            for name, matching in (
                ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", self.dcgm),
                ("DCGM_FI_DEV_GPU_UTIL", (*self.dcgm, uncut)),
                ("gpu_gfx_activity", self.cluster),
                ("duty_cycle", (tpu, *self.cluster)),
            )
        )
        nvidia = f"{by} ({active}) or on (UUID, GPU_I_ID) {by} ({percent} / 100)"
        return f"{nvidia} or {others} ({amd} / 100) or {others} ({google} / 100)"

    def _newest(self, vector: str, window: int) -> str:
        """What the newest scrape of its exporter told, and no look-back holds on to for one scrape more.

        Where node info is scraped by another job there is no newest scrape to compare with.
        """
        return _newest(vector, self._state("kube_node_info"), window)

    def _told(self, name: str, window: int) -> str:
        """What the newest scrape of AIBudget itself told."""
        leader = selector(LEADER, self.cluster)
        return _newest(selector(name, self.cluster), leader, max(window, OWN_WINDOW))

    def _state(self, name: str, *more: Matcher) -> str:
        return selector(name, (*self.kube_state_metrics, *more))

    def _once(self, family: str, window: int) -> str:
        """CPU and memory requests, each container's once, however many exporters tell of it."""
        wanted = (Matcher("resource", "=~", "cpu|memory"), Matcher("node", "!=", ""))
        told = self._newest(self._state(family, *wanted), window)
        return f"max by ({POD}, container, exported_container, {NODE}, resource) ({told})"

    def _requests(self, *also: str) -> str:
        return self._state(
            "kube_pod_container_resource_requests", self._accelerators(*also), Matcher("node", "!=", "")
        )

    def _accelerators(self, *also: str) -> Matcher:
        return Matcher("resource", "=~", "|".join((self.accelerators, *also)))


OVERHEAD = {"cpu": "kube_pod_overhead_cpu_cores", "memory": "kube_pod_overhead_memory_bytes"}
OWNED = {
    "ReplicaSet": ("kube_replicaset_owner", "replicaset"),
    "Job": ("kube_job_owner", "job_name"),
    "Deployment": ("kube_deployment_owner", "deployment"),
}
"""Where the owners of each kind are told, and by which label it is named; of Deployments since 2.18."""


def selector(name: str, matching: Iterable[Matcher]) -> str:
    return f"{name}{{{','.join(map(str, matching))}}}"


def last(vector: str, window: int) -> str:
    """The last sample of each series within `window` milliseconds, be the series stale or not."""
    return f"last_over_time({vector}[{window}ms])"


def _newest(vector: str, scraped: str, window: int) -> str:
    """What is as new as what every scrape of the same target tells, or, where nothing does, no older than
    `window` milliseconds. One comparison with a time for each target: joining a hundred thousand series with
    themselves takes Prometheus twice as long.
    """
    oldest = f"time() - {(window - 1) / 1000}"
    newest = f"max by (instance, job) (timestamp({scraped})) > {oldest}"
    least = f"{newest} or 0 * group by (instance, job) ({vector}) + {oldest}"
    return f"({vector} unless timestamp({vector}) < on (instance, job) group_left () ({least}))"


def _fresh(vector: str, window: int) -> str:
    """The samples that are there now and no older than `window` milliseconds: five minutes would be the
    default.
    """
    return f"({vector} and (timestamp({vector}) > (time() - {window / 1000})))"


def _families(named: Mapping[str, str]) -> str:
    """Several questions in one query; the label `family` tells the answers apart."""
    return " or ".join(
        f'label_replace({vector}, "family", "{name}", "", "")' for name, vector in named.items()
    )
