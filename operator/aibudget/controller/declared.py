"""What is said of the objects beside budgets, AIPriceLists and AIMeters; and what stored statuses remember.

Each gets its status, and an Event as it is left out or used again. Knows nothing of how they are written.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from aibudget.api.conditions import Condition, ConditionType, find_condition
from aibudget.api.meter import MeterStatus
from aibudget.api.names import API_VERSION
from aibudget.api.pricelist import PriceListStatus
from aibudget.controller.cache import Seen
from aibudget.controller.judge import Judged
from aibudget.controller.reporter import Report, Reporter
from aibudget.controller.shelf import Listed
from aibudget.reporting import events, status
from aibudget.reporting.facts import MeterFacts


def price_reports(
    reporter: Reporter, lists: Iterable[Listed], absent: Collection[str], now: int
) -> Iterator[Report]:
    """Of each AIPriceList; `absent` are meters that nothing tells of."""
    for listed in lists:
        generation, before = listed.seen.metadata.generation, reporter.before_prices(listed.seen)
        remarks = (*listed.remarks, *_unused(listed.meters.intersection(absent)))
        after = status.price_list(before, generation, listed.problem, remarks, now)
        yield _report(listed.seen, before.conditions, after)


def _unused(absent: Collection[str]) -> Iterator[str]:
    if absent:
        meters = ", ".join(sorted(absent))
        yield (
            f"Nothing tells of {meters}: what it would cost is unknown, not zero, until an exporter of it is "
            "scraped (docs/reference/meters.md)."
        )


def meter_reports(
    reporter: Reporter, meters: Iterable[tuple[Seen, MeterFacts]], now: int
) -> Iterator[Report]:
    """Of each AIMeter."""
    for seen, facts in meters:
        before = reporter.before_meter(seen)
        yield _report(seen, before.conditions, status.meter(before, facts, now))


def stood(judged: Sequence[Judged], reporter: Reporter) -> Callable[[str], Condition | None]:
    """How the stored status of a budget, by its uid, says that it enforces."""
    seen = {one.seen.uid: one.seen for one in judged}

    def found(uid: str) -> Condition | None:
        if uid not in seen:
            return None
        return find_condition(reporter.before(seen[uid]).conditions, ConditionType.ENFORCED)

    return found


def _report(seen: Seen, before: Sequence[Condition], after: PriceListStatus | MeterStatus) -> Report:
    about = events.Subject(API_VERSION, seen.resource.kind, None, seen.metadata.name, seen.uid)
    return Report(seen, after, tuple(events.standing(about, before, after.conditions)))
