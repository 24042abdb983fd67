"""The whole story in five minutes or less: budgets applied, spend seen, a workload held, and given back.

Each step does one thing to the cluster as a user would and waits for what the operator makes of it; nothing
is told that was not read back from the API server. The end-to-end test walks the same steps and looks closer.
"""

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from aibudget.sandbox.binaries import say
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.toolchain import Progress

JsonObject = dict[str, Any]

PATIENCE = 120.0
GRACE_SECONDS = 5
HEADROOM = Decimal("0.30")

BUDGETS = f"""\
apiVersion: aibudget.io/v1alpha1
kind: AIBudget
metadata: {{name: chat, namespace: team-nlp}}
spec:
  limit: {{amount: 5000, currency: USD}}
---
apiVersion: aibudget.io/v1alpha1
kind: AIBudget
metadata: {{name: training, namespace: team-vision}}
spec:
  limit: {{amount: 90000, currency: USD}}
  period: {{type: Monthly, timeZone: Europe/Berlin}}
  thresholds:
  - {{name: warn, percent: 80, actions: [Notify, Annotate]}}
  - {{name: over, percent: 100, actions: [Notify, Annotate, ScaleDown]}}
  enforcement:
    mode: Enforce
    gracePeriodSeconds: {GRACE_SECONDS}
    protect: {{matchLabels: {{app.kubernetes.io/name: labeler}}}}
---
apiVersion: aibudget.io/v1alpha1
kind: ClusterAIBudget
metadata: {{name: research}}
spec:
  limit: {{amount: 120000, currency: USD}}
  scope:
    namespaceSelector: {{matchLabels: {{department: research}}}}
"""


class Story:
    """The steps, in their order. `sandbox` runs; `tell` takes what a person reads."""

    def __init__(self, sandbox: Sandbox, tell: Callable[[str], None]) -> None:
        self._sandbox = sandbox
        self._client = sandbox.control_plane.client
        self._tell = tell
        self._began = time.monotonic()

    def apply_budgets(self) -> None:
        """Three budgets as YAML; the operator reads the month that lies behind and says where they stand."""
        self._say("A five-line budget, one that acts, and one over a whole department:")
        self._tell(BUDGETS)
        self._kubectl("apply", "-f", "-", text=BUDGETS)
        self._wait(lambda: all(_spent(one) for one in self._budgets()), "the past month to be counted")
        self._kubectl("get", "aibudgets,clusteraibudgets", "-A")

    def cut_limit(self) -> None:
        """Finance cuts the training budget to a little above what has been spent."""
        limit = str(self.spent("team-vision", "training") + HEADROOM)
        self._say(f"The training budget is cut to {limit} USD, {HEADROOM} USD above what is spent:")
        self._limit(limit)

    def await_hold(self) -> None:
        """The budget is crossed, its workloads get notice, and what is not protected is scaled to nothing."""
        self._wait(lambda: bool(self.holds()), "the budget to be crossed and notice to be given")
        self._say("It is crossed: Events tell it, the workloads are annotated, and notice is given:")
        self._kubectl("get", "holds", "-n", "team-vision")
        self._wait(lambda: self.replicas("detector") == 0, "the grace period to pass")
        self._wait(lambda: not self._pods("detector"), "the pods of the detector to be gone")
        self._say("The detector is held at 0 with its original kept; the labeler is protected by the budget:")
        self._kubectl("get", "deployments", "-n", "team-vision", "-L", "aibudget.io/hold")
        self._kubectl("get", "aibudget", "training", "-n", "team-vision")
        self._kubectl("get", "events", "-n", "team-vision", "--field-selector", "source=aibudget")

    def raise_limit(self) -> None:
        """The limit is raised, and the workload comes back as it was."""
        self._say("The limit is raised, and the workload comes back exactly as it was:")
        self._limit("95000")
        self._wait(lambda: self.replicas("detector") == 3, "the detector to be given back")
        self._wait(lambda: not self.holds(), "the Hold to be gone")
        self._wait(lambda: self._available("detector") == 3, "its pods to run again")
        self._kubectl("get", "deployments,holds", "-n", "team-vision")
        self._kubectl("get", "aibudgets,clusteraibudgets", "-A")

    def tell(self) -> None:
        """All of it."""
        self.apply_budgets()
        self.cut_limit()
        self.await_hold()
        self.raise_limit()
        self._say("That was the whole story.")

    def spent(self, namespace: str, name: str) -> Decimal:
        """The amount that the budget's status says is spent, in its currency."""
        return Decimal(self.budget(namespace, name)["status"]["spend"]["amount"])

    def budget(self, namespace: str, name: str) -> JsonObject:
        """An AIBudget as the API server has it now."""
        return self._client.get(f"/apis/aibudget.io/v1alpha1/namespaces/{namespace}/aibudgets/{name}")

    def holds(self) -> list[JsonObject]:
        """The Holds of team-vision."""
        return self._client.items("/apis/aibudget.io/v1alpha1/namespaces/team-vision/holds")

    def deployment(self, name: str) -> JsonObject:
        """A Deployment of team-vision."""
        return self._client.get(f"/apis/apps/v1/namespaces/team-vision/deployments/{name}")

    def replicas(self, name: str) -> int:
        """How many replicas a Deployment of team-vision asks for."""
        return int(self.deployment(name)["spec"]["replicas"])

    def _available(self, name: str) -> int:
        return int(self.deployment(name).get("status", {}).get("availableReplicas", 0))

    def _budgets(self) -> list[JsonObject]:
        return [
            *self._client.items("/apis/aibudget.io/v1alpha1/aibudgets"),
            *self._client.items("/apis/aibudget.io/v1alpha1/clusteraibudgets"),
        ]

    def _pods(self, name: str) -> list[JsonObject]:
        selector = {"labelSelector": f"app.kubernetes.io/name={name}"}
        return self._client.items("/api/v1/namespaces/team-vision/pods", selector)

    def _limit(self, amount: str) -> None:
        patch = json.dumps({"spec": {"limit": {"amount": amount}}})
        self._kubectl("patch", "aibudget", "training", "-n", "team-vision", "--type=merge", "-p", patch)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, PATIENCE, what)

    def _say(self, line: str) -> None:
        self._tell(f"\n[{time.monotonic() - self._began:5.1f} s] {line}\n")

    def _kubectl(self, *arguments: str, text: str | None = None) -> None:
        state = self._sandbox.state()
        shown = shlex.join(arguments)
        ran = subprocess.run(
            [state.kubectl, "--kubeconfig", state.kubeconfig, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise SandboxError(f"kubectl {shown} failed: {(ran.stderr or ran.stdout).strip()}")
        self._tell(f"$ kubectl {shown}\n{ran.stdout}{ran.stderr}")


def _spent(budget: JsonObject) -> bool:
    conditions = {one["type"]: one for one in budget.get("status", {}).get("conditions", [])}
    counted = budget.get("status", {}).get("spend", {}).get("amount")
    return counted is not None and "Reconciling" not in conditions and Decimal(counted) > 0


def demo(tell: Callable[[str], None], progress: Progress = say) -> None:
    """Bring up a sandbox of its own, tell the story in it, and take it down again."""
    with (
        tempfile.TemporaryDirectory(prefix="aibudget-demo-") as directory,
        Sandbox(Path(directory), scrape_interval=2.0, interval=3, progress=progress) as sandbox,
    ):
        Story(sandbox, tell).tell()
