"""What `aibudget usage` prints of readings, and how it reads its flags."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from aibudget.cli.usage import _book, _chosen, _definitions, usage
from aibudget.errors import Stalled
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, Workload
from aibudget.metering.labels import Teams
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Balance, Coverage, Reading, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.rate import Rate
from aibudget.reporting.usage import By, UsageReport
from aibudget.reporting.usagechange import as_fields, as_lines, compared, preceding
from aibudget.reporting.usageformats import as_csv, as_json, as_table

DAY = Interval(1_772_323_200, 1_772_409_600)
L4 = sku("gpu", {"gpuProduct": "NVIDIA-L4", "capacityType": "spot"})
OWN = sku("gpu", {"gpuProduct": "Own-Chip"})


def rate(product: str, price: str, start: int = 0, currency: str = "USD") -> Rate:
    """A rate of a product from a moment on."""
    return Rate(
        "list", f"{product}-{start}", "gpu", {"gpuProduct": product}, currency, "GPU-Hours",
        Decimal(price), Decimal(price), 1, Interval(start, 2**40),
    )  # fmt: skip


def report(
    *usages: Usage, by: By = "namespace", rates: Sequence[Rate] = (rate("NVIDIA-L4", "0.8"),)
) -> UsageReport:
    """A day of which half is known, in two readings."""
    made = UsageReport(DAY, by, PriceBook(rates))
    for part in (usages[::2], usages[1::2]):
        made.add(
            "gpu", Reading(DAY, tuple(part), {DAY.start: Coverage(450, 900)}, DAY.end, ("something is odd",))
        )
    return made


def used(name: str, hours: float, what: object = L4, slot: int = DAY.start) -> Usage:
    """A Deployment's usage in one slot."""
    return Usage(slot, Workload("team", "Deployment", name), what, round(hours * 3_600_000))  # type: ignore[arg-type]


def test_sums_are_exact_and_in_the_promised_shape() -> None:
    """Slots and workloads of a namespace in one row for each SKU; money and quantities as strings."""
    document = json.loads(
        as_json(report(used("a", 1.5), used("b", 2), used("a", 0.25, slot=DAY.start + 900)))
    )
    assert document == {
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
        "currency": "USD",
        "coveragePercent": 50,
        "total": "3.00",
        "meters": [{"meter": "gpu", "unit": "GPU-Hours", "coveragePercent": 50, "sourcePresent": True}],
        "unitCosts": [],
        "rows": [
            {
                "namespace": "team",
                "workloadKind": None,
                "workload": None,
                "meter": "gpu",
                "sku": {"capacityType": "spot", "gpuProduct": "NVIDIA-L4"},
                "quantity": "3.75",
                "unit": "GPU-Hours",
                "cost": "3.00",
            }
        ],
    }


def test_workloads_have_rows_of_their_own() -> None:
    """With their kind and name."""
    rows = json.loads(as_json(report(used("a", 1), used("b", 2), by="workload")))["rows"]
    assert [(row["workloadKind"], row["workload"], row["cost"]) for row in rows] == [
        ("Deployment", "a", "0.80"),
        ("Deployment", "b", "1.60"),
    ]


def test_no_price_is_no_zero() -> None:
    """Neither in JSON nor CSV nor the table, and the part of a row that has one stays apart."""
    later = rate("Own-Chip", "2", start=DAY.start + 900)
    made = report(used("a", 1, OWN), used("a", 3, OWN, slot=DAY.start + 900), rates=[later])
    rows = json.loads(as_json(made))["rows"]
    assert [(row["quantity"], row["cost"]) for row in rows] == [("3.00", "6.00"), ("1.00", None)]
    assert as_csv(made).splitlines()[2].endswith("1.00,GPU-Hours,,USD")
    assert "no price" in as_table(made)
    assert "1.00 GPU-Hours of it have no price" in as_table(made)


def test_the_table_says_what_is_missing() -> None:
    """A total of half a day is a lower bound."""
    lines = as_table(report(used("a", 1))).splitlines()
    assert lines[0].split() == ["NAMESPACE", "PRODUCT", "USED", "UNIT", "COST", "USD"]
    assert lines[1].split() == ["team", "NVIDIA-L4", "spot", "1.00", "GPU-Hours", "0.80"]
    assert lines[-1] == "Only 50 % of the time is known: the total is a lower bound."


