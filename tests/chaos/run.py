"""`make chaos`: random stories in any number; prints what was done to the operators and what was lost."""

import argparse
import logging
import sys
import time
from collections import Counter

from chaos.story import Failure, number_of_rotations, search

_LENGTH = 250


def run(seed: int, steps: int) -> Counter[str] | Failure:
    """So many steps from this seed on, in stories that each begin anew; the first that fails is given."""
    counts: Counter[str] = Counter()
    while counts["steps"] < steps:
        result = search(seed, min(_LENGTH, steps - counts["steps"]), seed % number_of_rotations())
        if isinstance(result, Failure):
            return result
        counts += result
        seed += 1
    return counts


def summary(counts: Counter[str]) -> str:
    """One line for people."""
    told = ("steps", "faults", "kills", "edits by others", "cycles", "stops", "fences", "restores")
    return ", ".join(f"{counts[name]} {name}" for name in told) + ". Lost: nothing."


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {chosen.seed}")
    result = run(chosen.seed, chosen.steps)
    if isinstance(result, Failure):
        print(result, file=sys.stderr)
        return 1
    print(summary(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
