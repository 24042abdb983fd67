"""Tokens, requests, spend and energy on a real Prometheus: what exporters tell, and what is on the bill.

The past is written by hand: three hours of scrapes each 30 s of servers, gateways and devices. The second of
them is read; within it each amount is known to the unit.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.counted import CounterSource
from aibudget.controller.sources import Upstream
from aibudget.errors import Stalled
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import COUNTED, ENERGY
from aibudget.metering.counters import CountedMeter, read_counters, told_of
from aibudget.metering.definitions import built_in
from aibudget.metering.families import families
from aibudget.metering.memory import Memory
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.promql import matchers
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress

pytestmark = pytest.mark.cluster

HOUR = 3600
END = slot_of(int(time.time())) - SLOT_SECONDS
BEGIN = END - 3 * HOUR
SETTINGS = MeterSettings(cluster=matchers('cluster="eu"'))
KSM = 'cluster="eu",job="kube-state-metrics",instance="ksm"'
DARK = range(HOUR + 1500, HOUR + 1500 + 1200)
"""Twenty minutes in which nothing is scraped."""

Value = Callable[[int], float | None]


def growing(per_second: float, base: float = 0, begin: int = 0, end: int = 3 * HOUR) -> Value:
    """A counter that is there in [begin, end]."""
    return lambda t: base + per_second * (t - begin) if begin <= t <= end else None


def fixed(value: float) -> Value:
    """A series that never changes."""
    return lambda _t: value


def _vllm(metric: str, pod: str = "llm-1-a", more: str = "", cluster: str = "eu") -> str:
    return (
        f'vllm:{metric}{{cluster="{cluster}",job="vllm",instance="{pod}:8000",namespace="ml",pod="{pod}",'
        f'engine="0",model_name="llama"{more}}}'
    )


def _genai(kind: str, model: str, name: str = "gen_ai_client_token_usage_sum") -> str:
    return (
        f'{name}{{cluster="eu",job="gateway",instance="gw:1064",namespace="gateways",pod="gw-0",'
        f'gen_ai_token_type="{kind}",gen_ai_provider_name="openai",gen_ai_request_model="{model}",'
        f'gen_ai_response_model="{model}",gen_ai_operation_name="chat"}}'
    )


def _litellm(metric: str, team: str, alias: str, more: str = "") -> str:
    return (
        f'{metric}{{cluster="eu",job="litellm",instance="lite:4000",namespace="gateways",pod="lite-0",'
        f'team="{team}",team_alias="{alias}",model="gpt-4o",hashed_api_key="k"{more}}}'
    )


def _dcgm(uuid: str, pod: str | None, more: str = "") -> str:
    mapped = f',exported_namespace="ml",exported_pod="{pod}"' if pod else ""
    return (
        f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{cluster="eu",job="dcgm-exporter",instance="dcgm:9400",'
        f'namespace="gpu-operator",pod="dcgm-exporter-x",UUID="{uuid}",Hostname="gpu-1"{mapped}{more}}}'
    )


def _owner(namespace: str, pod: str, kind: str, name: str) -> str:
    return (
        f'kube_pod_owner{{{KSM},namespace="{namespace}",pod="{pod}",uid="u-{pod}",owner_kind="{kind}",'
        f'owner_name="{name}",owner_is_controller="true"}}'
    )


SERIES: dict[str, Value] = {
    f"up{{{KSM}}}": fixed(1),
    f'kube_node_info{{{KSM},node="gpu-1"}}': fixed(1),
    f'kube_node_info{{{KSM},node="gpu-1"}}'.replace("eu", "us"): fixed(1),
    f'kube_node_labels{{{KSM},node="gpu-1",label_topology_kubernetes_io_region="us-east-1"}}': fixed(1),
    f'kube_replicaset_owner{{{KSM},namespace="ml",replicaset="llm-1",owner_kind="Deployment",'
    'owner_name="llm",owner_is_controller="true"}': fixed(1),
    _owner("ml", "llm-1-a", "ReplicaSet", "llm-1"): fixed(1),
    _owner("ml", "llm-1-b", "ReplicaSet", "llm-1"): fixed(1),
    _owner("gateways", "gw-0", "StatefulSet", "gw"): fixed(1),
    _owner("gateways", "lite-0", "StatefulSet", "lite"): fixed(1),
    # 10 prompt tokens a second, 4 of them cached, 1 transferred; two replicas of Prometheus tell it.
    _vllm("prompt_tokens_total"): growing(10, 1e6),
    _vllm("prompt_tokens_total", more=',prometheus_replica="b"'): growing(10, 1e6),
    _vllm("generation_tokens_total"): growing(3, 1e6),
    _vllm("prompt_tokens_by_source_total", more=',source="local_cache_hit"'): growing(4),
    _vllm("prompt_tokens_by_source_total", more=',source="external_kv_transfer"'): growing(1),
    _vllm("prompt_tokens_cached_total"): growing(5),
    # A pod that was made at 4500 and had made 40 tokens when it was scraped first.
    _vllm("generation_tokens_total", "llm-1-b"): growing(2, 40, 4500),
    f'kube_pod_start_time{{{KSM},namespace="ml",pod="llm-1-b",uid="u-llm-1-b"}}': fixed(BEGIN + 4470),
    _vllm("generation_tokens_total", cluster="us"): growing(1000),
    # The gateway before it tells of the same model, and of one that is not ours.
    _genai("input", "llama"): growing(10),
    _genai("input", "gpt-4o"): growing(7),
    _genai("cached_input", "gpt-4o"): growing(2),
    _genai("output", "gpt-4o", "gen_ai_client_token_usage_token_sum"): growing(1),
    _genai("reasoning", "gpt-4o"): growing(0.5),
    _litellm("litellm_spend_metric_total", "t-1", "nlp", ',client_ip="1.1.1.1"'): growing(0.001, 12.34),
    _litellm("litellm_spend_metric_total", "t-1", "nlp", ',client_ip="2.2.2.2"'): growing(0.002),
    _litellm("litellm_spend_metric_total", "t-2", "None"): growing(0.004),
    _litellm("litellm_spend_metric_total", "None", "None"): growing(0.008),
    # 500 W by two slices of MIG that two pods hold, 300 W idle, and what another exporter tells of a pod.
    _dcgm("GPU-a", "llm-1-a", ',GPU_I_ID="1",GPU_I_PROFILE="3g.40gb"'): growing(500_000, 1e10),
    _dcgm("GPU-a", "llm-1-b", ',GPU_I_ID="2",GPU_I_PROFILE="1g.10gb"'): growing(500_000, 1e10),
    _dcgm("GPU-b", None): growing(300_000, 5e9),
    # Power is told of both that count their energy and one that does not.
    **{
        _dcgm(uuid, pod).replace("TOTAL_ENERGY_CONSUMPTION", "POWER_USAGE"): fixed(watts)
        for uuid, pod, watts in (("GPU-b", None, 300), ("GPU-c", "old-0", 70))
    },
    **{
        f'kepler_pod_{what}_joules_total{{cluster="eu",job="kepler",instance="k:28282",pod_namespace="ml",'
        f'pod_name="llm-1-a",node_name="gpu-1",state="running"{zone}}}': growing(watts)
        for what, zone, watts in (
            ("cpu", ',zone="package"', 50),
            ("cpu", ',zone="core"', 40),
            ("cpu", ',zone="dram"', 10),
            ("gpu", "", 20),
        )
    },
    'kepler_container_package_joules_total{cluster="eu",job="kepler-old",instance="k:8888",'
    'container_namespace="ml",pod_name="llm-1-a",container_name="c",mode="dynamic"}': growing(45),
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[PrometheusServer]:
    """A Prometheus with that past."""
    directory = tmp_path_factory.mktemp("counters")
    past = directory / "past.txt"
    with past.open("w", encoding="utf-8") as file:
        for series, value in sorted(SERIES.items()):
            for t in range(0, END - BEGIN + 1, 30):
                if t not in DARK and (level := value(t)) is not None:
                    file.write(f"{series} {level} {BEGIN + t}\n")
        file.write("# EOF\n")
    server = PrometheusServer(directory, progress=progress)
    server.backfill(past)
    with server:
        yield server


@pytest.fixture(scope="module")
def asked(prometheus: PrometheusServer) -> Iterator[Prometheus]:
    """The connection to it."""
    with Prometheus(PrometheusSettings(prometheus.url)) as source:
        yield source


def counted(name: str) -> CountedMeter:
    """A built-in meter."""
    return CountedMeter(name, families(name, built_in()[name], SETTINGS), is_on_nodes=name == ENERGY.name)


def read(asked: Prometheus, name: str, begin: int = HOUR, end: int = 2 * HOUR) -> Reading:
    """The second hour."""
    interval = Interval(BEGIN + begin, BEGIN + end)
    return read_counters(Scenes(asked, SETTINGS), (interval, END), counted(name), Memory(), OwnerBook())


def bill(reading: Reading, *dimensions: str) -> Counter[tuple[str, ...]]:
    """Quantities by workload and some dimensions."""
    found: Counter[tuple[str, ...]] = Counter()
    for usage in reading.usages:
        known = tuple(usage.sku.dimension(name) or "" for name in dimensions)
        who = usage.workload
        found[f"{who.namespace}/{who.kind}/{who.name}", *known] += usage.quantity
    return found


def test_tokens_are_told_apart_and_counted_once(asked: Prometheus) -> None:
    """Types are disjoint, a new pod counts from its start, and the gateway's copy is left out and told."""
    reading = read(asked, "tokens")
    assert bill(reading, "hosting", "model", "tokenType") == {
        ("ml/Deployment/llm", "self", "llama", "input"): 5 * HOUR,
        ("ml/Deployment/llm", "self", "llama", "cachedInput"): 4 * HOUR,
        ("ml/Deployment/llm", "self", "llama", "transferredInput"): HOUR,
        ("ml/Deployment/llm", "self", "llama", "output"): 3 * HOUR + 40 + 2 * (2 * HOUR - 4500),
        ("gateways/StatefulSet/gw", "external", "gpt-4o", "input"): 5 * HOUR,
        ("gateways/StatefulSet/gw", "external", "gpt-4o", "cachedInput"): 2 * HOUR,
        ("gateways/StatefulSet/gw", "external", "gpt-4o", "output"): HOUR,
    }
    assert reading.problems == (
        "What genai tells of tokens of llama is a duplicateOf what vllm tells, and left out.",
    )


