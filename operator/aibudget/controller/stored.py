"""The status of an object as it is kept between two looks at it: packed, and once.

Thousands of statuses differ in their figures and times. What nearly all of them have in common is known
beforehand, so that 1,500 bytes become some 200, in less time than without. A status that has none of it is
only packed less well. Pure.
"""

import json
import zlib
from collections.abc import Mapping
from sys import intern
from typing import Any, Final

_COMMON: Final = b"""{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"The budget is \
accepted and evaluated.","observedGeneration":1,"reason":"Reconciled","status":"True","type":"Ready"},{\
"lastTransitionTime":"2026-01-01T00:00:00Z","message":"0.00 of 100.00 USD are used (0 %).",\
"observedGeneration":1,"reason":"BelowThreshold","status":"True","type":"WithinBudget"},{"message":"0.00 USD \
is foreseen for 2026-01, 0 % of the limit","reason":"ForecastFits","type":"ForecastWithinBudget"},{"message":\
"Usage of the last 30 minutes is known.","reason":"Fresh","type":"DataFresh"},{"message":"Fewer than four \
weeks of hours are known: too few to say what is usual.","observedGeneration":1,"reason":"Learning",\
"status":"Unknown","type":"SpendAsUsual"}],"forecast":{"amount":"0.00","high":"0.00","low":"0.00",\
"usedPercent":0},"holds":{"active":0,"pending":0},"lastEvaluationTime":"2026-01-01T00:00:00Z","limit":{\
"amount":"100","currency":"USD"},"observedGeneration":1,"period":{"endTime":"2026-02-01T00:00:00Z","id":\
"2026-01","startTime":"2026-01-01T00:00:00Z"},"rate":{"perHour":"0.00"},"spend":{"amount":"0.00","asOfTime":\
"2026-01-01T00:00:00Z","coveragePercent":100,"currency":"USD","usedPercent":0},"thresholds":[{"name":"",\
"state":"Below"}],"topWorkloads":[{"amount":"0.00","idlePercent":0,"kind":"Deployment","name":"","namespace":\
"","percent":100}]}"""


def packed(status: object) -> str:
    """What a status says; the same text for the same, whether the watch told it or our own write."""
    told = json.dumps(status if isinstance(status, Mapping) else {}, separators=(",", ":"))
    packer = zlib.compressobj(zdict=_COMMON)
    # As a text, of which Python can keep one of each: every byte is a character of Latin-1.
    return intern((packer.compress(told.encode()) + packer.flush()).decode("latin-1"))


def unpacked(stored: str) -> Any:
    """The status that was `packed`, as JSON has it."""
    return json.loads(zlib.decompressobj(zdict=_COMMON).decompress(stored.encode("latin-1")))
