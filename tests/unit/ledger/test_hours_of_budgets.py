"""Hours are marked when what is posted of them changes, and kept by budget."""

from collections.abc import Callable

import pytest

from aibudget.errors import Conflict
from aibudget.ledger.hours import HOUR, Counted, Recount
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

FULL = Coverage(900, 900)
DAY = 24 * HOUR
EVERYTHING = 10**12


def test_what_is_posted_marks_its_hours(ledger: Ledger, post: Callable[..., None]) -> None:
    """Again each time, so that whoever has counted them before knows."""
    post(ledger, {0: FULL, 3: FULL, 4: FULL, 1: FULL, 2: FULL})
    assert ledger.hours.changed(0, EVERYTHING) == {0: 1, HOUR: 1}
    post(ledger, {5: FULL})
    assert ledger.hours.changed(1, EVERYTHING) == {HOUR: 2}
    assert ledger.hours.changed(0, HOUR) == {0: 1}
    assert (ledger.hours.newest(HOUR), ledger.hours.newest(EVERYTHING), ledger.hours.first()) == (1, 2, 0)


def test_other_prices_mark_the_hours_that_they_are_for(
    ledger: Ledger,
    post: Callable[..., None],
    make_charge: Callable[..., Charge],
    make_rate: Callable[..., Rate],
) -> None:
    """What was spent in them is another amount now; hours before the prices are what they were."""
    post(
        ledger,
        dict.fromkeys(range(8), FULL),
        *(make_charge(slot, "llm", 1000, make_rate("1")) for slot in range(8)),
    )
    was = PriceBook([make_rate("1")])
    ledger.rerate(was, 0, at=1, epoch=0)
    before = ledger.hours.newest(EVERYTHING)
    ledger.rerate(PriceBook([make_rate("1"), make_rate("2", 4, "new")]), HOUR, at=2, epoch=0)
    assert set(ledger.hours.changed(before, EVERYTHING)) == {HOUR}


def test_an_hour_has_the_lines_and_the_coverage_of_its_slots(
    ledger: Ledger, post: Callable[..., None], make_charge: Callable[..., Charge]
) -> None:
    """As the statement of that hour has them; an hour that was asked for in part is not complete."""
    some = [make_charge(slot, "llm", 1000 + slot) for slot in range(6)]
    post(ledger, {slot: Coverage(900 - slot, 900) for slot in range(6)}, *some)
    hours = ledger.hourly("gpu", Interval(0, 2 * HOUR))
    assert set(hours) == {0, HOUR}
    whole = ledger.statement("gpu", Interval(0, HOUR))
    assert (hours[0].lines, hours[0].coverage) == (whole.lines, whole.coverage)
    assert (hours[0].complete, hours[HOUR].complete) == (True, False)
    assert ledger.hourly("gpu", Interval(0, HOUR), {"other"})[0].lines == ()
    assert ledger.hourly("gpu", Interval(0, HOUR), {"team"})[0].lines == whole.lines


def test_what_was_counted_is_read_back(ledger: Ledger) -> None:
    """Across months, part by part; what was never counted is not known, and neither is what was held."""
    epoch, hours, month = ledger.take_over(), ledger.hours, 31 * DAY
    some = {0: 5, month - HOUR: 10**30, month: 0, month + 5 * HOUR: None, month + 6 * HOUR: -1}
    hours.write({"a": Recount(Counted("s", 3, 0), some)}, epoch)
    hours.write({"a": Recount(Counted("s", 4, 0), {HOUR: 7}), "b": Recount(Counted("t", 4, HOUR))}, epoch)
    found = hours.read("a", 0)
    assert {hour: found[hour] for hour in some} == some
    assert (found[HOUR], found[2 * HOUR]) == (7, None)
    assert hours.counted() == {"a": Counted("s", 4, 0), "b": Counted("t", 4, HOUR)}
    hours.hold({"a": [HOUR, 2 * HOUR]}, epoch)
    hours.hold({"a": [HOUR]}, epoch)
    assert hours.read("a", 0)[HOUR] is None
    hours.write({"a": Recount(Counted("other", 5, 0), {HOUR: 9}, anew=True)}, epoch)
    assert 0 not in {hour for hour, amount in hours.read("a", 0).items() if amount is not None}
    hours.forget(month, epoch)
    assert hours.read("a", 0) == {}


def test_only_the_writer_of_the_ledger_counts(ledger: Ledger) -> None:
    """A leader that was paused must not put old numbers over those of its successor."""
    epoch = ledger.take_over()
    ledger.take_over()
    with pytest.raises(Conflict, match="took the ledger over"):
        ledger.hours.write({"a": Recount(Counted("s", 1, 0), {0: 1})}, epoch)
    with pytest.raises(Conflict, match="took the ledger over"):
        ledger.hours.hold({"a": [0]}, epoch)
    assert ledger.hours.read("a", 0) == {}
