"""A range metered as the operator does it: its own reading of each meter, priced by its own book.

A meter that nothing reads yet has no reading here, which is told as such and never taken for nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import yaml

from accuracy.table import Amounts
from aibudget.api.pricelist import AIPriceList
from aibudget.inventory.owners import OwnerBook
from aibudget.metering.catalogue import COUNTED, scale_of
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.definitions import built_in
from aibudget.metering.families import families
from aibudget.metering.memory import Memory
from aibudget.metering.meter import idle_parts, read_gpu, whole
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.reservation import read_reserved
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Reading, Usage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.listing import rates_of

Read = Callable[[Prometheus, Interval, MeterSettings], Reading]


def _reserved(meter: str) -> Read:
    def read(source: Prometheus, interval: Interval, settings: MeterSettings) -> Reading:
        return read_reserved(Scenes(source, settings), interval, OwnerBook())[meter]

    return read


def _idle(source: Prometheus, interval: Interval, settings: MeterSettings) -> Reading:
    return whole(interval, idle_parts(Scenes(source, settings), interval))


def _counted(meter: str) -> Read:
    def read(source: Prometheus, interval: Interval, settings: MeterSettings) -> Reading:
        known = CountedMeter(
            meter, families(meter, built_in()[meter], settings), is_on_nodes=meter == "energy"
        )
        moment = interval, interval.end + 2 * SLOT_SECONDS
        return read_counters(Scenes(source, settings), moment, known, Memory(), OwnerBook())

    return read


READERS: Mapping[str, Read] = {
    "gpu": read_gpu,
    "gpu-idle": _idle,
    "cpu": _reserved("cpu"),
    "memory": _reserved("memory"),
    **{meter: _counted(meter) for meter in COUNTED},
}
"""By meter."""

PRICES = """\
apiVersion: aibudget.io/v1alpha1
kind: AIPriceList
metadata: {name: accuracy}
spec:
  currency: USD
  rates:
  - {name: gpu, meter: gpu, match: {}, unit: GPU-Hours, price: "2.50", from: "2026-01-01T00:00:00Z"}
  - {name: cpu, meter: cpu, match: {}, unit: vCPU-Hours, price: "0.03", from: "2026-01-01T00:00:00Z"}
  - {name: memory, meter: memory, match: {}, unit: GiB-Hours, price: "0.004", from: "2026-01-01T00:00:00Z"}
"""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one meter says of a range. `unknown` is how much of its time, in hours, is not known."""

    usages: tuple[Usage, ...]
    unknown: Fraction
    problems: tuple[str, ...]

    @property
    def shares_unknown(self) -> bool:
        """Whether it counts units of which nobody knows how much of a device they are: no hours at all."""
        return any(usage.sku.dimension("share") == "unknown" for usage in self.usages)

    def quantities(self, by: Callable[[Usage], str]) -> Amounts:
        """In the meter's pricing unit."""
        found: dict[str, Fraction] = {}
        for usage in self.usages:
            amount = Fraction(usage.quantity, scale_of(usage.sku.meter))
            found[by(usage)] = found.get(by(usage), Fraction(0)) + amount
        return found


def metered(source: Prometheus, meter: str, interval: Interval, settings: MeterSettings) -> Bill | None:
    """None where nothing reads this meter yet."""
    read = READERS.get(meter)
    if read is None:
        return None
    source.begin()
    reading = read(source, interval, settings)
    unknown = sum(one.total_seconds - one.covered_seconds for one in reading.coverage.values())
    return Bill(reading.usages, Fraction(unknown, 3600), reading.problems)


def book() -> PriceBook:
    """The prices of OpenCost's measurements."""
    return PriceBook(rates_of(AIPriceList.read(yaml.safe_load(PRICES))))
