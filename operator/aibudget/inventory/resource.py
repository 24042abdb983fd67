"""`Resource`: a kind as its URL needs it, and the table of all kinds that AIBudget reads or writes. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aibudget.api.names import API_VERSION
from aibudget.errors import Stalled


class Refused(Stalled):
    """The API server, or an admission policy of the cluster, does not take this request as it is."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as its URL needs it."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """ "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of one object, or of a collection without `name`; raises `Refused` on a bad name."""
        root = "apis" if self.group else "api"
        parts = [root, *self.api_version.split("/")]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        elif self.namespaced and name is not None:
            raise Refused("InvalidName", f"{self.kind} {name!r} needs a namespace; name one.")
        parts.append(self.plural)
        if name is not None:
            parts.append(_segment(name))
        return "/" + "/".join(parts)


NAMESPACES: Final = Resource("v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = Resource("v1", "nodes", "Node", namespaced=False)
PODS: Final = Resource("v1", "pods", "Pod")
CONFIG_MAPS: Final = Resource("v1", "configmaps", "ConfigMap")
RESOURCE_QUOTAS: Final = Resource("v1", "resourcequotas", "ResourceQuota")
DEVICE_CLASSES: Final = Resource("resource.k8s.io/v1", "deviceclasses", "DeviceClass", namespaced=False)
RESOURCE_CLAIMS: Final = Resource("resource.k8s.io/v1", "resourceclaims", "ResourceClaim")
RESOURCE_SLICES: Final = Resource("resource.k8s.io/v1", "resourceslices", "ResourceSlice", namespaced=False)
DEVICE_TAINT_RULES: Final = tuple(
    Resource(f"resource.k8s.io/{version}", "devicetaintrules", "DeviceTaintRule", namespaced=False)
    for version in ("v1", "v1beta2", "v1alpha3")
)
"""In Kubernetes from 1.37, 1.36 and 1.33 on, the last two where an administrator has switched them on."""
BLOCK_POLICIES: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
BLOCK_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
EVENTS: Final = Resource("v1", "events", "Event")
DEPLOYMENTS: Final = Resource("apps/v1", "deployments", "Deployment")
REPLICA_SETS: Final = Resource("apps/v1", "replicasets", "ReplicaSet")
STATEFUL_SETS: Final = Resource("apps/v1", "statefulsets", "StatefulSet")
DAEMON_SETS: Final = Resource("apps/v1", "daemonsets", "DaemonSet")
JOBS: Final = Resource("batch/v1", "jobs", "Job")
CRON_JOBS: Final = Resource("batch/v1", "cronjobs", "CronJob")
SELF_SUBJECT_REVIEWS: Final = Resource(
    "authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
SELF_SUBJECT_ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
DISRUPTION_BUDGETS: Final = Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
HORIZONTAL_POD_AUTOSCALERS: Final = Resource(
    "autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
)
LEASES: Final = Resource("coordination.k8s.io/v1", "leases", "Lease")
AIBUDGETS: Final = Resource(API_VERSION, "aibudgets", "AIBudget")
CLUSTER_AIBUDGETS: Final = Resource(API_VERSION, "clusteraibudgets", "ClusterAIBudget", namespaced=False)
PRICE_LISTS: Final = Resource(API_VERSION, "aipricelists", "AIPriceList", namespaced=False)
METERS: Final = Resource(API_VERSION, "aimeters", "AIMeter", namespaced=False)
HOLDS: Final = Resource(API_VERSION, "holds", "Hold")


def _segment(name: str) -> str:
    # An empty name would address the collection, and dots would climb: both could delete far too much.
    if not name or name in {".", ".."} or "/" in name:
        raise Refused("InvalidName", f"{name!r} cannot be the name of an object; correct the reference.")
    return quote(name, safe="")
