"""AIMeters on a real Prometheus: what the macros come to, sample by sample.

The past is written by hand: one hour of scrapes each 30 s, on the minute and the half, of an application that
counts images and of what kube-state-metrics would say of its pods.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from aibudget.api.meter import MeterSpec
from aibudget.api.query import read
from aibudget.errors import Stalled
from aibudget.inventory.owners import OwnerBook
from aibudget.metering.catalogue import CUSTOM_SCALE
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.definition import Definition
from aibudget.metering.families import families
from aibudget.metering.macros import Scope, expanded
from aibudget.metering.memory import Memory
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.promql import Matcher, Queries
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress
from cluster.metering.conftest import Ask

pytestmark = pytest.mark.cluster

BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
KSM = 'job="kube-state-metrics",instance="ksm"'
CLUSTER = Matcher("cluster", "=", "eu")
SCOPE = Scope(Queries((Matcher("job", "=", "kube-state-metrics"), CLUSTER), ()), (CLUSTER,))

Value = Callable[[int], float | None]


def always(value: float) -> Value:
    """A series that never changes."""
    return lambda _t: value


def between(start: int, end: int, value: float = 1) -> Value:
    """A series that is there in [start, end)."""
    return lambda t: value if start <= t < end else None


def counting(start: int, end: int, first: float, per_second: float) -> Value:
    """A counter that is scraped first at `start` with `first`."""
    return lambda t: first + per_second * (t - start) if start <= t < end else None


def _owner(pod: str, kind: str, name: str, extra: str = "") -> str:
    return (
        f'kube_pod_owner{{{KSM},cluster="eu",namespace="team",pod="{pod}",uid="u-{pod}",'
        f'owner_kind="{kind}",owner_name="{name}",owner_is_controller="true"{extra}}}'
    )


GIB = 2**30


def _used(pod: str, container: str, cores: float, gib: float, **more: str) -> dict[str, Value]:
    """What cAdvisor tells of a container, from cores that it uses all the while and GiB that it has."""
    labels = {"namespace": "burst", "pod": pod, "container": container, "metrics_path": "/cadvisor", **more}
    of = 'cluster="eu",job="kubelet",' + ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {
        f"container_cpu_usage_seconds_total{{{of}}}": counting(0, 3600, 0, cores),
        f"container_memory_working_set_bytes{{{of}}}": always(gib * GIB),
    }


def _requesting(pod: str, cores: float, gib: float, away: range = range(0)) -> dict[str, Value]:
    """A running pod that asks for so much; nobody tells of its requests while they are `away`."""
    who = f'{KSM},cluster="eu",namespace="burst",pod="{pod}",uid="u-{pod}"'
    requests = f'kube_pod_container_resource_requests{{{who},container="main",node="n"'
    asked = {"cpu": cores, "memory": gib * GIB}
    return {
        f'kube_pod_status_phase{{{who},phase="Running"}}': always(1),
        **{f'{requests},resource="{name}"}}': but(away, amount) for name, amount in asked.items() if amount},
    }


def but(away: range, value: float) -> Value:
    """A series that never changes, but is not there for a while."""
    return lambda t: None if t in away else value


BURSTS: dict[str, Value] = {
    # Beyond its request by 2 cores and half a GiB, and told twice, its whole pod beside it and its pause.
    **_requesting("above", 1, 1),
    **_used("above", "main", 2.5, 1),
    **_used("above", "main", 2.5, 1, metrics_path="/resource"),
    **_used("above", "proxy", 0.5, 0.5),
    **_used("above", "", 3, 1.5),
    **_used("above", "POD", 0.25, 0.25),
    **_requesting("below", 4, 4),
    **_used("below", "main", 3, 3),
    # Asks for nothing; and one of which nobody knows what it uses.
    **_requesting("besteffort", 0, 0),
    **_used("besteffort", "main", 0.5, 0.25),
    **_requesting("unseen", 1, 1),
    # For two minutes nobody tells what it requests.
    **_requesting("doubtful", 1, 1, range(1800, 1920)),
    **_used("doubtful", "main", 2, 2),
}

PAST: dict[str, Value] = {
    **BURSTS,
    'up{cluster="eu",job="app",instance="a"}': always(1),
    # An old process: its level is a lifetime. It restarts at 1200 and goes on from 30.
    'images_total{cluster="eu",job="app",instance="a",namespace="team",pod="web-1-a"}': lambda t: (
        5000 + t if t < 1200 else 30 + (t - 1200)
    ),
    # A pod that began at 1790 and had counted 40 when it was scraped first.
    'images_total{cluster="eu",job="app",instance="b",namespace="team",pod="web-1-b"}': counting(
        1800, 3600, 40, 2
    ),
    # A series that is new, but not its pod: a baseline.
    'images_total{cluster="eu",job="app",instance="c",namespace="team",pod="batch-1-c"}': counting(
        1800, 3600, 9000, 1
    ),
    # Of another cluster, by the same names.
    'images_total{cluster="us",job="app",instance="a",namespace="team",pod="web-1-a"}': lambda t: 7.0 * t,
    'process_start_time_seconds{cluster="eu",job="app",instance="a"}': lambda t: (
        BEGIN - 9000 if t < 1200 else BEGIN + 1170
    ),
    **{
        f'kube_pod_start_time{{{KSM},cluster="eu",namespace="team",pod="{pod}"}}': between(
            max(0, start), 3600, BEGIN + start
        )
        for pod, start in (("web-1-a", -9000), ("web-1-b", 1790), ("batch-1-c", -9000))
    },
    _owner("web-1-a", "ReplicaSet", "web-1"): always(1),
    _owner("web-1-b", "ReplicaSet", "web-1"): between(1800, 3600),
    _owner("batch-1-c", "Job", "batch-1"): always(1),
    _owner("set-0", "StatefulSet", "set"): always(1),
    _owner("lost-1-x", "ReplicaSet", "lost-1"): always(1),
    f'kube_pod_owner{{{KSM},cluster="eu",namespace="team",pod="bare",uid="u-bare",owner_kind="",'
    'owner_name="",owner_is_controller=""}': always(1),
    f'kube_replicaset_owner{{{KSM},cluster="eu",namespace="team",replicaset="web-1",'
    'owner_kind="Deployment",owner_name="web",owner_is_controller="true"}': always(1),
    # Two exporters tell of it, one of them of an owner that is not the present one.
    f'kube_replicaset_owner{{{KSM.replace("ksm", "ksm-2")},cluster="eu",namespace="team",'
    'replicaset="web-1",owner_kind="Rollout",owner_name="web",owner_is_controller="true"}': between(0, 600),
    f'kube_job_owner{{{KSM},cluster="eu",namespace="team",job_name="batch-1",'
    'owner_kind="CronJob",owner_name="batch",owner_is_controller="true"}': always(1),
    f'kube_node_info{{{KSM},cluster="eu",node="n"}}': always(1),
    f'kube_pod_status_phase{{{KSM},cluster="eu",namespace="team",pod="set-0",uid="u-set-0",'
    'phase="Running"}': always(1),
    f'kube_pod_container_resource_requests{{{KSM},cluster="eu",namespace="team",pod="set-0",uid="u-set-0",'
    'container="main",node="n",resource="example_com_fpga",unit="integer"}': always(3),
    f'kube_pod_container_resource_requests{{{KSM},cluster="eu",namespace="team",pod="set-1",uid="u-set-1",'
    'container="main",node="n",resource="example_com_fpga",unit="integer"}': always(5),
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[PrometheusServer]:
    """A Prometheus with that past."""
    directory = tmp_path_factory.mktemp("meters")
    past = directory / "past.txt"
    with past.open("w", encoding="utf-8") as file:
        for series, value in sorted(PAST.items()):
            for t in range(0, 3600, 30):
                if (level := value(t)) is not None:
                    file.write(f"{series} {level} {BEGIN + t}\n")
        file.write("# EOF\n")
    server = PrometheusServer(directory, progress=progress)
    server.backfill(past)
    with server:
        yield server


def asked(prometheus: PrometheusServer, query: str, at: int) -> dict[str, float]:
    """The answer `at` seconds after the beginning, by pod."""
    answer = prometheus.query(expanded(read(query), SCOPE), BEGIN + at)
    return {labels.get("pod", ""): value for labels, value in answer}


@pytest.mark.parametrize(
    ("at", "increments"),
    [
        (600, {"web-1-a": 60}),
        (1200, {"web-1-a": 30}),  # restarted: what it counted since
        (1260, {"web-1-a": 60}),
        (1800, {"web-1-a": 60, "web-1-b": 40}),  # began in the step; the other new series is a baseline
        (1860, {"web-1-a": 60, "web-1-b": 120, "batch-1-c": 60}),
    ],
)
def test_delta_is_the_increment_of_each_step(
    prometheus: PrometheusServer, at: int, increments: dict[str, float]
) -> None:
    """Resets and provably new values are counted, a lifetime never, and nothing of another cluster."""
    assert asked(prometheus, "$delta(images_total)", at) == increments


def test_increments_of_all_steps_add_up(prometheus: PrometheusServer) -> None:
    """No step counts what another one has."""
    whole = sum(sum(asked(prometheus, "$delta(images_total)", at).values()) for at in range(660, 3600, 60))
    restarted = 30 + (1140 - 600) + (3540 - 1200)
    assert whole == restarted + 40 + 2 * (3540 - 1800) + (3540 - 1800)


def test_pod_workload_is_total(prometheus: PrometheusServer) -> None:
    """Each pod has one workload, through ReplicaSet and Job, also with two exporters that disagree."""
    answer = prometheus.query(expanded(read("$pod_workload"), SCOPE), BEGIN + 2000)
    assert {labels["pod"]: (labels["workload_kind"], labels["workload"]) for labels, _ in answer} == {
        "web-1-a": ("Deployment", "web"),
        "web-1-b": ("Deployment", "web"),
        "batch-1-c": ("CronJob", "batch"),
        "set-0": ("StatefulSet", "set"),
        "lost-1-x": ("ReplicaSet", "lost-1"),
        "bare": ("Pod", "bare"),
    }
    assert len(prometheus.query(expanded(read("$pod_workload"), SCOPE), BEGIN + 300)) == 5


def test_the_example_of_the_docs_is_answered(prometheus: PrometheusServer) -> None:
    """Increments joined with workloads, summed by them."""
    query = (
        "sum by (namespace, workload_kind, workload) ($delta(images_total)"
        " * on (namespace, pod) group_left (workload_kind, workload) $pod_workload) / $step"
    )
    answer = prometheus.query(expanded(read(query), SCOPE), BEGIN + 1860)
    assert {labels["workload"]: value for labels, value in answer} == {"web": 3.0, "batch": 1.0}


def test_held_is_what_running_pods_request(prometheus: PrometheusServer) -> None:
    """A pod without a phase holds nothing; the value is what its container asks for."""
    query = '$held(kube_pod_container_resource_requests{resource="example_com_fpga"})'
    assert asked(prometheus, query, 600) == {"set-0": 3}


def definition(query: str, **source: object) -> Definition:
    """A meter of images."""
    spec = {"unit": "Images", "type": "Counter", "sources": [{"name": "app", "query": query, **source}]}
    return Definition("images", MeterSpec.model_validate(spec))


SETTINGS = MeterSettings(cluster=(CLUSTER,))


@pytest.fixture
def source(prometheus: PrometheusServer) -> Iterator[Prometheus]:
    """The same, as the operator asks it."""
    with Prometheus(PrometheusSettings(prometheus.url)) as asked:
        yield asked


@pytest.mark.parametrize(
    ("query", "extra", "reason", "words"),
    [
        ("rate(images_total)", {}, "QueryRefused", "expected type range vector in call to function"),
        ("images_total[5m]", {}, "QueryRefused", "range vector"),
        ("immages(images_total)", {}, "QueryRefused", 'unknown function with name "immages"'),
        (
            "images_total * on (namespace) group_left () kube_pod_owner",
            {},
            "QueryRefused",
            "Aggregate both sides of the join",
        ),
        ("sum(images_total)", {}, "LabelsMissing", "without namespace"),
        ("images_total", {"attribution": {"team": "team"}}, "LabelsMissing", "without team"),
        ("scalar(images_total)", {}, "LabelsMissing", "no label at all"),
    ],
)
def test_a_query_that_cannot_be_counted_by_says_why(
    source: Prometheus, query: str, extra: dict[str, object], reason: str, words: str
) -> None:
    """Prometheus's own words, or which labels are missing, before anything is counted."""
    with pytest.raises(Stalled) as stalled:
        definition(query, **extra).tried(source, SETTINGS, BEGIN + 2000)
    assert stalled.value.reason == reason
    assert words in stalled.value.message


