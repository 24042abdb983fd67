"""The rows of periods and of their corrections: read and written, each as a whole.

Free functions inside a transaction that `register.py` opened. What is closed is not written again, whoever
asks for it.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, func, select

from aibudget.ledger import schema
from aibudget.ledger.lines import insertion
from aibudget.ledger.periodrow import Owner, PeriodCorrection, PeriodRow
from aibudget.metering.slots import Interval

KEPT_IN_MIND: Final = 14
"""Periods of one budget that are read at once: the one that runs, and those that its status may tell of."""

_PERIOD, _CORRECTION = schema.period, schema.period_correction
_KEY: Final = ("cluster_id", "budget_uid", "id")


def read(connection: Connection, cluster_id: int) -> tuple[PeriodRow, ...]:
    """Each budget's newest periods, and all that are not closed, in the order of time."""
    rank = func.row_number().over(partition_by=_PERIOD.c.budget_uid, order_by=_PERIOD.c.start.desc())
    ranked = select(_PERIOD, rank.label("rank")).where(_PERIOD.c.cluster_id == cluster_id).subquery()
    wanted = (ranked.c.rank <= KEPT_IN_MIND) | (ranked.c.state != "Closed")
    rows = connection.execute(select(ranked).where(wanted).order_by(ranked.c.budget_uid, ranked.c.start))
    return tuple(map(_row, rows))


def running(connection: Connection, cluster_id: int, budget: tuple[str, str], currency: str) -> str | None:
    """The uid of the budget of this kind and name, in no namespace and this currency, whose period runs."""
    kind, name = budget
    query = select(_PERIOD.c.budget_uid).where(
        _PERIOD.c.cluster_id == cluster_id,
        _PERIOD.c.state == "Open",
        _PERIOD.c.kind == kind,
        _PERIOD.c.namespace == "",
        _PERIOD.c.name == name,
        _PERIOD.c.currency == currency,
    )
    return connection.execute(query.order_by(_PERIOD.c.opened.desc()).limit(1)).scalar()


def corrections(connection: Connection, cluster_id: int) -> tuple[PeriodCorrection, ...]:
    """All of them, in the order in which they became known."""
    query = select(_CORRECTION).where(_CORRECTION.c.cluster_id == cluster_id).order_by(_CORRECTION.c.known)
    return tuple(
        PeriodCorrection(row.budget_uid, row.period_id, int(row.known), Decimal(row.spent))
        for row in connection.execute(query)
    )


def write(connection: Connection, cluster_id: int, rows: Iterable[PeriodRow]) -> None:
    """Make these periods stand so; a period that is closed stays as it is."""
    values = [_values(cluster_id, row) for row in rows]
    if not values:
        return
    into = insertion(connection, _PERIOD)
    told = {name: into.excluded[name] for name in values[0] if name not in _KEY}
    still_open = _PERIOD.c.state != "Closed"
    # In one go: thousands of budgets have a period that begins, and one that is told, in the same cycle.
    connection.execute(into.on_conflict_do_update(index_elements=_KEY, set_=told, where=still_open), values)


def correct(connection: Connection, cluster_id: int, found: Iterable[PeriodCorrection]) -> None:
    """Write down what became known of closed periods."""
    for one in found:
        connection.execute(
            _CORRECTION.insert().values(
                cluster_id=cluster_id,
                budget_uid=one.uid,
                period_id=one.period_id,
                known=one.known,
                spent=str(one.spent),
            )
        )


def _values(cluster_id: int, row: PeriodRow) -> dict[str, Any]:
    return {
        "cluster_id": cluster_id,
        "budget_uid": row.owner.uid,
        "id": row.id,
        "kind": row.owner.kind,
        # '' is no namespace: a namespace's name is never empty.
        "namespace": row.owner.namespace or "",
        "name": row.owner.name,
        "start": row.interval.start,
        "end": row.interval.end,
        "state": row.state,
        "currency": row.currency,
        "limit_amount": _text(row.limit),
        "rolled_over": _text(row.rolled_over),
        "spent": _text(row.spent),
        "coverage_percent": row.coverage_percent,
        "opened": row.opened,
        "ended": row.ended,
        "closed": row.closed,
        "generation": row.generation,
        "thresholds": json.dumps(dict(row.thresholds), sort_keys=True),
        "told": int(row.told),
        "scope": row.scope,
    }


def _row(row: Any) -> PeriodRow:
    stood = json.loads(row.thresholds)
    return PeriodRow(
        owner=Owner(row.kind, row.namespace or None, row.name, row.budget_uid),
        id=row.id,
        interval=Interval(int(row.start), int(row.end)),
        state=row.state,
        currency=row.currency,
        opened=int(row.opened),
        limit=_decimal(row.limit_amount),
        rolled_over=_decimal(row.rolled_over),
        spent=_decimal(row.spent),
        coverage_percent=row.coverage_percent,
        ended=row.ended,
        closed=row.closed,
        generation=int(row.generation),
        thresholds={name: (standing, since) for name, (standing, since) in stood.items()},
        told=bool(row.told),
        scope=row.scope,
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
