"""What a reading has doubts about, as sentences for people: each says what is wrong and where to look.
Pure.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aibudget.metering.usage import Sku

PRICED_BY = ("gpuProduct", "instanceType")


@dataclass(frozen=True, slots=True)
class Doubts:
    """Counts of what went wrong. `strangers` are pods whose owner is not known, `unobserved`: no
    utilisation. `untold` are steps without a word of claims.
    """

    dropped: int
    unread: int
    phaseless: int
    strangers: int
    unobserved: bool
    untold: int = 0

    def sentences(self, skus: Collection[Sku]) -> Iterator[str]:
        if self.dropped:
            yield (
                f"{self.dropped} values of kube_pod_container_resource_requests were no count of devices "
                "(NaN, negative or above 1024) and were left out. Look at kube-state-metrics."
            )
        if self.unread:
            yield (
                f"{self.unread} steps were too much for Prometheus even alone and are gaps. "
                "Raise its query.max-samples or query.timeout."
            )
        if self.phaseless:
            yield (
                f"At {self.phaseless} steps kube_pod_status_phase was missing for pods with accelerators: "
                "they are gaps. Let kube-state-metrics export it, under the same job and uid label."
            )
        if self.untold:
            yield (
                f"At {self.untold} steps nobody told who holds devices by ResourceClaims: they are not "
                "counted. Let Prometheus scrape AIBudget's own metrics, at least once a minute."
            )
        if self.strangers:
            yield (
                f"{self.strangers} pods have no known owner and are charged as themselves. "
                "Let kube-state-metrics export kube_pod_owner, kube_replicaset_owner and kube_job_owner."
            )
        if any(not any(sku.dimension(name) for name in PRICED_BY) for sku in skus):
            yield (
                "Nodes with accelerators have neither a product nor an instance type. "
                "Let kube-state-metrics export node labels: --metric-labels-allowlist=nodes=[*]."
            )
        if skus and self.unobserved:
            yield (
                "No utilisation is known: neither DCGM_FI_PROF_GR_ENGINE_ACTIVE nor DCGM_FI_DEV_GPU_UTIL "
                "tells of these pods. Is dcgm-exporter scraped, with pod mapping?"
            )