def test_what_does_not_say_who_used_it_is_a_remark(source: Prometheus) -> None:
    """Where some series do; a metric that is not there yet is none, for it may come."""
    assert definition("images_total or vector(1)").tried(source, SETTINGS, BEGIN + 2000) == (
        "1 of 4 series of app do not say who used it.",
    )
    assert definition("not_yet_total").tried(source, SETTINGS, BEGIN + 2000) == ()


@pytest.mark.parametrize("query", ["images_total", "$delta(images_total)"])
def test_a_meter_of_a_user_is_exact(source: Prometheus, query: str) -> None:
    """Levels and increments come to the same, by workload: all that was made, and nothing of another cluster.

    But for what a process counted in the very step in which it ended. The last minute of the hour is no part:
    nothing was scraped at its end.
    """
    meter = CountedMeter("images", families("images", definition(query).spec, SETTINGS))
    interval = Interval(BEGIN + 900, BEGIN + 3540)
    reading = read_counters(Scenes(source, SETTINGS), (interval, BEGIN + 3540), meter, Memory(), OwnerBook())
    made: dict[str, int] = {}
    for usage in reading.usages:
        made[usage.workload.name] = made.get(usage.workload.name, 0) + usage.quantity
    restarted = (1140 - 900) + 30 + (3540 - 1200)
    assert made == {
        "web": (restarted + 40 + 2 * (3540 - 1800)) * CUSTOM_SCALE,
        "batch": (3540 - 1800) * CUSTOM_SCALE,
    }


