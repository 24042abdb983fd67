"""`make soak`: a simulated year of two hundred budgets; prints what was done to it, and any cent of drift."""

import argparse
import logging
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from soak.story import Drift, Story


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--budgets", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {chosen.seed}", flush=True)
    began = time.monotonic()
    # Kills are simulated, power cuts are not: a disk would only wait for each sync.
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        story = Story(chosen.seed, chosen.budgets, chosen.days, Path(directory))
        try:
            for day in story.days():
                print(f"day {day} of {chosen.days}, {time.monotonic() - began:.0f} s", file=sys.stderr)
        except Drift as drift:
            print(f"Drift: {drift}", file=sys.stderr)
            return 1
    print(", ".join(f"{count} {what}" for what, count in sorted(story.counts.items())) + ". Drift: none.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
