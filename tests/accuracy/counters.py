"""Counters of tokens whose exact growth is known by hand, and an hour of a production LLM service.

The truth is what was scraped: what a process counts after its last scrape reaches no Prometheus.
"""

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from accuracy.metered import Bill
from accuracy.pasts import BEGIN, HOUR, Case
from accuracy.table import Amounts, Goal
from aibudget.sandbox.exposition import number, selector

DATA = Path(__file__).parents[3] / "shared" / "data" / "azure_llm_inference_2023_code.csv"
LASTS, AROUND = 2 * HOUR, 1_200

Count = Callable[[float], float | None]
"""What a counter stands at, by the seconds of the day; None where its process is not there."""


def scraped(begin: int = -AROUND, end: int = LASTS + AROUND, offset: float = 7) -> list[float]:
    """When, each 30 s."""
    return [t + offset for t in range(begin, end, 30)]


def apart(hole: range) -> list[float]:
    """Without those in the hole."""
    return [t for t in scraped() if int(t) not in hole]


def steady(per_second: float = 10.0, base: float = 1e6) -> Count:
    return lambda t: base + per_second * (t + AROUND)


def server(pod: str, metric: str = "generation_tokens_total", **more: str) -> dict[str, str]:
    """A series of vLLM, the name of its metric among its labels."""
    labels = {"__name__": f"vllm:{metric}", "job": "vllm", "instance": f"{pod}:8000", "engine": "0"}
    return {**labels, "namespace": "ml", "pod": pod, "model_name": "llama", **more}


SPEND = {
    "__name__": "litellm_spend_metric_total",
    "job": "litellm",
    "instance": "lite:4000",
    "team": "t-1",
    "team_alias": "nlp",
    "model": "gpt-4o",
}
DEVICE = {
    "__name__": "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "job": "dcgm-exporter",
    "instance": "dcgm:9400",
    "namespace": "gpu-operator",
    "pod": "dcgm-exporter-x",
    "UUID": "GPU-a",
    "Hostname": "gpu-1",
    "exported_namespace": "ml",
    "exported_pod": "llm",
}
KEPLER = {
    "__name__": "kepler_pod_gpu_joules_total",
    "job": "kepler",
    "instance": "k:28282",
    "pod_namespace": "ml",
    "pod_name": "llm",
    "node_name": "gpu-1",
    "state": "running",
}


def past(
    series: Iterable[tuple[Mapping[str, str], Count]],
    times: Sequence[float],
    births: Mapping[str, float] | None = None,
) -> Callable[[str], str]:
    """What was scraped of them, with `up`, and when the pods began that kube-state-metrics told of."""

    def lines(cluster: str) -> str:
        state = {"job": "kube-state-metrics", "instance": "ksm", "namespace": "ml"}
        begun = [
            (
                {"__name__": "kube_pod_start_time", **state, "pod": pod, "uid": pod},
                _constant(BEGIN + born, born),
            )
            for pod, born in (births or {}).items()
        ]
        up = [({"__name__": "up", **state}, _constant(1.0))]
        return "".join(_lines(cluster, labels, count, times) for labels, count in (*up, *begun, *series))

    return lines


def _constant(value: float, since: float = -HOUR) -> Count:
    return lambda t: value if t >= since else None


def _lines(cluster: str, labels: Mapping[str, str], count: Count, times: Iterable[float]) -> str:
    named = {key: value for key, value in labels.items() if key != "__name__"}
    one = selector(labels["__name__"], {**named, "cluster": cluster}.items())
    told = ((t, count(t)) for t in times)
    return "".join(f"{one} {number(value)} {BEGIN + t:.3f}\n" for t, value in told if value is not None)


def _restarted(t: float) -> float:
    """Ten a second, beginning anew once an hour, 20 s before a scrape."""
    return 10 * (t + AROUND) if t < 1787 else 10 * ((t - 1787) % HOUR)


def _churning(number: int) -> tuple[Mapping[str, str], Count]:
    """A pod that counts for 5 min from its start on, with 500 before its first scrape."""
    begins = number * 300
    return server(f"llm-{number}"), lambda t: 500 + 10 * (t - begins) if begins <= t < begins + 300 else None


def _glitch(t: float) -> float:
    """A replica of Prometheus that is a little behind is asked now and then."""
    return 1e6 + 10 * (t + AROUND) - (1 if int(t) % 600 == 307 else 0)


def _sentinel(t: float) -> float:
    return 9223372036854775794.0 if int(t) % 900 == 7 else 1e6 + 10 * (t + AROUND)


def _leaping(t: float) -> float:
    """What no server can do in half a minute, once."""
    return 1e6 + 10 * (t + AROUND) + (1e12 if int(t) == 3607 else 0)


def _first_seen(t: float) -> float | None:
    """Five thousand before the first scrape, 20 s after its start, and nothing since."""
    return 5000 if t >= 3600 else None


def _old_news(t: float) -> float | None:
    """A server that has counted for a month is scraped for the first time."""
    return 1e9 + 10 * (t - 3600) if t >= 3600 else None


