"""Clusters that share a ledger are told apart by the uid of kube-system, not by names that people gave."""

from collections.abc import Callable
from contextlib import closing

import pytest

from aibudget.errors import Stalled
from aibudget.ledger import meters
from aibudget.ledger.store import Ledger
from aibudget.pricing.rate import Rate


def test_a_namesake_is_refused(url: str) -> None:
    """Both were installed with the default name: neither is charged for the other."""
    Ledger.open(url, "default", "uid-1").close()
    Ledger.open(url, "default", "uid-1").close()
    with pytest.raises(Stalled, match=r"another one than this .*--cluster.*hand-over default"):
        Ledger.open(url, "default", "uid-2")
    Ledger.open(url, "eu-2", "uid-2").close()


def test_a_cluster_keeps_its_name(url: str) -> None:
    """Under another name its past would be gone, and its budgets would look like new."""
    Ledger.open(url, "default", "uid-1").close()
    with pytest.raises(Stalled, match="set --cluster back to default"):
        Ledger.open(url, "eu-1", "uid-1")


def test_a_ledger_from_before_is_its_first_clusters(url: str) -> None:
    """A name that no uid was written down for belongs to whoever comes by it."""
    Ledger.open(url, "default").close()
    Ledger.open(url, "default", "uid-1").close()
    with pytest.raises(Stalled, match="another one"):
        Ledger.open(url, "default", "uid-2")


def test_a_cluster_that_was_built_anew_goes_on(url: str) -> None:
    """Its uid is another one; a person says that it is the same cluster."""
    with closing(Ledger.open(url, "default", "uid-1")) as ledger:
        with ledger._database.writing() as connection:
            meters.hand_over(connection, "default")
        with pytest.raises(Stalled, match="no cluster eu-7"), ledger._database.writing() as connection:
            meters.hand_over(connection, "eu-7")
    Ledger.open(url, "default", "uid-2").close()
    with pytest.raises(Stalled, match="another one"):
        Ledger.open(url, "default", "uid-1")


def test_live_prices_are_a_cluster_s_own(url: str, make_rate: Callable[..., Rate]) -> None:
    """A machine of one name has another price in another region; a rate that both have is written once."""
    with closing(Ledger.open(url, "eu")) as eu, closing(Ledger.open(url, "us")) as us:
        eu.keep_rates([make_rate("2"), make_rate("3")], at=1)
        us.keep_rates([make_rate("3")], at=2)
        assert [rate.price for rate in eu.kept_rates()] == [2, 3]
        assert [rate.price for rate in us.kept_rates()] == [3]
