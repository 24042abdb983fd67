"""The meters of users: AIMeters as accounts beside the built-in ones, for the worker's thread.

Each generation of a definition is tried once before it is read; until it passes, the generation before goes
on, so that a typing error in an edit loses no usage. After a restart only the ledger knows that one: it is
stated as far as it was posted, and nothing is acted on that counts on it. A meter that is deleted is stated
no more; what it counted stays in the ledger.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from aibudget.api.meter import AIMeter, MeterSpec
from aibudget.controller.accounts import Accounts
from aibudget.controller.cache import Seen
from aibudget.controller.head import Source
from aibudget.controller.measuring import Measured
from aibudget.errors import AIBudgetError, InvalidManifest, Stalled
from aibudget.ledger.store import Ledger
from aibudget.metering.definition import Definition
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook
from aibudget.reporting.facts import MeterFacts

AGAIN: Final = 5
"""A definition that did not pass is tried again after so many cycles: its metric may have come meanwhile."""

log = logging.getLogger(__name__)


class UserSource(Source, Protocol):
    """One definition, ready to be read. `lines` and `folded` are of the newest reading."""

    definition: Definition
    lines: int | None
    folded: int | None
    problem: AIBudgetError | None

    def tried(self) -> tuple[str, ...]:
        """The dry evaluation; remarks. Raises `Stalled` where it cannot be read, `Transient` for now."""


@dataclass(slots=True)
class _Running:
    source: UserSource
    accounts: Accounts
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    generation: str
    problem: AIBudgetError
    waits: int


class Meters:
    """`make` makes the source of a definition."""

    def __init__(self, ledger: Ledger, epoch: int, make: Callable[[Definition], UserSource]) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._make = make
        self._running: dict[str, _Running] = {}
        self._refused: dict[str, _Refused] = {}
        self._seen: tuple[Seen, ...] = ()

    def arrange(self, meters: Iterable[Seen]) -> tuple[Accounts, ...]:
        """The accounts of these AIMeters, each of them made once for each generation."""
        self._seen = tuple(meters)
        present = {one.uid for one in self._seen}
        for gone in (self._running.keys() | self._refused.keys()) - present:
            self._running.pop(gone, None)
            self._refused.pop(gone, None)
        found = [self._arranged(one) for one in self._seen]
        return tuple(accounts for accounts in found if accounts is not None)

    def facts(self, measured: Measured) -> Iterable[tuple[Seen, MeterFacts]]:
        """What is to be said of each."""
        for seen in self._seen:
            running, refused = self._running.get(seen.uid), self._refused.get(seen.uid)
            problem = refused.problem if refused else running.source.problem if running else None
            known = measured.meters.get(seen.metadata.name)
            yield (
                seen,
                MeterFacts(
                    generation=seen.metadata.generation,
                    problem=problem,
                    remarks=running.remarks if running else (),
                    data=None if known is None else known.data,
                    lines=running.source.lines if running else None,
                    folded=running.source.folded if running else None,
                ),
            )

    def lines(self, *, folded: bool = False) -> Mapping[str, float]:
        """How many lines each had in its newest reading, or how many of them were folded."""
        found = {
            one.source.definition.name: one.source.folded if folded else one.source.lines
            for one in self._running.values()
        }
        return {name: float(lines) for name, lines in found.items() if lines is not None}

    def specs(self) -> Mapping[str, MeterSpec]:
        """What each says of itself, by name, where it can be read."""
        return {seen.metadata.name: seen.model.spec for seen in self._seen if isinstance(seen.model, AIMeter)}

    def _arranged(self, seen: Seen) -> Accounts | None:
        running = self._running.get(seen.uid)
        if isinstance(seen.model, InvalidManifest):
            self._refused[seen.uid] = _Refused("", seen.model, 0)
        elif isinstance(seen.model, AIMeter):
            definition = Definition(seen.metadata.name, seen.model.spec)
            if running is not None and running.source.definition.generation == definition.generation:
                running.source.definition = definition
                self._refused.pop(seen.uid, None)
            else:
                running = self._begun(seen.uid, definition) or running
        if running is not None:
            self._running[seen.uid] = running
            return running.accounts
        return self._former(seen)

    def _begun(self, uid: str, definition: Definition) -> _Running | None:
        generation, refused = definition.generation, self._refused.get(uid)
        if refused is not None and refused.generation == generation and refused.waits:
            self._refused[uid] = replace(refused, waits=refused.waits - 1)
            return None
        try:
            source = self._make(definition)
            remarks = source.tried()
        except AIBudgetError as error:
            log.warning("AIMeter %s is not counted: %s", definition.name, error.message)
            waits = AGAIN if isinstance(error, Stalled) else 0
            self._refused[uid] = _Refused(generation, error, waits)
            return None
        self._refused.pop(uid, None)
        log.info("AIMeter %s is counted", definition.name)
        accounts = Accounts(definition.name, source, self._ledger, self._epoch, generation=generation)
        return _Running(source, accounts, remarks)

    def _former(self, seen: Seen) -> Accounts | None:
        """What the process before this one counted, where the present generation cannot be."""
        name, refused = seen.metadata.name, self._refused.get(seen.uid)
        generation = self._ledger.latest(name)
        if generation is None or refused is None:
            return None
        return Accounts(name, _Former(refused.problem), self._ledger, self._epoch, generation=generation)


class _Former:
    """A `Source` that cannot be read any more."""

    def __init__(self, problem: AIBudgetError) -> None:
        self._problem = problem

    def time(self) -> int:
        raise self._problem

    def lag(self) -> int:
        return 0

    def wanted(self, book: PriceBook) -> bool:
        return False

    def read(self, interval: Interval) -> Reading:
        raise self._problem
