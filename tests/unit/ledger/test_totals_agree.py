"""Running totals, recounts and a model in plain Python agree, whatever is posted in whatever order."""

from collections import Counter
from decimal import Decimal
from itertools import count
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.inventory.workload import Workload
from aibudget.ledger.database import Database
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import FAR_FUTURE, Rate

CLUSTERS = count()
SKU = sku("gpu", {"gpuProduct": "H100"})
RATES = [None] + [
    Rate("l", n, "gpu", {}, "USD", "GPU-Hours", Decimal(1), Decimal(1), 1, Interval(0, FAR_FUTURE))
    for n in ("a", "b")
]


class Content(NamedTuple):
    """What one slot is to hold: seconds covered, and for each workload its rate and four quantities."""

    covered: int
    rows: dict[str, tuple[int, int, int, int, int]]


contents = st.builds(
    Content,
    st.integers(0, 900),
    st.dictionaries(
        st.sampled_from(["w1", "w2", "w3"]),
        st.tuples(st.integers(0, 2), *[st.integers(0, 10**12)] * 3, st.integers(1, 10**12)),
        max_size=3,
    ),
)
slots = st.integers(0, 11)


def charges_of(slot: int, content: Content) -> tuple[Charge, ...]:
    """The charges that make this content."""
    return tuple(
        Charge(Usage(slot * 900, Workload("ns", "Job", name), SKU, q, e, b, o), RATES[rate])
        for name, (rate, q, e, b, o) in content.rows.items()
    )


def put(ledger: Ledger, contents: dict[int, Content]) -> None:
    """Post these slots by number at the present revision."""
    state = ledger.state("gpu")
    ledger.post(
        Posting(
            meter="gpu",
            coverage={slot * 900: Coverage(content.covered, 900) for slot, content in contents.items()},
            charges=tuple(c for slot, content in contents.items() for c in charges_of(slot, content)),
            watermark=max((max(contents) + 1) * 900, state.watermark or 0),
            revision=state.revision,
            at=0,
        )
    )


def told(ledger: Ledger, start: int, end: int) -> Counter[tuple[str, str, str]]:
    """The ledger's sums by workload, rate and column, and the covered seconds."""
    statement = ledger.statement("gpu", Interval(start * 900, end * 900))
    sums: Counter[tuple[str, str, str]] = Counter({("", "", "covered"): statement.coverage.covered_seconds})
    for line in statement.lines:
        for column in ("quantity", "estimated", "busy", "observed"):
            rate = line.rate.name if line.rate else ""
            sums[line.workload.name, rate, column] += getattr(line, column) or 0
    return +sums


def model(held: dict[int, Content], start: int, end: int) -> Counter[tuple[str, str, str]]:
    """The same from first principles. A usage of nothing is no usage."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for slot, content in held.items():
        if start <= slot < end:
            sums["", "", "covered"] += content.covered
            for charge in charges_of(slot, content):
                key = charge.usage.workload.name, charge.rate.name if charge.rate else ""
                columns = ("quantity", "estimated", "busy", "observed") if charge.usage.quantity else ()
                for column in columns:
                    sums[*key, column] += getattr(charge.usage, column)
    return +sums


@settings(max_examples=15)
@given(
    st.lists(st.tuples(slots, contents, slots, slots, st.booleans()), min_size=1, max_size=12),
)
def test_totals_equal_a_recount(database: Database, steps: list[tuple[int, Content, int, int, bool]]) -> None:
    """After every posting, old or new: totals, a recount, a fresh process and the model say the same."""
    cluster = str(next(CLUSTERS))
    ledger, held = Ledger(database, cluster), {0: Content(900, {})}
    put(ledger, held)
    earlier = 0
    for slot, content, start, length, restart in steps:
        missing = {s: Content(0, {}) for s in range(max(held) + 1, slot)}
        put(ledger, missing | {slot: content})
        held |= missing | {slot: content}
        for end in (start + length, max(start, earlier), 99):
            assert told(ledger, start, end) == model(held, start, end)
        earlier = start
        if restart:
            ledger = Ledger(database, cluster)
            assert told(ledger, start, 99) == model(held, start, 99)


@settings(max_examples=8)
@given(st.dictionaries(slots, contents, min_size=1, max_size=6), st.randoms())
def test_the_order_of_postings_is_irrelevant(
    database: Database, wanted: dict[int, Content], random: Random
) -> None:
    """Slot by slot in any order, or all at once: the same statement."""
    wanted = {slot: wanted.get(slot, Content(0, {})) for slot in range(max(wanted) + 1)}
    order = list(wanted)
    random.shuffle(order)
    ones, once = (Ledger(database, str(next(CLUSTERS))) for _ in range(2))
    put(ones, {slot: Content(0, {}) for slot in wanted})
    for slot in order:
        put(ones, {slot: wanted[slot]})
    put(once, wanted)
    assert told(ones, 0, 99) == told(once, 0, 99) == model(wanted, 0, 99)
