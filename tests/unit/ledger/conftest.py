"""A ledger in a fresh directory, and short ways to write a posting down."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from aibudget.inventory.workload import Workload
from aibudget.ledger.database import Database
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import FAR_FUTURE, Rate
from unit.ledger.blank import blank

FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
H100 = sku("gpu", {"gpuProduct": "H100"})


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Where the ledger of this test lives: nothing is in it; of one about files there is no file either."""
    if request.config.getoption("--ledger") == "postgresql":
        return str(request.getfixturevalue("postgresql").fresh("ledger"))
    path = request.getfixturevalue("tmp_path") / "ledger.db"
    return f"sqlite:///{path}" if request.node.get_closest_marker("file") else blank(path)


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """One for all examples of a property; each has a cluster of its own in it."""
    if request.config.getoption("--ledger") == "postgresql":
        opened = Database(request.getfixturevalue("postgresql").fresh("examples"))
    else:
        directory = request.getfixturevalue("tmp_path_factory").mktemp("ledger")
        opened = Database(blank(directory / "ledger.db"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def another(database: Database) -> Callable[[], Ledger]:
    """An empty ledger for each example."""
    return lambda: Ledger(database, uuid4().hex)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger.open(url, "here")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def make_rate() -> Callable[..., Rate]:
    """A rate for every GPU: its price, and the slot it begins with."""

    def make(price: str, first_slot: int = 0, name: str = "any") -> Rate:
        return Rate(
            source="list",
            name=name,
            meter="gpu",
            match={},
            currency="USD",
            unit="GPU-Hours",
            price=Decimal(price),
            list_price=Decimal(price),
            priority=10,
            interval=Interval(first_slot * SLOT_SECONDS, FAR_FUTURE),
        )

    return make


@pytest.fixture(scope="session")
def make_charge() -> Callable[..., Charge]:
    """Usage of one workload in the slot of that number."""

    def make(slot: int, name: str, quantity: int, rate: Rate | None = None, **more: Any) -> Charge:
        workload = Workload("team", "Deployment", name)
        return Charge(Usage(slot * SLOT_SECONDS, workload, H100, quantity, **more), rate)

    return make


@pytest.fixture(scope="session")
def post() -> Callable[..., None]:
    """Post these slots (by number) with these charges at the ledger's present revision."""

    def do(ledger: Ledger, slots: dict[int, Coverage], *charges: Charge, **more: object) -> None:
        watermark = (max(slots) + 1) * SLOT_SECONDS
        state = ledger.state("gpu")
        ledger.post(
            Posting(
                meter="gpu",
                coverage={slot * SLOT_SECONDS: covered for slot, covered in slots.items()},
                charges=charges,
                watermark=max(watermark, state.watermark or 0),
                revision=state.revision,
                at=watermark,
                **more,  # type: ignore[arg-type]
            )
        )

    return do
