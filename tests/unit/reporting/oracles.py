"""What tools of others make of an object: the rules of kstatus, and the health check for Argo CD in our docs.

kstatus decides for Flux, and for `helm --wait` from Helm 4 on. Argo CD runs the script that our page gives.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import lupa
import yaml

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "live-with-gitops.md"


def kstatus(obj: Mapping[str, Any]) -> str:
    """As kstatus does it: deletion first, then the generation, the standard conditions, and Ready last."""
    generation, status = obj["metadata"]["generation"], obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    for condition in status.get("conditions", ()):
        # Whichever of them comes first decides.
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    ready = {one["type"]: one["status"] for one in status.get("conditions", ())}.get("Ready", "True")
    return "Current" if ready == "True" else "InProgress"


def argo(obj: Mapping[str, Any]) -> str:
    """The health that Argo CD shows. What is being deleted it judges by itself."""
    if obj["metadata"].get("deletionTimestamp"):
        return "Progressing"
    runtime = lupa.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    runtime.globals().obj = runtime.table_from(obj, recursive=True)
    return str(runtime.execute(_script())["status"])


@cache
def _script() -> str:
    """The one health check of the page."""
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL):
        data = (yaml.safe_load(block) or {}).get("data", {})
        for key, script in data.items():
            if key == "resource.customizations.health.aibudget.io_AIBudget":
                return str(script)
    raise AssertionError(f"{PAGE} has no health check any more")
