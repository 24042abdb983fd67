"""`failover`: how long nobody leads, and nobody acts, when a leader is killed, paused or told to stop.

Three replicas share a ledger on PostgreSQL and the Lease of the product, none of its seconds changed. In each
round some budgets come over their limits and others have room again, and the leader is struck when the first
of the stops is planned, or done, by turns: what it did not get to do is the next one's. A Deployment that is
acted upon twice ends the bench.
"""

import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import requests

from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import Process, wait_until
from bench.scenery import say
from bench.steady import metric
from bench.teams import PATIENCE, Teams
from postgresql.server import Server

REPLICAS: Final = 3
ALLOWED_SECONDS: Final = 20
INTERVAL_SECONDS: Final = 10
POLL_SECONDS: Final = 0.1
BEGUN_POLL_SECONDS: Final = 0.01
SCRAPE_TIMEOUT: Final = 2.0
BLOWS: Final = ("kill", "pause", "stop")


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the blow until another replica says that it leads, until its first and its last act are
    seen at the API server, and until its first cycle has ended.

    `left` is how many acts there were for it; of none there is no first one. `woken` is for how long a paused
    leader went on when it was woken. `load` is that of the whole machine, in the last minute of the round.
    """

    how: str
    lead: float
    first_act: float | None
    last_act: float | None
    cycle: float
    left: int
    woken: float | None
    load: float


def measure_failover(directory: Path, budgets: int, rounds: int) -> dict[str, Any]:
    """So many rounds of each blow, on so many budgets, each of which is stopped once and given back once."""
    blows = BLOWS * rounds
    with ExitStack() as running:
        server = Server()
        running.callback(server.remove)
        sandbox = Sandbox(directory / "sandbox", interval=INTERVAL_SECONDS, scrape_interval=2.0, progress=say)
        running.enter_context(sandbox)
        sandbox.operator.stop()
        teams = Teams(sandbox.control_plane.client, budgets, max(1, budgets // len(blows)))
        teams.create()
        replicas = []
        for number in range(REPLICAS):
            replicas.append(_replica(sandbox, directory / f"replica-{number}", server.url()))
            running.enter_context(replicas[-1])
        wait_until(teams.have_spent, 600, "all budgets to be evaluated", every=1.0)
        done = []
        for turn, how in enumerate(blows):
            done.append(Failover(replicas, teams, turn).after(how))
            say(json.dumps(asdict(done[-1])))
    return {
        "replicas": REPLICAS,
        "budgets": budgets,
        "allowedSeconds": ALLOWED_SECONDS,
        **{how: _summed_up([one for one in done if one.how == how]) for how in BLOWS},
    }


def _replica(sandbox: Sandbox, directory: Path, ledger_url: str) -> Operator:
    # The rails are not what is measured: by default they let 25 in a hundred pods be stopped in five minutes.
    environment = {
        "AIBUDGET_LEDGER_URL": ledger_url,
        "AIBUDGET_STOPS_AT_MOST": "1000",
        "AIBUDGET_STOPS_PERCENT": "100",
    }
    return Operator(
        sandbox.control_plane,
        directory,
        identity=directory.name,
        environment=environment,
        ready_within=PATIENCE,
    )


class Failover:
    """One round: a blow to whoever leads, and the times of what follows."""

    def __init__(self, replicas: Sequence[Operator], teams: Teams, turn: int) -> None:
        self._teams = teams
        self._turn = turn
        (self._leader,) = (one for one in replicas if _leads(one))
        self._others = [one for one in replicas if one is not self._leader]

    def after(self, how: str) -> Round:
        """Strike the leader amid its acts; all replicas are there again afterwards, and one of them leads."""
        struck = self._leader.process
        assert struck is not None
        self._teams.change(self._turn)
        wait_until(self._is_amid, PATIENCE, "the leader to begin", every=BEGUN_POLL_SECONDS)
        began = time.monotonic()
        self._strike(how, struck)
        lead = _seconds(lambda: any(map(_leads, self._others)), began, "another replica to lead")
        (heir,) = (one for one in self._others if _leads(one))
        left = self._teams.undone(self._turn)
        acts, cycle = self._followed(heir, left, began)
        woken = None
        if how == "pause":
            continued = time.monotonic()
            struck.signal(signal.SIGCONT)
            woken = _seconds(lambda: not struck.alive, continued, "the paused leader to end")
        wait_until(lambda: not struck.alive, PATIENCE, "the struck leader to end")
        if how == "kill":
            self._leader.start()
        self._leader.await_ready()
        assert [_leads(one) for one in (heir, self._leader)] == [True, False], "not the heir alone leads"
        self._teams.check()
        first, last = (min(acts), max(acts)) if acts else (None, None)
        return Round(how, lead, first, last, cycle, len(left), woken, round(os.getloadavg()[0], 1))

    def _is_amid(self) -> bool:
        teams, turn = self._teams, self._turn
        return teams.are_begun(turn) if turn // len(BLOWS) % 2 else teams.are_planned(turn)

    def _strike(self, how: str, struck: Process) -> None:
        match how:
            case "kill":
                self._leader.kill()
            case "pause":
                struck.signal(signal.SIGSTOP)
            case _:
                # As a kubelet ends a container; it is started again as a standby.
                struck.signal(signal.SIGTERM)

    def _followed(self, heir: Operator, left: frozenset[str], began: float) -> tuple[Sequence[float], float]:
        """Seconds to each of the acts, and to the end of the first cycle."""
        acts: list[float] = []
        ended: list[float] = []

        def all_is_done() -> bool:
            undone = self._teams.undone(self._turn)
            now = round(time.monotonic() - began, 2)
            acts.extend([now] * (len(left - undone) - len(acts)))
            if not ended and _scraped(heir, "aibudget_cycles_total") >= 1:
                ended.append(round(time.monotonic() - began, 2))
            return bool(ended) and not undone

        wait_until(all_is_done, PATIENCE, "the heir to do what was left", every=POLL_SECONDS)
        return acts, ended[0]


def _seconds(condition: Callable[[], bool], began: float, what: str) -> float:
    wait_until(condition, PATIENCE, what, every=POLL_SECONDS)
    return round(time.monotonic() - began, 2)


def _leads(operator: Operator) -> bool:
    return _scraped(operator, "aibudget_leader") == 1


def _scraped(operator: Operator, name: str) -> float:
    """A metric of whoever may be starting or ending: 0 where nobody answers."""
    try:
        answer = requests.get(f"{operator.url}/metrics", timeout=SCRAPE_TIMEOUT)
    except requests.RequestException:
        return 0.0
    return metric(answer.text, name)


def _summed_up(rounds: Sequence[Round]) -> dict[str, Any]:
    leading = [one.lead for one in rounds]
    first = [one.first_act for one in rounds if one.first_act is not None]
    last = [one.last_act for one in rounds if one.last_act is not None]
    cycles = [one.cycle for one in rounds]
    return {
        "lead": _middle_and_worst(leading),
        "firstAct": _middle_and_worst(first),
        "lastAct": _middle_and_worst(last),
        "firstCycle": _middle_and_worst(cycles),
        "firstCycleAfterLead": _middle_and_worst([one.cycle - one.lead for one in rounds]),
        "rounds": [asdict(one) for one in rounds],
    }


def _middle_and_worst(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    return {"medianSeconds": round(statistics.median(seconds), 2), "worstSeconds": round(max(seconds), 2)}