def _by_namespace(bills: Sequence[Bill]) -> Amounts:
    return bills[0].quantities(lambda usage: usage.workload.namespace)


def _by_type(bills: Sequence[Bill]) -> Amounts:
    return bills[0].quantities(lambda usage: usage.sku.dimension("tokenType") or "")


def _tokens(name: str, title: str, amount: int, more: Callable[[str], str]) -> Case:
    return Case(
        name,
        title,
        {"ml": amount},
        lambda _: (),
        unit="Tokens",
        meters=("tokens",),
        measure=_by_namespace,
        lasts=LASTS,
        more=more,
    )


# Scrapes are 7 s after each half minute, and the grid is that of minutes: up to a minute counts what was
# scraped 23 s before it.
EVEN = 10 * LASTS
MONTH = 30 * 24 * HOUR
COUNTERS = (
    _tokens("steady", "10 tokens a second", EVEN, past([(server("a"), steady())], scraped())),
    # After its last scrape it counts for 10 s more.
    _tokens(
        "restarts",
        "a server that restarts each hour",
        EVEN - 2 * 100,
        past([(server("a"), _restarted)], scraped()),
    ),
    _tokens(
        "first-value",
        "5,000 tokens before a new pod's first scrape",
        EVEN + 5000,
        past([(server("old"), steady()), (server("a"), _first_seen)], scraped(), {"a": 3580}),
    ),
    replace(
        _tokens(
            "old-news",
            "a server of a month, scraped anew: not its past",
            10 * (7177 - 3607),
            past([(server("a"), _old_news)], scraped(), {"a": -MONTH}),
        ),
        goal=Goal("1 step of 60 s", amount=Fraction(600)),
    ),
    _tokens(
        "token-churn",
        "12 servers of 5 min an hour",
        24 * (500 + 2770),
        past([_churning(n) for n in range(24)], scraped(), {f"llm-{n}": n * 300 for n in range(24)}),
    ),
    _tokens(
        "token-gap-20",
        "tokens: 20 min without scrapes",
        EVEN,
        past([(server("a"), steady())], apart(range(2400, 3600))),
    ),
    _tokens(
        "token-gap-70",
        "tokens: 70 min without scrapes",
        EVEN,
        past([(server("a"), steady())], apart(range(1200, 5400))),
    ),
    _tokens(
        "token-ha",
        "tokens: two replicas of Prometheus",
        EVEN,
        past([(server("a", prometheus_replica=str(n)), steady()) for n in range(2)], scraped()),
    ),
    _tokens("glitch", "a replica that is a token behind", EVEN, past([(server("a"), _glitch)], scraped())),
    _tokens("sentinel", "a sentinel each 15 min", EVEN, past([(server("a"), _sentinel)], scraped())),
    _tokens("leap", "a leap that no server can do", EVEN, past([(server("a"), _leaping)], scraped())),
    replace(
        _tokens(
            "spend", "what a team spent at a gateway", 0, past([(SPEND, steady(0.001, 12.34))], scraped())
        ),
        truth={"": Fraction(72, 10)},
        unit="USD",
        meters=("saas-spend",),
    ),
    replace(
        _tokens(
            "energy",
            "500 W of a GPU, which two exporters tell of",
            1,
            past([(DEVICE, steady(500_000, 1e10)), (KEPLER, steady(20))], scraped()),
        ),
        unit="kWh",
        meters=("energy",),
    ),
)


def azure() -> Iterator[Case]:
    """The hour, as a server's counters would have told it."""
    empty = Case(
        "azure",
        "an hour of an LLM service (Azure), 8,819 requests",
        {},
        lambda _: (),
        unit="Tokens",
        meters=("tokens",),
        measure=_by_type,
        lasts=LASTS,
        absent=f"the trace is not here ({DATA.name})",
    )
    if not DATA.is_file():
        yield empty
        return
    with DATA.open(encoding="utf-8") as file:
        rows = [
            (_second(row["TIMESTAMP"]), int(row["ContextTokens"]), int(row["GeneratedTokens"]))
            for row in csv.DictReader(file)
        ]
    rows.sort()
    begins = rows[0][0] - 60
    times = [when - begins for when, _, _ in rows]
    counts = {
        "prompt_tokens_total": _replayed(times, [context for _, context, _ in rows]),
        "generation_tokens_total": _replayed(times, [generated for _, _, generated in rows]),
    }
    yield replace(
        empty,
        truth={
            "input": sum(context for _, context, _ in rows),
            "output": sum(generated for _, _, generated in rows),
        },
        more=past([(server("a", metric), count) for metric, count in counts.items()], scraped(), {"a": 0}),
        absent="",
    )


def _replayed(times: Sequence[float], amounts: Sequence[int]) -> Count:
    sums = [0, *accumulate(amounts)]
    return lambda t: float(sums[bisect_right(times, t)]) if t >= 0 else None


def _second(stamp: str) -> float:
    whole, _, part = stamp.partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{part or 0}")