def test_a_gap_of_twenty_minutes_is_spread_and_told(asked: Prometheus) -> None:
    """What was counted while nothing was scraped is known in sum, and its spread over time is estimated."""
    reading = read(asked, "tokens")
    output = [usage for usage in reading.usages if usage.workload.namespace == "gateways"]
    assert 1200 * 8 <= sum(usage.estimated for usage in output) <= 1320 * 8
    assert all(coverage.percent == 100 for coverage in reading.coverage.values())


def test_spend_is_the_teams(asked: Prometheus) -> None:
    """By alias, by id where there is none, and the gateway's own without a team; to the nano-dollar."""
    assert bill(read(asked, "saas-spend"), "model") == {
        ("/Team/nlp", "gpt-4o"): 3_000_000 * HOUR,
        ("/Team/t-2", "gpt-4o"): 4_000_000 * HOUR,
        ("gateways/StatefulSet/lite", "gpt-4o"): 8_000_000 * HOUR,
    }


def test_joules_of_a_device_are_counted_once(asked: Prometheus) -> None:
    """A device by its UUID, shared by slices; of two exporters the one that tells more; one set of zones."""
    reading = read(asked, "energy")
    assert bill(reading, "component", "region") == {
        ("ml/Deployment/llm", "gpu", "us-east-1"): 500_000 * HOUR,
        ("/NodePool/", "gpu", "us-east-1"): 300_000 * HOUR,
        ("ml/Pod/old-0", "gpu", "us-east-1"): 70_000 * (HOUR - len(DARK) + 60),
        ("ml/Deployment/llm", "cpu", "us-east-1"): 50_000 * HOUR,
        ("ml/Deployment/llm", "memory", "us-east-1"): 10_000 * HOUR,
    }
    assert sum("duplicateOf" in problem for problem in reading.problems) == 2


