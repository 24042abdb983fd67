"""Every name that AIBudget writes into a cluster, in one place.

Labels, annotations and the field manager are part of the API: users select by them and a later version must
still recognise what an earlier one wrote. Knows nothing of the objects that carry them.
"""

from typing import Final

GROUP: Final = "aibudget.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "aibudget"

HOLD_LABEL: Final = "aibudget.io/hold"
"""On a held workload: the name of its Hold. A label, because annotations travel to ReplicaSets."""
ORIGINAL_ANNOTATION: Final = "aibudget.io/original"
"""On a held workload: what to put back, and the uid of the Hold it belongs to."""
REASON_ANNOTATION: Final = "aibudget.io/reason"
"""On a held workload: one sentence for the person who finds it."""
BUDGET_ANNOTATION: Final = "aibudget.io/budget"
"""On a workload over a threshold with ``Annotate``: the binding budget."""
STATE_ANNOTATION: Final = "aibudget.io/state"
"""On a workload over a threshold with ``Annotate``: the state of that budget."""
REVERTS_ANNOTATION: Final = "aibudget.io/reverts"
"""On a Hold: how often another manager put the field back."""
VETO_LABEL: Final = "vetoed.aibudget.io/"
"""On a workload, followed by a budget's uid: the period in which that budget leaves it alone. A label, since
`rollout undo` takes annotations away that were written later."""

FREEZE_QUOTA: Final = "aibudget-freeze"
"""ResourceQuota of ours in a frozen namespace; deleting it is the whole restore."""
FENCES: Final = "aibudget-fences"
"""ConfigMap in the operator's namespace: a blocked namespace is a key, what people vetoed another."""
BLOCK_POLICY: Final = "aibudget-block"
"""The ValidatingAdmissionPolicy that reads it, and its binding."""

PROTECTED: Final = "aibudget.io/protected"
"""On a workload or namespace: anything but "false" exempts it from namespaced budgets."""
PROTECTED_UNTIL: Final = "aibudget.io/protected-until"
"""On a workload or namespace: the RFC 3339 instant at which the protection ends."""
ALLOW_STOP: Final = "aibudget.io/allow-stop"
"""On a DaemonSet, as an annotation: "true" lets it be stopped, which is otherwise only annotated."""
STOPPED: Final = "aibudget.io/stopped"
"""In the node selector of a stopped DaemonSet's pods: no node has this label."""
AUTOSCALER_ANNOTATION: Final = "aibudget.io/autoscaler"
"""On a Hold: the HorizontalPodAutoscaler of its target at the act, in words."""
TEAM_LABEL: Final = "aibudget.io/team"
"""On a namespace: the team that pays for it."""

KILL_SWITCH: Final = "aibudget-kill-switch"
"""ConfigMap in the operator's namespace: while it exists (``enabled`` not "false") no new act happens."""
