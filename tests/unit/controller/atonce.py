"""The worker of cycles that are told one after another: what it is given is done before anybody goes on.

The operator's is a thread. Nothing here is about two things at once, and to wait for a thread each time takes
more than the work does.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Does the work in the thread that asks for it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is there already."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - the death of a process, too, is for who waits for it
            future.set_exception(error)
        return future
