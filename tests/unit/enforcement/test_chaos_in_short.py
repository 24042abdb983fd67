"""A little of the chaos suite in every run of the unit tests; `make chaos` plays it in full."""

import logging
from collections.abc import Iterator

import pytest

from chaos.run import run
from chaos.story import Failure


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", [1003, 1064, 1096, 1125])
def test_nothing_is_lost(seed: int) -> None:
    """Kills, faults, two operators, owners, reverters and people in random order: every original survives."""
    result = run(seed, 250)
    assert not isinstance(result, Failure), str(result)
    assert result["cycles"] > 0
    assert result["faults"] > 0
