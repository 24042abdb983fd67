"""A production day billed by `aibudget usage` through a real Prometheus, against the pods' own seconds."""

import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from aibudget.metering.slots import Interval
from aibudget.sandbox.history import write_history
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress
from cluster.metering import trace
from cluster.metering.conftest import Ask

pytestmark = pytest.mark.cluster

DATA = Path(__file__).parents[4] / "shared" / "data"
PODS, NODES = DATA / "openb_pod_list_default.csv", DATA / "openb_node_list_gpu_node.csv"
DAY = Interval(trace.BEGIN, trace.BEGIN + trace.DAY)
PRICES = """\
apiVersion: aibudget.io/v1alpha1
kind: AIPriceList
metadata: {name: flat}
spec:
  currency: USD
  rates:
  - name: any
    meter: gpu
    match: {region: trace-1}
    unit: GPU-Hours
    price: "2"
    from: "2026-01-01T00:00:00Z"
"""


@pytest.fixture(scope="module")
def day(
    tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> Iterator[tuple[PrometheusServer, list[trace.Life]]]:
    """A Prometheus that has scraped the trace's last day, and the lives of its pods."""
    if not PODS.is_file() or not NODES.is_file():
        pytest.skip(f"the trace is not here: {PODS.name} and {NODES.name} belong into {DATA}")
    directory = tmp_path_factory.mktemp("trace")
    lives = trace.lives(PODS)
    write_history(directory / "day.txt", trace.history(lives, NODES), trace.scrapes(), trace.FAMILIES)
    server = PrometheusServer(directory, progress=progress)
    server.backfill(directory / "day.txt")
    (directory / "day.txt").unlink()
    with server:
        yield server, lives


@pytest.mark.parametrize("step", ["auto", "60"])
def test_a_production_day_is_billed_right(
    step: str,
    day: tuple[PrometheusServer, list[trace.Life]],
    ask: Ask,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """All namespaces together within 0.2 %, each of more than five GPU-hours within 1 %, short pods within
    3 %.
    """
    server, lives = day
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    flags = ("--by", "workload", "--step", step, "--prices", prices)
    asked = ask(server.url, DAY.start, DAY.end, *flags)
    assert asked.code == 0, asked.notes

    billed: Counter[str] = Counter()
    short = 0
    true, shorts = trace.truth(lives, DAY), {f"job-{life.name}" for life in lives if life.short}
    for row in asked.document["rows"]:
        seconds = round(Decimal(row["quantity"]) * 3600)
        billed[row["namespace"]] += seconds
        short += seconds if row["workload"] in shorts else 0
        assert Decimal(row["cost"]) == pytest.approx(Decimal(row["quantity"]) * 2, abs=Decimal("0.00001"))
    owed: Counter[str] = Counter()
    for life in lives:
        owed[life.namespace] += true[life.name]
    errors = {namespace: billed[namespace] - owed[namespace] for namespace in owed}

    everything = sum(map(abs, errors.values())) / owed.total()
    worst = max(abs(errors[namespace]) / owed[namespace] for namespace in owed if owed[namespace] > 5 * 3600)
    owed_short = sum(true[life.name] for life in lives if life.short)
    shortest = (short - owed_short) / owed_short
    with capsys.disabled():
        sys.stderr.write(
            f"\n  step {step}: {billed.total() / 3600:.2f} GPU-hours billed of {owed.total() / 3600:.2f}: "
            f"namespaces {everything:.4%}, worst {worst:.3%}, pods under five minutes {shortest:+.2%}\n"
        )
    assert asked.document["coveragePercent"] == 100
    assert set(billed) <= set(owed)
    assert everything <= 0.002
    assert worst <= 0.01
    assert abs(shortest) <= 0.03


def test_names_are_told_once(day: tuple[PrometheusServer, list[trace.Life]], ask: Ask) -> None:
    """StatefulSets keep their name over all their pods' lives, and no ReplicaSet is billed."""
    server, _ = day
    rows = ask(server.url, DAY.start, DAY.end, "--by", "workload").document["rows"]
    assert {row["workloadKind"] for row in rows} == {"Deployment", "StatefulSet", "Job"}
    assert {row["workload"] for row in rows if row["workloadKind"] == "StatefulSet"} == {"serving"}
