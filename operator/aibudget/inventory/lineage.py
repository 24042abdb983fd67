"""What people name, as data: the kinds above a workload, where they are served, the labels they leave.

A chain goes on from Deployment or Job to the InferenceService, RayJob or TrainJob that a person made. An
owner reference says so where there is one; where there is none, or nobody can be asked, a well-known label on
the pods does. A kind that is not in this table ends the chain: it is told, but what is above it is not
looked for. This is no list of what may be stopped: that is `enforcement.kinds`. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from aibudget.inventory.resource import (
    CRON_JOBS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from aibudget.inventory.workload import Owner


@dataclass(frozen=True, slots=True)
class Kin:
    """A kind of object that may own workloads, or be owned by what does.

    `label` is carried by its pods and holds its name. `only` are labels that must be there as well, with
    these values, where the name alone could mean another kind. `versions` are others that some clusters serve
    it in instead.
    """

    resource: Resource
    label: str = ""
    only: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.resource.kind

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Where it may be served, the usual first."""
        return (self.resource, *(replace(self.resource, api_version=other) for other in self.versions))


_RAY_MAKER, _RAY_NAME = "ray.io/originated-from-crd", "ray.io/originated-from-cr-name"
_KSERVE, _RAY, _KNATIVE = "serving.kserve.io", "ray.io/v1", "serving.knative.dev/v1"
_KUBEFLOW, _ARGO = "kubeflow.org/v1", "argoproj.io/v1alpha1"
_PART_OF: Final = "app.kubernetes.io/part-of"

# The outermost first: of several labels, that of the object furthest up names the whole.
KIN: Final = (
    Kin(
        Resource(f"{_KSERVE}/v1alpha1", "llminferenceservices", "LLMInferenceService"),
        "app.kubernetes.io/name",
        ((_PART_OF, "llminferenceservice"),),
        (f"{_KSERVE}/v1alpha2",),
    ),
    Kin(
        Resource(f"{_KSERVE}/v1beta1", "inferenceservices", "InferenceService"), f"{_KSERVE}/inferenceservice"
    ),
    Kin(Resource("apps.nvidia.com/v1alpha1", "nimservices", "NIMService")),
    Kin(Resource(_RAY, "rayservices", "RayService"), _RAY_NAME, ((_RAY_MAKER, "RayService"),)),
    Kin(Resource(_RAY, "rayjobs", "RayJob"), _RAY_NAME, ((_RAY_MAKER, "RayJob"),)),
    Kin(Resource(_RAY, "rayclusters", "RayCluster"), "ray.io/cluster"),
    Kin(Resource("trainer.kubeflow.org/v1alpha1", "trainjobs", "TrainJob")),
    Kin(Resource("jobset.x-k8s.io/v1alpha2", "jobsets", "JobSet"), "jobset.sigs.k8s.io/jobset-name"),
    Kin(
        Resource("leaderworkerset.x-k8s.io/v1", "leaderworkersets", "LeaderWorkerSet"),
        "leaderworkerset.sigs.k8s.io/name",
    ),
    *(
        Kin(Resource(_KUBEFLOW, f"{kind.lower()}s", kind))
        for kind in ("PyTorchJob", "TFJob", "XGBoostJob", "PaddleJob", "JAXJob")
    ),
    Kin(Resource("kubeflow.org/v2beta1", "mpijobs", "MPIJob"), versions=(_KUBEFLOW,)),
    Kin(Resource(_KUBEFLOW, "notebooks", "Notebook"), "notebook-name"),
    Kin(Resource(_ARGO, "cronworkflows", "CronWorkflow"), "workflows.argoproj.io/cron-workflow"),
    Kin(Resource(_ARGO, "workflows", "Workflow"), "workflows.argoproj.io/workflow"),
    Kin(Resource(_ARGO, "rollouts", "Rollout")),
    Kin(
        Resource("sparkoperator.k8s.io/v1beta2", "sparkapplications", "SparkApplication"),
        "sparkoperator.k8s.io/app-name",
    ),
    Kin(Resource(_KNATIVE, "services", "Service"), "serving.knative.dev/service"),
    Kin(Resource(_KNATIVE, "configurations", "Configuration")),
    Kin(Resource(_KNATIVE, "revisions", "Revision")),
    *(Kin(resource) for resource in (CRON_JOBS, DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, JOBS, PODS)),
)

BY_KIND: Final[Mapping[str, Kin]] = MappingProxyType({kin.kind: kin for kin in KIN})

LABELS: Final = tuple(dict.fromkeys(key for kin in KIN if kin.label for key in (kin.label, *dict(kin.only))))
"""Every label that the table reads."""


def named_by(labels: Mapping[str, str]) -> Owner | None:
    """What the labels of a pod, or of what lies between, say that it is part of."""
    return next(_named(labels), None)


def _named(labels: Mapping[str, str]) -> Iterator[Owner]:
    for kin in KIN:
        name = labels.get(kin.label, "")
        if name and all(labels.get(key) == value for key, value in kin.only):
            yield Owner(kin.kind, name)
