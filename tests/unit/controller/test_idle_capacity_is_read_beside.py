"""`gpu-idle` is read, posted and shown beside `gpu`, for one query more, and counts in no budget."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from aibudget.api.budget import ClusterAIBudget
from aibudget.budgeting.share import Shares
from aibudget.controller.accounts import Accounts
from aibudget.controller.sources import GpuSource, IdleSource, Upstream
from aibudget.inventory.workload import Workload
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Balance
from aibudget.pricing.book import PriceBook
from unit.controller.meters import book
from unit.ledger.blank import blank
from unit.metering.fake import BEGIN, FakePrometheus, Life, Machine, every

HOURS = 4 * 3600
PAST = Interval(BEGIN, BEGIN + HOURS)


class Server(FakePrometheus):
    """A Prometheus that a cycle can begin on."""

    def begin(self) -> None:
        """No budget of time here."""

    def held(self) -> int:
        """How often it was asked for what is held."""
        return sum("kube_pod_container_resource_requests" in promql for promql in self.asked)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one."""
    opened = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    yield opened
    opened.close()


@pytest.fixture
def server() -> Server:
    """Three of four devices are held all the time."""
    labels = ((-10_000, {"label_karpenter_sh_nodepool": "h100"}),)
    machine = Machine("n", -10_000, 10**6, 4.0, labels=labels)
    scrapes = every(30, -2400, HOURS + 1200)
    return Server([Life("web", -5000, 10**6, 3.0, "u")], scrapes, machines=[machine])


def side_by_side(server: Server, ledger: Ledger) -> tuple[Accounts, Accounts, IdleSource]:
    """The accounts of both, as the operator joins them."""
    upstream = Upstream(cast("Prometheus", server), MeterSettings(utilisation=False), ledger, server.time)
    gpu = GpuSource(upstream)
    idle = IdleSource(upstream, gpu)
    epoch = ledger.take_over()
    held, left = Accounts("gpu", gpu, ledger, epoch), Accounts("gpu-idle", idle, ledger, epoch)
    left.follow(held)
    return held, left, idle


def caught_up(*accounts: Accounts) -> None:
    """Read all of the past, each as the measuring does."""
    for one in accounts:
        one.advance(book(), {})
    for one in accounts:
        one.fill(BEGIN, book(), {}, float("inf"))


def quantity(accounts: Accounts) -> int:
    """In GPU-milliseconds, of the four hours."""
    return sum(line.quantity for line in accounts.statement(PAST).lines)


def test_the_past_is_read_once_for_both(server: Server, ledger: Ledger, tmp_path: Path) -> None:
    """What gpu asked of each chunk is not asked again for what was left over."""
    held, left, _ = side_by_side(server, ledger)
    caught_up(held, left)
    both = server.held()
    assert (quantity(held), quantity(left)) == (3 * HOURS * 1000, HOURS * 1000)
    alone = Server(server.lives, server.scrapes, machines=server.machines)
    other = Ledger.open(blank(tmp_path / "other.db"), "test")
    caught_up(side_by_side(alone, other)[0])
    other.close()
    assert both == alone.held()


def test_a_ledger_that_knows_only_what_was_held_gets_the_rest(server: Server, ledger: Ledger) -> None:
    """After an upgrade, gpu is posted and gpu-idle is not: it reads its own past."""
    held, left, _ = side_by_side(server, ledger)
    caught_up(held)
    caught_up(left)
    assert quantity(left) == HOURS * 1000


def test_meters_that_began_a_slot_apart_read_the_past_once(ledger: Ledger, tmp_path: Path) -> None:
    """How long to wait for samples is learnt by the first reading: the second meter posts a slot less."""
    labels = ((-10_000, {"label_karpenter_sh_nodepool": "h100"}),)
    machine = Machine("n", -10_000, 10**6, 4.0, labels=labels)
    life = Life("web", -5000, 10**6, 3.0, "u")
    server = Server([life], every(60, -2400, HOURS + 90), window=63.0, machines=[machine])
    held, left, _ = side_by_side(server, ledger)
    for one in (held, left):
        one.advance(book(), {})
    assert ledger.begins("gpu") != ledger.begins("gpu-idle")
    before = server.held()
    for one in (left, held, left):
        one.fill(BEGIN, book(), {}, float("inf"))
    posted = Interval(BEGIN, BEGIN + HOURS - SLOT_SECONDS)
    ours = [sum(line.quantity for line in one.statement(posted).lines) for one in (held, left)]
    assert ours == [3 * posted.seconds * 1000, posted.seconds * 1000]
    both = server.held() - before
    other = Ledger.open(blank(tmp_path / "other.db"), "test")
    alone, _, _ = side_by_side(server, other)
    alone.advance(book(), {})
    before = server.held()
    alone.fill(BEGIN, book(), {}, float("inf"))
    assert server.held() - before == both
    other.close()


def test_the_newest_whole_slot_is_shown(server: Server, ledger: Ledger) -> None:
    """By node pool, as metrics show it."""
    held, left, idle = side_by_side(server, ledger)
    caught_up(held, left)
    assert idle.balances() == {
        "h100": Balance(capacity=4 * 900_000, held=3 * 900_000, idle=900_000),
    }


def test_idle_capacity_counts_in_no_budget(server: Server, ledger: Ledger) -> None:
    """Not even in one that covers every namespace: stopping a team would move its cost to the next."""
    held, left, _ = side_by_side(server, ledger)
    caught_up(held, left)
    document: dict[str, Any] = {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "ClusterAIBudget",
        "metadata": {"name": "all", "uid": "1", "generation": 1},
        "spec": {
            "limit": {"amount": "1", "currency": "USD"},
            "period": {"type": "Monthly"},
            "scope": {"namespaceSelector": {}},
        },
    }
    everything = ClusterAIBudget.read(document)
    lines = {"gpu": held.statement(PAST), "gpu-idle": left.statement(PAST)}
    share = Shares(lines, {}, priced=frozenset({"gpu", "gpu-idle"})).of(everything)
    alone = Shares({"gpu": held.statement(PAST)}, {}, priced=frozenset({"gpu"})).of(everything)
    assert share.units == alone.units > 0
    assert share.meters == {"gpu"}
    assert {spend.workload.namespace for spend in share.workloads} == {"team"}


def test_a_node_that_was_deleted_before_it_had_a_price_gets_one(ledger: Ledger) -> None:
    """What it did not do is on the bill when a rate comes, to the second, though nobody knows the node."""
    labels = ((-10_000, {"label_karpenter_sh_nodepool": "a"}),)
    machine = Machine("gone", -10_000, HOURS // 2, 2.0, labels=labels)
    held, left, _ = side_by_side(Server([], every(30, -2400, HOURS + 1200), machines=[machine]), ledger)
    for one in (held, left):
        one.advance(PriceBook([]), {})
        one.fill(BEGIN, PriceBook([]), {}, float("inf"))
    assert {line.cost for line in left.statement(PAST).lines} == {None}
    left.rerate(book("1.50"), BEGIN, BEGIN + HOURS)
    (line,) = left.statement(PAST).lines
    assert line.workload == Workload("", "NodePool", "a")
    assert line.cost == Decimal("1.50") * 2 * HOURS / 2 / 3600