def test_energy_without_a_price_makes_no_total_too_low() -> None:
    """What is not known of it is told where it was used at all, and no money is missing for it."""
    watts = sku("energy", {"component": "gpu"})
    joules = Usage(DAY.start, Workload("team", "Deployment", "a"), watts, 3_600_000_000)
    for usages in ((joules,), ()):
        made = UsageReport(DAY, "namespace", PriceBook([rate("NVIDIA-L4", "0.8")]))
        made.add("energy", Reading(DAY, usages, {DAY.start: Coverage(450, 900)}, DAY.end))
        last = as_table(made).splitlines()[-1]
        assert (last == "Only 50 % of the time of energy is known.") is bool(usages)
        assert "lower bound" not in last


def test_a_meter_that_nothing_told_of_is_named() -> None:
    """An exporter that is not scraped looks like no usage at all: below the table and in JSON it is said."""
    made = report(used("a", 1))
    for meter in ("tokens", "energy"):
        made.add(meter, Reading(DAY, (), {DAY.start: Coverage(0, 900)}, None))
    assert (
        as_table(made).splitlines()[-1] == "Nothing told of energy, tokens in this time: unknown, not zero."
    )
    meters = {one["meter"]: one["sourcePresent"] for one in json.loads(as_json(made))["meters"]}
    assert meters == {"gpu": True, "tokens": False, "energy": False}


def test_what_users_count_stands_under_its_own_name() -> None:
    """The meter's name and the values of its dimensions; it is no unknown product."""
    painted = Usage(
        DAY.start, Workload("team", "Deployment", "a"), sku("images", {"model": "sdxl"}), 3_600_000
    )
    made = UsageReport(DAY, "namespace", PriceBook([]))
    made.add("images", Reading(DAY, (painted,), {}, DAY.end))
    assert as_table(made).splitlines()[1].split()[1:4] == ["images", "sdxl", "1.00"]


def test_a_csv_has_the_dimensions_that_users_think_of() -> None:
    """In a column of their own, so that rows which differ by them differ in the file."""
    fine = Usage(
        DAY.start, Workload("team", "Deployment", "a"), sku("images", {"quality": "fine"}), 3_600_000
    )
    made = UsageReport(DAY, "namespace", PriceBook([]))
    made.add("images", Reading(DAY, (fine,), {}, DAY.end))
    (row,) = csv.DictReader(as_csv(made).splitlines())
    assert (row["meter"], row["dimensions"]) == ("images", '{"quality": "fine"}')


TOKENS = sku("tokens", {"model": "llama", "tokenType": "output", "hosting": "self"})
CHAT = Workload("team", "Deployment", "a")
IDLE = sku("gpu-idle", {"gpuProduct": "NVIDIA-L4", "capacityType": "spot", "state": "idle", "nodePool": "p"})


def made_tokens(count: int) -> Usage:
    """Tokens that the Deployment a made."""
    return Usage(DAY.start, CHAT, TOKENS, count)


def idle(hours: float) -> Usage:
    """Devices of pool p that nobody held."""
    return Usage(DAY.start, Workload("", "NodePool", "p"), IDLE, round(hours * 3_600_000))


def rows_of(made: UsageReport) -> list[dict[str, Any]]:
    """Those of the JSON."""
    rows: list[dict[str, Any]] = json.loads(as_json(made))["rows"]
    return rows


def test_a_workload_stands_under_the_name_that_people_know() -> None:
    """With what else is part of it."""
    made = UsageReport(DAY, "workload", PriceBook([rate("NVIDIA-L4", "0.8")]))
    served = (
        OwnerLink(Child("team", "Deployment", name), Owner("InferenceService", "chat")) for name in "ab"
    )
    usages = (used("a", 1), used("b", 1), used("c", 1))
    made.add("gpu", Reading(DAY, usages, {}, None), OwnerBook.of(served))
    assert [(row["workloadKind"], row["workload"], row["quantity"]) for row in rows_of(made)] == [
        ("Deployment", "c", "1.00"),
        ("InferenceService", "chat", "2.00"),
    ]