@pytest.mark.parametrize(
    ("name", "above"),
    [("cpu-burst", {"above": 2.0, "besteffort": 0.5}), ("memory-burst", {"above": 0.5, "besteffort": 0.25})],
)
def test_usage_above_requests_is_a_meter_of_the_examples(
    source: Prometheus, name: str, above: dict[str, float]
) -> None:
    """By pod: what is above its request, all of it where there is none, nothing where there is less or where
    usage is not told; and what is not known to be above is not counted, for as long as that is.
    """
    path = Path(__file__).parents[3] / "docs" / "examples" / "aimeter-burst.yaml"
    written = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(path.read_text())}
    meter = CountedMeter(name, families(name, MeterSpec.model_validate(written[name]), SETTINGS))
    interval = Interval(BEGIN + 900, BEGIN + 3540)
    reading = read_counters(Scenes(source, SETTINGS), (interval, BEGIN + 3540), meter, Memory(), OwnerBook())
    used: dict[str, int] = {}
    for usage in reading.usages:
        used[usage.workload.name] = used.get(usage.workload.name, 0) + usage.quantity
    doubtful = used.pop("doubtful")
    minutes = (3540 - 900) // 60
    assert used == {pod: round(units * minutes * CUSTOM_SCALE / 60) for pod, units in above.items()}
    assert doubtful == (minutes - 2) * CUSTOM_SCALE // 60


