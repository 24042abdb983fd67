"""Small pasts whose exact bill is known: each has two hours of a day of its own in one Prometheus.

Scrapes come every 30 s at 7 s past, pods come and go on multiples of 30 s, so every pod is seen as many
times as it has steps and the bill is exact to the second. Seconds in here count from the case's own
midnight.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from aibudget.sandbox.exporter import ksm_target
from aibudget.sandbox.exposition import selector
from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes
from aibudget.sandbox.snapshot import GPU, Container, Node, Owned, Owner, Pod

DAY = 86_400
HOURS = 7_200
AROUND = 1_200
EPOCH = 1_767_225_600  # 2026-01-01T00:00:00Z
LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-L4",
    "node.kubernetes.io/instance-type": "g6.12xlarge",
    "karpenter.sh/capacity-type": "on-demand",
}
FAMILIES = frozenset(
    {
        "kube_node_info",
        "kube_node_labels",
        "kube_node_status_capacity",
        "kube_node_status_allocatable",
        "kube_pod_container_resource_requests",
        "kube_pod_status_phase",
        "kube_pod_owner",
        "kube_replicaset_owner",
        "kube_job_owner",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "DCGM_FI_DEV_GPU_UTIL",
    }
)


DATED = FAMILIES | {
    "kube_pod_status_scheduled_time",
    "kube_pod_completion_time",
    "kube_pod_restart_policy",
}


@dataclass(frozen=True, slots=True)
class Past:
    """One exporter's view: what was there and when it was scraped; `families` that it told of."""

    history: History
    scrapes: tuple[ScrapeHistory, ...]
    families: frozenset[str] = FAMILIES


@dataclass(frozen=True, slots=True)
class Case:
    """`bill` is GPU-seconds by (namespace, capacity type); `notes` are words that the notes on stderr must
    have.
    """

    name: str
    past: Callable[[int], Iterable[Past]]
    bill: Mapping[tuple[str, str | None], int]
    coverage: int = 100
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    priced: bool = True
    more: Callable[[int], str] = field(default=lambda _: "")


def node(name: str = "gpu-1", **changed: str) -> Node:
    """A node of four devices."""
    return cut({GPU: 4.0}, name, **changed)


def cut(offered: Mapping[str, float], name: str = "gpu-1", **changed: str) -> Node:
    """A node whose devices are handed out otherwise than one by one."""
    return Node(name, {**LABELS, **changed}, offered, offered)


def pod(
    namespace: str,
    name: str,
    start: int,
    life: tuple[int | None, int],
    *,
    uid: str = "",
    owner: Owner | None = None,
    gpus: float = 1.0,
    on: str = "gpu-1",
    utilisation: float = 90.0,
    removed: int | None = None,
    resource: str = GPU,
) -> PodHistory:
    """GPUs held from `life[0]` to `life[1]`; None is never bound. `removed` lets the object linger."""
    bound, ended = life
    thing = Pod(
        namespace,
        name,
        uid or f"{namespace}-{name}-{start}",
        (Container("main", {"cpu": 1.0, resource: gpus}),),
        start + (bound or 0) - 60,
        on,
        owners=(owner,) if owner else (),
        utilisation=utilisation,
    )
    return PodHistory(
        thing,
        None if bound is None else start + bound,
        None if bound is None else start + bound + 120,
        start + ended,
        start + (ended if removed is None else removed),
        devices=(0,),
    )


def scrape(
    start: int, begin: int = -AROUND, end: int = HOURS + AROUND, offset: int = 7, **target: str
) -> ScrapeHistory:
    """Scrapes at 7 s past each half minute."""
    return ScrapeHistory(start + begin, start + end, 30.0, offset, target={**ksm_target(0), **target})


def whole(start: int, namespace: str = "team", on: str = "gpu-1", utilisation: float = 90.0) -> PodHistory:
    """A pod that is there all the time."""
    life = (-AROUND, HOURS + AROUND)
    return pod(namespace, "always", start, life, on=on, utilisation=utilisation)


def simple(start: int, *pods: PodHistory, scrapes: Iterable[ScrapeHistory] = ()) -> list[Past]:
    """One node, and one kube-state-metrics that is always there."""
    return [Past(History(pods, [Present(node())]), tuple(scrapes) or (scrape(start),))]


def flipped(start: int) -> list[Past]:
    """A node that becomes spot after an hour."""
    spot = replace(node(), labels={**LABELS, "karpenter.sh/capacity-type": "spot"})
    present = [Present(node(), end=start + 3600), Present(spot, start=start + 3600)]
    return [Past(History([whole(start)], present), (scrape(start),))]


