"""Who is stopped first: a total order in which what is not known never comes first."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.order import Candidate, Crew, is_idle, ranked
from aibudget.inventory.workload import Workload
from unit.enforcement.conftest import NOW

DAY = timedelta(days=1)


def crew(**changes: Any) -> Crew:
    """Two pods that run since yesterday, at no priority of their own."""
    known = Crew(pods=2, priority=0, oldest=NOW - DAY, youngest=NOW - DAY, guarded=False)
    return replace(known, **changes)


def candidate(name: str = "a", kind: str = "Deployment", rate: str = "4", **changes: Any) -> Candidate:
    """A Deployment that is in use."""
    known = Candidate(Workload("team", kind, name), KINDS[kind], Decimal(rate), idle=False, crew=crew())
    return replace(known, **changes)


def names(*candidates: Candidate) -> list[str]:
    return [place.candidate.workload.name for place in ranked(candidates, NOW)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"held": True}, {"idle": True}),
        ({"idle": True, "crew": crew(priority=1000)}, {}),
        ({"crew": crew(priority=-1)}, {"kind": "Job"}),
        ({"kind": "Job"}, {"rate": "90"}),
        ({"kind": "StatefulSet"}, {"crew": crew(guarded=True)}),
        ({"crew": crew(oldest=NOW - 2 * DAY)}, {"crew": crew(oldest=NOW - 3 * DAY), "rate": "90"}),
        ({"rate": "4.01"}, {}),
        ({"crew": crew(oldest=NOW - DAY - timedelta(minutes=9)), "rate": "4.01"}, {}),
    ],
    ids=["held", "idle", "priority", "kind", "disruption budget", "run time lost", "cost", "within an hour"],
)
def test_what_comes_first(first: dict[str, Any], then: dict[str, Any]) -> None:
    """Each key decides only between those that all keys before it find equal."""
    assert names(candidate("a", **then), candidate("z", **first)) == ["z", "a"]


@pytest.mark.parametrize(
    "unknown",
    [
        {"idle": None},
        {"idle": True, "crew": crew(youngest=None)},
        {"idle": True, "crew": crew(youngest=NOW - timedelta(minutes=14))},
        {"idle": True, "crew": None},
    ],
    ids=["not watched", "no start time", "just started", "pods not read"],
)
def test_what_is_not_known_is_not_idle(unknown: dict[str, Any]) -> None:
    """A workload that nobody watched, or one that may still be loading, is never called idle."""
    assert not is_idle(candidate(**unknown), NOW)
    assert names(candidate("a", **unknown), candidate("z", idle=True)) == ["z", "a"]


@pytest.mark.parametrize("unknown", [{"crew": None}, {"crew": crew(priority=None)}])
def test_what_could_not_be_read_comes_last(unknown: dict[str, Any]) -> None:
    """However idle, cheap to stop and dear it may be."""
    dear = candidate("a", kind="Job", rate="900", idle=True, **unknown)
    important = candidate("z", "StatefulSet", "1", crew=crew(priority=2**31 - 1, guarded=True))
    assert names(dear, important) == ["z", "a"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "in use, priority 0, Deployment, running for 24 h, 4.00 USD per hour"),
        ({"currency": "EUR"}, "4.00 EUR per hour"),
        ({"idle": True}, "idle, priority 0"),
        ({"idle": True, "crew": crew(youngest=NOW)}, "idle so far, but just started"),
        ({"idle": None}, "idle or not is unknown"),
        (
            {"crew": crew(guarded=True, oldest=None)},
            "with a PodDisruptionBudget, running for an unknown time",
        ),
        ({"crew": crew(oldest=NOW - 9 * DAY)}, "running for 9 days"),
        ({"held": True}, "held already for another budget"),
        ({"crew": None}, "so it comes last"),
        (
            {"assumed": ("spot is charged as on-demand", "more")},
            "(assumed: spot is charged as on-demand, and 1",
        ),
    ],
)
def test_the_sentence_says_what_is_known(changes: dict[str, Any], said: str) -> None:
    """Whoever reads it can find the place by himself."""
    (place,) = ranked([candidate(**changes)], NOW)
    assert place.reason.startswith("Place 1 of 1 in the order: ")
    assert said in place.reason


crews = st.none() | st.builds(
    Crew,
    pods=st.just(1),
    priority=st.none() | st.integers(-2, 2),
    oldest=st.none() | st.integers(0, 100).map(lambda hours: NOW - timedelta(hours=hours)),
    youngest=st.none() | st.integers(0, 100).map(lambda hours: NOW - timedelta(hours=hours)),
    guarded=st.booleans(),
)
many = st.lists(
    st.builds(
        lambda name, kind, rate, idle, held, crew, assumed: Candidate(
            Workload("team", kind, name), KINDS[kind], Decimal(rate), idle, held, crew, assumed
        ),
        name=st.sampled_from("abcdefgh"),
        kind=st.sampled_from(["Deployment", "StatefulSet", "Job"]),
        rate=st.integers(0, 3),
        idle=st.none() | st.booleans(),
        held=st.booleans(),
        crew=crews,
        assumed=st.sampled_from([(), ("spot at on-demand",), ("long " * 300, "and another")]),
    ),
    unique_by=lambda candidate: candidate.workload.name,
)


@settings(max_examples=40)
@given(many, st.randoms(use_true_random=False))
def test_total_and_deterministic(candidates: list[Candidate], chance: Any) -> None:
    """Whatever order they come in, each has the same place and the same sentence; nobody has another's."""
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    places = ranked(candidates, NOW)
    assert ranked(shuffled, NOW) == places
    assert [place.rank for place in places] == list(range(1, len(candidates) + 1))
    assert all(place.reason.startswith(f"Place {place.rank} of {len(candidates)}") for place in places)
    assert all(len(place.reason) <= 1024 for place in places)


@settings(max_examples=40)
@given(many)
def test_knowing_less_never_moves_it_forward(candidates: list[Candidate]) -> None:
    """Forget all about one of them: its place is the same or a later one."""
    for one in candidates:
        if one.held:
            continue
        before = names(*candidates).index(one.workload.name)
        rest = [other for other in candidates if other != one]
        for less in (replace(one, idle=None), replace(one, crew=None)):
            assert names(*rest, less).index(one.workload.name) >= before