def test_labels_that_are_asked_for_part_workloads() -> None:
    """And are told with each row that has some."""
    made = UsageReport(DAY, "workload", PriceBook([rate("NVIDIA-L4", "0.8")]))
    parts = (("part-of", "search"),), (("part-of", "chat"),), ()
    usages = (replace(used("a", 2**n), labels=labels) for n, labels in enumerate(parts))
    made.add("gpu", Reading(DAY, tuple(usages), {}, None))
    found = {row.get("labels", {}).get("part-of"): row["quantity"] for row in rows_of(made)}
    assert found == {None: "4.00", "chat": "2.00", "search": "1.00"}
    assert ',"{""part-of"": ""chat""}",gpu,' in as_csv(made)


def test_a_team_is_that_of_the_time_of_use() -> None:
    """And a gateway's team is one as well; what is nobody's comes last."""
    made = UsageReport(DAY, "team", PriceBook([rate("NVIDIA-L4", "0.8")]))
    teams = Teams([("team", DAY.start, "audio"), ("team", DAY.start + 900, "vision")])
    gateway = Usage(DAY.start, Workload("", "Team", "audio"), L4, 3_600_000)
    usages = (used("a", 1), used("a", 2, slot=DAY.start + 900), gateway)
    made.add("gpu", Reading(DAY, usages, {}, None), None, teams)
    made.add("gpu-idle", Reading(DAY, (idle(4),), {}, None), None, teams)
    assert [(row["team"], row["meter"], row["quantity"]) for row in rows_of(made)] == [
        ("audio", "gpu", "2.00"),
        ("vision", "gpu", "2.00"),
        ("", "gpu-idle", "4.00"),
    ]
    assert {row["namespace"] for row in rows_of(made)} == {None}


def test_a_model_pays_for_the_devices_that_serve_it_alone() -> None:
    """Tokens and devices meet in the workload; a workload of two models is neither's."""
    other = sku("tokens", {"model": "qwen", "tokenType": "output"})
    made = UsageReport(DAY, "model", PriceBook([rate("NVIDIA-L4", "0.8")]))
    both = Workload("team", "Deployment", "b")
    counted = (made_tokens(4_000_000), *(Usage(DAY.start, both, one, 1_000) for one in (TOKENS, other)))
    made.add("gpu", Reading(DAY, (used("a", 10), used("b", 5), used("c", 1)), {}, None))
    made.add("tokens", Reading(DAY, counted, {}, None))
    rows = rows_of(made)
    assert [(row["model"], row["quantity"]) for row in rows if row["meter"] == "gpu"] == [
        ("llama", "10.00"),
        ("", "6.00"),
    ]
    document = json.loads(as_json(made))
    assert [(one["model"], one["amount"]) for one in document["unitCosts"]] == [("llama", "1.9995")]
    assert "USD PER 1M TOKENS" in as_table(made)


def test_pools_are_told_with_what_nobody_held() -> None:
    """Idle capacity belongs to its pool, and in any other table to nobody."""
    pooled = sku("gpu", {**dict(L4.dimensions), "nodePool": "p"})
    made = UsageReport(DAY, "nodepool", PriceBook([rate("NVIDIA-L4", "0.8")]))
    made.add("gpu", Reading(DAY, (used("a", 3, pooled), used("b", 1)), {}, None))
    made.add("gpu-idle", Reading(DAY, (idle(2),), {}, None))
    found = [(row["nodePool"], row["meter"], row["cost"]) for row in rows_of(made)]
    assert found == [("p", "gpu", "2.40"), ("p", "gpu-idle", "1.60"), ("", "gpu", "0.80")]
    assert "Of it 1.60 USD for 2.00 GPU-Hours that nobody held." in as_table(made)


def test_the_parts_are_told_to_add_up() -> None:
    """Held, idle and unwell make the capacity, less what is held beyond it."""
    hour = 3_600_000
    made = report(used("a", 1))
    balance = Balance(10 * hour, 8 * hour, 2 * hour, hour, 0, hour)
    assert balance.residual == 0
    made.add("gpu-idle", Reading(DAY, (), {}, None, balances={(DAY.start, "p"): balance}))
    said = "Capacity 10.00 GPU-Hours = 8.00 held + 2.00 idle + 1.00 unhealthy - 1.00 beyond it."
    assert said in as_table(made)
    document = json.loads(as_json(made))
    assert document["capacity"]["capacity"] == "10.00"
    assert document["capacity"]["over"] == "1.00"


