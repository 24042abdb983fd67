"""Budgets over parts of a namespace, from labels in a real Prometheus to money, to the second."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.api.budget import AIBudget
from aibudget.budgeting.selection import labels_wanted
from aibudget.budgeting.share import Share, Shares
from aibudget.controller.accounts import Accounts
from aibudget.controller.sources import GpuSource, Upstream
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import UNITS
from aibudget.pricing.rate import FAR_FUTURE, Rate
from aibudget.sandbox.prometheus import PrometheusServer
from cluster.metering.cases import BEGINS, HOURS

pytestmark = pytest.mark.cluster

BEGAN = BEGINS["parts"]
HOUR, PERIOD = Interval(BEGAN, BEGAN + 3600), Interval(BEGAN, BEGAN + HOURS)
GPU_SECOND = UNITS // 3600
"""At a dollar an hour."""
DOLLAR = Rate("l", "r", "gpu", {}, "USD", "GPU-Hours", Decimal(1), Decimal(1), 1, Interval(0, FAR_FUTURE))


def budget(scope: dict[str, Any] | None = None) -> AIBudget:
    """One over team, or this part of it."""
    spec = {"limit": {"amount": 1, "currency": "USD"}} | ({"scope": scope} if scope else {})
    metadata = {"name": "b", "namespace": "team"}
    return AIBudget.read(
        {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "metadata": metadata, "spec": spec}
    )


def by_label(operator: str, *values: str) -> AIBudget:
    """Over the workloads with such a value of app/part."""
    condition = {"key": "app/part", "operator": operator} | ({"values": list(values)} if values else {})
    return budget({"workloadSelector": {"matchExpressions": [condition]}})


def test_labels_of_the_time_split_what_a_namespace_spends(pasts: PrometheusServer, tmp_path: Path) -> None:
    """A pod that is relabelled counts for either part in its time; parts add up to the whole, exactly.

    In the second hour nobody tells of the label: what it is of is in no part, and said to be unknown.
    """
    detector, chat, rest = by_label("In", "detector"), by_label("In", "chat"), by_label("DoesNotExist")
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", "test")
    upstream = Upstream(Prometheus(PrometheusSettings(url=pasts.url)), MeterSettings(), ledger, time.time)
    upstream.select(labels_wanted([detector, chat, rest, budget()]))
    gpu = GpuSource(upstream)
    accounts = Accounts("gpu", gpu, ledger, ledger.take_over())
    for chunk in (Interval(HOUR.end, PERIOD.end), HOUR):
        upstream.begin()
        accounts.keep(gpu.read(chunk), PriceBook([DOLLAR]), {})

    def share(of: AIBudget, interval: Interval) -> Share:
        return Shares({"gpu": ledger.statement("gpu", interval)}, {}, frozenset({"gpu"})).of(of)

    spent = [share(of, HOUR).units for of in (detector, chat, rest, budget())]
    assert spent == [n * GPU_SECOND for n in (3600 + 2 * 1200, 2 * 1200, 3600, 3600 + 2 * 2400 + 3600)]
    assert all(share(of, HOUR).complete for of in (detector, chat, rest))
    whole = share(detector, PERIOD)
    assert (whole.units, whole.complete, whole.unlabelled) == (6000 * GPU_SECOND, False, ("app/part",))
    assert share(budget(), PERIOD).complete
    ledger.close()