def shards(start: int) -> list[Past]:
    """Two shards; the second is away for ten minutes and comes back under another address."""
    second = "10.0.0.99:8080"
    return [
        Past(History([whole(start, "one")], [Present(node("gpu-1"))]), (scrape(start),)),
        Past(
            History([whole(start, "two", on="gpu-2")], [Present(node("gpu-2"))]),
            (
                scrape(start, end=1800, instance=second),
                scrape(start, begin=2400, instance="10.0.0.98:8080"),
            ),
        ),
    ]


SLICED = {"nvidia.com/gpu.count": "1", "nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}
SHARERS = tuple(f"team-{n}" for n in range(1, 5))


def sharers(start: int, offered: Mapping[str, float], labels: Mapping[str, str], resource: str) -> list[Past]:
    """Four pods on a device that is handed out four times."""
    life = (-AROUND, HOURS + AROUND)
    pods = [pod(name, "always", start, life, resource=resource) for name in SHARERS]
    return [Past(History(pods, [Present(cut(offered, **labels))]), (scrape(start),))]


def reconfigured(start: int) -> list[Past]:
    """A device that is handed out whole, and from an hour on four times."""
    whole_one = cut({GPU: 1.0}, **{"nvidia.com/gpu.count": "1"})
    present = [Present(whole_one, end=start + 3600), Present(cut({GPU: 4.0}, **SLICED), start=start + 3600)]
    return [Past(History([whole(start)], present), (scrape(start),))]


def instances(start: int) -> list[Past]:
    """A card cut into seven, and one cut up by the mixed strategy."""
    h100, seven = "NVIDIA-H100-80GB-HBM3", "nvidia.com/mig-3g.40gb"
    labels = {"nvidia.com/gpu.product": f"{h100}-MIG-1g.10gb", "nvidia.com/gpu.count": "7"}
    mixed = {"nvidia.com/gpu.product": h100, "nvidia.com/gpu.count": "1"}
    life = (0, HOURS)
    pods = [
        *(pod("single", f"p{n}", start, life) for n in range(7)),
        pod("mixed", "p", start, life, on="gpu-2", resource=seven),
    ]
    nodes = cut({GPU: 7.0}, **labels), cut({seven: 2.0}, "gpu-2", **mixed)
    return [Past(History(pods, [Present(one) for one in nodes]), (scrape(start),))]


def owned(start: int) -> list[Past]:
    """A pod of a Deployment and one of a CronJob."""
    deployed = pod("team", "web-1-a", start, (600, 1200), owner=Owner("ReplicaSet", "web-1"))
    nightly = pod("team", "night-1-b", start, (600, 900), owner=Owner("Job", "night-1"))
    things = [
        Present(node()),
        Present(Owned("ReplicaSet", "team", "web-1", (Owner("Deployment", "web"),))),
        Present(Owned("Job", "team", "night-1", (Owner("CronJob", "night"),))),
    ]
    return [Past(History([deployed, nightly], things), (scrape(start),))]


def known(start: int) -> list[Past]:
    """A Deployment of KServe, a StatefulSet of a LeaderWorkerSet, and a team that changes hands."""
    served = pod("team", "llm-1-a", start, (0, 3600), owner=Owner("ReplicaSet", "llm-1"))
    member = pod("other", "group-0", start, (0, 1800), owner=Owner("StatefulSet", "group"))
    things = [Present(node()), Present(Owned("ReplicaSet", "team", "llm-1", (Owner("Deployment", "llm"),)))]
    return [Past(History([served, member], things), (scrape(start),))]


def kin(start: int) -> str:
    """What `known` is part of: by an owner, by labels of pods, and by a label of the namespaces."""
    exporter = {**ksm_target(0), "job": "kube-state-metrics"}
    owner = {"namespace": "team", "deployment": "llm", "owner_kind": "Revision", "owner_name": "llm-00001"}
    controls = {**exporter, **owner, "owner_is_controller": "true"}
    served = {"namespace": "team", "pod": "llm-1-a", "uid": f"team-llm-1-a-{start}"}
    member = {"namespace": "other", "pod": "group-0", "uid": f"other-group-0-{start}"}
    told = [
        ("kube_deployment_owner", controls, range(0, HOURS, 30)),
        (
            "kube_pod_labels",
            {**exporter, **served, "label_serving_kserve_io_inferenceservice": "chat"},
            range(0, 3600, 30),
        ),
        (
            "kube_pod_labels",
            {**exporter, **member, "label_leaderworkerset_sigs_k8s_io_name": "group"},
            range(0, 1800, 30),
        ),
        *(
            ("kube_namespace_labels", {**exporter, "namespace": "team", "label_aibudget_io_team": name}, when)
            for name, when in (("audio", range(0, 1800, 30)), ("vision", range(1800, HOURS, 30)))
        ),
    ]
    server = {"job": "vllm", "instance": "10.1.1.1:8000", "namespace": "team", "pod": "llm-1-a"}
    told.append(("up", server, range(-600, 3600, 30)))
    tokens = selector("vllm:generation_tokens_total", {**server, "model_name": "llama"}.items())
    return "".join(
        [
            *(
                f"{selector(family, labels.items())} 1 {start + second + 7}\n"
                for family, labels, seconds in told
                for second in seconds
            ),
            *(f"{tokens} {(second + 600) * 100} {start + second + 7}\n" for second in range(-600, 3600, 30)),
        ]
    )


def divided(start: int) -> str:
    """Labels of three pods: one moves to another part of its team at half an hour, one has none."""
    exporter = {**ksm_target(0), "job": "kube-state-metrics", "namespace": "team"}
    told = [("first", "detector", range(0, 3600, 30)), ("moved", "chat", range(0, 1800, 30))]
    told += [("moved", "detector", range(1800, 3600, 30)), ("first", "", range(3600, HOURS, 30))]
    lines = []
    for name, part, when in told:
        who = {**exporter, "pod": name, "uid": f"team-{name}-{start}", "label_app_part": part}
        lines += [f"{selector('kube_pod_labels', who.items())} 1 {start + t + 7}\n" for t in when]
    return "".join(lines)


def observed(start: int) -> list[Past]:
    """Two pods, one of which dcgm-exporter tells of."""
    pods = whole(start, utilisation=25.0), whole(start, "other")
    dcgm = replace(dcgm_scrapes(start - AROUND, start + HOURS + AROUND), offset=11)
    return [*simple(start, *pods), Past(History(pods[:1], [Present(node())]), (dcgm,))]


def beginning(start: int) -> str:
    """An init container that asks for more than the pod's own, and the pod's overhead."""
    times = [start + second + 7 for second in range(-AROUND, HOURS + AROUND, 30)]
    who = {
        **ksm_target(0),
        "job": "kube-state-metrics",
        "namespace": "team",
        "pod": "always",
        "uid": f"team-always-{start}",
    }
    asked = {**who, "container": "init", "node": "gpu-1"}
    init = "kube_pod_init_container_resource_requests"
    told = {
        selector(init, {**asked, "resource": "cpu", "unit": "core"}.items()): 3,
        selector(init, {**asked, "resource": "memory", "unit": "byte"}.items()): 2**30,
        selector("kube_pod_overhead_cpu_cores", who.items()): 0.25,
    }
    return "".join(f"{series} {value} {t}\n" for series, value in told.items() for t in times)


def poison(start: int) -> str:
    """Containers that ask for what cannot be counted, beside honest ones."""
    times = [start + second + 7 for second in range(-AROUND, HOURS + AROUND, 30)]
    lines = []
    for number, value in enumerate(("NaN", "-5", "+Inf", "1e300")):
        who = {
            **ksm_target(0),
            "job": "kube-state-metrics",
            "namespace": "bad",
            "pod": f"p{number}",
            "uid": f"u{number}",
        }
        phase = selector("kube_pod_status_phase", {**who, "phase": "Running"}.items())
        asked = {**who, "container": "main", "node": "gpu-1", "resource": "nvidia_com_gpu", "unit": "integer"}
        requests = selector("kube_pod_container_resource_requests", asked.items())
        lines += [f"{phase} 1 {t}\n" for t in times] + [f"{requests} {value} {t}\n" for t in times]
    return "".join(lines)


def dated(start: int) -> list[Past]:
    """Pods at odd seconds, of a kube-state-metrics that tells when they began and ended."""
    ending = [
        *(pod("jobs", f"j{t}", start, (t, t + 90), removed=t + 600) for t in range(613, 6600, 251)),
        # Between two scrapes, which are at 7 s past each half minute.
        pod("brief", "between", start, (1269, 1279), removed=1800),
        pod("brief", "over-a-slot", start, (889, 905), removed=1800),
    ]
    jobs = [replace(one, pod=replace(one.pod, restart_policy="Never")) for one in ending]
    others = [
        pod("long", "always", start, (-600, HOURS + 600), on="gpu-2"),
        # Gone without a word of when: to the step.
        pod("gone", "p", start, (611, 1234)),
    ]
    present = [Present(node()), Present(node("gpu-2"))]
    return [Past(History([*jobs, *others], present), (scrape(start),), DATED)]


def claims(start: int, away: range = range(1801, 1980)) -> str:
    """What AIBudget tells of itself, scraped at 19 s past each half minute: a pod with two devices, two that
    share one, and an instance of MIG; for some minutes of them it was away.
    """
    target = {"job": "aibudget", "instance": "10.0.0.50:8080"}
    where = {"node": "gpu-1", "driver": "gpu.nvidia.com", "product": "NVIDIA-H100-80GB-HBM3"}
    rows = (("both", 2, "", "1"), ("one", 1, "", "1/2"), ("two", 1, "", "1/2"), ("part", 1, "3g.40gb", "1"))
    scrapes = [t for t in range(start - AROUND + 19, start + HOURS + AROUND, 30) if t - start not in away]
    lines = []
    for name, number, profile, part in rows:
        who = {"namespace": f"claims-{name}", "pod": name, "uid": f"{name}-{start}", **where}
        row = selector(
            "aibudget_dra_device_held", {**target, **who, "profile": profile, "part": part}.items()
        )
        lines += [f"{row} {number} {t}\n" for t in scrapes if 600 <= t - start < 4200]
    leads = selector("aibudget_leader", target.items())
    return "".join([*lines, *(f"{leads} 1 {t}\n" for t in scrapes)])


DEMAND = "on-demand"
CASES = (
    Case(
        "gap-of-twenty-minutes",
        lambda s: simple(s, whole(s), scrapes=(scrape(s, end=2400), scrape(s, begin=3600))),
        {("team", DEMAND): HOURS - 1200},
        coverage=83,
    ),
    Case(
        "one-missed-scrape",
        lambda s: simple(
            s,
            whole(s),
            pod("short", "p", s, (600, 3600)),
            scrapes=(scrape(s, end=2400), scrape(s, begin=2430)),
        ),
        {("team", DEMAND): HOURS, ("short", DEMAND): 3000},
    ),
    Case(
        "gap-of-four-minutes",
        lambda s: simple(s, whole(s), scrapes=(scrape(s, end=2400), scrape(s, begin=2640))),
        {("team", DEMAND): HOURS},
    ),
    Case(
        "names-that-return",
        lambda s: simple(
            s,
            pod("team", "db-0", s, (600, 1800), uid="a"),
            pod("team", "db-0", s, (1800, 2400), uid="b"),
            pod("team", "db-0", s, (5400, 6000), uid="c"),
        ),
        {("team", DEMAND): 2400},
    ),
    Case(
        "finished-jobs-linger",
        lambda s: simple(
            s, pod("team", "job", s, (600, 1200), removed=3600), pod("team", "two", s, (600, 1200))
        ),
        {("team", DEMAND): 1200},
    ),
    Case(
        "never-scheduled",
        lambda s: simple(s, pod("waiting", "p", s, (None, 3600)), pod("team", "p", s, (600, 1200))),
        {("team", DEMAND): 600},
    ),
    Case(
        "two-kube-state-metrics",
        lambda s: simple(
            s,
            pod("team", "p", s, (600, 1200)),
            pod("team", "q", s, (3600, 5400), gpus=3.0),
            scrapes=(scrape(s), replace(scrape(s, offset=22), target=ksm_target(1))),
        ),
        {("team", DEMAND): 600 + 3 * 1800},
    ),
    Case(
        "two-prometheus-replicas",
        lambda s: simple(
            s,
            pod("team", "p", s, (600, 1200)),
            scrapes=(scrape(s, prometheus_replica="a"), scrape(s, offset=29, prometheus_replica="b")),
        ),
        {("team", DEMAND): 600},
    ),
    Case("a-label-changes", flipped, {("team", DEMAND): 3600, ("team", "spot"): 3600}),
    Case(
        "values-that-are-none",
        lambda s: simple(s, whole(s)),
        {("team", DEMAND): HOURS},
        coverage=20,
        notes=("were no count of devices",),
        more=poison,
    ),
    Case("reserved", lambda s: simple(s, whole(s)), {("team", DEMAND): HOURS}, more=beginning),
    Case(
        "no-node-labels",
        lambda s: [replace(past, families=FAMILIES - {"kube_node_labels"}) for past in simple(s, whole(s))],
        {("team", None): HOURS},
        notes=("--metric-labels-allowlist",),
        priced=False,
    ),
    Case(
        "phases-come-late",
        lambda s: [
            *(replace(past, families=FAMILIES - {"kube_pod_status_phase"}) for past in simple(s, whole(s))),
            Past(
                History([whole(s)]),
                (scrape(s, begin=3600, container="late"),),
                families=frozenset({"kube_pod_status_phase"}),
            ),
        ],
        {("team", DEMAND): 3600},
        coverage=50,
        notes=("kube_pod_status_phase was missing",),
    ),
    Case("a-shard-is-away", shards, {("one", DEMAND): HOURS, ("two", DEMAND): HOURS - 600}, coverage=91),
    Case(
        "labels-not-honored",
        lambda s: simple(
            s,
            pod("team", "p", s, (600, 1200)),
            pod("waiting", "q", s, (None, 3600)),
            scrapes=(replace(scrape(s), job="raw"),),
        ),
        {("team", DEMAND): 600},
        flags=("--kube-state-metrics-matchers", 'job="raw"'),
    ),
    Case(
        "one-of-two-clusters",
        lambda s: [
            *simple(s, pod("team", "p", s, (600, 1200)), scrapes=(scrape(s, cluster="a"),)),
            *simple(s, pod("team", "p", s, (600, 3600)), scrapes=(scrape(s, cluster="b"),)),
        ],
        {("team", DEMAND): 600},
        flags=("--cluster-matchers", 'cluster="a"'),
    ),
    Case(
        "devices-are-shared",
        lambda s: [
            Past(
                History([whole(s)], [Present(node(**{"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}))]),
                (scrape(s),),
            )
        ],
        {("team", DEMAND): HOURS},
        priced=False,
    ),
    Case(
        "four-slice-a-gpu",
        lambda s: sharers(s, {GPU: 4.0}, SLICED, GPU),
        {(name, DEMAND): HOURS // 4 for name in SHARERS},
    ),
    Case(
        "four-share-a-gpu-by-name",
        lambda s: sharers(
            s, {f"{GPU}.shared": 4.0, GPU: 0.0}, {"nvidia.com/gpu.count": "1"}, f"{GPU}.shared"
        ),
        {(name, DEMAND): HOURS // 4 for name in SHARERS},
    ),
    Case("a-share-changes", reconfigured, {("team", DEMAND): 3600 + 900}),
    Case(
        "instances",
        instances,
        # A millisecond a slot and pod at most is rounded down.
        {("single", DEMAND): HOURS, ("mixed", DEMAND): round(HOURS * 3 / 7)},
    ),
    Case(
        "times-are-told",
        dated,
        {
            ("jobs", DEMAND): 24 * 90,
            ("brief", DEMAND): 26,
            ("long", DEMAND): HOURS,
            ("gone", DEMAND): 600,
        },
    ),
    Case(
        "claims",
        lambda s: simple(s, whole(s)),
        {
            ("team", DEMAND): HOURS,
            ("claims-both", DEMAND): 2 * 3600,
            ("claims-one", DEMAND): 1800,
            ("claims-two", DEMAND): 1800,
            ("claims-part", DEMAND): round(3600 * 3 / 7),
        },
        more=claims,
    ),
    # Told of last at 1789 and then again at 2719, and believed for a minute: of 29 steps that nobody tells of
    # four of five holdings are in doubt.
    Case(
        "claims-untold",
        lambda s: simple(s, whole(s)),
        {
            ("team", DEMAND): HOURS,
            ("claims-both", DEMAND): 2 * (3600 - 29 * 30),
            ("claims-one", DEMAND): (3600 - 29 * 30) // 2,
            ("claims-two", DEMAND): (3600 - 29 * 30) // 2,
            ("claims-part", DEMAND): round((3600 - 29 * 30) * 3 / 7),
        },
        coverage=90,
        notes=("nobody told who holds devices by ResourceClaims",),
        more=lambda s: claims(s, range(1801, 2701)),
    ),
    Case("owners", owned, {("team", DEMAND): 900}),
    Case("kin", known, {("team", DEMAND): 3600, ("other", DEMAND): 1800}, more=kin),
    Case(
        "parts",
        lambda s: simple(
            s,
            pod("team", "first", s, (0, 3600)),
            pod("team", "moved", s, (600, 3000), gpus=2.0),
            pod("team", "plain", s, (0, HOURS)),
            pod("other", "first", s, (0, HOURS)),
        ),
        {("team", DEMAND): 3600 + 2 * 2400 + HOURS, ("other", DEMAND): HOURS},
        more=divided,
    ),
    Case("devices-observed", observed, {("team", DEMAND): HOURS, ("other", DEMAND): HOURS}),
    Case("nothing-at-all", lambda _: [], {}),
)
BEGINS = {case.name: EPOCH + number * DAY for number, case in enumerate(CASES)}
