"""The owner links that the ledger keeps for `inventory.owners.OwnerBook`, for good.

Free functions inside a transaction that `store.py` opened.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, select

from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.workload import Owner
from aibudget.ledger import schema
from aibudget.ledger.lines import in_chunks

_LINK = schema.owner_link


def read(connection: Connection, cluster_id: int) -> tuple[OwnerLink, ...]:
    """Every link that was ever remembered."""
    query = select(_LINK).where(_LINK.c.cluster_id == cluster_id)
    return tuple(_link(row) for row in connection.execute(query))


def write(connection: Connection, cluster_id: int, links: Iterable[OwnerLink], at: int) -> None:
    """Remember links. An owner that is known stays; "no owner" gives way to one."""
    wanted = {link.child: link.owner for link in links}
    known = _known(connection, cluster_id, wanted)
    new = [_values(cluster_id, child, owner, at) for child, owner in wanted.items() if child not in known]
    wiser = [
        _values(cluster_id, child, owner, at)
        for child, owner in wanted.items()
        if owner is not None and child in known and known[child] is None
    ]
    if new:
        connection.execute(_LINK.insert(), new)
    if wiser:
        key = ("cluster_id", "namespace", "kind", "name", "uid")
        same = and_(*(_LINK.c[column] == bindparam(f"key_{column}") for column in key))
        rows = [row | {f"key_{column}": row[column] for column in key} for row in wiser]
        changed: dict[str, BindParameter[Any]] = {
            name: bindparam(name) for name in ("owner_kind", "owner_name", "known")
        }
        connection.execute(_LINK.update().where(same).values(changed), rows)


def forget_pods(connection: Connection, cluster_id: int, before: int) -> None:
    """A cluster runs through pods by the hundred thousand; each is owned by what is kept anyway."""
    old = and_(_LINK.c.cluster_id == cluster_id, _LINK.c.kind == "Pod", _LINK.c.known < before)
    connection.execute(_LINK.delete().where(old, _LINK.c.uid != ""))


def _known(connection: Connection, cluster_id: int, children: Iterable[Child]) -> dict[Child, Owner | None]:
    names = sorted({child.name for child in children})
    query = select(_LINK).where(_LINK.c.cluster_id == cluster_id)
    found = (_link(row) for row in in_chunks(connection, query.where, _LINK.c.name, names))
    return {link.child: link.owner for link in found}


def _values(cluster_id: int, child: Child, owner: Owner | None, at: int) -> dict[str, str | int]:
    return child._asdict() | {
        "cluster_id": cluster_id,
        "owner_kind": owner.kind if owner else "",
        "owner_name": owner.name if owner else "",
        "known": at,
    }


def _link(row: Row[Any]) -> OwnerLink:
    child = Child(row.namespace, row.kind, row.name, row.uid)
    owner = Owner(row.owner_kind, row.owner_name)
    return OwnerLink(child, owner if owner.name else None)