def test_what_another_price_includes_costs_nothing_and_says_why() -> None:
    """Rather than nothing at all, or twice."""
    host = sku("cpu", {"gpuProduct": "NVIDIA-L4", "instanceType": "g6.xlarge"})
    whole = replace(rate("NVIDIA-L4", "1"), includes=("cpu",))
    made = report(Usage(DAY.start, CHAT, host, 7_200_000), rates=[whole])
    (row,) = rows_of(made)
    assert (row["cost"], row["reason"], row["unit"]) == ("0.00", "Included", "vCPU-Hours")
    assert as_table(made).splitlines()[1].split()[-1] == "included"


def test_currencies_meet_at_a_dated_rate() -> None:
    """In the currency of the foremost list."""
    book = PriceBook(
        [rate("NVIDIA-L4", "1"), replace(rate("Own-Chip", "1", currency="EUR"), priority=50)],
        [ExchangeRate(0, 50, "list", "EUR", "USD", Decimal("1.25"))],
    )
    made = UsageReport(DAY, "namespace", book)
    made.add("gpu", Reading(DAY, (used("a", 5), used("b", 1, OWN)), {}, None))
    document = json.loads(as_json(made))
    assert (document["currency"], document["total"]) == ("EUR", "5.00")


def test_a_wide_name_does_not_break_the_table() -> None:
    """A terminal of 100 columns shows every line of the widest table whole."""
    long = Workload("n" * 63, "LeaderWorkerSet", "w" * 100)
    what = sku("gpu", {"gpuProduct": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "capacityType": "on-demand"})
    made = UsageReport(DAY, "workload", PriceBook([rate("NVIDIA-L4", "0.8")]))
    made.add("gpu", Reading(DAY, (Usage(DAY.start, long, what, 10**12),), {}, None))
    assert max(map(len, as_table(made, 100).splitlines())) <= 100
    assert long.name in as_table(made)
    assert as_table(made, 60).splitlines()[1].startswith("nnnnnn…nnnnn   Leader…wwwww   NVIDIA….10gb")


def test_problems_are_told_once() -> None:
    """However many parts have them."""
    assert list(report(used("a", 1)).problems) == ["something is odd"]


def test_currencies_do_not_mix() -> None:
    """Rather than a sum of two moneys, a word on what to do."""
    both = report(
        used("a", 1), used("b", 1, OWN), rates=[rate("NVIDIA-L4", "1"), rate("Own-Chip", "1", currency="EUR")]
    )
    with pytest.raises(Stalled, match="EUR and USD"):
        as_json(both)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from", "yesterday", "--to", "2026-03-02"], "is no time"),
        (["--from", "2026-03-01T00:00:00", "--to", "2026-03-02"], "has no zone"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--step", "70"], "is no step"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--step", "٣٠"], "is no step"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--prices", "/no/such/file"], "does not exist"),
        (["--from", "2026-03-01"], "--to"),
    ],
)
def test_bad_flags_say_what_to_write(flags: list[str], words: str) -> None:
    """Before anything is asked of anybody."""
    ran = CliRunner().invoke(usage, ["--prometheus", "http://127.0.0.1:1", *flags])
    assert ran.exit_code == 2
    assert words in ran.output


def test_a_meter_of_ones_own_can_be_the_only_one(tmp_path: Path) -> None:
    """Named with --meter like any other; where others are named, it is left out."""
    file = tmp_path / "meter.yaml"
    file.write_text(
        """
apiVersion: aibudget.io/v1alpha1
kind: AIMeter
metadata: {name: images}
spec: {unit: Images, type: Counter, sources: [{name: a, query: images_total}]}
"""
    )
    own = tuple(_definitions((file,)))
    assert (_chosen(own, ("images",)), _chosen(own, ()), _chosen(own, ("gpu",))) == (own, own, ())
    with pytest.raises(click.BadParameter, match=r"'image' is no meter\. Write one of gpu, .*, images\."):
        _chosen(own, ("image",))


