"""What a Prometheus that scrapes the operator would keep."""

from prometheus_client.parser import text_string_to_metric_families

from aibudget.budgeting.evaluation import Evaluation
from aibudget.reporting.budgetmetrics import spelled
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.snapshot import BudgetView, Snapshot

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(exporter: Exporter) -> Samples:
    """Everything of ours that a scrape would see."""
    families = text_string_to_metric_families(b"".join(exporter.render()).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("aibudget_")
    }


def samples_of(evaluation: Evaluation) -> Samples:
    """All metrics of one budget."""
    exporter = Exporter()
    exporter.show(Snapshot(leader=True, budgets=spelled([BudgetView(evaluation.budget, (), evaluation)])))
    return samples(exporter)
