"""The `gpu` meter: what Prometheus saw of accelerators, as `Usage` by slot, workload and SKU.

One way of reading serves the operator's cycle, its back-fill and the `usage` command. A range is read in
parts of whole slots; each part asks the same few queries, whatever the number of pods and budgets, and a
query that is too much for Prometheus is halved down to a single step, which then counts as a gap. Pure but
for the `PromSource` it asks.

A time is never asked for before it has passed: `interval.end` must not be after `source.time()`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from aibudget.inventory.owners import OwnerBook, Resolution
from aibudget.inventory.workload import PodKey
from aibudget.metering.asking import over_range
from aibudget.metering.capacity import capacity
from aibudget.metering.claims import Claimed, Claims, claimed, missing, told
from aibudget.metering.coverage import Known, Sighting, known
from aibudget.metering.devices import Devices
from aibudget.metering.doubts import Doubts
from aibudget.metering.edges import Edges, edges
from aibudget.metering.holding import Holding, Samples, Who, doubted, holdings, instants
from aibudget.metering.idle import read_idle
from aibudget.metering.integration import integrate
from aibudget.metering.ownership import learn
from aibudget.metering.scene import MeterSettings, Scene, Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso
from aibudget.metering.source import PromSource, QueryRefused, Series, by_names, used_up
from aibudget.metering.totals import Totals
from aibudget.metering.usage import Coverage, Reading
from aibudget.metering.utilisation import Span

# Utilisation is averaged over at least this, in milliseconds: its exporter has an interval of its own.
BUSY_WINDOW = 60_000


def read_gpu(
    source: PromSource, interval: Interval, settings: MeterSettings, owners: OwnerBook | None = None
) -> Reading:
    """Everything the meter says of an interval that starts on a slot; see `read_parts` for a long one.

    Raises `source`'s errors, and Stalled when the samples of several clusters are mixed up.
    """
    return whole(interval, read_parts(source, interval, settings, owners))


def read_parts(
    source: PromSource, interval: Interval, settings: MeterSettings, owners: OwnerBook | None = None
) -> Iterator[Reading]:
    """The interval in parts of whole slots, each as large as Prometheus and memory can bear, in order."""
    return gpu_parts(Scenes(source, settings), interval, owners)


def gpu_parts(scenes: Scenes, interval: Interval, owners: OwnerBook | None = None) -> Iterator[Reading]:
    """As `read_parts`, over scenes that other meters use too."""
    book = owners or OwnerBook()
    for part, scene in scenes.of(interval):
        if scene is None:
            absent = nothing(part, scenes.settings)
            yield replace(absent, beside=(absent,))
            continue
        reading = _Part(scene).read(book)
        book = reading.owners or book
        yield reading


def idle_parts(scenes: Scenes, interval: Interval) -> Iterator[Reading]:
    """The `gpu-idle` meter on its own; that takes the queries of `gpu`, beside which it costs but one."""
    for part, scene in scenes.of(interval):
        yield nothing(part, scenes.settings) if scene is None else _Part(scene).count().idle


def whole(interval: Interval, readings: Iterable[Reading]) -> Reading:
    """The readings of an interval's parts as one."""
    parts = list(readings)
    return Reading(
        interval=interval,
        usages=tuple(usage for part in parts for usage in part.usages),
        coverage={slot: coverage for part in parts for slot, coverage in part.coverage.items()},
        head=max((part.head for part in parts if part.head is not None), default=None),
        problems=tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
        links=tuple(link for part in parts for link in part.links),
        owners=parts[-1].owners if parts else None,
        step=parts[-1].step if parts else None,
        scrape_interval=parts[-1].scrape_interval if parts else None,
        beside=tuple(
            whole(interval, others) for others in zip(*(part.beside for part in parts), strict=True)
        ),
        balances={key: balance for part in parts for key, balance in part.balances.items()},
    )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What was held in a part, added up, and where it is known; `span` is that of which it was asked how busy
    it was, and `odd` is what contradicts the capacity.
    """

    totals: Totals
    span: Span
    known: Known
    doubts: Doubts
    idle: Reading
    odd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """The answer to `Queries.held`, what was told by claims and of times apart; `lost`: at how many instants
    what was told is no count.
    """

    held: dict[Holding, Samples]
    claims: Claims
    timed: Edges
    lost: Counter[float]
    unread: frozenset[int]

    @property
    def pods(self) -> set[PodKey]:
        return {key.pod for told in (self.held, self.claims.held, self.timed.finished) for key in told}


@dataclass(frozen=True, slots=True)
class _Part:
    """The reading of one part: asks, then puts the answers together."""

    scene: Scene

    def read(self, owners: OwnerBook) -> Reading:
        scene, held = self.scene, self._held()
        pods = held.pods
        # Before anything is counted: the answer on so many pods is large, and so is what is counted.
        book = learn(scene.source, scene.queries, scene.grid.wider().interval, pods, owners)
        owned = book.resolved(pods)
        del pods
        counted = self.count(held, owned)
        totals, utilisation = counted.totals, scene.utilisation
        usages = totals.usages(utilisation.before(scene.grid))
        utilisation.settle(counted.span, totals.settled())
        doubts = replace(counted.doubts, strangers=len(totals.strangers))
        return Reading(
            interval=scene.grid.interval,
            usages=usages,
            coverage=counted.known.by_slot(),
            head=counted.known.head(),
            problems=(*doubts.sentences(totals.skus), *counted.odd),
            links=book.since(owners),
            owners=book,
            step=scene.grid.step,
            scrape_interval=scene.scrape.interval,
            beside=(counted.idle,),
        )

    def count(
        self, answer: "_Held | None" = None, owned: Mapping[PodKey, Resolution] | None = None
    ) -> "_Counted":
        """What was held, by whom as far as that is given, and what was left of the nodes' capacity."""
        scene, seen, reach = self.scene, self.scene.seen, self.scene.reach
        answer = answer or self._held()
        claims = answer.claims.held
        unread = scene.coverage.unread | answer.unread
        phaseless = self._phaseless({t: seen[t] for t in seen if t in reach.instants}, answer.held)
        beyond = {t for t in seen if t not in reach.instants}
        sure = known(scene.grid, seen, unread | phaseless | beyond)
        there = told(scene.grid, seen, unread | beyond)
        held, timed = self._unserved(answer, there)
        sure = replace(sure, doubted=doubted(held, answer.lost))
        holders = _Holders([held, claims])
        devices = self._devices(holders)
        totals = Totals(owned)
        totals.add(integrate(held, sure, scene.nodes, devices, timed))
        of_claims = dict(integrate(claims, there, scene.nodes, devices))
        seen_before = bool(scene.utilisation.before(scene.grid))
        blind = scene.settings.utilisation and not (seen_before or devices.tells_of(holders))
        span = devices.span
        # What was seen of a hundred thousand devices is not to be there with what is made of capacity.
        del devices
        taken = Claimed(claims, of_claims, there) if scene.scrape.claimable else None
        idle, odd = read_idle(scene, held, totals.places(), sure, taken)
        doubts = Doubts(answer.lost.total(), len(unread), len(phaseless), 0, blind)
        if claims:
            totals.add(of_claims.items())
            untold = missing(claims, there)
            doubts = replace(doubts, untold=len(untold))
            sure = replace(sure, doubted={**sure.doubted, **doubted(held, untold)})
        return _Counted(totals, span, sure, doubts, idle, odd)

    def _unserved(self, answer: "_Held", there: Known) -> tuple[dict[Holding, Samples], Edges]:
        """What was requested of device plug-ins, and when: what claims serve is counted with the claims."""
        claims, timed = answer.claims, answer.timed
        if not claims.requesters:
            return answer.held, timed
        try:
            offered = capacity(self.scene.capacity).offered
        except QueryRefused:
            offered = {}
        finished = {
            key: units for key, units in timed.finished.items() if not claims.serve(key, units.times, offered)
        }
        return claims.unserved(answer.held, there, offered), replace(timed, finished=finished)

    def _held(self) -> "_Held":
        """What was held; the answer itself is let go of."""
        scene, scrape = self.scene, self.scene.scrape
        asked = scene.queries.held(scrape.window, scene.grid.step if scrape.dated else None)
        answer = over_range(scene.source, asked, scene.reach)
        families, claims, samples = list[Series](), list[Series](), list[Series]()
        for names, series in by_names(answer.series).items():
            place = families if "family" in names else claims if "driver" in names else samples
            place += series
        scraped = {t: one.scraped for t, one in scene.seen.items() if one.scraped}
        timed = edges(families, scrape.window / 1000, scrape.interval, scraped)
        held, lost = holdings(samples)
        return _Held(held, claimed(claims), timed, lost, answer.unread)

    def _phaseless(self, seen: Mapping[int, Sighting], held: Mapping[Holding, Samples]) -> frozenset[int]:
        """Instants at which accelerators are asked for and no phase is told: nothing held would be a lie.

        Asked for only where nothing is held at all; pods of which some have phases are the exporter's truth.
        """
        empty = set(seen).difference(instants(held))
        if not empty:
            return frozenset()
        told = over_range(
            self.scene.source, self.scene.queries.phaseless(self.scene.scrape.window), self.scene.grid.wider()
        ).series
        return frozenset(empty.intersection(int(t) for series in told for t in series.times))

    def _devices(self, holders: "_Holders") -> Devices:
        scene = self.scene
        rest = scene.utilisation.rest(scene.grid)
        if rest is None or not scene.settings.utilisation or not any(holders.held):
            return Devices((), ())
        window = max(scene.scrape.window, scene.grid.step * 1000, BUSY_WINDOW)
        answer = over_range(scene.once, scene.queries.utilisation(window), rest)
        span = scene.utilisation.span(rest)
        # What could not be read is asked for again.
        return Devices(used_up(answer.series), holders, Span(span.since) if answer.unread else span)


class _Holders:
    """The pods that hold anything, by (namespace, pod): hardly ever are they all looked for."""

    def __init__(self, held: Sequence[Mapping[Holding, Samples]]) -> None:
        self.held = held

    @cached_property
    def _pods(self) -> Collection[Who]:
        return set(self)

    def __iter__(self) -> Iterator[Who]:
        return (key.pod[:2] for some in self.held for key in some)

    def __contains__(self, pod: object) -> bool:
        return pod in self._pods


def nothing(interval: Interval, settings: MeterSettings) -> Reading:
    """Where there is no source, nothing is known: not that nothing was used."""
    slots = {slot: Interval(slot, slot + SLOT_SECONDS).intersection(interval) for slot in interval.slots()}
    said = ",".join(map(str, settings.queries.kube_state_metrics))
    absent = (
        f"There are no two samples of kube_node_info{{{said}}} in a row from {iso(interval.start)} to "
        f"{iso(interval.end)}. Is kube-state-metrics scraped under another job or cluster?"
    )
    coverage = {slot: Coverage(0, part.seconds) for slot, part in slots.items() if part}
    return Reading(interval=interval, usages=(), coverage=coverage, head=None, problems=(absent,))
