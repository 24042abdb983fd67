"""HorizontalPodAutoscalers: noted at the act, and asked again for their bounds when a workload is put back.

At 0 replicas an autoscaler rests, unless it is one that scales from zero itself: what such a one writes is
counted as a revert and never as an original. The number that was there at the act was a moment's, so that it
is fitted into the bounds as they are at the release.
"""

import json
from dataclasses import dataclass

from aibudget.enforcement.live import Live, stop_of
from aibudget.enforcement.port import Port
from aibudget.errors import AIBudgetError
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HORIZONTAL_POD_AUTOSCALERS


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Its bounds, in replicas."""

    name: str
    least: int
    most: int

    def __str__(self) -> str:
        rests = "may wake it from 0" if self.least == 0 else "rests meanwhile"
        return f"HorizontalPodAutoscaler {self.name} ({self.least} to {self.most} replicas) {rests}."


async def autoscaler_of(cluster: Port, live: Live) -> Autoscaler | None:
    """The one that targets it; None where there is none, or several, of which none works."""
    if not stop_of(live).is_count:
        return None
    objects = await cluster.list(HORIZONTAL_POD_AUTOSCALERS, live.workload.namespace)
    found = [_read(obj) for obj in objects if _targets(obj, live)]
    return found[0] if len(found) == 1 else None


async def fitted(cluster: Port, live: Live, original: str | None) -> tuple[str | None, str]:
    """What to put back (JSON text, None: absent), and a sentence where that is not the original.

    Autoscalers that cannot be read change nothing: they correct the number themselves.
    """
    stop = stop_of(live)
    if not stop.is_count or not stop.accepts(original):
        return original, ""
    try:
        autoscaler = await autoscaler_of(cluster, live)
    except AIBudgetError as error:
        return original, f" Whether an autoscaler bounds it could not be read ({error.reason})."
    if autoscaler is None:
        return original, ""
    count = 1 if original is None else int(json.loads(original))
    fits = min(max(count, autoscaler.least), autoscaler.most)
    if fits == count:
        return original, ""
    bounds = f"{autoscaler.least} to {autoscaler.most}"
    return str(fits), f" It had {count}; HorizontalPodAutoscaler {autoscaler.name} allows {bounds} now."


def _read(obj: Json) -> Autoscaler:
    spec = obj["spec"]
    least = spec.get("minReplicas")
    return Autoscaler(obj["metadata"]["name"], 1 if least is None else int(least), int(spec["maxReplicas"]))


def _targets(obj: Json, live: Live) -> bool:
    target = obj["spec"]["scaleTargetRef"]
    group = str(target.get("apiVersion", "")).rpartition("/")[0]
    resource = live.kind.resource
    return (target["kind"], target["name"], group) == (resource.kind, live.workload.name, resource.group)
