"""What Annotate writes and takes off: the binding budget alone, on transitions, never for stale data."""

import asyncio

from aibudget.api.names import BUDGET_ANNOTATION, STATE_ANNOTATION
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.enforcement.facts import Untouchable
from aibudget.enforcement.notes import Note, changes
from aibudget.inventory.resource import JOBS
from aibudget.inventory.workload import Workload
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

LLM = Workload("team", "Deployment", "llm")
NOTE = Note("AIBudget/b-1", "LimitExceeded")
NOWHERE = Untouchable(frozenset())
NONE: frozenset[tuple[str, str]] = frozenset()


def test_the_binding_budget_is_named() -> None:
    """Of two budgets the one with the higher percent is written; only what differs is."""
    low, high = make_claimant("llm", percent=85), make_claimant("llm", uid="b-2", percent=120)
    assert changes([high, low], {}, NONE, NOWHERE) == {LLM: Note("AIBudget/b-2", "LimitExceeded")}
    assert changes([low], {}, NONE, NOWHERE) == {LLM: Note("AIBudget/b-1", "ThresholdReached")}
    assert changes([low, high], {LLM: Note("AIBudget/b-2", "LimitExceeded")}, NONE, NOWHERE) == {}


def test_taken_off_when_it_no_longer_applies() -> None:
    """A threshold that is left, mode Observe and a deleted budget take the note off."""
    known = {LLM: NOTE}
    assert changes([make_claimant("llm", standing="Below")], known, NONE, NOWHERE) == {LLM: None}
    assert changes([make_claimant("llm", mode="Observe")], known, NONE, NOWHERE) == {LLM: None}
    assert changes([], known, frozenset({("team", "AIBudget/b-1")}), NOWHERE) == {LLM: None}


def test_stale_or_missing_evaluations_change_nothing() -> None:
    """Neither stale data nor a budget that was not evaluated takes a note off, or writes one."""
    known = {LLM: NOTE}
    assert changes([make_claimant("llm", fresh=False)], known, NONE, NOWHERE) == {}
    assert changes([make_claimant("llm", fresh=False)], {}, NONE, NOWHERE) == {}
    assert changes([], known, NONE, NOWHERE) == {}


def test_who_is_annotated() -> None:
    """What has stopped keeps its note and gets no new one; unknown kinds and untouchable places get none."""
    idle = make_claimant("llm", rates={"llm": 0})
    assert changes([idle], {}, NONE, NOWHERE) == {}
    assert changes([idle], {LLM: NOTE}, NONE, NOWHERE) == {}
    assert changes([make_claimant("p", workload_kind="RayCluster")], {}, NONE, NOWHERE) == {}
    assert changes([make_claimant("llm")], {}, NONE, Untouchable(frozenset({"team"}))) == {}


def test_found_again_after_a_restart() -> None:
    """A new process finds what an earlier one annotated, whatever its kind, and takes it off in time."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.seed(
        JOBS, "train", "team", metadata={"annotations": {BUDGET_ANNOTATION: "AIBudget/b-1", "mine": "1"}}
    )
    job = api.objects[JOBS.plural, "team", "train"]["metadata"]
    over = make_claimant("train", workload_kind="Job", mode="Enforce")
    below = make_claimant("train", workload_kind="Job", standing="Below")

    for claimant, expected in (
        (over, {BUDGET_ANNOTATION: "AIBudget/b-1", STATE_ANNOTATION: "LimitExceeded", "mine": "1"}),
        (below, {"mine": "1"}),
    ):
        asyncio.run(Enforcer(api, Limits("aibudget-system"), lambda: True).run([claimant], NOW))
        job = api.objects[JOBS.plural, "team", "train"]["metadata"]
        assert job["annotations"] == expected


def test_a_namesake_elsewhere_keeps_no_note() -> None:
    """The note of a deleted budget goes, also while a budget of that name lives in another namespace."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.seed(JOBS, "train", "team", metadata={"annotations": make_note("AIBudget/b-1")})
    api.seed(JOBS, "other", "team", metadata={"annotations": make_note("../../secrets")})
    namesake = make_claimant("llm", namespace="elsewhere", standing="Below")
    asyncio.run(Enforcer(api, Limits("aibudget-system"), lambda: True).run([namesake], NOW))
    for name in ("train", "other"):
        assert api.objects[JOBS.plural, "team", name]["metadata"]["annotations"] == {}


def make_note(budget: str) -> dict[str, str]:
    return {BUDGET_ANNOTATION: budget, STATE_ANNOTATION: "LimitExceeded"}
