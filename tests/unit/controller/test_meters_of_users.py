"""AIMeters as accounts: tried before they are read, kept through a bad edit, dropped when deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.cache import Seen, read
from aibudget.controller.measuring import Measuring, progress
from aibudget.controller.meters import AGAIN, Meters
from aibudget.errors import AIBudgetError, Stalled
from aibudget.inventory.resource import METERS
from aibudget.ledger.store import Ledger
from aibudget.metering.definition import Definition
from aibudget.metering.slots import Interval
from aibudget.metering.source import PrometheusUnavailable
from unit.controller.meters import DAY, LABELS, MIDNIGHT, Meter, book
from unit.ledger.blank import blank

NOW = MIDNIGHT + DAY + 1000
TODAY = Interval(MIDNIGHT, MIDNIGHT + 2 * DAY)


class Images(Meter):
    """A meter of a user; `refused` is what Prometheus says of queries that have these words."""

    refused: dict[str, AIBudgetError] = {}  # noqa: RUF012 - set by each test
    tries: list[str] = []  # noqa: RUF012

    def __init__(self, definition: Definition) -> None:
        super().__init__(NOW)
        self.definition = definition
        self.meter = definition.name
        self.lines: int | None = 1
        self.folded: int | None = 0
        self.is_present: bool | None = True
        self.problem: AIBudgetError | None = None

    def tried(self) -> tuple[str, ...]:
        """The dry evaluation."""
        query = self.definition.spec.sources[0].query
        self.tries.append(query)
        for words, error in self.refused.items():
            if words in query:
                raise error
        return ()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one."""
    opened = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    yield opened
    opened.close()


