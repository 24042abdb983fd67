"""Orders of events that random stories found: each lost something once."""

import asyncio
from typing import Any

from aibudget.api.names import FIELD_MANAGER, ORIGINAL_ANNOTATION, REASON_ANNOTATION
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.live import is_vetoed, read
from aibudget.enforcement.release import release_all
from aibudget.inventory.resource import DEPLOYMENTS, HOLDS
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

OVER = make_claimant("llm")
BELOW = make_claimant("llm", standing="Below")


def held() -> FakeAPI:
    """A cluster whose only Deployment is held; it had 6."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    cycle(api, OVER)
    return api


def cycle(api: FakeAPI, *claimants: Any) -> Report:
    enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
    return asyncio.run(enforcer.run(claimants, NOW))


def deployment(api: FakeAPI) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[DEPLOYMENTS.plural, "team", "llm"]
    return found


def veto(api: FakeAPI) -> None:
    """A person writes a veto into the only Hold."""
    (hold,) = [obj for (plural, *_), obj in api.objects.items() if plural == HOLDS.plural]
    hold["spec"]["claims"][0]["decision"] = "Vetoed"
    hold["metadata"]["resourceVersion"] += "0"


def test_a_veto_right_before_a_status_is_heard() -> None:
    """A status is written without a precondition; what its answer shows decided is not taken for known."""
    api = held()
    api.scale("llm", "team", 5)
    writes = 0

    def second() -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            veto(api)

    api.before_write = second
    cycle(api, OVER)
    api.before_write = lambda: None
    cycle(api, OVER)
    cycle(api, OVER)
    assert deployment(api)["spec"]["replicas"] == 5
    assert is_vetoed(read(deployment(api)), "b-1", "2026-11@UTC")


def test_release_all_remembers_vetoes() -> None:
    """Whoever vetoed before `release --all` is left alone after the kill switch is gone."""
    api = held()
    veto(api)
    asyncio.run(release_all(api, "aibudget-system", NOW))
    api.remove_kill_switch()
    report = cycle(api, OVER)
    assert deployment(api)["spec"]["replicas"] == 6
    assert [spared.reason for spared in report.spared] == ["Vetoed"]


def test_erased_owners_take_no_original() -> None:
    """Where managed fields were erased, a later write of ours does not make the 0 somebody else's."""
    api = held()
    noted: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:aibudget.io/state": {}}}}
    deployment(api)["metadata"]["managedFields"] = [{"manager": FIELD_MANAGER, "fieldsV1": noted}]
    cycle(api, OVER)
    cycle(api, BELOW)
    assert deployment(api)["spec"]["replicas"] == 6


def test_marks_that_an_undo_brought_back_are_taken_off() -> None:
    """A ReplicaSet made while it was held has our annotations, and `rollout undo` copies them back."""
    api = held()
    marks = {ORIGINAL_ANNOTATION, REASON_ANNOTATION}
    copied = {key: deployment(api)["metadata"]["annotations"][key] for key in marks}
    cycle(api, BELOW)
    assert not marks & deployment(api)["metadata"]["annotations"].keys()
    deployment(api)["metadata"]["annotations"] |= copied
    cycle(api, BELOW)
    assert not marks & deployment(api)["metadata"]["annotations"].keys()
    assert deployment(api)["spec"]["replicas"] == 6
