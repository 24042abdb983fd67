"""What held workloads ask for once they are given back: a Freeze must leave room for that. Pure.

A Freeze that counted only what runs would keep a workload from coming back that AIBudget itself has stopped.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aibudget.enforcement.live import Live, mark_of, read
from aibudget.inventory.accelerators import is_accelerator

_SUFFIXES: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def count(quantity: str) -> int:
    """A quantity of devices as a number: "3", "2k"."""
    factor = _SUFFIXES.get(quantity[-1:], 1)
    return int(quantity[:-1] if factor > 1 else quantity) * factor


def kept_down(objects: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Accelerators by resource that these workloads had before they were held; others ask for nothing."""
    total: Counter[str] = Counter()
    for obj in objects:
        live = read(obj)
        template = (obj.get("spec") or {}).get("template") or {}
        for name, number in _of_pod(template.get("spec") or {}).items():
            total[name] += number * _pods(live, obj)
    return total


def ending(pods: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Accelerators by resource of the pods that are on their way out."""
    total: Counter[str] = Counter()
    for pod in pods:
        if "deletionTimestamp" in pod["metadata"]:
            total.update(_of_pod(pod["spec"]))
    return total


def _pods(live: Live, obj: Mapping[str, Any]) -> int:
    mark, stop = mark_of(live), live.kind.stop
    if mark is None or stop is None or not live.stopped:
        return 0
    if stop.is_count:
        return int(mark.original or 1)
    return int(obj["spec"].get("parallelism") or 1)


def _of_pod(spec: Mapping[str, Any]) -> Counter[str]:
    """As the scheduler counts: all containers together, or the init container that asks for most."""
    needs: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        needs.update(_of_container(container))
    for container in spec.get("initContainers") or ():
        needs |= _of_container(container)
    return needs


def _of_container(container: Mapping[str, Any]) -> Counter[str]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Counter({name: count(str(value)) for name, value in asked.items() if is_accelerator(name)})
