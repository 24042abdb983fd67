"""HorizontalPodAutoscalers: noted at the act, asked again for their bounds when a workload is put back. Pure.

At 0 replicas an autoscaler rests, unless it is one that scales from zero itself: what such a one writes is
counted as a revert and never as an original. The number that was there at the act was a moment's, so that it
is fitted into the bounds as they are at the release.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aibudget.enforcement.live import Live
from aibudget.inventory.kubernetes import Json


class Target(NamedTuple):
    """What an autoscaler scales, in its own namespace."""

    group: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Its bounds, in replicas."""

    name: str
    least: int
    most: int

    def __str__(self) -> str:
        rests = "may wake it from 0" if self.least == 0 else "rests meanwhile"
        return f"HorizontalPodAutoscaler {self.name} ({self.least} to {self.most} replicas) {rests}."


def by_target(objects: Iterable[Json]) -> dict[Target, Autoscaler]:
    """The one of each target. Several of one target do not work, and none of them counts."""
    found: dict[Target, list[Autoscaler]] = {}
    for obj in objects:
        spec = obj["spec"]
        target, least = spec["scaleTargetRef"], spec.get("minReplicas")
        scaler = Autoscaler(
            obj["metadata"]["name"], 1 if least is None else int(least), int(spec["maxReplicas"])
        )
        group = str(target.get("apiVersion", "")).rpartition("/")[0]
        found.setdefault(Target(group, target["kind"], target["name"]), []).append(scaler)
    return {target: scalers[0] for target, scalers in found.items() if len(scalers) == 1}


def scaler_of(live: Live, scalers: Mapping[Target, Autoscaler]) -> Autoscaler | None:
    """The one that scales this workload."""
    return scalers.get(Target(live.kind.resource.group, live.kind.name, live.workload.name))


def fit(original: str | None, scaler: Autoscaler | None) -> tuple[str | None, str]:
    """What to put back (JSON text, None: absent) for a number of replicas; a sentence where it is another."""
    if scaler is None:
        return original, ""
    # Left out it would be 1.
    count = 1 if original is None else int(json.loads(original))
    fits = min(max(count, scaler.least), scaler.most)
    if fits == count:
        return original, ""
    bounds = f"{scaler.least} to {scaler.most}"
    return str(fits), f" It had {count}; HorizontalPodAutoscaler {scaler.name} allows {bounds} now."