def test_prices_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    """What `validate` and the API server take is taken here: a whole number as 4.0, and a list of objects."""
    file = tmp_path / "prices.yaml"
    file.write_text(
        """
apiVersion: v1
kind: List
items:
- apiVersion: aibudget.io/v1alpha1
  kind: AIPriceList
  metadata: {name: company}
  spec:
    currency: USD
    rates:
    - {name: h100, meter: gpu, unit: GPU-Hours, price: 4.0, from: "2026-07-01T00:00:00Z"}
"""
    )
    assert [rate.price for rate in _book((file,)).rates if rate.source == "company"] == [4]


def week(start: int, *usages: Usage, rates: Sequence[Rate], covered: int = 900) -> UsageReport:
    """Two slots from there on, in one reading, as far as they are covered."""
    interval = Interval(start, start + 1800)
    made = UsageReport(interval, "namespace", PriceBook(rates))
    coverage = {slot: Coverage(covered, 900) for slot in interval.slots()}
    made.add("gpu", Reading(interval, tuple(usages), coverage, interval.end))
    return made


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_range_is_compared_with_as_much_time_before_it(seed: int) -> None:
    """Who costs more and why, in parts that add up to the change: more of one chip, its price, a new one."""
    start = DAY.start
    rates = [rate("NVIDIA-L4", "1"), rate("Own-Chip", "3", start - 1800)]
    before = week(start - 1800, used("a", 10, slot=start - 1800), rates=rates)
    dearer = [rate("NVIDIA-L4", "1.5"), rates[1]]
    after = week(start, used("a", 10 + seed), used("b", 2, OWN), rates=dearer)
    assert preceding(after.interval) == before.interval
    found = as_fields(compared(before, after))
    moved = Decimal("1.5") * (10 + seed) + 6 - 10
    assert (Decimal(found["before"]), Decimal(found["change"])) == (Decimal(10), moved)
    effects = {name: Decimal(part) for name, part in found["effects"].items()}
    half = Decimal("0.5")
    assert effects == {"price": half * (10 + seed), "volume": seed, "mix": 0, "new": 6, "gone": 0}
    assert [(row["namespace"], Decimal(row["change"])) for row in found["rows"]] == [("team", moved)]
    said = as_lines(compared(before, after), after)
    assert f"{moved:+.2f} USD" in said
    assert "new +6.00" in said


@pytest.mark.parametrize(
    ("known", "reason"), [(900, None), (880, "97 % of gpu is known of 2026-02-28T23:30")]
)
def test_hours_that_nobody_measured_are_no_rise(known: int, reason: str | None) -> None:
    """Then there is the reason, and no change."""
    rates = [rate("NVIDIA-L4", "1")]
    before = week(DAY.start - 1800, used("a", 1, slot=DAY.start - 1800), rates=rates, covered=known)
    found = compared(before, week(DAY.start, used("a", 2), rates=rates))
    assert (found.reason or "").startswith("only " + reason if reason else "")
    assert (as_fields(found)["change"] is None) is (reason is not None)
    assert ("is not compared" in as_lines(found, before)) is (reason is not None)


def test_what_was_nothing_before_and_is_nothing_now_is_no_change() -> None:
    """Rises from nothing have no percent."""
    rates = [rate("NVIDIA-L4", "1")]
    nothing = week(DAY.start - 1800, rates=rates)
    found = compared(nothing, week(DAY.start, used("a", 2), rates=rates))
    assert as_fields(found)["effects"]["new"] == "2.00"
    assert "%" not in as_lines(found, nothing).splitlines()[1]
    assert as_fields(compared(nothing, week(DAY.start, rates=rates)))["change"] == "0.00"


def test_a_csv_has_rows_of_one_range() -> None:
    """It is refused rather than left out silently."""
    flags = ["--prometheus", "http://127.0.0.1:9", "--from", "2026-03-01", "--to", "2026-03-02"]
    ran = CliRunner().invoke(usage, [*flags, "--compare", "-o", "csv"])
    assert ran.exit_code == 2
    assert "--compare" in ran.output


