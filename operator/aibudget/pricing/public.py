"""The built-in public prices: `public.yaml`, an AIPriceList like any other, at priority 0.

Its priority is not in the file because no list that people write may have 0: whatever they state wins.
"""

from functools import cache
from importlib.resources import files

import yaml

from aibudget.api.pricelist import AIPriceList
from aibudget.pricing.listing import rates_of
from aibudget.pricing.rate import Rate

PUBLIC_PRIORITY = 0


@cache
def public_rates() -> tuple[Rate, ...]:
    """The on-demand list prices that come with this version of AIBudget."""
    text = files("aibudget.pricing").joinpath("public.yaml").read_text(encoding="utf-8")
    return rates_of(AIPriceList.read(yaml.safe_load(text)), priority=PUBLIC_PRIORITY)
