"""A past written for promtool is what Prometheus then answers."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes, write_history
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer, ScrapeJob
from aibudget.sandbox.snapshot import Container, Node, Pod

pytestmark = pytest.mark.cluster

DAY = 24 * 3600
HELD = (
    "sum(sum_over_time((sum by (namespace) ("
    "max by (namespace,pod,container,node) (last_over_time("
    'kube_pod_container_resource_requests{resource="nvidia_com_gpu",node!=""}[61s]))'
    " * on (namespace,pod) group_left () max by (namespace,pod) (last_over_time("
    'kube_pod_status_phase{phase=~"Pending|Running"}[61s]) == 1)))[40d:1m])) / 60'
)


def test_backfilled_gpu_hours_are_those_that_were_told(
    tmp_path: Path, prometheus_factory: Callable[..., PrometheusServer]
) -> None:
    """Two pods' GPU-hours of a month ago come out whole, and live scrapes go on beside the past."""
    now = time.time() // 60 * 60
    start = now - 30 * DAY
    gpus = {"nvidia.com/gpu": 4.0}
    node = Node("n", {"nvidia.com/gpu.product": "NVIDIA-L4"}, gpus, gpus)
    containers = (Container("c", gpus),)
    lives = [
        PodHistory(
            Pod("team-a", f"p{number}", f"u{number}", containers, created=start, node="n"),
            bound=start + 60,
            started=start + 120,
            ended=start + 60 + hours * 3600,
            removed=start + 60 + hours * 3600 + 900,
            devices=(0, 1, 2, 3),
        )
        for number, hours in enumerate((10, 25))
    ]
    scrapes = [ScrapeHistory(start, now - 60, 60), dcgm_scrapes(start, now - 60, 60)]
    path = tmp_path / "history.om"
    assert write_history(path, History(lives, [Present(node)]), scrapes) > 100_000

    prometheus = prometheus_factory(history=path)
    ((_, gpu_hours),) = prometheus.query(HELD, at=now)
    assert gpu_hours == pytest.approx(4 * (10 + 25), rel=0.001)
    ((_, busy),) = prometheus.query("count(DCGM_FI_DEV_GPU_UTIL == 90)", at=start + 5 * 3600)
    assert busy == 8
    prometheus.scrape([ScrapeJob("prometheus", f"127.0.0.1:{prometheus.port}")])
    wait_until(lambda: bool(prometheus.query('up{job="prometheus"} == 1')), 30, "a live scrape")