@pytest.fixture
def meters(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Meters:
    """Those of a process that has just started."""
    monkeypatch.setattr(Images, "refused", {"bad": Stalled("QueryRefused", "parse error: unexpected bad")})
    monkeypatch.setattr(Images, "tries", [])
    return Meters(ledger, ledger.take_over(), Images)


def aimeter(query: str, generation: int = 1, **spec: Any) -> Seen:
    """An AIMeter as the cache has it."""
    seen = read(
        METERS,
        {
            "metadata": {"name": "images", "uid": "u", "generation": generation},
            "spec": {
                "unit": "Images",
                "type": "Counter",
                "sources": [{"name": "app", "query": query}],
                **spec,
            },
        },
    )
    assert isinstance(seen, Seen)
    return seen


def arranged(meters: Meters, seen: list[Seen]) -> tuple[Accounts, ...]:
    """What is stated of them, once all that is coming has read its past."""
    while True:
        stated, coming = meters.arrange(seen, MIDNIGHT)
        if not coming:
            return stated
        for accounts in coming:
            accounts.advance(book(), LABELS)
            accounts.fill(MIDNIGHT, book(), LABELS, float("inf"))


def keys(accounts: tuple[Accounts, ...]) -> list[str]:
    """By what the ledger keeps them."""
    return [one.key for one in accounts]


def test_the_same_definition_is_tried_once(meters: Meters) -> None:
    """What does not change how much is counted is no new generation: the accounts stay."""
    (first,) = arranged(meters, [aimeter("good")])
    (second,) = arranged(meters, [aimeter("good", 2, unit="Pictures", maxLines=5, priced=False)])
    assert first is second
    assert Images.tries == ["good"]
    assert not meters.specs()["images"].priced
    assert first.key.startswith("images/")


def test_an_edit_that_prometheus_refuses_loses_no_usage(meters: Meters, ledger: Ledger) -> None:
    """The generation before goes on; the status has Prometheus's words until the edit is mended."""
    before = arranged(meters, [aimeter("good")])
    after = arranged(meters, [aimeter("bad", 2)])
    assert keys(after) == keys(before)
    books = Books([Accounts("gpu", Meter(NOW), ledger, meters._epoch)])
    ((_, facts),) = meters.facts(Measuring(books).measure(book(), LABELS, MIDNIGHT, NOW))
    assert isinstance(facts.problem, Stalled)
    assert (facts.generation, facts.problem.message) == (2, "parse error: unexpected bad")
    (mended,) = arranged(meters, [aimeter("better", 3)])
    assert mended.key not in keys(before)
    assert keys(arranged(meters, [aimeter("good", 4)])) == keys(before)


def test_an_edit_is_stated_when_its_past_is_read(meters: Meters, ledger: Ledger) -> None:
    """Before that, it would look as if little had been spent, and what is held would be given back."""
    (before,) = arranged(meters, [aimeter("good")])
    before.advance(book(), LABELS)
    stated, coming = meters.arrange([aimeter("better", 2)], MIDNIGHT)
    assert keys(stated) == [before.key]
    assert keys(coming) != [before.key]
    books = Books([Accounts("gpu", Meter(NOW), ledger, meters._epoch)])
    books.beside(stated, coming)
    measuring = Measuring(books)
    measured = measuring.measure(book(), LABELS, MIDNIGHT, NOW)
    assert books.statements(TODAY)["images"].lines == before.statement(TODAY).lines
    ((_, facts),) = meters.facts(measured)
    assert any("reads its past" in remark for remark in facts.remarks)
    while measuring.fill(MIDNIGHT, book(), LABELS, float("inf")):
        pass
    stated, coming = meters.arrange([aimeter("better", 2)], MIDNIGHT)
    assert keys(stated) != [before.key]
    assert not coming


def test_a_refused_query_is_tried_again_now_and_then(meters: Meters) -> None:
    """Its metric may come later; a query each cycle would be a storm."""
    for _ in range(2 * (AGAIN + 1)):
        assert arranged(meters, [aimeter("bad")]) == ()
    assert Images.tries == ["bad", "bad"]
    Images.refused.clear()
    for _ in range(AGAIN + 1):
        found = arranged(meters, [aimeter("bad")])
    assert len(found) == 1


def test_while_prometheus_is_away_it_is_tried_each_cycle(meters: Meters) -> None:
    """An outage is no fault of the meter."""
    Images.refused["good"] = PrometheusUnavailable("away")
    assert arranged(meters, [aimeter("good")]) == ()
    del Images.refused["good"]
    assert len(arranged(meters, [aimeter("good")])) == 1


def test_what_was_counted_before_a_restart_is_not_lost_to_a_bad_edit(meters: Meters, ledger: Ledger) -> None:
    """It is stated, and what counts on it is not acted upon."""
    (before,) = arranged(meters, [aimeter("good")])
    before.advance(book(), LABELS)
    restarted = Meters(ledger, ledger.take_over(), Images)
    (former,) = arranged(restarted, [aimeter("bad", 2)])
    assert former.key == before.key
    books = Books([Accounts("gpu", Meter(NOW), ledger, ledger.take_over())])
    books.beside([former])
    measured = Measuring(books).measure(book(), LABELS, MIDNIGHT, NOW)
    assert not measured.of({"images"}).gate.fresh
    assert measured.of({"gpu"}).gate.fresh
    assert books.statements(TODAY)["images"].lines == ledger.statement(before.key, TODAY).lines != ()


def test_a_deleted_meter_is_stated_no_more(meters: Meters) -> None:
    """And one of its name that is made later starts from its own definition."""
    before = arranged(meters, [aimeter("good")])
    assert arranged(meters, []) == ()
    assert keys(arranged(meters, [aimeter("good")])) == keys(before)
    assert Images.tries == ["good", "good"]


def test_a_manifest_that_cannot_be_read_keeps_what_was_counted(meters: Meters) -> None:
    """What the API server let through and no model accepts is Stalled like any other."""
    before = arranged(meters, [aimeter("good")])
    assert keys(arranged(meters, [aimeter("sum(x", 2)])) == keys(before)


def test_a_meter_that_counts_otherwise_is_told_once(meters: Meters, ledger: Ledger) -> None:
    """While it reads its past, and in the cycle in which another definition is stated: what that moves is no
    new usage. A restart is no edit.
    """
    (accounts,) = arranged(meters, [aimeter("good")])
    assert meters.restated == {"images"}
    accounts.advance(book(), LABELS)
    accounts.fill(MIDNIGHT, book(), LABELS, float("inf"))
    arranged(meters, [aimeter("good")])
    assert meters.restated == set()

    edited = [aimeter("better", 2)]
    meters.arrange(edited, MIDNIGHT)
    assert meters.restated == set(), "the one before is still stated"
    arranged(meters, edited)
    assert meters.restated == {"images"}
    arranged(meters, edited)
    assert meters.restated == set()

    again = Meters(ledger, ledger.take_over(), Images)
    arranged(again, edited)
    assert again.restated == set()


def test_no_budget_waits_for_the_past_of_a_meter_that_it_does_not_use(meters: Meters, ledger: Ledger) -> None:
    """A new meter is read back beside the others; what is made of it alone is still under way."""
    gpu = Accounts("gpu", Meter(NOW), ledger, meters._epoch)
    books = Books([gpu])
    books.beside(*meters.arrange([aimeter("good")], MIDNIGHT))
    gpu.advance(book(), LABELS)
    gpu.fill(MIDNIGHT, book(), LABELS, float("inf"))
    measured = Measuring(books).measure(book(), LABELS, MIDNIGHT, NOW)
    assert progress(measured.owed()) is None
    told = progress(measured.owed({"images"}))
    assert told is not None
    assert "is needed" in told


@pytest.mark.parametrize(("present", "expected"), [(True, "Fresh"), (None, "Fresh"), (False, "SourceAbsent")])
def test_of_a_meter_that_nothing_tells_of_nothing_is_known(
    meters: Meters, ledger: Ledger, present: bool | None, expected: str
) -> None:
    """However well nothing was read: a name that is misspelt looks the same."""
    seen = aimeter("good")
    stated = arranged(meters, [seen])
    books = Books([Accounts("gpu", Meter(NOW), ledger, meters._epoch)])
    books.beside(stated)
    measured = Measuring(books).measure(book(), LABELS, MIDNIGHT, NOW)
    (own,) = meters._own.values()
    assert own.stated is not None
    assert isinstance(own.stated.source, Images)
    own.stated.source.is_present = present
    ((_, facts),) = meters.facts(measured)
    assert facts.data is not None
    assert (facts.data.reason.value, facts.data.fresh) == (expected, present is not False)
