"""Nothing twice: what is in the price of something else is charged at nothing, and says why.

A GPU rate that `includes` the host's CPU, memory or energy pays for those of its machine; tokens of a server
of one's own are paid with its GPUs; what a gateway spent is not charged beside a rate for the same tokens.
Each of these is a rate that costs nothing and has a reason, so that the quantity stays on the bill. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from aibudget.metering.slots import Interval
from aibudget.metering.usage import Sku
from aibudget.pricing.rate import FAR_FUTURE, NO_CURRENCY, WHOLE, Rate

INCLUDED: Final = "Included"
"""The reason of what is in the price of the machine's GPUs."""
SELF_HOSTED: Final = "SelfHosted"
"""The reason of tokens of one's own servers, which are paid with their GPUs."""
BY_TOKENS: Final = "ChargedByTokens"
"""The reason of what a gateway spent on a model whose tokens have a rate."""

HOST_METERS: Final = frozenset({"cpu", "memory", "energy"})
_MACHINE: Final = frozenset({"gpuProduct", "instanceType", "nodePool"})
_DEVICE: Final = frozenset({"resource", "migProfile", "share"})

OWN_TOKENS: Final = Rate(
    source="built-in",
    name="self-hosted-tokens",
    meter="tokens",
    match={"hosting": "self"},
    currency=NO_CURRENCY,
    unit="Tokens",
    price=Decimal(0),
    list_price=Decimal(0),
    priority=0,
    interval=Interval(0, FAR_FUTURE),
    reason=SELF_HOSTED,
)


def own_tokens(sku: Sku) -> bool:
    """Whether these are tokens of a server of one's own."""
    return sku.meter == "tokens" and sku.dimension("hosting") == "self"


def hosts(rate: Rate, sku: Sku) -> bool:
    """Whether a GPU rate is for the machine on which CPU, memory or energy was used.

    It is where what it says of the machine is true of it, and either it names the machine or the machine is
    known to have devices. A rate for parts of devices says nothing of a machine that it does not name.
    """
    match = {key: value for key, value in rate.match.items() if key not in _DEVICE}
    if not _true_of(match, sku):
        return False
    names_machine = not _MACHINE.isdisjoint(match)
    return names_machine or (sku.dimension("gpuProduct") is not None and len(match) == len(rate.match))


def tells_tokens(rate: Rate, sku: Sku) -> bool:
    """Whether a rate for tokens is for those that a gateway's spend paid."""
    if rate.match.get("hosting") == "self":
        return False
    return _true_of({key: value for key, value in rate.match.items() if key in ("provider", "model")}, sku)


def included(rate: Rate, sku: Sku, reason: str = INCLUDED) -> Rate:
    """The rate of what is in the price of another rate: nothing, under the other's name."""
    free = Decimal(0)
    unpriced = replace(rate, meter=sku.meter, price=free, list_price=free, reason=reason, tiers=(), draws=())
    return replace(unpriced, includes=(), per_quantity=1, per_instance=False, portion=WHOLE)


def _true_of(match: Mapping[str, str], sku: Sku) -> bool:
    return all(sku.dimension(key) == value for key, value in match.items())
