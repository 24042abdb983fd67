"""What Karpenter and OpenCost say that machines cost, from their samples."""

from array import array
from decimal import Decimal

from aibudget.metering.source import Result, Series
from aibudget.metering.tariffs import GPU_COUNTS, TYPE, Tariff, TariffSource, read_tariffs


class Exporter:
    """A `PromSource` that gives one answer."""

    def __init__(self, *samples: tuple[dict[str, str], float]) -> None:
        self.samples = samples
        self.asked: list[str] = []

    def time(self) -> float:
        return 0.0

    def query(self, promql: str, at: float) -> Result:
        self.asked.append(promql)
        return Result(
            [Series(labels, array("d", [at]), array("d", [value])) for labels, value in self.samples]
        )

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        raise AssertionError("one instant is enough")


def read(of: TariffSource, *samples: tuple[dict[str, str], float]) -> tuple[Tariff, ...]:
    """The tariffs of these samples; one query."""
    exporter = Exporter(*samples)
    found = read_tariffs(exporter, of, (), 0.0)
    assert len(exporter.asked) == 1
    return found


def offer(price: float, kind: str = "p5.48xlarge", bought: str = "on-demand") -> tuple[dict[str, str], float]:
    return {"instance_type": kind, "capacity_type": bought}, price


def machine(count: str, kind: str = "p5.48xlarge") -> tuple[dict[str, str], float]:
    return {TYPE: kind, GPU_COUNTS[0]: count}, 1.0


def test_an_offer_is_the_price_of_a_machine_with_its_devices() -> None:
    """As it is written: a price per device would be rounded."""
    found = read("karpenter", offer(55.04), offer(20.1, bought="spot"), machine("8"))
    assert found == (
        Tariff("node", "p5.48xlarge", "on-demand", Decimal("55.04"), 8),
        Tariff("node", "p5.48xlarge", "spot", Decimal("20.1"), 8),
    )


def test_a_machine_whose_devices_are_not_known_has_no_price() -> None:
    """Neither one without the label nor one without devices: it would be charged as one device."""
    assert read("karpenter", offer(3.0, "a"), offer(3.0, "b"), machine("0", "a"), machine("", "b")) == ()


def test_a_price_of_nothing_is_none() -> None:
    """Reserved offers cost nothing to Karpenter, and something to whoever pays for them; NaN says nothing."""
    odd = (0.0, float("nan"), float("inf"), -1.0)
    assert read("karpenter", *(offer(price, bought=f"b{price}") for price in odd), machine("8")) == ()


def test_opencost_prices_the_parts_of_a_node() -> None:
    """Each an hour of its own unit."""
    labels = {"instance_type": "g5.xlarge", "capacity_type": "spot"}
    found = read("opencost", (labels | {"meter": "gpu"}, 0.95), (labels | {"meter": "cpu"}, 0.031611))
    assert found == (
        Tariff("cpu", "g5.xlarge", "spot", Decimal("0.031611")),
        Tariff("gpu", "g5.xlarge", "spot", Decimal("0.95")),
    )
