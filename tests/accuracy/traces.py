"""Production traces: a day of a GPU cluster, and an hour of an LLM service. Not in the repository.

The day is that of `cluster.metering.trace`: pods that begin and end at any second, a roll-over of
kube-state-metrics in the middle, names that return, nodes whose labels change.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from accuracy.metered import metered
from accuracy.pasts import EDGES, namespace
from accuracy.table import Row, percent
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage
from aibudget.sandbox.history import write_history
from aibudget.sandbox.prometheus import PrometheusServer
from cluster.metering import trace

DATA = Path(__file__).parents[3] / "shared" / "data"
PODS, NODES = DATA / "openb_pod_list_default.csv", DATA / "openb_node_list_gpu_node.csv"
DAY = Interval(trace.BEGIN, trace.BEGIN + trace.DAY)
WORST_OVER = Fraction(5)
"""GPU-hours, from which on a namespace counts for the worst."""
EVERYTHING, WORST, SHORT = (
    "a production day (Alibaba): all namespaces",
    "its worst namespace over 5 GPU-hours",
    "its pods under 5 min",
)


def load_day(server: PrometheusServer, directory: Path) -> None:
    """Where the trace is."""
    if PODS.is_file() and NODES.is_file():
        past = directory / "day.txt"
        seen = {*trace.FAMILIES, *EDGES}
        write_history(past, trace.history(trace.lives(PODS), NODES), trace.scrapes(), seen)
        server.backfill(past)
        past.unlink()


def day_rows(source: Prometheus) -> Iterator[Row]:
    """All of it, the worst namespace, and the shortest pods together, whose errors may cancel out."""
    lives = trace.lives(PODS) if PODS.is_file() else []
    bill = metered(source, "gpu", DAY, MeterSettings(utilisation=False)) if lives else None
    if bill is None:
        for title in (EVERYTHING, WORST, SHORT):
            yield Row(title, "GPU-h", {}, remark=f"the trace is not here ({PODS.name})")
        return
    true = trace.truth(lives, DAY)
    owed: dict[str, Fraction] = {}
    for life in lives:
        owed[life.namespace] = owed.get(life.namespace, Fraction(0)) + Fraction(true[life.name], 3600)
    billed = bill.quantities(namespace)
    yield Row(EVERYTHING, "GPU-h", owed, billed, goal=percent("0.1"))
    worst = max(
        (one for one in owed if owed[one] > WORST_OVER),
        key=lambda one: abs(billed.get(one, Fraction(0)) - owed[one]) / owed[one],
    )
    found = {worst: billed.get(worst, Fraction(0))}
    yield Row(WORST, "GPU-h", {worst: owed[worst]}, found, goal=percent("0.5"))
    jobs = {f"job-{life.name}" for life in lives if life.short}
    by_job = bill.quantities(_workload)
    short = sum((amount for job, amount in by_job.items() if job in jobs), start=Fraction(0))
    truth = Fraction(sum(true[life.name] for life in lives if life.short), 3600)
    yield Row(SHORT, "GPU-h", {"": truth}, {"": short}, goal=percent("1"))


def _workload(usage: Usage) -> str:
    return usage.workload.name
