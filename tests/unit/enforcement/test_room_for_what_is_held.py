"""What held workloads had: a Freeze leaves room for it."""

import json
from typing import Any

import pytest

from aibudget.enforcement.demand import count, ending, kept_down

GPU = "nvidia.com/gpu"


def held(kind: str, spec: dict[str, Any], *, original: str | None = "3") -> dict[str, Any]:
    """A workload with our mark."""
    mark = {"hold": "h", "claims": [], **({} if original is None else {"json": original})}
    metadata = {
        "name": "w",
        "namespace": "team",
        "uid": "u",
        "resourceVersion": "1",
        "annotations": {"aibudget.io/original": json.dumps(mark)},
    }
    return {"kind": kind, "metadata": metadata, "spec": spec}


def template(*containers: dict[str, str], init: dict[str, str] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"resources": {"limits": one}} for one in containers]}
    if init is not None:
        spec["initContainers"] = [{"resources": {"requests": init}}]
    return {"template": {"spec": spec}}


def test_replicas_times_what_a_pod_asks_for() -> None:
    """Containers together, or one init container; what is no accelerator does not count."""
    deployment = held("Deployment", {"replicas": 0, **template({GPU: "1", "cpu": "4"}, {GPU: "1"})})
    greedy = held("StatefulSet", {"replicas": 0, **template({GPU: "1"}, init={GPU: "4"})}, original="2")

    assert kept_down([deployment]) == {GPU: 6}
    assert kept_down([deployment, greedy]) == {GPU: 14}


def test_a_suspended_job_asks_for_as_many_as_run_at_once() -> None:
    """Its original is a flag and no number."""
    job = held("Job", {"suspend": True, "parallelism": 2, **template({GPU: "8"})}, original="false")

    assert kept_down([job]) == {GPU: 16}


def test_what_is_not_stopped_by_us_needs_no_room() -> None:
    """It runs, and is counted as used; or its owner has stopped it."""
    running = held("Deployment", {"replicas": 3, **template({GPU: "1"})})
    foreign = held("Deployment", {"replicas": 0, **template({GPU: "1"})})
    foreign["metadata"]["annotations"] = {}

    assert +kept_down([running, foreign]) == {}


def test_what_is_ending_is_told_apart() -> None:
    """Its devices are used still: counted twice they would be room to grow."""
    spec = template({GPU: "2"})["template"]["spec"]
    pods = [{"metadata": {"deletionTimestamp": "t"}, "spec": spec}, {"metadata": {}, "spec": spec}]

    assert ending(pods) == {GPU: 2}


@pytest.mark.parametrize(("quantity", "number"), [("3", 3), ("0", 0), ("2k", 2000), ("1G", 10**9)])
def test_quantities_as_the_api_server_writes_them(quantity: str, number: int) -> None:
    """A thousand devices are 1k."""
    assert count(quantity) == number
