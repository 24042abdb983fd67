"""What all tests of a process share, for each of hundreds of ledgers would make it anew."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine


def pytest_collection_finish() -> None:
    """What is imported and collected stays: to look through it for garbage took a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def statements() -> Iterator[None]:
    """Statements compiled for SQLite: an engine keeps its own, and would compile a hundred for each test."""
    compiled: dict[Any, Any] = {}
    engine = create_engine("sqlite://")
    with engine.connect():
        dialect = engine.dialect

    def share(connection: Connection) -> None:
        if connection.dialect.name == dialect.name:
            connection.dialect = dialect
            connection.execution_options(compiled_cache=compiled)

    event.listen(Engine, "engine_connect", share)
    yield
    event.remove(Engine, "engine_connect", share)
    engine.dispose()
