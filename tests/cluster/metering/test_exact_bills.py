"""What `aibudget usage` says of small pasts, through a real Prometheus, to the second."""

from collections import Counter
from decimal import Decimal

import pytest

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.meter import read_gpu, read_parts
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.promql import matchers
from aibudget.metering.reservation import read_reserved
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from aibudget.metering.source import QueryRefused
from aibudget.sandbox.prometheus import PrometheusServer
from cluster.metering.cases import BEGINS, CASES, HOURS, Case
from cluster.metering.conftest import Ask

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("case", [case for case in CASES if case.bill], ids=lambda case: case.name)
def test_the_bill_is_exact(case: Case, pasts: PrometheusServer, ask: Ask) -> None:
    """Every GPU-second is on the bill once, under its price, and what is not known is said."""
    begins = BEGINS[case.name]
    asked = ask(pasts.url, begins, begins + HOURS, *case.flags, "--meter", "gpu")
    assert asked.code == 0, asked.notes
    billed: Counter[tuple[str, str | None]] = Counter()
    for row in asked.document["rows"]:
        billed[row["namespace"], row["sku"].get("capacityType")] += round(Decimal(row["quantity"]) * 3600)
        assert (row["cost"] is not None) is case.priced
    assert billed == case.bill
    assert asked.document["coveragePercent"] == case.coverage
    assert all(note in asked.notes for note in case.notes), asked.notes


def test_owners_are_found(pasts: PrometheusServer, ask: Ask) -> None:
    """A Deployment and a CronJob are billed, not the ReplicaSet and the Job between."""
    begins = BEGINS["owners"]
    rows = ask(pasts.url, begins, begins + HOURS, "--by", "workload", "--meter", "gpu").document["rows"]
    found = {(row["workloadKind"], row["workload"]): row["quantity"] for row in rows}
    assert found == {("Deployment", "web"): "0.166667", ("CronJob", "night"): "0.083333"}


def test_people_find_what_they_know(pasts: PrometheusServer, ask: Ask) -> None:
    """An InferenceService above a Deployment, a LeaderWorkerSet above a StatefulSet, by owners and labels."""
    begins = BEGINS["kin"]
    rows = ask(pasts.url, begins, begins + HOURS, "--by", "workload", "--meter", "gpu").document["rows"]
    found = {(row["workloadKind"], row["workload"]): row["quantity"] for row in rows}
    assert found == {("InferenceService", "chat"): "1.00", ("LeaderWorkerSet", "group"): "0.50"}


def test_a_model_costs_what_serves_it(pasts: PrometheusServer, ask: Ask) -> None:
    """Tokens are on the bill beside the devices that made them, and what a million of them cost is told."""
    begins = BEGINS["kin"]
    document = ask(pasts.url, begins, begins + HOURS, "--by", "model").document
    rows = {(row["meter"], row["model"]): row for row in document["rows"]}
    tokens, devices = rows["tokens", "llama"], rows["gpu", "llama"]
    assert Decimal(tokens["quantity"]) == 3600 * 100
    assert (tokens["cost"], tokens["reason"]) == ("0.00", "SelfHosted")
    assert (devices["quantity"], rows["gpu", ""]["quantity"]) == ("1.00", "0.50")
    (each,) = document["unitCosts"]
    assert (each["model"], each["meter"], each["per"]) == ("llama", "tokens", 1_000_000)
    assert abs(Decimal(each["amount"]) * 360_000 / 1_000_000 - Decimal(devices["cost"])) < Decimal("0.000001")
    meters = {one["meter"]: one["coveragePercent"] for one in document["meters"]}
    assert meters["gpu"] == 100


def test_labels_of_the_time_are_told(pasts: PrometheusServer, ask: Ask) -> None:
    """Those that were asked for, where a pod had them."""
    begins, label = BEGINS["kin"], "serving.kserve.io/inferenceservice"
    flags = ("--by", "workload", "--meter", "gpu", "--workload-labels", label)
    rows = ask(pasts.url, begins, begins + HOURS, *flags).document["rows"]
    assert {row["workload"]: row.get("labels") for row in rows} == {"chat": {label: "chat"}, "group": None}


def test_a_team_pays_for_its_time(pasts: PrometheusServer, ask: Ask) -> None:
    """A namespace that changes hands is each team's while it is; one without a label is nobody's."""
    begins = BEGINS["kin"]
    asked = ask(pasts.url, begins, begins + HOURS, "--by", "team", "--meter", "gpu")
    found = {row["team"]: row["quantity"] for row in asked.document["rows"]}
    assert found == {"audio": "0.50", "vision": "0.50", "": "0.50"}
    unnamed = ask(pasts.url, begins, begins + HOURS, "--by", "team", "--team-label", "example.com/Team")
    assert {row["team"] for row in unnamed.document["rows"]} == {""}
    assert "--metric-labels-allowlist=namespaces=[example.com/Team]" in unnamed.notes


def test_what_was_idle_is_told_by_pool(pasts: PrometheusServer, ask: Ask) -> None:
    """Beside what was held, and together they are all that there is."""
    begins = BEGINS["kin"]
    document = ask(pasts.url, begins, begins + HOURS, "--by", "nodepool").document
    hours = {row["meter"]: Decimal(row["quantity"]) for row in document["rows"]}
    assert hours["gpu"] == Decimal("1.50")
    assert hours["gpu"] + hours.get("gpu-idle", 0) == Decimal(document["capacity"]["capacity"])


