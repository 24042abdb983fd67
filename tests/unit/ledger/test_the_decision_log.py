"""What was decided cannot be changed, left out, moved or cut off without being seen."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aibudget.cli.main import cli
from aibudget.errors import Conflict
from aibudget.ledger.decision import Decision, linked, origin
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from unit.ledger.blank import blank

BUDGET = {"budget": {"kind": "AIBudget", "namespace": "team", "name": "b", "uid": "u"}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the ledger lives."""
    return blank(tmp_path / "ledger.db")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """The one that others belong to."""
    opened = Ledger.open(url, "eu-1")
    opened.take_over()
    yield opened
    opened.close()


@pytest.fixture
def register(ledger: Ledger, url: str) -> Iterator[Register]:
    """With five decisions, of three moments."""
    opened = Register.open(url, "eu-1")
    opened.write([decision("Below", n) for n in range(2)])
    opened.write([decision("Active", n) for n in range(2)])
    opened.write([Decision("hold/1", "Planned", 300, {**BUDGET, "inputs": {"spent": "1.10"}})])
    yield opened
    opened.close()


def decision(event: str, number: int) -> Decision:
    """Of a threshold that stands so."""
    return Decision(f"threshold/{number}", event, 60 * number, BUDGET)


def verify(url: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(cli, ("ledger", "verify", "--ledger-url", url))


def tampered(path: Path, statement: str) -> Result:
    """What it says after somebody did this to the ledger by hand."""
    with closing(sqlite3.connect(path / "ledger.db", isolation_level=None)) as raw:
        raw.execute(statement)
    return verify(f"sqlite:///{path / 'ledger.db'}")


def test_a_log_that_nobody_touched_is_proven(register: Register, url: str) -> None:
    """And says how to see that its end is still there."""
    ran = verify(url)
    assert ran.exit_code == 0, ran.output
    head = register.head()
    assert ran.stdout == f"eu-1: 5 entries, the last one's hash is {head.hash}\n"
    assert head.number == 5


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE decision SET content = replace(content, '1.10', '9.10') WHERE number = 5", "entry 5 "),
        ("UPDATE decision SET event = 'Below' WHERE number = 3", "entry 3 "),
        ("UPDATE decision SET subject = 'other' WHERE number = 2", "entry 2 "),
        ("DELETE FROM decision WHERE number = 2", "entry 2 "),
        ("UPDATE decision SET number = CASE number WHEN 2 THEN -3 ELSE -2 END WHERE number IN (2, 3)", ""),
        ("DELETE FROM decision WHERE number > 3", "entry 4 is broken: the last 2 of 5 entries are missing"),
        ("DELETE FROM decision", "entry 1 is broken: the last 5 of 5 entries are missing"),
        ("DELETE FROM decision_head", "entry 5 is broken: the head of the chain is missing"),
        ("UPDATE decision_head SET number = 4", "entry 5 "),
    ],
)
def test_whatever_is_done_to_the_log_is_seen(
    register: Register, tmp_path: Path, statement: str, said: str
) -> None:
    """Edited, deleted in the middle, renumbered, cut off: the first broken entry is named."""
    ran = tampered(tmp_path, statement)
    assert ran.exit_code == 1
    assert f"eu-1: {said}" in ran.stdout


def test_two_entries_that_change_places_are_seen(register: Register, tmp_path: Path) -> None:
    """Their numbers are right; what each follows is not."""
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        ran = tampered(tmp_path, f"UPDATE decision SET number = {new} WHERE number = {old}")
    assert ran.exit_code == 1
    assert "eu-1: entry 2 is broken: its content, or what stands before it" in ran.stdout


def test_an_entry_of_another_cluster_does_not_fit(register: Register) -> None:
    """A chain begins with the name of its cluster, so that a log cannot be passed off as another's."""
    one = decision("Below", 0)
    assert linked(origin("eu-1"), one).hash != linked(origin("eu-2"), one).hash


def test_what_is_repeated_is_written_once(register: Register) -> None:
    """A cycle that was killed decides the same again; what stands otherwise than last is news."""
    _, added = register.write([decision("Active", 0), decision("Active", 0)])
    assert added == ()
    _, added = register.write([decision("Below", 0), decision("Active", 0)])
    assert [entry.event for entry in added] == ["Below", "Active"]


def test_old_news_are_left_out(register: Register) -> None:
    """What can only follow something else is not written once more has happened."""
    late = Decision("hold/1", "Active", 400, unless=frozenset({"Contested"}))
    assert len(register.write([late])[1]) == 1
    register.write([Decision("hold/1", "Contested", 500)])
    assert register.write([late])[1] == ()


def test_a_leader_that_was_replaced_adds_nothing(register: Register, ledger: Ledger) -> None:
    """It may still believe that it leads."""
    ledger.take_over()
    with pytest.raises(Conflict, match="took the ledger over"):
        register.write([decision("Crossed", 0)])
    assert register.head().number == 5


def test_the_log_is_shown(register: Register, url: str) -> None:
    """For people, and for programs with all that was known."""
    ran = CliRunner().invoke(cli, ("ledger", "decisions", "--ledger-url", url, "--budget", "team/b"))
    assert ran.exit_code == 0, ran.output
    last = ran.stdout.splitlines()[-1]
    assert last.split() == ["5", "1970-01-01T00:05:00Z", "team/b", "Planned", "-", "1.10", "-", "-", "-"]
    ran = CliRunner().invoke(cli, ("ledger", "decisions", "--ledger-url", url, "-o", "json"))
    assert '"number": 5, "subject": "hold/1", "time"' in ran.stdout.splitlines()[-1]
    ran = CliRunner().invoke(cli, ("ledger", "decisions", "--ledger-url", url, "--budget", "b"))
    assert len(ran.stdout.splitlines()) == 1
