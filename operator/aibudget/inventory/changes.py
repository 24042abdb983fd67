"""What was done to a workload lately, as its own object tells: made, changed or scaled, by whom and when.

Asked for the few workloads that something unusual is about, once each, and their metadata alone. What cannot
be asked for, or says nothing of that time, stays unsaid.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aibudget.api.fields import format_instant
from aibudget.inventory.climb import Getter
from aibudget.inventory.kubernetes import Forbidden, NotServed
from aibudget.inventory.lineage import BY_KIND
from aibudget.inventory.resource import Refused
from aibudget.inventory.workload import Workload

EARLIER: Final = 7200
"""A change takes effect within so many seconds: images are pulled, nodes are waited for."""
_REVISION: Final = "deployment.kubernetes.io/revision"


class Changes:
    """Asks the API server."""

    def __init__(self, api: Getter) -> None:
        self._api = api

    async def of(self, workload: Workload, start: int, end: int) -> str:
        """The last change that something unusual in [start, end) can come from; "" where none is known.

        Raises `Transient` where the API server cannot be reached.
        """
        for resource in BY_KIND[workload.kind].resources if workload.kind in BY_KIND else ():
            try:
                obj = await self._api.get(resource, workload.name, workload.namespace, metadata_only=True)
            except NotServed:
                continue
            except (Forbidden, Refused):
                return ""
            return "" if obj is None else changed(obj["metadata"], start, end)
        return ""


def changed(metadata: Mapping[str, Any], start: int, end: int) -> str:
    """The newest of what was done to an object's spec in time to tell in [start, end)."""
    created = _time(metadata["creationTimestamp"])
    found = [(created, "created")]
    revision = (metadata.get("annotations") or {}).get(_REVISION)
    for entry in metadata.get("managedFields") or ():
        if "f:spec" not in (entry.get("fieldsV1") or {}) or "time" not in entry:
            continue
        if entry.get("subresource") == "scale":
            done = f"scaled by {entry['manager']}"
        elif not entry.get("subresource"):
            done = f"changed by {entry['manager']}" + (f", revision {revision}" if revision else "")
        else:
            continue
        # What made the object is no change of it.
        if (at := _time(entry["time"])) > created:
            found.append((at, done))
    in_time = [one for one in found if start - EARLIER <= one[0].timestamp() < end]
    if not in_time:
        return ""
    at, done = max(in_time)
    return f"{done} at {format_instant(at)}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
