"""What is kept of a stored status: all that it says, once, in little room."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aibudget.controller.stored import packed, unpacked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_it_says_what_it_said(status: dict[str, Any]) -> None:
    assert unpacked(packed(status)) == status


def test_what_is_no_status_says_nothing() -> None:
    assert unpacked(packed(None)) == {}


def test_it_is_there_once() -> None:
    """The watch tells what we wrote a moment ago: of thousands of budgets that would be megabytes twice."""
    told, wrote = ({"spend": {"amount": "1.50"}, "conditions": []} for _ in range(2))
    assert packed(told) is packed(wrote)


def test_what_a_healthy_budget_has_in_common_with_all_others_takes_no_room() -> None:
    said = {
        "Ready": ("Reconciled", "The budget is accepted and evaluated."),
        "WithinBudget": ("BelowThreshold", "812.25 of 2000.00 USD are used (40 %)."),
        "DataFresh": ("Fresh", "Usage of the last 30 minutes is known."),
    }
    status = {
        "conditions": [
            {
                "lastTransitionTime": "2026-11-02T08:14:30Z",
                "message": message,
                "observedGeneration": 3,
                "reason": reason,
                "status": "True",
                "type": kind,
            }
            for kind, (reason, message) in said.items()
        ],
        "lastEvaluationTime": "2026-11-12T17:20:10Z",
        "spend": {"amount": "812.25", "asOfTime": "2026-11-12T17:19:00Z", "currency": "USD"},
    }
    assert len(packed(status)) < len(json.dumps(status)) / 4
