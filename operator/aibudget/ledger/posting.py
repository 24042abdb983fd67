"""`Posting`: what goes into the ledger at once, and `MeterState`: what it is decided on.

The unit is the slot: posting a slot replaces whatever it held. A posting carries the revision of the meter
that its writer has read, and the epoch that the writer got when it took the ledger over; the ledger refuses
it when either has moved on, so that a leader that was paused cannot write over its successor. Pure values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aibudget.metering.catalogue import meter_of
from aibudget.metering.memory import Memory
from aibudget.metering.slots import SLOT_SECONDS, iso
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge


@dataclass(frozen=True, slots=True)
class MeterState:
    """How far a meter is posted: `begins` and `watermark` in Unix seconds, None before the first posting.

    All between them was asked for, but for what a back-fill has still to fill.
    """

    begins: int | None
    watermark: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class Posting:
    """Whole slots of one meter. Raises ValueError where it contradicts itself.

    `coverage` names every slot that is posted, also those without usage; a slot that could not be read is
    posted with nothing covered. `watermark` is the end of what is asked for after this; it never moves back.
    `namespace_labels` are those of the time of use; a namespace that is absent has none. `at` is when this
    became known (Unix seconds). `memory` is what counters stood at when the new watermark was reached. `book`
    has the prices of the charges; None is not known, and open time will be priced anew.
    """

    meter: str
    coverage: Mapping[int, Coverage]
    charges: tuple[Charge, ...]
    watermark: int
    revision: int
    at: int
    epoch: int = 0
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    memory: Memory | None = None
    book: PriceBook | None = None

    def __post_init__(self) -> None:
        if self.watermark % SLOT_SECONDS or any(slot % SLOT_SECONDS for slot in self.coverage):
            raise ValueError("slots and the watermark must be multiples of 900 seconds")
        if late := [slot for slot in self.coverage if slot >= self.watermark]:
            raise ValueError(f"the slot of {iso(late[0])} lies after the watermark {iso(self.watermark)}")
        for charge in self.charges:
            if charge.usage.slot not in self.coverage:
                raise ValueError(f"usage in the slot of {iso(charge.usage.slot)}, which has no coverage")
            if charge.usage.quantity < 0:
                raise ValueError(f"negative usage by {charge.usage.workload}")
            if charge.usage.sku.meter != meter_of(self.meter):
                raise ValueError(f"usage of {charge.usage.sku.meter} in a posting of {self.meter}")
