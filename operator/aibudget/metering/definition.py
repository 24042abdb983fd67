"""What an AIMeter asks of Prometheus, and whether it can be asked: the dry evaluation.

Its generation is a hash of what decides how much is counted, so that an edit which counts otherwise begins
anew, and one that is taken back goes on where it was. Pure but for the `PromSource` it asks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from aibudget.api.meter import Attribution, MeterSource, MeterSpec
from aibudget.errors import Stalled
from aibudget.metering.counters import CountedMeter
from aibudget.metering.families import families
from aibudget.metering.folding import Folded, folded
from aibudget.metering.macros import STEP
from aibudget.metering.nodes import own
from aibudget.metering.scene import MeterSettings
from aibudget.metering.source import PromSource, QueryRefused, Series
from aibudget.metering.usage import Reading

NOBODY = ("", "None", "unknown")
"""What exporters write where they know no team."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One AIMeter as it is read."""

    name: str
    spec: MeterSpec

    @property
    def generation(self) -> str:
        """Twelve characters that are the same as long as the same is counted."""
        spec = self.spec.model_dump(mode="json", include={"type", "sources"}, exclude_none=True)
        return sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]

    def counted(self, settings: MeterSettings) -> CountedMeter:
        """The meter as it is asked for."""
        return CountedMeter(self.name, families(self.name, self.spec, settings), is_expected=True)

    def folded(self, reading: Reading) -> tuple[Reading, Folded]:
        """The reading in as many lines as the meter may have, with a word on it if these were too few."""
        whole = folded(reading.usages, self.spec.max_lines)
        if not whole.folded:
            return reading, whole
        said = (
            f"{whole.folded} of {whole.lines} lines of {self.name} in a quarter of an hour were folded, for "
            f"its maxLines is {self.spec.max_lines}. Tell fewer dimensions apart, or raise it."
        )
        return replace(reading, usages=whole.usages, problems=(*reading.problems, said)), whole

    def tried(self, prometheus: PromSource, settings: MeterSettings, now: int) -> tuple[str, ...]:
        """Each query asked once, for the newest step; remarks on what came back.

        Raises `Stalled` where one is refused, with Prometheus's own words, or says of nothing who used it.
        """
        remarks = []
        asked = self.counted(settings).families
        for source in self.spec.sources:
            at = now - now % STEP
            try:
                found = prometheus.query_range(asked[source.name].query, at, at, STEP).series
            except QueryRefused as refused:
                raise Stalled(
                    "QueryRefused", f"spec.sources[{source.name}].query: {refused.message}"
                ) from refused
            nameless = [series for series in found if not says_who(series.labels, source.attribution)]
            if nameless and len(nameless) == len(found):
                raise Stalled("LabelsMissing", _missing(source, nameless[0]))
            if nameless:
                remarks.append(
                    f"{len(nameless)} of {len(found)} series of {source.name} do not say who used it."
                )
        return tuple(remarks)


def says_who(labels: Mapping[str, str], attribution: Attribution | None) -> bool:
    """Whether a series says whom to charge."""
    if attribution is None:
        return bool(own(labels, "namespace"))
    wanted = attribution.model_dump(exclude_none=True).values()
    return all(own(labels, label) not in NOBODY for label in wanted)


def _missing(source: MeterSource, series: Series) -> str:
    wanted = (
        source.attribution.model_dump(exclude_none=True).values() if source.attribution else ["namespace"]
    )
    found = f"with {', '.join(sorted(series.labels))} but" if series.labels else "with no label at all:"
    return (
        f"spec.sources[{source.name}].query returns series {found} without {', '.join(wanted)}, so that "
        "nobody can be charged. Keep these labels in its by (…), or name others in attribution."
    )
