"""Whichever is newer wins, event or list; what a list does not hold is gone; a bad object stays a value."""

from typing import Any

from aibudget.controller.cache import Cache, NamespaceSeen, Seen, read, read_all
from aibudget.errors import InvalidManifest
from aibudget.inventory.resource import AIBUDGETS, DEVICE_TAINT_RULES, HOLDS, NAMESPACES, RESOURCE_SLICES


def budget(name: str, version: int, *, generation: int = 1, amount: object = 100) -> Seen:
    """A budget of some age, as a watch or a list gives it."""
    seen = read(AIBUDGETS, manifest(name, version, generation=generation, amount=amount))
    assert isinstance(seen, Seen)
    return seen


def manifest(name: str, version: int, *, generation: int = 1, amount: object = 100) -> dict[str, Any]:
    """The JSON of it."""
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "generation": generation,
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, "spec": {"limit": {"amount": amount, "currency": "USD"}}}


def names(cache: Cache) -> list[str]:
    """The budgets in it."""
    return sorted(seen.metadata.name for seen in cache.world().budgets)


def test_an_older_event_changes_nothing() -> None:
    """Events and lists may cross each other."""
    cache = Cache()
    cache.apply(AIBUDGETS, budget("a", 9, generation=2), deleted=False)
    assert not cache.apply(AIBUDGETS, budget("a", 5), deleted=False)
    assert cache.world().budgets[0].metadata.generation == 2


def test_a_new_generation_calls_for_a_cycle_and_our_own_status_does_not() -> None:
    """Else each cycle would start the next."""
    cache = Cache()
    assert cache.apply(AIBUDGETS, budget("a", 1), deleted=False)
    assert not cache.apply(AIBUDGETS, budget("a", 2), deleted=False)
    assert cache.apply(AIBUDGETS, budget("a", 3, generation=2), deleted=False)
    assert cache.apply(AIBUDGETS, budget("a", 4, generation=2), deleted=True)


def test_a_list_ends_what_it_does_not_hold() -> None:
    """A watch that had to start anew never tells of a deletion."""
    cache = Cache()
    for name, version in (("a", 1), ("b", 2)):
        cache.apply(AIBUDGETS, budget(name, version), deleted=False)
    known = cache.before_list(AIBUDGETS)
    assert cache.replace(AIBUDGETS, [budget("b", 2)], known)
    assert names(cache) == ["b"]


def test_rules_that_taint_devices_are_of_whatever_version_is_served() -> None:
    """They are listed, not watched, and what a list does not hold any more taints nothing."""
    cache = Cache()
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": "n", "pool": pool, "devices": [{"name": "a"}]}
    there = {"metadata": {"name": "s", "uid": "s", "resourceVersion": "1"}, "spec": spec}
    cache.apply(RESOURCE_SLICES, read(RESOURCE_SLICES, there), deleted=False)
    rule = {"deviceSelector": {"device": "a"}, "taint": {"key": "x", "effect": "NoExecute"}}
    tainted = {"metadata": {"name": "r", "uid": "r", "resourceVersion": "2"}, "spec": rule}
    newest, *_, oldest = DEVICE_TAINT_RULES
    for listed, usable in (([tainted], "false"), ([], "true")):
        known = cache.before_list(newest)
        assert not cache.replace(newest, [read(oldest, obj) for obj in listed], known)
        assert [offered.usable for offered in cache.devices_offered()] == [usable]


def test_what_came_after_the_list_was_asked_for_stays() -> None:
    """It could not be in it."""
    cache = Cache()
    known = cache.before_list(AIBUDGETS)
    cache.apply(AIBUDGETS, budget("new", 7), deleted=False)
    cache.replace(AIBUDGETS, [], known)
    assert names(cache) == ["new"]


def test_what_was_deleted_while_a_list_was_under_way_does_not_come_back_with_it() -> None:
    """The list may be of the moment before."""
    cache = Cache()
    cache.apply(AIBUDGETS, budget("a", 1), deleted=False)
    known = cache.before_list(AIBUDGETS)
    cache.apply(AIBUDGETS, budget("a", 3), deleted=True)
    cache.replace(AIBUDGETS, [budget("a", 1)], known)
    assert names(cache) == []


def test_an_invalid_object_is_kept_as_its_error() -> None:
    """It is somebody's budget, and has to be told that it is left out."""
    seen = budget("bad", 1, amount=-5)
    assert isinstance(seen.model, InvalidManifest)
    assert "spec.limit.amount" in seen.model.message
    assert seen.metadata.name == "bad"


def test_a_hold_calls_for_a_cycle_when_a_person_may_have_decided() -> None:
    """A deletion is a veto and an edit a decision; that one came is our own doing."""
    metadata = {"name": "deployment-llm-1", "namespace": "team", "uid": "h", "resourceVersion": "1"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": "d"}
    hold = {"metadata": metadata, "spec": {"targetRef": target, "action": "ScaleDown"}}
    cache = Cache()
    assert not cache.apply(HOLDS, read(HOLDS, hold), deleted=False)
    edited = {**hold, "metadata": {**metadata, "generation": 2, "resourceVersion": "2"}}
    assert cache.apply(HOLDS, read(HOLDS, edited), deleted=False)
    assert cache.apply(HOLDS, read(HOLDS, edited), deleted=True)


def test_namespaces_are_found_by_name_and_call_for_no_cycle() -> None:
    """Thousands of them come and go."""
    obj = {"metadata": {"name": "team", "uid": "n", "resourceVersion": "1", "labels": {"department": "ml"}}}
    cache = Cache()
    seen = read(NAMESPACES, obj)
    assert isinstance(seen, NamespaceSeen)
    assert not cache.apply(NAMESPACES, seen, deleted=False)
    assert cache.world().namespaces["team"].labels == {"department": "ml"}


def test_a_list_reads_what_is_new_alone() -> None:
    """Thousands of budgets are listed every few minutes, and hardly one has changed."""
    cache = Cache()
    for name in ("a", "b"):
        cache.apply(AIBUDGETS, budget(name, 1), deleted=False)
    before = {seen.metadata.name: seen for seen in cache.world().budgets}
    listed = [manifest("a", 1, amount="not read"), manifest("b", 2, amount=7), manifest("c", 3)]
    found = {seen.metadata.name: seen for seen in read_all(AIBUDGETS, listed, cache.known(AIBUDGETS))}
    assert found["a"] is before["a"]
    assert found["b"] is not before["b"]
    assert found.keys() == {"a", "b", "c"}
