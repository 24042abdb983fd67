"""The data gate: open on fresh and covered data only, with a sentence for each reason that shuts it."""

import pytest

from aibudget.budgeting.gate import Gate, all_of, gate
from aibudget.metering.usage import Coverage


@pytest.mark.parametrize(
    ("covered", "head", "wanted"),
    [
        (1800, 1000, []),
        (1710, 1000, []),
        (1709, 1000, ["94 % of the last 30 minutes"]),
        (1800, 699, ["301 s old"]),
        (1800, 700, []),
        (0, None, ["nothing has been read", "0 %"]),
    ],
)
def test_the_gate_shuts_on_old_or_thin_data(covered: int, head: int | None, wanted: list[str]) -> None:
    """95 % coverage and the oldest age are still good."""
    found = gate("gpu", Coverage(covered, 1800), head, now=1000, oldest_age=300)
    assert found.fresh == (not wanted)
    assert len(found.reasons) == len(wanted)
    assert all(part in reason for part, reason in zip(wanted, found.reasons, strict=True))


def test_a_window_that_was_never_read_is_not_covered() -> None:
    """No seconds at all are not all of them."""
    assert not gate("gpu", Coverage(0, 0), 1000, now=1000, oldest_age=300).fresh


def test_one_shut_gate_shuts_all() -> None:
    """A budget acts only when every meter that it uses is fresh."""
    assert all_of([Gate(fresh=True), Gate(fresh=False, reasons=("gpu: old",))]) == Gate(False, ("gpu: old",))
    assert all_of([]) == Gate(fresh=True)
