"""The meters of users: AIMeters as accounts beside the built-in ones, for the worker's thread.

Each generation of a definition is tried once before it is read. Until it passes, and until it has read its
past, the generation before goes on: so that neither a typing error in an edit loses usage, nor a new query
looks like low spend for a while. After a restart only the ledger knows that one: it is stated as far as it
was posted, and nothing is acted on that counts on it. A meter that is deleted is stated no more; what it
counted stays in the ledger.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from aibudget.api.conditions import Reason
from aibudget.api.meter import AIMeter, MeterSpec
from aibudget.controller.accounts import Accounts
from aibudget.controller.cache import Seen
from aibudget.controller.head import Source
from aibudget.controller.measuring import Measured
from aibudget.errors import AIBudgetError, InvalidManifest, Stalled, Transient
from aibudget.ledger.store import Ledger
from aibudget.metering.definition import Definition
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook
from aibudget.reporting.facts import DataState, MeterFacts

AGAIN: Final = 5
"""A definition that did not pass is tried again after so many cycles: its metric may have come meanwhile."""

log = logging.getLogger(__name__)


class UserSource(Source, Protocol):
    """One definition, ready to be read. `lines` and `folded` are of the newest reading."""

    definition: Definition
    lines: int | None
    folded: int | None
    problem: AIBudgetError | None

    @property
    def is_present(self) -> bool | None:
        """Whether anything tells of it at all; None before that was seen."""

    def tried(self) -> tuple[str, ...]:
        """The dry evaluation; remarks. Raises `Stalled` where it cannot be read, `Transient` for now."""


@dataclass(frozen=True, slots=True)
class _Running:
    source: UserSource
    accounts: Accounts
    remarks: tuple[str, ...]

    @property
    def generation(self) -> str:
        return self.source.definition.generation

    def reaches(self, wanted: int) -> bool:
        """Whether its past is read as far back as it is needed."""
        past = self.accounts.past(wanted)
        return past is not None and past.done


@dataclass(frozen=True, slots=True)
class _Refused:
    generation: str
    problem: AIBudgetError
    waits: int


@dataclass(slots=True)
class _Own:
    """One AIMeter's generations: that which is stated, one that reads its past meanwhile, one refused.

    `is_read` says that the past of the stated one has once been read as far as it was needed.
    """

    stated: _Running | None = None
    coming: _Running | None = None
    refused: _Refused | None = None
    former: Accounts | None = None
    is_read: bool = False


class Meters:
    """`make` makes the source of a definition."""

    def __init__(self, ledger: Ledger, epoch: int, make: Callable[[Definition], UserSource]) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._make = make
        self._own: dict[str, _Own] = {}
        self._seen: tuple[Seen, ...] = ()
        self._stated: dict[str, str] | None = None
        self.restated: frozenset[str] = frozenset()
        """Meters that count otherwise than in the cycle before, or still read their past for the first time:
        what they move is no new usage."""

    def arrange(
        self, meters: Iterable[Seen], wanted: int
    ) -> tuple[tuple[Accounts, ...], tuple[Accounts, ...]]:
        """The accounts to state, and those that still read their past back to `wanted`; each made once."""
        self._seen = tuple(meters)
        self._own = {one.uid: self._own.get(one.uid) or _Own() for one in self._seen}
        stated = [self._arranged(one, self._own[one.uid], wanted) for one in self._seen]
        self._compare([accounts for accounts in stated if accounts is not None], wanted)
        coming = [own.coming for own in self._own.values()]
        return (
            tuple(accounts for accounts in stated if accounts is not None),
            tuple(one.accounts for one in coming if one is not None),
        )

    def _compare(self, stated: Iterable[Accounts], wanted: int) -> None:
        keys = {accounts.meter: accounts.key for accounts in stated}
        before = keys if self._stated is None else self._stated
        others = {meter for meter, key in keys.items() if before.get(meter) != key}
        for own in self._own.values():
            if own.stated is not None and not own.is_read:
                own.is_read = own.stated.reaches(wanted)
                others |= set() if own.is_read else {own.stated.accounts.meter}
        self._stated, self.restated = keys, frozenset(others)

    @property
    def absent(self) -> frozenset[str]:
        """The meters of which nothing was seen to tell, or that were not looked for yet."""
        running = [own.stated for own in self._own.values() if own.stated is not None]
        return frozenset(one.accounts.meter for one in running if not one.source.is_present)

    def facts(self, measured: Measured) -> Iterable[tuple[Seen, MeterFacts]]:
        """What is to be said of each."""
        for seen in self._seen:
            own, known = self._own[seen.uid], measured.meters.get(seen.metadata.name)
            newest = own.coming or own.stated
            problem = own.refused.problem if own.refused else newest.source.problem if newest else None
            remarks = newest.remarks if newest else ()
            if own.coming is not None:
                remarks = (
                    *remarks,
                    "It reads its past; until then the figures are those of the meter before.",
                )
            yield (
                seen,
                MeterFacts(
                    generation=seen.metadata.generation,
                    problem=problem,
                    remarks=remarks,
                    data=None if known is None else _data(known.data, newest),
                    lines=newest.source.lines if newest else None,
                    folded=newest.source.folded if newest else None,
                ),
            )

    def lines(self, *, folded: bool = False) -> Mapping[str, float]:
        """How many lines each had in its newest reading, or how many of them were folded."""
        running = (own.stated for own in self._own.values())
        found = {
            one.source.definition.name: one.source.folded if folded else one.source.lines
            for one in running
            if one is not None
        }
        return {name: float(lines) for name, lines in found.items() if lines is not None}

    def specs(self) -> Mapping[str, MeterSpec]:
        """What each says of itself, by name, where it can be read."""
        return {seen.metadata.name: seen.model.spec for seen in self._seen if isinstance(seen.model, AIMeter)}

    def _arranged(self, seen: Seen, own: _Own, wanted: int) -> Accounts | None:
        name = seen.metadata.name
        if isinstance(seen.model, InvalidManifest):
            own.refused, own.coming = _Refused("", seen.model, 0), None
        elif isinstance(seen.model, AIMeter):
            self._take_up(own, Definition(name, seen.model.spec))
        coming = own.coming
        if coming is not None and (
            coming.reaches(wanted)
            or (own.stated is None and self._ledger.latest(name, but=coming.generation) is None)
        ):
            own.stated, own.coming, own.former = coming, None, None
        if own.stated is not None:
            return own.stated.accounts
        return self._former(name, own)

    def _take_up(self, own: _Own, definition: Definition) -> None:
        """Make sure that this definition is stated, coming or refused."""
        generation = definition.generation
        for running in (own.stated, own.coming):
            if running is not None and running.generation == generation:
                # What it counts is the same; how it is shown may not be.
                running.source.definition = definition
                own.refused = None
                own.coming = None if running is own.stated else own.coming
                return
        own.coming = self._begun(own, definition)

    def _begun(self, own: _Own, definition: Definition) -> _Running | None:
        generation, refused = definition.generation, own.refused
        if refused is not None and refused.generation == generation and refused.waits:
            own.refused = replace(refused, waits=refused.waits - 1)
            return None
        try:
            source = self._make(definition)
            remarks = source.tried()
        except AIBudgetError as error:
            log.warning("AIMeter %s is not counted: %s", definition.name, error.message)
            own.refused = _Refused(generation, error, AGAIN if isinstance(error, Stalled) else 0)
            return None
        own.refused = None
        log.info("AIMeter %s is counted", definition.name)
        accounts = Accounts(definition.name, source, self._ledger, self._epoch, generation=generation)
        return _Running(source, accounts, remarks)

    def _former(self, name: str, own: _Own) -> Accounts | None:
        """What the process before this one counted, while the present generation cannot be stated."""
        generation = self._ledger.latest(name, but=own.coming.generation if own.coming else "")
        if own.former is None and generation is not None:
            problem = own.refused.problem if own.refused else _READING
            own.former = Accounts(name, _Former(problem), self._ledger, self._epoch, generation=generation)
        return own.former


def _data(known: DataState, newest: _Running | None) -> DataState:
    """The state of its data: of a meter that nothing tells of, nothing is known, however well it was read."""
    if newest is None or newest.source.is_present is not False or not known.fresh:
        return known
    return DataState(fresh=False, reason=Reason.SOURCE_ABSENT, message=known.message)


_READING: Final = Transient("Progressing", "A meter that was edited still reads its past.")


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
