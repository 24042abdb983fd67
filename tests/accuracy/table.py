"""What a case came to, and the table of all of them, as Markdown that reads well in a terminal too.

The error is what is neither on the bill nor said to be unknown, summed by namespace without signs: what one
namespace pays for another is an error, too. Amounts are fractions, so that an exact bill is exactly so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

HEADER = ("case", "truth", "ours", "error", "goal", "OpenCost")
MARKS = ("<!-- make accuracy -->", "<!-- end -->")
NOT_YET = "not counted yet"

Amounts = Mapping[str, Fraction]
"""By namespace, or by whatever the bill is by."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The largest error allowed: a part of the truth, or an amount in the row's unit; exact by default."""

    said: str = "exact"
    part: Fraction = Fraction(0)
    amount: Fraction = Fraction(0)

    def allows(self, error: Fraction, truth: Fraction) -> bool:
        return error <= max(self.part * truth, self.amount)


EXACT = Goal()


def percent(hundredths: str) -> Goal:
    """Such as `percent("0.1")`."""
    return Goal(f"{hundredths} %", part=Fraction(hundredths) / 100)


def steps(count: int, seconds: int) -> Goal:
    """As many steps of one device."""
    return Goal(f"{count} steps of {seconds} s", amount=Fraction(count * seconds, 3600))


@dataclass(frozen=True, slots=True)
class Row:
    """`ours` is None where the operator does not count it yet. `unknown` is what it said it does not know."""

    case: str
    unit: str
    truth: Amounts
    ours: Amounts | None = None
    unknown: Fraction = Fraction(0)
    goal: Goal = field(default=EXACT)
    opencost: str = ""
    remark: str = NOT_YET

    @property
    def error(self) -> Fraction:
        """What is wrong in all namespaces together. What is unknown excuses what is missing, nothing else."""
        ours = self.ours or {}
        apart = {
            key: ours.get(key, Fraction(0)) - self.truth.get(key, Fraction(0)) for key in {*self.truth, *ours}
        }
        missing = sum((-one for one in apart.values() if one < 0), start=Fraction(0))
        return sum(map(abs, apart.values()), start=Fraction(0)) - min(self.unknown, missing)

    @property
    def missed(self) -> bool:
        """Whether the goal is. What is not counted yet misses none, and the table says so."""
        return self.ours is not None and not self.goal.allows(self.error, _sum(self.truth))

    def cells(self) -> tuple[str, ...]:
        """As the table has them."""
        ours, error = self.remark, ""
        if self.ours is not None:
            ours = _amount(_sum(self.ours), self.unit)
            ours += f" + {_amount(self.unknown, self.unit)} unknown" if self.unknown else ""
            error = _error(self.error, _sum(self.truth)) + (" (missed)" if self.missed else "")
        return self.case, _amount(_sum(self.truth), self.unit), ours, error, self.goal.said, self.opencost


def table(rows: Iterable[Row]) -> str:
    """Markdown, its columns aligned."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "".join(_line(line, widths) for line in lines)


def written(page: str, text: str) -> str:
    """The page with the table between its marks. Raises ValueError where they are not."""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"the page has no place for the table between {MARKS[0]} and {MARKS[1]}")
    return f"{before}{begin}\n{text}{end}{after}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |\n"


def _sum(amounts: Amounts) -> Fraction:
    return sum(amounts.values(), start=Fraction(0))


def _amount(amount: Fraction, unit: str) -> str:
    if unit == "Tokens" and amount.denominator == 1:
        return f"{int(amount):,} {unit}"
    return f"{float(amount):,.3f} {unit}"


def _error(error: Fraction, truth: Fraction) -> str:
    if not error:
        return "0"
    return f"{float(error / truth):.3%}" if truth else f"{float(error):.3f}"
