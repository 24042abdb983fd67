"""Every meter over a range, part by part: for whoever keeps no ledger.

All meters read the same parts of time, each as large as Prometheus and memory can bear, so that a month
costs no more memory than a day. They share what is learnt of owners. Pure but for the `PromSource` it asks.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Final

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.catalogue import COUNTED, ENERGY, GPU, GPU_IDLE
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.definition import Definition
from aibudget.metering.definitions import built_in
from aibudget.metering.families import families
from aibudget.metering.memory import Memory
from aibudget.metering.meter import gpu_parts, whole
from aibudget.metering.reservation import RESERVED, read_reserved
from aibudget.metering.scene import Scenes
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading

Readings = Mapping[str, Reading]

METERS: Final = (GPU.name, GPU_IDLE.name, *RESERVED, *COUNTED)
"""What can be read."""


class Readout:
    """Of some meters, as Prometheus knows them `now`; `own` are meters of users, which are always read.

    `owners` is what was learnt of them so far.
    """

    def __init__(
        self, scenes: Scenes, meters: Collection[str], now: int, own: Collection[Definition] = ()
    ) -> None:
        self.owners = OwnerBook()
        self._scenes = scenes
        self._now = now
        self._memories = dict.fromkeys((*COUNTED, *(one.name for one in own)), Memory())
        wanted: list[tuple[Collection[str], Callable[[Interval], Readings]]] = [
            ((GPU.name, GPU_IDLE.name), self._devices),
            (RESERVED, self._reserved),
            *(((name,), partial(self._counted, self._told_by(name))) for name in COUNTED),
        ]
        self._readers = [read for names, read in wanted if set(names) & set(meters)]
        self._readers += [partial(self._folded, one) for one in own]
        self._meters = frozenset((*meters, *(one.name for one in own)))

    @property
    def steps(self) -> int:
        """How many readings each part takes."""
        return len(self._readers)

    def parts(self, interval: Interval) -> Iterator[tuple[Interval, Readings]]:
        """The readings of each part, in order of time, a few meters at once."""
        for part, _ in self._scenes.of(interval):
            for read in self._readers:
                readings = {meter: one for meter, one in read(part).items() if meter in self._meters}
                for reading in readings.values():
                    self.owners = self.owners.with_links(reading.links)
                yield part, readings

    def _devices(self, part: Interval) -> Readings:
        held = whole(part, gpu_parts(self._scenes, part, self.owners))
        return {GPU.name: held, GPU_IDLE.name: held.beside[0]}

    def _reserved(self, part: Interval) -> Readings:
        return read_reserved(self._scenes, part, self.owners)

    def _counted(self, meter: CountedMeter, part: Interval) -> Readings:
        """It goes on from the levels at which the part before ended."""
        memory = self._memories[meter.name]
        reading = read_counters(self._scenes, (part, self._now), meter, memory, self.owners)
        self._memories[meter.name] = reading.memories.get(part.end, Memory())
        return {meter.name: reading}

    def _folded(self, own: Definition, part: Interval) -> Readings:
        meter = own.counted(self._scenes.settings)
        return {name: own.folded(reading)[0] for name, reading in self._counted(meter, part).items()}

    def _told_by(self, name: str) -> CountedMeter:
        sources = families(name, built_in()[name], self._scenes.settings)
        return CountedMeter(name, sources, is_on_nodes=name == ENERGY.name)