def test_a_meter_can_be_tried_on_history(prometheus: PrometheusServer, ask: Ask, tmp_path: Path) -> None:
    """`aibudget usage --meters` counts and charges by an AIMeter that is in no cluster yet."""
    meter, prices = tmp_path / "meter.yaml", tmp_path / "prices.yaml"
    head = "apiVersion: aibudget.io/v1alpha1\nkind: {}\nmetadata: {{name: images}}\nspec:\n"
    meter.write_text(
        f"{head.format('AIMeter')}  unit: Images\n  type: Counter\n"
        "  sources: [{name: app, query: images_total}]\n"
    )
    prices.write_text(
        f"{head.format('AIPriceList')}  currency: USD\n"
        '  rates: [{name: one, meter: images, price: "0.5", from: "2026-01-01T00:00:00Z"}]\n'
    )
    asked = ask(
        *(prometheus.url, BEGIN + 900, BEGIN + 2700, "--meters", meter, "--prices", prices),
        *("--by", "workload", "--cluster-matchers", 'cluster="eu"', "--meter", "images"),
    )
    assert asked.code == 0, asked.notes
    rows = {row["workload"]: row for row in asked.document["rows"]}
    made = {"web": (1140 - 900) + 30 + (2700 - 1200) + 40 + 2 * (2700 - 1800), "batch": 2700 - 1800}
    assert {name: (row["quantity"], row["unit"]) for name, row in rows.items()} == {
        name: (f"{images}.00", "Images") for name, images in made.items()
    }
    assert asked.document["total"] == f"{sum(made.values()) // 2}.00"
