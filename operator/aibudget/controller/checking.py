"""The check of the whole ledger, beside the cycles: it takes as long as reading all of it.

What a start reads was checked before; here are the slots of months past. In a thread and with a connection
of its own, once after each start: no cycle waits for it, and the process may end without it.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from aibudget.errors import Transient
from aibudget.ledger.database import Database

log = logging.getLogger(__name__)


async def look_over(url: str, started: asyncio.Event) -> None:
    """Once the first cycle is over. Raises `Stalled` where the ledger is damaged."""
    await started.wait()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")
    try:
        await asyncio.get_running_loop().run_in_executor(thread, _look_over, url)
    except Transient as error:
        log.warning("the ledger is not looked over: %s", error.message, extra={"reason": error.reason})
    finally:
        thread.shutdown(wait=False)


def _look_over(url: str) -> None:
    with closing(Database(url, checked=True, borrowed=True)) as database:
        database.look_over()
