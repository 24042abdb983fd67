"""Why spend has changed, in a status and in a sentence: one wording for all who tell it.

Money is rounded here, so that the parts as they are shown add up to the change as it is shown. Pure.
"""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.driversstatus import DriversStatus, SkuChange, WorkloadChange
from aibudget.api.money import Money
from aibudget.budgeting.drivers import Compared, Drivers, apportioned
from aibudget.budgeting.evaluation import Evaluation
from aibudget.metering.slots import iso
from aibudget.pricing.charge import UNITS, Units
from aibudget.pricing.match import describe

SKUS: Final = 2
WORKLOADS: Final = 3
_NAME: Final = 128
_SENTENCE: Final = 512


def statuses(evaluation: Evaluation, before: BudgetStatus) -> tuple[DriversStatus, ...]:
    """What is known now; until it is, what the status said before of the same period.

    That the past before the current period is not known goes without saying. Of several clusters nothing will
    be known.
    """
    if evaluation.clusters:
        return ()
    current = evaluation.period.id
    told = [one for one in evaluation.drivers if one.drivers is not None or one.period == current]
    if told:
        return tuple(_status(one, evaluation) for one in told)
    same = before.period is not None and before.period.id == current
    return before.drivers if same else ()


def _status(one: Compared, evaluation: Evaluation) -> DriversStatus:
    status = DriversStatus(
        period=one.period,
        compared_with=one.before,
        until_time=datetime.fromtimestamp(one.until, UTC),
        message=_unknown(one, evaluation)[:_SENTENCE],
    )
    if one.drivers is None:
        return status
    figures = _figures(one.drivers, evaluation)
    message = _sentence(one, status.model_copy(update=figures), evaluation)[:_SENTENCE]
    return status.model_copy(update=figures | {"message": message})


def _figures(found: Drivers, evaluation: Evaluation) -> dict[str, Any]:
    before, after = _cents(found.before), _cents(found.after)
    parts = found.effects.parts
    shown = apportioned((part * 100 / UNITS for part in parts.values()), after - before)
    own = evaluation.budget.namespace
    return {
        "before": _money(before),
        "change": _money(after - before),
        "change_percent": (after - before) * 100 // before if before else None,
        **{name: _money(cents) for name, cents in zip(parts, shown, strict=True)},
        "skus": tuple(
            SkuChange(
                sku=describe(sku)[:_NAME],
                amount=_money(_cents(effects.change)),
                driver=effects.largest.title(),
            )
            for sku, effects in found.skus[:SKUS]
            if _cents(effects.change)
        ),
        "workloads": tuple(
            WorkloadChange(
                namespace=None if own else workload.namespace,
                kind=workload.kind,
                name=workload.name,
                amount=_money(_cents(units)),
            )
            for workload, units in found.workloads[:WORKLOADS]
            if _cents(units)
        ),
    }


def _unknown(one: Compared, evaluation: Evaluation) -> str:
    return f"{one.period} is not compared with {_other(one, evaluation)}: {one.reason}."


def _sentence(one: Compared, status: DriversStatus, evaluation: Evaluation) -> str:
    currency, change = evaluation.currency, status.change or Decimal(0)
    before = f"{_other(one, evaluation)} ({Money(status.before or Decimal(0), currency)})"
    known = f"Up to {iso(one.until)} {one.period} cost"
    if not change:
        said = f"{known} as much as {before}"
    else:
        side = "more" if change > 0 else "less"
        percent = "" if status.change_percent is None else f" ({status.change_percent:+d} %)"
        said = f"{known} {Money(abs(change), currency)} {side}{percent} than {before}"
    parts = {name: getattr(status, name) for name in ("price", "volume", "mix", "new", "gone")}
    told = [f"{name} {amount:+}" for name, amount in parts.items() if amount]
    most = [f"{sku.sku} {sku.amount:+}" for sku in status.skus[:1]]
    most += [f"{of.kind} {_placed(of)} {of.amount:+}" for of in status.workloads[:1]]
    said += f": {', '.join(told)}." if told else "."
    return f"{said} Most of it: {', '.join(most)}." if most else said


def _placed(of: WorkloadChange) -> str:
    return f"{of.namespace}/{of.name}" if of.namespace else of.name


def _other(one: Compared, evaluation: Evaluation) -> str:
    return f"the same part of {one.before}" if one.period == evaluation.period.id else one.before


def _cents(units: Units) -> int:
    """Rounded half up, so that two amounts that differ by whole cents are shown to."""
    return (Fraction(units) * 100 / UNITS + Fraction(1, 2)).__floor__()


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
