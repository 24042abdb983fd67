"""Reads what the order of victims asks of the cluster: the crews of workloads, from their pods as just read.

One list of PodDisruptionBudgets serves all of them. Where they cannot be read, every workload is taken for
guarded: what is not known moves nobody forward.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import ValidationError

from aibudget.api.selector import LabelSelector
from aibudget.enforcement.live import Live
from aibudget.enforcement.order import Crew
from aibudget.enforcement.outcome import Outcome
from aibudget.enforcement.pods import AcceleratorPod, Pods
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import DISRUPTION_BUDGETS
from aibudget.inventory.workload import Workload

_EVERYTHING: Final = LabelSelector()
_ANY: Final = ("", "")


class Guards:
    """Which pods a PodDisruptionBudget selects; None for `objects` where they could not be read."""

    def __init__(self, objects: Iterable[Json] | None) -> None:
        self._unread = objects is None
        # By one label that each asks for: a thousand workloads with one each are not a million questions.
        self._found: defaultdict[tuple[str, str, str], list[LabelSelector]] = defaultdict(list)
        for obj in objects or ():
            selector = _selector(obj)
            if selector is not None:
                label = next(iter(selector.match_labels.items()), _ANY)
                self._found[(obj["metadata"]["namespace"], *label)].append(selector)

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether one of them selects a pod with these labels, or may."""
        return self._unread or any(
            selector.matches(labels)
            for label in (_ANY, *labels.items())
            for selector in self._found.get((namespace, *label), ())
        )


async def read_crews(outcome: Outcome, pods: Pods, lives: Iterable[Live | None]) -> dict[Workload, Crew]:
    """The crews of these workloads; without those of which no accelerator pod was found."""
    nowhere = Workload("", DISRUPTION_BUDGETS.kind, "")
    guards = Guards(await outcome.guard(nowhere, outcome.site.cluster.list(DISRUPTION_BUDGETS)))
    found = ((live.workload, pods.of(live.uid)) for live in lives if live is not None)
    return {workload: crew_of(workload.namespace, mine, guards) for workload, mine in found if mine}


def crew_of(namespace: str, pods: Iterable[AcceleratorPod], guards: Guards) -> Crew:
    """What these pods, one at least, say together."""
    mine = tuple(pods)
    priorities = [pod.priority for pod in mine if pod.priority is not None]
    starts = [pod.started for pod in mine if pod.started is not None]
    complete = len(starts) == len(mine)
    return Crew(
        pods=len(mine),
        priority=max(priorities) if len(priorities) == len(mine) else None,
        oldest=min(starts) if complete else None,
        youngest=max(starts) if complete else None,
        guarded=any(guards.selects(namespace, pod.labels) for pod in mine),
    )


def _selector(obj: Json) -> LabelSelector | None:
    """An absent selector selects nothing; one that we cannot read is taken to select everything."""
    selector = (obj.get("spec") or {}).get("selector")
    if selector is None:
        return None
    try:
        return LabelSelector.model_validate(selector)
    except ValidationError:
        return _EVERYTHING