def test_an_hour_is_compared_with_the_one_before_it(pasts: PrometheusServer, ask: Ask) -> None:
    """Ten minutes of a GPU, and then half an hour of three: nine times as much, all of it volume."""
    begins = BEGINS["two-kube-state-metrics"] + 3600
    asked = ask(pasts.url, begins, begins + 3600, "--meter", "gpu", "--compare")
    found = asked.document["compared"]
    change = Decimal(found["change"])
    assert abs(change - 8 * Decimal(found["before"])) < Decimal("0.00001")
    assert Decimal(asked.document["total"]) - Decimal(found["before"]) == change
    assert {name: Decimal(part) for name, part in found["effects"].items() if Decimal(part)} == {
        "volume": change
    }


def test_two_clusters_are_not_mixed(pasts: PrometheusServer, ask: Ask) -> None:
    """Without a matcher nothing is billed, and the message says what to set."""
    begins = BEGINS["one-of-two-clusters"]
    asked = ask(pasts.url, begins, begins + HOURS)
    assert asked.code == 2
    assert "several clusters ('a', 'b')" in asked.notes
    assert asked.output == ""


def test_no_source_is_no_zero(pasts: PrometheusServer, ask: Ask) -> None:
    """Where kube-state-metrics was never scraped there is no bill at all."""
    begins = BEGINS["nothing-at-all"]
    asked = ask(pasts.url, begins, begins + HOURS)
    assert asked.code == 2
    assert "Is kube-state-metrics scraped under another job" in asked.notes
    assert asked.output == ""


def test_what_is_filled_is_told(pasts: PrometheusServer) -> None:
    """Four minutes without scrapes are estimated, twenty are not."""
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        short, long = (
            read_gpu(source, Interval(BEGINS[name], BEGINS[name] + HOURS), MeterSettings())
            for name in ("gap-of-four-minutes", "gap-of-twenty-minutes")
        )
    assert sum(usage.estimated for usage in short.usages) == 240_000
    assert sum(usage.estimated for usage in long.usages) == 0


def test_device_time_is_observed(pasts: PrometheusServer) -> None:
    """Busy time is a part of what was observed; of whom DCGM does not tell, nothing is known."""
    begins = BEGINS["devices-observed"]
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        reading = read_gpu(source, Interval(begins, begins + HOURS), MeterSettings())
    assert {usage.workload.namespace for usage in reading.usages} == {"team", "other"}
    for usage in reading.usages:
        seen = (225_000, 900_000) if usage.workload.namespace == "team" else (None, None)
        assert (usage.busy, usage.observed) == seen


@pytest.mark.parametrize("seconds", [30, 90, 300, 870])
def test_a_slot_that_has_just_begun_is_read(seconds: int, pasts: PrometheusServer) -> None:
    """The operator asks for the part of a slot that has passed, however short it is."""
    begins = BEGINS["owners"] + 900
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        reading = read_gpu(source, Interval(begins, begins + seconds), MeterSettings())
    assert reading.head == begins + seconds
    by_kind = {usage.workload.kind: usage.quantity for usage in reading.usages}
    assert by_kind == {"Deployment": min(seconds, 300) * 1000}


def test_queries_do_not_grow(pasts: PrometheusServer) -> None:
    """One part of a range is at most ten queries; it is the same with a part a slot."""
    begins = BEGINS["owners"]
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        parts = list(read_parts(source, Interval(begins, begins + HOURS), MeterSettings()))
        assert len(parts) == 1
        assert source.queries <= 10


def test_what_is_reserved_is_the_effective_request(pasts: PrometheusServer) -> None:
    """The larger of what containers and an init container ask for, and the overhead on top."""
    interval = Interval(BEGINS["reserved"], BEGINS["reserved"] + HOURS)
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        readings = read_reserved(Scenes(source, MeterSettings()), interval, OwnerBook())
    slots = HOURS // 900
    assert [usage.quantity for usage in readings["cpu"].usages] == [3_250 * 900] * slots
    assert [usage.quantity for usage in readings["memory"].usages] == [2**20 * 900] * slots
    assert readings["cpu"].usages[0].sku.dimension("gpuProduct") == "NVIDIA-L4"
    assert readings["cpu"].head == interval.end


def test_a_pod_that_reserves_without_devices_is_counted_while_it_lives(pasts: PrometheusServer) -> None:
    """From its binding to its end, whichever resources it holds besides."""
    interval = Interval(BEGINS["owners"], BEGINS["owners"] + HOURS)
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        readings = read_reserved(Scenes(source, MeterSettings()), interval, OwnerBook())
    billed: Counter[str] = Counter()
    for usage in readings["cpu"].usages:
        billed[usage.workload.name] += usage.quantity
    assert billed == {"web": 600_000, "night": 300_000}
    assert not readings["memory"].usages


def test_a_bad_matcher_is_told(pasts: PrometheusServer) -> None:
    """A matcher that Prometheus cannot read is refused at once, in its own words, and not asked by halves."""
    settings = MeterSettings(cluster=matchers('cluster=~"a("'))
    with Prometheus(PrometheusSettings(pasts.url)) as source:
        with pytest.raises(QueryRefused, match="missing closing"):
            read_gpu(source, Interval(BEGINS["owners"], BEGINS["owners"] + HOURS), settings)
        assert source.queries == 1
