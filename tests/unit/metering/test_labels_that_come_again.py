"""Labels are known by their text: what comes again is not read again, and what is gone is forgotten."""

import gc
import json
import weakref
from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from aibudget.metering.answer import KnownLabels, document_of
from aibudget.metering.source import Labels, Series, meaning

TEXTS = [json.dumps({"pod": f"p{number}", "größe": '},{"metric":'}) for number in range(6)]


def answered(known: KnownLabels, metrics: list[dict[str, str]]) -> list[Series]:
    """An answer of these series, in pieces."""
    result = [{"metric": metric, "values": [[60, "1"]]} for metric in metrics]
    said: dict[str, Any] = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    body = json.dumps(said, separators=(",", ":")).encode()
    response = requests.Response()
    response.status_code = 200
    pieces: Iterator[bytes] = (body[at : at + 50] for at in range(0, len(body), 50))
    series: list[Series] = document_of(response, pieces, "url", known)["data"]["result"]
    return series


def test_labels_that_come_again_are_the_same_object() -> None:
    """In whatever pieces they arrive, and at whichever place."""
    known, metrics = KnownLabels(), [{"pod": name, "node": "n"} for name in "abcd"]
    first, second = answered(known, metrics), answered(known, metrics[::-1])
    assert [dict(series.labels) for series in first] == metrics
    assert all(one.labels is other.labels for one, other in zip(first, second[::-1], strict=True))


def test_what_follows_from_labels_is_found_once() -> None:
    """And anew for whoever makes something else of them; they still say what they said."""
    (labels,) = KnownLabels().of([TEXTS[0]])
    seen = []

    def pod(told: Mapping[str, str]) -> str:
        seen.append(told)
        return told["pod"]

    assert [meaning(labels, pod), meaning(labels, pod)] == ["p0", "p0"]
    assert len(seen) == 1
    assert meaning(labels, len) == 2
    assert "pod" in labels
    assert "node" not in labels
    assert dict(labels) == json.loads(TEXTS[0])


def test_labels_of_many_sheets_say_what_they_said() -> None:
    """In whatever order they are read."""
    said = [{"pod": f"p{number}"} for number in range(1000)]
    labels = KnownLabels().of([json.dumps(one) for one in said])
    assert [dict(one) for one in labels[::-1]] == said[::-1]


def test_labels_are_known_again_after_they_were_forgotten() -> None:
    """Who kept something by them finds it: they are equal where they were written alike, and only there."""
    known = KnownLabels()
    (kept, other) = known.of(TEXTS[:2])
    known.age()
    known.age()
    (again,) = known.of([TEXTS[0]])
    assert again is not kept
    assert {kept: "samples"}[again] == "samples"
    assert again != other
    assert again == json.loads(TEXTS[0])


def test_an_answer_is_let_go_of_at_once() -> None:
    """Labels of a hundred thousand pods must not wait for Python to look for rings."""
    known = KnownLabels()
    answered(known, [{"pod": "a"}])
    gone = weakref.ref(known)
    gc.disable()
    try:
        del known
        assert gone() is None
    finally:
        gc.enable()


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(TEXTS), max_size=8)), max_size=12))
def test_labels_are_those_of_their_text(answers: list[tuple[bool, list[str]]]) -> None:
    """Whatever came before, and whatever was forgotten."""
    known = KnownLabels()
    for ages, texts in answers:
        if ages:
            known.age()
        assert [dict(labels) for labels in known.of(texts)] == [json.loads(text) for text in texts]


def test_labels_that_do_not_come_any_more_are_forgotten() -> None:
    """Pods come and go for months; those that stay keep their labels."""
    known = KnownLabels()
    (stays, _) = known.of(TEXTS[:2])
    for number in range(10):
        gone = json.dumps({"pod": f"gone-{number}"})
        assert known.of([TEXTS[0], gone])[0] is stays
        known.age()
    assert len(known) == 2


def test_what_comes_late_is_still_known() -> None:
    """Nearly all labels come within a minute; the others are those of a query that is asked more seldom."""
    texts = [json.dumps({"pod": f"p{number}"}) for number in range(100)]
    known = KnownLabels()
    before = known.of(texts)
    known.age()
    most = known.of(texts[:95])
    assert len(known) == 100
    assert all(map(is_, (*most, *known.of(texts[95:])), before))


@pytest.mark.parametrize("text", ['{"pod":', '{"pod":"a"}{"pod":"b"}', '["pod"'])
def test_what_is_no_label_set_is_refused_at_once(text: str) -> None:
    """Not when somebody looks at it: an answer is whole, or it is none."""
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        KnownLabels().of([text])


def test_labels_are_never_written() -> None:
    """They are shared by all answers."""
    (labels,) = KnownLabels().of([TEXTS[0]])
    assert isinstance(labels, Labels)
    assert not hasattr(labels, "__setitem__")
