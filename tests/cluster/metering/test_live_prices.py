"""Live prices on a real Prometheus: Karpenter's offers and OpenCost's nodes, each in one query."""

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.promql import matchers
from aibudget.metering.slots import SLOT_SECONDS, slot_of
from aibudget.metering.tariffs import GPU_COUNTS, TYPE, Tariff, read_tariffs
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress

pytestmark = pytest.mark.cluster

AT = slot_of(int(time.time())) - SLOT_SECONDS
EU = 'cluster="eu"'
SAMPLES: dict[str, list[tuple[str, float]]] = {
    "karpenter_cloudprovider_instance_type_offering_price_estimate": [
        ('instance_type="p5.48xlarge",capacity_type="on-demand",zone="a",job="k1"', 55.04),
        ('instance_type="p5.48xlarge",capacity_type="on-demand",zone="a",job="k2"', 55.04),
        ('instance_type="p5.48xlarge",capacity_type="spot",zone="a"', 20.1),
        ('instance_type="p5.48xlarge",capacity_type="spot",zone="b"', 22.5),
        ('instance_type="p5.48xlarge",capacity_type="reserved",zone="b"', 0),
        ('instance_type="g5.xlarge",capacity_type="spot",zone="b"', 0.4),
    ],
    "kube_node_labels": [
        (
            f'node="n1",{TYPE}="p5.48xlarge",{GPU_COUNTS[0]}="8"',
            1,
        ),
        (f'node="n2",{TYPE}="m5.large"', 1),
    ],
    "node_gpu_hourly_cost": [
        ('node="n1",instance_type="g5.xlarge"', 0.8),
        ('node="n2",instance_type="m5"', 0),
    ],
    "node_cpu_hourly_cost": [
        ('node="n1",instance_type="g5.xlarge"', 0.03),
        ('node="n2",instance_type="m5"', 0.02),
    ],
    "node_ram_hourly_cost": [('node="n2",instance_type="m5"', 0.004)],
    "kubecost_node_is_spot": [
        ('node="n1",instance_type="g5.xlarge"', 1),
        ('node="n2",instance_type="m5"', 0),
    ],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[Prometheus]:
    """A Prometheus that has scraped both, and another cluster that is dearer."""
    directory = tmp_path_factory.mktemp("prices")
    with (directory / "history.txt").open("w", encoding="utf-8") as file:
        for name, samples in SAMPLES.items():
            file.write(f"# TYPE {name} gauge\n")
            for labels, value in samples:
                file.write(f"{name}{{{labels},{EU}}} {value} {AT - 30}\n")
                file.write(f'{name}{{{labels},cluster="us"}} {value * 2} {AT - 30}\n')
        file.write("# EOF\n")
    server = PrometheusServer(directory, progress=progress)
    server.backfill(directory / "history.txt")
    with server, Prometheus(PrometheusSettings(server.url)) as prometheus:
        prometheus.begin()
        yield prometheus


def test_karpenter_tells_what_the_machines_that_are_here_cost(source: Prometheus) -> None:
    """The dearest zone of each way of buying; two replicas of Karpenter are one."""
    assert read_tariffs(source, "karpenter", matchers(EU), AT) == (
        Tariff("node", "p5.48xlarge", "on-demand", Decimal("55.04"), 8),
        Tariff("node", "p5.48xlarge", "spot", Decimal("22.5"), 8),
    )


def test_opencost_tells_what_parts_of_nodes_cost(source: Prometheus) -> None:
    """Spot machines apart; a device of a machine without devices is nothing."""
    assert read_tariffs(source, "opencost", matchers(EU), AT) == (
        Tariff("cpu", "g5.xlarge", "spot", Decimal("0.03")),
        Tariff("cpu", "m5", "on-demand", Decimal("0.02")),
        Tariff("gpu", "g5.xlarge", "spot", Decimal("0.8")),
        Tariff("memory", "m5", "on-demand", Decimal("0.004")),
    )


def test_neither_here_is_no_price(source: Prometheus) -> None:
    """And no error."""
    nowhere = matchers('cluster="nowhere"')
    assert (
        read_tariffs(source, "karpenter", nowhere, AT) == read_tariffs(source, "opencost", nowhere, AT) == ()
    )
