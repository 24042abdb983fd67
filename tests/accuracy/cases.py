"""Small clusters whose exact bill is known by hand; see `pasts` for what they are made of."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from accuracy.pasts import (
    AROUND,
    BEGIN,
    DAY,
    HOUR,
    Case,
    always,
    beside,
    busy,
    cost,
    machine,
    pod,
    scrape,
    seen,
    together,
    with_dcgm,
)
from accuracy.sources import SOURCES
from accuracy.table import Amounts, Goal
from aibudget.sandbox.exposition import selector
from aibudget.sandbox.history import PodHistory, ScrapeHistory
from aibudget.sandbox.snapshot import GPU

KATHMANDU = -(5 * HOUR + 45 * 60)
ROUNDING = Goal("1 ms a slot", amount=Fraction(7 * 96, HOUR * 1000))
"""Amounts are whole milliseconds of devices, rounded down in each slot."""


def _short(lingering: int = 0) -> Iterable[PodHistory]:
    """Three hundred pods of 20 s to 280 s that begin and end at any second; as Jobs are, if they stay a while
    when they have ended.
    """
    policy = "Never" if lingering else "Always"
    for number in range(300):
        bound = 600 + number * 271 % 83_000 + number % 30
        ended = bound + 20 + number * 37 % 261
        who = f"team-{number % 3}", f"job-{number}"
        yield pod(*who, bound, ended, removed=ended + lingering, restart_policy=policy)


def _short_truth() -> Amounts:
    owed = dict.fromkeys(("team-0", "team-1", "team-2"), Fraction(0))
    for life in _short():
        owed[life.pod.namespace] += Fraction(round(life.ended - (life.bound or 0)), HOUR)
    return owed


SHARED_GPU = "nvidia.com/gpu.shared"
PLENTY = {"cpu": 4.0, "memory": 16 * 2.0**30, GPU: 1.0}
SLICED = {
    "nvidia.com/gpu.product": "NVIDIA-L4-SHARED",
    "nvidia.com/gpu.replicas": "4",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/gpu.sharing-strategy": "time-slicing",
}
MPS = {"nvidia.com/gpu.sharing-strategy": "mps"}
PARTS = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
    "nvidia.com/gpu.count": "7",
    "nvidia.com/mig.strategy": "single",
    "nvidia.com/gpu.slices.gi": "1",
}


def _sharers(count: int, resource: str = GPU, **more: object) -> list[PodHistory]:
    return [
        pod(f"team-{number}", "p", -DAY, 2 * DAY, requests={resource: 1.0}, **more)  # type: ignore[arg-type]
        for number in range(count)
    ]


PROFILES = {
    "nvidia.com/mig-3g.20gb": Fraction(3, 7),
    "nvidia.com/mig-2g.10gb": Fraction(2, 7),
    "nvidia.com/mig-1g.5gb": Fraction(1, 7),
}


MIXED = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/mig.strategy": "mixed"}


def _jobs() -> list[PodHistory]:
    """One an hour, each a little later within its hour."""
    begins = [hour * HOUR + hour * 17 for hour in range(24)]
    return [pod("team", f"job-{begin}", begin, begin + 90, requests={"cpu": 2.0}) for begin in begins]


def morning(cluster: str) -> Sequence[ScrapeHistory]:
    """Six hours of scrapes."""
    return [scrape(cluster, end=6 * HOUR + AROUND)]


OPENCOST = (
    Case(
        "whole-day",
        "a pod for 24 h: 4 CPU, 16 GiB, 1 GPU",
        {"team": Fraction("64.416")},
        seen([always(requests=PLENTY)]),
        unit="USD",
        meters=("gpu", "cpu", "memory"),
        measure=cost,
        opencost="64.416",
    ),
    Case(
        "names-return",
        "a StatefulSet's pod from 0 to 6 h and from 18 to 24 h",
        {"team": 30},
        seen([pod("team", "db-0", 0, 6 * HOUR), pod("team", "db-0", 18 * HOUR, DAY)]),
        unit="USD",
        measure=cost,
        opencost="60 (+100 %)",
    ),
    Case(
        "half-day-cpu",
        "a CPU pod for 12 h: 2 CPU, 8 GiB",
        {"team": Fraction("1.104")},
        seen([pod("team", "p", 6 * HOUR, 18 * HOUR, requests={"cpu": 2.0, "memory": 8 * 2.0**30})]),
        unit="USD",
        meters=("cpu", "memory"),
        measure=cost,
        opencost="1.104",
    ),
    Case(
        "short-jobs",
        "24 jobs of 90 s, 2 CPU, scraped each 60 s",
        {"team": Fraction("1.2")},
        seen(
            _jobs(),
            scrapes=lambda cluster: [scrape(cluster, interval=60.0)],
        ),
        unit="core-h",
        meters=("cpu",),
        goal=Goal("5 %", part=Fraction(1, 20)),
        opencost="0 to 0.80 (-33 %)",
    ),
    Case(
        "time-slicing",
        "4 pods that time-slice 1 GPU",
        {f"team-{number}": 15 for number in range(4)},
        seen(_sharers(4), [machine(SLICED, devices=4)]),
        unit="USD",
        measure=cost,
        opencost="240 (four times)",
    ),
    Case(
        "exclusive-beside",
        "a whole GPU beside these, shared idle cost on",
        {"honest": 60, **{f"team-{number}": 15 for number in range(4)}},
        seen(
            [*_sharers(4), always("honest", on="gpu-2")],
            [machine(SLICED, devices=4), machine(name="gpu-2", devices=1)],
        ),
        unit="USD",
        measure=cost,
        opencost="20 for the whole one",
    ),
    Case(
        "busy",
        "how busy its GPU was, two days ago",
        {"team": Fraction("0.8")},
        with_dcgm(seen([always(utilisation=80.0)])),
        unit="busy",
        measure=busy,
        opencost="0",
    ),
)

SHARED = (
    Case(
        "mps",
        "MPS: 4 pods on 1 GPU",
        {f"team-{number}": Fraction(3, 2) for number in range(4)},
        seen(
            _sharers(4), [machine({**SLICED, "nvidia.com/gpu.sharing-strategy": "mps"}, devices=4)], morning
        ),
        lasts=6 * HOUR,
    ),
    Case(
        "renamed-shares",
        "time-slicing as nvidia.com/gpu.shared",
        {f"team-{number}": Fraction(3, 2) for number in range(4)},
        seen(
            _sharers(4, SHARED_GPU),
            [machine({**SLICED, "nvidia.com/gpu.product": "NVIDIA-L4"}, offers={SHARED_GPU: 4.0, GPU: 0.0})],
            morning,
        ),
        lasts=6 * HOUR,
    ),
    Case(
        "mig-single",
        "MIG, single: 7 pods on the parts of one A100",
        {f"team-{number}": Fraction(6, 7) for number in range(7)},
        seen(_sharers(7), [machine(PARTS, devices=7)], morning),
        lasts=6 * HOUR,
        goal=ROUNDING,
    ),
    Case(
        "mig-mixed",
        "MIG, mixed: 3g, 2g and 1g of one A100",
        {f"team-{number}": 6 * part for number, part in enumerate(PROFILES.values())},
        seen(
            [
                pod(f"team-{number}", "p", -DAY, 2 * DAY, requests={profile: 1.0})
                for number, profile in enumerate(PROFILES)
            ],
            [machine(MIXED, offers=dict.fromkeys(PROFILES, 1.0))],
            morning,
        ),
        lasts=6 * HOUR,
        goal=ROUNDING,
    ),
)


WHOLE_AND_PARTS = (
    ("whole", 2, "", "1"),
    ("one", 1, "", "1/2"),
    ("two", 1, "", "1/2"),
    ("part", 1, "3g.20gb", "1"),
)
"""Two devices, one that two pods share, and a part of MIG: whose, how many, of which profile and part."""
SHARES = (
    ("most", 1, "", "40960/81559"),
    ("some", 1, "", "10240/81559"),
    *((f"alike-{n}", 1, "", "1/3") for n in range(3)),
)
"""Shares by what they consume of the memory of a device, and of another that has none to consume."""


def _claims(
    cluster: str,
    node: str = "gpu-1",
    there: int = 0,
    held: range = range(-DAY, DAY),
    rows: Iterable[tuple[str, int, str, str]] = WHOLE_AND_PARTS,
    requested: str = "false",
) -> str:
    """Devices held by ResourceClaims, as AIBudget tells. Of so many that are there, if it tells that."""
    target = {"job": "aibudget", "instance": "10.0.0.50:8080", "cluster": cluster}
    kind = {"node": node, "driver": "gpu.nvidia.com", "product": "NVIDIA-A100-SXM4-40GB"}
    times = range(-AROUND + 19, 6 * HOUR + AROUND, 30)
    lines = [f"{selector('aibudget_leader', target.items())} 1 {BEGIN + t}\n" for t in times]
    devices = selector("aibudget_dra_devices", {**target, **kind, "profile": "", "usable": "true"}.items())
    lines += [f"{devices} {there} {BEGIN + t}\n" for t in times if there]
    for name, number, profile, part in rows:
        who = {"namespace": f"team-{name}", "pod": name, "uid": name, "profile": profile, "part": part}
        who["requested"] = requested
        row = selector("aibudget_dra_device_held", {**target, **kind, **who}.items())
        lines += [f"{row} {number} {BEGIN + t}\n" for t in times if t in held]
    return "".join(lines)


CLAIMED = (
    Case(
        "claims",
        "DRA: two devices, one that two pods share, 3g of MIG",
        {"team-whole": 12, "team-one": 3, "team-two": 3, "team-part": 6 * Fraction(3, 7), "team": 6},
        seen([always()], scrapes=morning),
        lasts=6 * HOUR,
        goal=ROUNDING,
        more=_claims,
    ),
    Case(
        "claims-idle",
        "DRA: 4 devices, of which these are held for 3 h: idle",
        {"": 4 * 6 - 3 * (3 + Fraction(3, 7))},
        seen([always()], [machine(devices=1), machine(name="gpu-2", offers={})], scrapes=morning),
        lasts=6 * HOUR,
        goal=ROUNDING,
        meters=("gpu-idle",),
        # Scrapes are at 19 s past each half minute, and a sample is for the step before it.
        more=lambda cluster: _claims(cluster, "gpu-2", 4, range(HOUR, 4 * HOUR)),
    ),
    Case(
        "claims-shares",
        "DRA: shares of 2 devices, by MiB and alike, and idle",
        {
            "team-most": 6 * Fraction(40_960, 81_559),
            "team-some": 6 * Fraction(10_240, 81_559),
            **{f"team-alike-{n}": 2 for n in range(3)},
            "": 6 * (1 - Fraction(51_200, 81_559)),
        },
        seen([], [machine(name="gpu-2", offers={})], scrapes=morning),
        lasts=6 * HOUR,
        goal=ROUNDING,
        meters=("gpu", "gpu-idle"),
        measure=beside,
        more=lambda cluster: _claims(cluster, "gpu-2", 2, rows=SHARES),
    ),
    Case(
        "claims-requested",
        "DRA: 2 of 4 devices for a request of nvidia.com/gpu, and idle",
        {"team-asks": 6, "": 18},
        seen(
            [pod("team-asks", "asks", HOUR, 4 * HOUR, on="gpu-2", uid="asks", requests={GPU: 2.0})],
            [machine(name="gpu-2", offers={})],
            scrapes=morning,
        ),
        lasts=6 * HOUR,
        meters=("gpu", "gpu-idle"),
        measure=beside,
        more=lambda cluster: _claims(
            cluster, "gpu-2", 4, range(HOUR, 4 * HOUR), [("asks", 2, "", "1")], requested="true"
        ),
    ),
)

LIVES = (
    Case(
        "short-pods",
        "300 pods of 20 s to 280 s, which end as Jobs do",
        _short_truth(),
        seen(_short(120)),
    ),
    Case(
        "deleted-pods",
        "300 of them that are deleted at once",
        _short_truth(),
        seen(_short()),
        goal=Goal("2 %", part=Fraction(1, 50)),
    ),
    Case(
        "same-name",
        "pods of one name, one right after the other",
        {"team": 12},
        seen([pod("team", "db-0", hour * HOUR, hour * HOUR + 1800, uid=f"u{hour}") for hour in range(24)]),
    ),
    Case(
        "bound-pending",
        "bound, and 40 min of pulling the image",
        {"team": 2},
        seen([pod("team", "p", HOUR, 3 * HOUR, started=HOUR + 2400), pod("waiting", "p", None, DAY)]),
    ),
    Case(
        "finished",
        "a Job's pod that stays for 6 h after its end",
        {"team": 1},
        seen([pod("team", "p", HOUR, 2 * HOUR, removed=8 * HOUR)]),
    ),
    Case(
        "churn",
        "12 pods of 5 min an hour, without a pause",
        {"team": 24},
        seen([pod("team", f"p{n}", n * 300, (n + 1) * 300) for n in range(-12, 300)]),
    ),
    Case(
        "kathmandu",
        "a day of Kathmandu (UTC+5:45)",
        {"team": 24},
        seen(
            [
                always(),
                pod("other", "p", KATHMANDU - HOUR, KATHMANDU),
                pod("other", "q", KATHMANDU + DAY, 2 * DAY),
            ],
            scrapes=lambda cluster: [scrape(cluster, KATHMANDU - AROUND)],
        ),
        begins=KATHMANDU,
    ),
)

CAPACITY = (
    Case(
        "idle",
        "8 GPUs, of which 3 are held for 12 h: idle",
        {"": 8 * 24 - 3 * 12},
        seen([pod("team", "p", 6 * HOUR, 18 * HOUR, requests={GPU: 3.0})]),
        meters=("gpu-idle",),
    ),
    Case(
        "conserved",
        "all that a day of 300 short pods held and left idle, of 8 GPUs",
        {"": 8 * 24},
        seen(_short()),
        meters=("gpu", "gpu-idle"),
        measure=together,
    ),
)

CASES = (*OPENCOST, *SHARED, *CLAIMED, *LIVES, *SOURCES, *CAPACITY)
