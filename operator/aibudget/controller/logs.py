"""Logs as one JSON object per line on stderr, for people with `jq` and for collectors.

Names of the libraries below us speak from WARNING on: kopf alone would say a line for each event of each
object. Knows nothing of what is logged.
"""

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

_CHATTER: Final = ("kopf", "aiohttp", "urllib3", "kubernetes", "asyncio", "sqlalchemy", "alembic")


def configure(level: str) -> None:
    """Send everything through one JSON handler; replaces what was configured before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{message}{name}{levelname}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It would warn that it leaves the signals alone, which is what we want of it.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    for name in _CHATTER:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
