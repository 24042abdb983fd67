"""Carbon: what the electricity emitted that was used, as a dated factor on energy.

It is no meter, for nothing of it is measured: grams of CO2 equivalent are the kWh that a machine used, times
what a kWh emits where its node is, times PUE. The defaults are data (`carbon.yaml`), each with its source and
year; a user's entries come after them. Where the region is not known, neither is the emission: it is never
zero. Pure but for reading the defaults.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from aibudget.api.fields import PositiveDecimal, SlotInstant, Text
from aibudget.api.model import Value, problems
from aibudget.errors import Stalled
from aibudget.metering.catalogue import ENERGY
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage


class Grid(Value):
    """What electricity emits in some regions, from an instant on."""

    source: Text
    """Who says so."""
    year: int
    """Of which year it is the average."""
    valid_from: Annotated[SlotInstant, Field(alias="from")]
    """The first instant it applies to, on a quarter of an hour."""
    pue: PositiveDecimal
    """How much is drawn for each kWh that machines use; 1 where the meter has it in already."""
    pue_source: Text = "the same"
    """Who says that."""
    grams_per_kilowatt_hour: Annotated[dict[str, PositiveDecimal], Field(min_length=1)]
    """By region, as the node's label topology.kubernetes.io/region has it; "" is of nodes without it."""


@dataclass(frozen=True, slots=True)
class Factor:
    """What a kWh that a machine used emitted: `grams`, PUE in it, and the entry that says so."""

    grams: Decimal
    grid: Grid


class Carbon:
    """All that is known of grids; of entries for one region that have begun, the last one counts."""

    def __init__(self, grids: Iterable[Grid]) -> None:
        self._grids = tuple(grids)

    def factor(self, region: str | None, at: int) -> Factor | None:
        """Of a region at an instant (Unix seconds); None where nobody says."""
        found = None
        for grid in self._grids:
            grams = grid.grams_per_kilowatt_hour.get(region or "")
            if grams is None or grid.valid_from.timestamp() > at:
                continue
            found = Factor(grams * grid.pue, grid)
        return found

    def changes(self, interval: Interval) -> tuple[int, ...]:
        """The instants within an interval, its start left out, from which on some entry counts."""
        begins = {int(grid.valid_from.timestamp()) for grid in self._grids}
        return tuple(sorted(at for at in begins if interval.start < at < interval.end))

    @property
    def digest(self) -> str:
        """Of all factors: what was counted by others is another number."""
        told = "\n".join(grid.model_dump_json() for grid in self._grids)
        return hashlib.sha256(told.encode()).hexdigest()

    def grams(self, usage: Usage) -> Decimal | None:
        """Grams of CO2 equivalent that a usage of energy emitted; None of what is no energy, and where the
        region or its factor is unknown.
        """
        if usage.sku.meter != ENERGY.name:
            return None
        factor = self.factor(usage.sku.dimension("region"), usage.slot)
        return None if factor is None else factor.grams * usage.quantity / ENERGY.scale


_GRIDS: Final = TypeAdapter(tuple[Grid, ...])


def grids(text: str, name: str) -> tuple[Grid, ...]:
    """The entries of a file. Raises Stalled with the fields that are wrong."""
    try:
        read: Any = yaml.safe_load(text)
        return _GRIDS.validate_python(read, by_alias=True, by_name=False)
    except yaml.YAMLError as error:
        raise Stalled("InvalidCarbon", f"{name} is no YAML: {error}") from error
    except ValidationError as error:
        said = "; ".join(map(str, problems(error)))
        raise Stalled("InvalidCarbon", f"{name} is no list of what grids emit: {said}") from error


@cache
def public_grids() -> tuple[Grid, ...]:
    """The defaults that come with this version of AIBudget."""
    text = files("aibudget.pricing").joinpath("carbon.yaml").read_text(encoding="utf-8")
    return grids(text, "carbon.yaml")