def test_two_clusters_are_not_mixed(asked: Prometheus) -> None:
    """Without a matcher nothing is counted, and the message says what to set."""
    settings = MeterSettings()
    meter = CountedMeter("tokens", families("tokens", built_in()["tokens"], settings))
    interval = Interval(BEGIN + HOUR, BEGIN + 2 * HOUR)
    with pytest.raises(Stalled, match="several clusters \\('eu', 'us'\\)"):
        read_counters(Scenes(asked, settings), (interval, END), meter, Memory(), OwnerBook())


def test_what_nobody_tells_of_is_not_read(asked: Prometheus) -> None:
    """A source that is absent costs one question now and then."""
    scenes = Scenes(asked, SETTINGS)
    told = told_of(scenes, [counted(name) for name in COUNTED], END)
    assert [name for name in COUNTED if name in told] == [
        "tokens",
        "saas-spend",
        "energy",
    ]


def test_the_accounts_post_each_increment_once(asked: Prometheus, tmp_path: Path) -> None:
    """Read as the operator does, newest first, then backwards, then on: all is posted, and once."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "eu")
    epoch, book = ledger.take_over(), PriceBook(())
    now = int(time.time())
    upstream = Upstream(asked, SETTINGS, ledger, lambda: now)
    for at in (END - HOUR, END - 600, END):
        source = CounterSource(upstream, "tokens")
        accounts = Accounts("tokens", _At(source, at), ledger, epoch)
        accounts.advance(book, {})
        accounts.fill(BEGIN + HOUR, book, {}, time.monotonic() + 60)
    whole = Interval(BEGIN + HOUR, slot_of(END - 120))
    posted = ledger.statement("tokens", whole)
    assert posted.complete
    assert posted.coverage.percent == 100
    read_at_once = read(asked, "tokens", HOUR, whole.end - BEGIN)
    assert sum(line.quantity for line in posted.lines) == sum(u.quantity for u in read_at_once.usages)
    ledger.close()


class _At:
    """A source as it was at an instant."""

    def __init__(self, source: CounterSource, at: int) -> None:
        self._source, self._at = source, at
        self.lag, self.wanted, self.read = source.lag, source.wanted, source.read

    def time(self) -> int:
        return self._at
