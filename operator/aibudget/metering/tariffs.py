"""What others in the cluster say that machines cost: Karpenter's offers, or OpenCost's prices of nodes.

One query each. Karpenter tells what a whole machine costs in each way of buying it, and of node labels how
many GPUs it has: only of machines that are here, and only where that label is exported. OpenCost tells what
a GPU, a processor and a GiB of each node cost. Where machines of one kind have several prices (zones), the
highest is meant. A price of nothing is none: Karpenter says so of what was paid elsewhere. Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from aibudget.metering.promql import Matchers, selector
from aibudget.metering.source import PromSource, Series

TariffSource = Literal["karpenter", "opencost"]

TYPE: Final = "label_node_kubernetes_io_instance_type"
GPU_COUNTS: Final = ("label_karpenter_k8s_aws_instance_gpu_count", "label_karpenter_azure_com_sku_gpu_count")
OPENCOST: Final = {
    "gpu": "node_gpu_hourly_cost",
    "cpu": "node_cpu_hourly_cost",
    "memory": "node_ram_hourly_cost",
}
DIGITS: Final = Decimal("0.000000001")


@dataclass(frozen=True, slots=True, order=True)
class Tariff:
    """A price in USD an hour: of a meter's unit, or of a machine with so many `devices` (meter `node`)."""

    meter: str
    instance_type: str
    capacity_type: str
    price: Decimal
    devices: int = 1


def read_tariffs(source: PromSource, of: TariffSource, cluster: Matchers, at: float) -> tuple[Tariff, ...]:
    """All tariffs at an instant. Raises what the source raises."""
    if of == "karpenter":
        return tuple(sorted(_offers(source.query(karpenter(cluster), at).series)))
    return tuple(sorted(_costs(source.query(opencost(cluster), at).series)))


def karpenter(cluster: Matchers) -> str:
    """Prices of offers for the machines that are here, and how many GPUs those have."""
    price = selector("karpenter_cloudprovider_instance_type_offering_price_estimate", cluster)
    nodes = selector("kube_node_labels", cluster)
    here = f'max by (instance_type) (label_replace({nodes}, "instance_type", "$1", "{TYPE}", "(.+)"))'
    offers = f"max by (instance_type, capacity_type) ({price}) and on (instance_type) {here}"
    return f"({offers}) or max by ({TYPE}, {', '.join(GPU_COUNTS)}) ({nodes})"


def opencost(cluster: Matchers) -> str:
    """Prices of parts of nodes by instance type, of spot machines apart."""
    spot = f"(max by (node) ({selector('kubecost_node_is_spot', cluster)}) == 1)"
    parts = [
        _named(f"max by (instance_type) ({selector(name, cluster)} {way} on (node) {spot})", meter, bought)
        for meter, name in OPENCOST.items()
        for way, bought in (("unless", "on-demand"), ("and", "spot"))
    ]
    return " or ".join(parts)


def _named(vector: str, meter: str, capacity_type: str) -> str:
    named = f'label_replace({vector}, "meter", "{meter}", "", "")'
    return f'label_replace({named}, "capacity_type", "{capacity_type}", "", "")'


def _offers(found: list[Series]) -> Iterator[Tariff]:
    devices: dict[str, int] = {}
    for labels, _, _ in found:
        count = next((labels[name] for name in GPU_COUNTS if labels.get(name)), "")
        if count.isdecimal() and int(count) > 0:
            devices[labels.get(TYPE, "")] = int(count)
    for labels, _, values in found:
        kind, bought = labels.get("instance_type", ""), labels.get("capacity_type", "")
        price = _price(values[-1]) if kind in devices and bought else None
        if price is not None:
            yield Tariff("node", kind, bought, price, devices[kind])


def _costs(found: list[Series]) -> Iterator[Tariff]:
    for labels, _, values in found:
        kind, price = labels.get("instance_type", ""), _price(values[-1])
        if kind and price is not None:
            yield Tariff(labels["meter"], kind, labels["capacity_type"], price)


def _price(value: float) -> Decimal | None:
    """A sample as people would write it; None where it is no price."""
    if not math.isfinite(value) or not 0 < value < 1_000_000:
        return None
    return Decimal(repr(value)).quantize(DIGITS) or None
