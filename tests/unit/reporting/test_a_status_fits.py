"""Whatever there is to say of a budget, its status stays within 8 KiB, and says what it leaves out.

The worst case is made from the schema itself, so that a field that is added counts from its first day.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.budgetstatus import BudgetStatus, Omitted
from aibudget.api.conditions import Condition, ConditionType, Reason
from aibudget.api.schema import structural
from aibudget.reporting.conditions import MESSAGE_LENGTH
from aibudget.reporting.room import MOST_BYTES, clipped, fitted, size

LETTERS = ("x", "ж", "<", '"', "\n", "😀")
"""Of one byte, of two, of six, of two by escaping, and of four."""
LISTS = ("spared", "history", "top_workloads", "measures", "anomalies", "drivers", "clusters")
OF_HOLDS = {"Applied", "Effective", "Contested", "Releasing", "Ineffective"}


def worst(schema: dict[str, Any], words: str, index: int = 0) -> Any:
    """The longest value of a structural schema; messages are of `words`."""
    match schema:
        case {"enum": values}:
            return max(values, key=len)
        case {"type": "object", "properties": fields}:
            return {name: worst(field, words if name == "message" else "x") for name, field in fields.items()}
        case {"type": "array", "items": items, "maxItems": most}:
            return [worst(items, words, number) for number in range(most)]
        case {"type": "string", "format": "date-time"}:
            return "2026-11-22T06:44:18Z"
        case {"type": "string", "pattern": "^[A-Z]{3}$"}:
            return "USD"
        case {"type": "string", "pattern": pattern, "maxLength": longest} if "0-9" in pattern:
            return "9" * longest
        case {"type": "string", "maxLength": longest}:
            return f"{index:02}".ljust(longest, words)
        case {"type": "integer"}:
            return schema.get("maximum", 2**31 - 1)
        case {"type": "boolean"}:
            return False
    raise AssertionError(f"nothing bounds {schema}: give it a maxLength or maxItems")


@cache
def full(words: str) -> BudgetStatus:
    """A status with every field, list and word at its longest; all conditions that there are."""
    schema = structural(BudgetStatus)
    fields = {name: field for name, field in schema["properties"].items() if name != "conditions"}
    told = worst(schema | {"properties": fields}, words)
    conditions = tuple(
        Condition(
            type=kind,
            status="Unknown",
            reason=max(Reason, key=len),
            message=words * MESSAGE_LENGTH,
            last_transition_time=datetime(2026, 11, 22, tzinfo=UTC),
            observed_generation=2**31,
        )
        for kind in ConditionType
        if kind not in OF_HOLDS
    )
    status = BudgetStatus.model_validate(told | {"omitted": None}, by_alias=True, by_name=False)
    return status.model_copy(update={"conditions": conditions})


@pytest.mark.parametrize("words", LETTERS)
def test_the_greatest_status_that_the_schema_allows_fits(words: str) -> None:
    """If this fails for a field of yours: bound it, or give it a place in `room.CUTS`."""
    status = full(words)
    assert size(status) > 2 * MOST_BYTES
    assert size(fitted(status, {"spared": 10**6, "top_workloads": 10**6})) <= MOST_BYTES


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(LETTERS), st.lists(st.integers(0, 17), min_size=7, max_size=7), st.integers(0, 9))
def test_what_is_left_out_is_counted_and_what_matters_stays(
    words: str, lengths: list[int], more: int
) -> None:
    """Shown and omitted are all there is; what is remembered and decided by is as it was."""
    whole = full(words)
    status = whole.model_copy(
        update={name: getattr(whole, name)[:length] for name, length in zip(LISTS, lengths, strict=True)}
    )
    fits = fitted(status, dict.fromkeys(LISTS, more))
    assert size(fits) <= MOST_BYTES
    omitted = fits.omitted or Omitted()
    for name in LISTS:
        shown = len(getattr(fits, name)), getattr(omitted, name) or 0
        assert sum(shown) == len(getattr(status, name)) + more
    assert (fits.thresholds, fits.spend, fits.period) == (status.thresholds, status.spend, status.period)
    standings = [(one.type, one.status, one.reason) for one in fits.conditions]
    assert standings == [(one.type, one.status, one.reason) for one in status.conditions]


def test_a_status_that_fits_is_left_as_it_is() -> None:
    """Most do."""
    status = (
        full("x")
        .model_copy(update={"spared": (), "history": (), "conditions": (), "top_workloads": ()})
        .model_copy(update={"measures": full("x").measures[:5]})
        .model_copy(update={"anomalies": (), "drivers": (), "clusters": ()})
    )
    assert fitted(status, {}) == status


@given(st.text(max_size=200), st.integers(3, 300))
def test_a_text_is_cut_by_the_bytes_it_takes(text: str, most: int) -> None:
    """A text that fits is whole; one that does not says that it was cut."""
    cut = clipped(text, most)
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))
    assert len(cut.encode()) <= most
