"""Stories: random steps as plain data, played on a fresh world, and cut short when they fail.

A step is a name and two numbers, and means something in any state of the world; so a story from which steps
were taken is a story, too, and the shortest that still fails is what is printed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from chaos import rules
from chaos.people import PEOPLE
from chaos.shapes import stoppable
from chaos.wire import FAULTS
from chaos.world import PLACES, World

Step = tuple[str, int, int]
_OPERATORS: Final[dict[str, int]] = {
    "pass": 220,
    "fault": 40,
    "kill": 10,
    "begin": 10,
    "lease": 4,
    "split": 1,
    "freeze": 6,
    "wait": 8,
}
_MANY = 1 << 16
_CALM_CYCLES = 9


@dataclass(frozen=True, slots=True)
class Failure:
    """A story that breaks a rule, as short as it could be made."""

    seed: int
    kinds: int
    steps: tuple[Step, ...]
    message: str
    told: tuple[str, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"  {step!r}," for step in self.steps)
        told = "\n".join(f"  {line}" for line in self.told)
        head = f"seed {self.seed}, kinds {self.kinds}: {self.message}"
        return f"{head}\nThe shortest story found:\n{steps}\nWhat happened in it:\n{told}"


def invent(seed: int, length: int) -> tuple[Step, ...]:
    """The story of this seed."""
    chance = random.Random(seed)
    weights = _OPERATORS | {name: weight for name, (weight, _) in PEOPLE.items()}
    names = chance.choices(list(weights), list(weights.values()), k=length)
    return tuple((name, chance.randrange(_MANY), chance.randrange(_MANY)) for name in names)


def play(steps: Sequence[Step], kinds: int = 0) -> Counter[str]:
    """Play it, let the dust settle, look; then let all budgets be kept, and look again. Raises `Broken`."""
    world = World(kinds, rules.judge)
    asyncio.run(_play(world, steps))
    return world.counts


def search(seed: int, length: int, kinds: int) -> Counter[str] | Failure:
    """Play the story of this seed; what fails is cut down."""
    steps = invent(seed, length)
    try:
        return play(steps, kinds)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, its shortest story is wanted
        short = _shorten(steps, kinds, type(error))
        return Failure(seed, kinds, short, *_retell(short, kinds))


async def _play(world: World, steps: Sequence[Step]) -> None:
    for step in steps:
        world.tick += 1
        await _take(world, *step)
        await world.spin()
        rules.check_originals(world)
    await _settle(world)
    rules.check_settled(world)
    for budget in world.budgets:
        budget.over, budget.fresh = False, True
    await _settle(world)
    rules.check_free(world)
    world.counts["steps"] += len(steps)


async def _take(world: World, name: str, number: int, how: int) -> None:
    if name in PEOPLE:
        number = _in_between(world, number) if how % 2 else number
        world.told.append(f"somebody: {name} of {number % len(PLACES)}, {how}")
        PEOPLE[name][1](world, number, how // 2)
        world.counts["edits by others"] += 1
        return
    match name:
        case "pass":
            # Now slowly, so that others come in between, now fast, so that cycles come to their end.
            await _pass(world, number, 1 + how % (4 if how // 32 % 2 else 24))
        case "fault":
            await _pass(world, number, 1, tuple(FAULTS)[how % len(FAULTS)])
        case "kill":
            world.kill(number, arrives=how % 2 == 0)
        case "begin":
            world.begin(number % 2)
        case "lease":
            world.leader = number % 2
        case "split":
            world.split = how % 2 == 0
        case "freeze":
            process = world.processes[number % len(world.processes)]
            process.frozen = how % 4 == 0
        case _:
            world.now += timedelta(minutes=how % 15)


def _in_between(world: World, number: int) -> int:
    """A workload to which an operator's write is under way, if there is one: there races are lost."""
    writes = [r.what for p in world.processes for r in p.connection.waiting if r.write]
    targets = [place for place, (_, name) in enumerate(PLACES) if any(name in what for what in writes)]
    return targets[number % len(targets)] if targets else number


async def _pass(world: World, number: int, often: int, fault: str | None = None) -> None:
    for turn in range(often):
        ready = [p for p in world.processes if p.connection.waiting and not p.frozen]
        if not ready:
            world.begin(world.leader)
            await world.spin()
            continue
        waiting = ready[number % len(ready)].connection.waiting
        request = waiting[(number + turn) % len(waiting)]
        if fault is not None:
            world.counts["faults"] += 1
            world.told.append(f"fault {fault}: {request.what}")
        request.pass_on(fault)
        await world.spin()


async def _settle(world: World) -> None:
    """Faults cease, pods end, the kill switch goes; a fresh leader does its cycles."""
    world.split = False
    for process in world.processes:
        process.frozen = False
    world.server.lingering.clear()
    world.switch_off()
    await _drain(world)
    # Whoever was in the middle of `release --all` has set it meanwhile.
    world.switch_off()
    # A new process looks for what `rollout undo` may have brought back.
    for number in range(2):
        world.kill(number, arrives=False)
    for _ in range(_CALM_CYCLES):
        world.now += timedelta(minutes=11)
        world.tick += 1
        world.begin(world.leader)
        await _drain(world)


async def _drain(world: World) -> None:
    await world.spin()
    while waiting := [r for process in world.processes for r in process.connection.waiting]:
        waiting[0].pass_on(None)
        await world.spin()


def _retell(steps: Sequence[Step], kinds: int) -> tuple[str, tuple[str, ...]]:
    """What goes wrong, and all that changed something before."""
    world = World(kinds, rules.judge)
    try:
        asyncio.run(_play(world, steps))
    except Exception as error:  # noqa: BLE001 - it is told in full
        return f"{type(error).__name__}: {error}", tuple(world.told)
    return "it does not fail again", ()


def _fails(steps: Sequence[Step], kinds: int, how: type[Exception]) -> bool:
    try:
        play(steps, kinds)
    except how:
        return True
    except Exception:  # noqa: BLE001 - another failure is another story
        return False
    return False


def _shorten(steps: tuple[Step, ...], kinds: int, how: type[Exception]) -> tuple[Step, ...]:
    """Leave out halves, quarters, …, single steps, as long as it still fails."""
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if _fails(fewer, kinds, how):
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


def number_of_rotations() -> int:
    """How many rotations of kinds there are to play."""
    return len(stoppable())
