"""A meter by hand: one GPU held since ever, as `accounts.Source` reads it, on a clock that a test sets."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from aibudget.inventory.workload import Workload
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import PrometheusUnavailable
from aibudget.metering.usage import Coverage, Reading, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import FAR_FUTURE, Rate

DAY = 86_400
MIDNIGHT = 1_793_491_200
LLM = Workload("team", "Deployment", "llm")
H100 = sku("gpu", {"gpuProduct": "NVIDIA-H100-80GB-HBM3"})
LABELS: Mapping[str, Mapping[str, str]] = {"team": {"department": "ml"}}


def book(price: str = "3.00") -> PriceBook:
    """One rate for everything."""
    rate = Rate(
        "list",
        "any",
        "gpu",
        {},
        "USD",
        "GPU-Hours",
        Decimal(price),
        Decimal(price),
        1,
        Interval(0, FAR_FUTURE),
    )
    return PriceBook([rate])


class Meter:
    """One GPU held since ever, as a source would read it; `holes` are slots that were never scraped."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.meter = "gpu"
        self.what = H100
        self.down = False
        self.holes: set[int] = set()
        self.partial: dict[int, int] = {}
        self.workloads = 1
        self.asked: list[Interval] = []

    def time(self) -> int:
        """Prometheus's clock."""
        if self.down:
            raise PrometheusUnavailable("away")
        return self.now

    def lag(self) -> int:
        """A minute."""
        return 60

    def wanted(self, book: PriceBook) -> bool:
        """Always."""
        return True

    def read(self, interval: Interval) -> Reading:
        """One device-second a second, where there is no hole."""
        if self.down:
            raise PrometheusUnavailable("away")
        self.asked.append(interval)
        usages, coverage = [], {}
        for slot in interval.slots():
            part = Interval(slot, slot + SLOT_SECONDS).intersection(interval)
            assert part is not None
            covered = 0 if slot in self.holes else min(part.seconds, self.partial.get(slot, SLOT_SECONDS))
            coverage[slot] = Coverage(covered, part.seconds)
            if covered:
                what = replace(self.what, meter=self.meter)
                usages += [Usage(slot, one, what, covered * 1000) for one in self._holders()]
        return Reading(interval, tuple(usages), coverage, interval.end)

    def _holders(self) -> list[Workload]:
        return [LLM, *(Workload("team", "Deployment", f"llm-{n}") for n in range(1, self.workloads))]


class IdleMeter(Meter):
    """Devices that nobody ever held, as `gpu-idle` tells of them."""

    def __init__(self, now: int, devices: int) -> None:
        super().__init__(now)
        self.meter = "gpu-idle"
        self.what = sku("gpu-idle", {**dict(H100.dimensions), "state": "idle"})
        self.workloads = devices

    def _holders(self) -> list[Workload]:
        return [Workload("", "NodePool", f"rack-{n}") for n in range(self.workloads)]
