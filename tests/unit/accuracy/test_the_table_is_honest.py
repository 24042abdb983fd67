"""The accuracy table: nothing cancels out, and what is unknown excuses nothing but what is missing."""

from fractions import Fraction

import pytest

from accuracy.table import NOT_YET, Row, percent, table, written

TRUTH = {"a": Fraction(10), "b": Fraction(10)}


def row(a: int, b: int, unknown: int = 0) -> Row:
    """With a goal of five per cent."""
    ours = {"a": Fraction(a), "b": Fraction(b)}
    return Row("case", "GPU-h", TRUTH, ours, unknown=Fraction(unknown), goal=percent("5"))


@pytest.mark.parametrize(
    ("of", "error", "missed"),
    [
        (row(10, 10), 0, False),
        (row(11, 9), 2, True),
        (row(10, 9), 1, False),
        (row(10, 8), 2, True),
        (row(10, 8, unknown=2), 0, False),
        (row(12, 10, unknown=2), 2, True),
        (row(10, 9, unknown=2), 0, False),
    ],
)
def test_errors_of_namespaces_add_up(of: Row, error: int, missed: bool) -> None:
    """What one pays for another is wrong twice; too much is never excused."""
    assert of.error == Fraction(error)
    assert of.missed is missed


def test_what_is_not_counted_has_no_figure() -> None:
    """And misses no goal: it says so."""
    absent = Row("case", "GPU-h", TRUTH)
    assert not absent.missed
    assert absent.cells()[2:4] == (NOT_YET, "")


def test_the_page_keeps_what_is_around_the_table() -> None:
    """Twice written is once."""
    page = "before\n<!-- make accuracy -->\nold\n<!-- end -->\nafter\n"
    once = written(page, table([row(10, 10)]))
    assert written(once, table([row(10, 10)])) == once
    assert once.startswith("before\n")
    assert once.endswith("<!-- end -->\nafter\n")
    assert "old" not in once
