"""Ends a program when its owner is gone, however the owner went.

Run as `python lifeline.py FD GRACE PROGRAM …`: forks a watcher and becomes PROGRAM, so that the program
keeps this process's id. The owner holds the other end of the pipe FD. When that end closes, by `close`
or by the owner's death (SIGKILL included), the watcher sends TERM to the program's process group and
KILL after GRACE seconds. It depends on nothing but Python's standard library, and on no signal that
only Linux has.
"""

import contextlib
import os
import select
import signal
import sys


def watch(owner: int, program_alive: int, group: int, grace: float) -> None:
    """Wait for the owner's end to close, then end the group; return early when the program has ended."""
    ended, _, _ = select.select([owner, program_alive], [], [])
    if program_alive in ended:
        return
    os.killpg(group, signal.SIGTERM)
    if not select.select([program_alive], [], [], grace)[0]:
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    """Fork the watcher, then become the program."""
    owner, grace, program = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    group = os.getpid()
    program_alive, held_by_program = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(held_by_program)
        # The program may end between our look and our signal.
        with contextlib.suppress(ProcessLookupError):
            watch(owner, program_alive, group, grace)
        os._exit(0)
    os.close(owner)
    os.close(program_alive)
    os.set_inheritable(held_by_program, True)  # noqa: FBT003 - takes no keyword
    os.execvp(program[0], program)  # noqa: S606 - a shell is what we avoid


if __name__ == "__main__":
    main()