def test_both_ranges_are_compared_in_one_currency() -> None:
    """What cost EUR before and USD now is in USD on both sides; where nothing costs anything now, in EUR."""
    own = replace(rate("Own-Chip", "2", currency="EUR"), priority=5)
    worth = ExchangeRate(0, 1, "list", "EUR", "USD", Decimal("1.5"))

    def half(start: int, *usages: Usage, exchange: Sequence[ExchangeRate] = (worth,)) -> UsageReport:
        made = week(start, rates=[])
        made.book = PriceBook([rate("NVIDIA-L4", "1"), own], exchange)
        made.add("gpu", Reading(made.interval, tuple(usages), {}, made.interval.end))
        return made

    before = half(DAY.start - 1800, used("a", 10, OWN, DAY.start - 1800))
    found = as_fields(compared(before, half(DAY.start, used("a", 10))))
    assert (found["before"], found["change"]) == ("30.00", "-20.00")
    assert (found["effects"]["new"], found["effects"]["gone"]) == ("10.00", "-30.00")
    alone = half(DAY.start - 1800, used("a", 10, OWN, DAY.start - 1800), exchange=())
    nothing = half(DAY.start, exchange=())
    assert "-20.00 EUR (-100 %): gone -20.00" in as_lines(compared(alone, nothing), nothing)


def test_what_used_nothing_costs_nothing_on_either_side() -> None:
    """A slot in which a workload held no device for a whole millisecond is no SKU of its own."""
    rates = [rate("NVIDIA-L4", "1")]
    before = week(DAY.start - 1800, used("a", 0, slot=DAY.start - 1800), rates=rates)
    found = as_fields(compared(before, week(DAY.start, used("a", 2), rates=rates)))
    assert (found["change"], found["effects"]["new"]) == ("2.00", "2.00")


def test_what_nobody_held_is_compared_under_that_name() -> None:
    """As in the table above it; a pod without a team is another matter. The names fit the terminal, too."""
    idle = sku("gpu-idle", {"gpuProduct": "NVIDIA-L4"})

    def of(start: int, hours: int) -> UsageReport:
        made = UsageReport(Interval(start, start + 900), "team", PriceBook([rate("NVIDIA-L4", "1")]))
        spare = Usage(start, Workload("", "NodePool", "p1"), idle, hours * 3_600_000)
        for meter, usages in (("gpu", (used("a", 1, slot=start),)), ("gpu-idle", (spare,))):
            made.add(meter, Reading(made.interval, usages, {start: Coverage(900, 900)}, start + 900))
        return made

    after = of(DAY.start, 3)
    found = compared(of(DAY.start - 900, 1), after)
    cells = [line.split() for line in as_lines(found, after).splitlines()[1:3]]
    assert cells == [
        ["(idle)", "1.00", "3.00", "+2.00", "+200", "%"],
        ["(none)", "1.00", "1.00", "+0.00", "+0", "%"],
    ]
    assert [row.get("idle", False) for row in as_fields(found)["rows"]] == [True, False]


def test_a_comparison_fits_the_terminal() -> None:
    """Names are cut as in the table above it, and labels that it does not show make no rows."""
    rates = [rate("NVIDIA-L4", "1")]

    def of(start: int) -> UsageReport:
        made = UsageReport(Interval(start, start + 900), "workload", PriceBook(rates))
        name = "a-name-that-is-longer-than-anybody-would-like-to-type"
        tagged = (replace(used(name, 1, slot=start), labels=(("tier", tier),)) for tier in "ab")
        made.add("gpu", Reading(made.interval, tuple(tagged), {start: Coverage(900, 900)}, start + 900))
        return made

    after = of(DAY.start)
    found = compared(of(DAY.start - 900), after)
    lines = as_lines(found, after, 70).splitlines()
    assert lines[0].split()[:2] == ["NAMESPACE", "WORKLOAD"]
    assert [max(map(len, lines[:2])) <= 70, len(lines)] == [True, 3]
    assert [row["labels"]["tier"] for row in as_fields(found)["rows"]] == ["a", "b"]


def test_a_meter_that_is_asked_for_alone_must_be_known_on_both_sides() -> None:
    """An exporter that was not scraped before told of no tokens: that they are none now is no news."""
    counted = replace(rate("gpt", "1"), meter="tokens", match={}, unit="Tokens")

    def of(start: int, covered: int) -> UsageReport:
        made = UsageReport(Interval(start, start + 900), "namespace", PriceBook([counted]))
        made.add("tokens", Reading(made.interval, (), {start: Coverage(covered, 900)}, None))
        return made

    found = compared(of(DAY.start - 900, 0), of(DAY.start, 900))
    assert found.reason.startswith("only 0 % of tokens is known")
