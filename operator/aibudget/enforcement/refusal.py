"""Why something that spends is not stopped; and the objects that must not be, though their kind could. Pure.

A refusal is a function of the object alone, as the API server has it: what a stop would destroy, what has
ended, what another controller would start again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

KUEUE_QUEUE: Final = "kueue.x-k8s.io/queue-name"
_ENDED: Final = frozenset({"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"})


class SpareReason(StrEnum):
    """Why a workload that spends in a budget over its threshold is not held."""

    UNTOUCHABLE_NAMESPACE = "UntouchableNamespace"
    KIND_NOT_STOPPED = "KindNotStopped"
    NOT_ASKED = "NotAsked"
    OUTSIDE_SCOPE = "OutsideScope"
    NOT_READABLE = "NotReadable"
    GONE = "Gone"
    CONTROLLED = "Controlled"
    NAMESPACE_PROTECTED = "NamespaceProtected"
    PROTECTED = "Protected"
    PROTECTED_BY_BUDGET = "ProtectedByBudget"
    VETOED = "Vetoed"
    FOREIGN = "StoppedByAnotherTool"
    ALREADY_STOPPED = "AlreadyStopped"
    FINISHED = "Finished"
    LOSES_VOLUMES = "LosesVolumes"
    QUEUED = "ManagedByKueue"
    TOO_LARGE = "TooLarge"
    TOO_MANY_CLAIMS = "TooManyClaims"
    NOT_APPROVED = "NotApproved"
    NO_PRICE = "NoPrice"
    FORECAST_FITS = "ForecastFits"


Refusal = tuple[SpareReason, str]
"""The reason, and a sentence for people."""


def never(_: Mapping[str, Any]) -> Refusal | None:
    """Nothing speaks against it."""
    return None


def loses_volumes(stateful_set: Mapping[str, Any]) -> Refusal | None:
    """Whether scaling this StatefulSet down deletes its volume claims: checkpoints and caches with them."""
    policy = (stateful_set.get("spec") or {}).get("persistentVolumeClaimRetentionPolicy") or {}
    if policy.get("whenScaled") != "Delete":
        return None
    return SpareReason.LOSES_VOLUMES, (
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled is Delete: its volumes would not come back"
    )


def ended_or_queued(job: Mapping[str, Any]) -> Refusal | None:
    """Whether this Job has ended, or is started and stopped by Kueue, which would start it again."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    if any(one.get("type") in _ENDED and one.get("status") == "True" for one in conditions):
        return SpareReason.FINISHED, "it has ended"
    if KUEUE_QUEUE in (job["metadata"].get("labels") or {}):
        return SpareReason.QUEUED, f"Kueue starts and stops it (label {KUEUE_QUEUE})"
    return None
