"""The owner links that the ledger keeps for `inventory.owners.OwnerBook`, for good.

Free functions inside a transaction that `store.py` opened.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, select

from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.workload import Owner
from aibudget.ledger import schema
from aibudget.ledger.lines import in_chunks

AT_ONCE: Final = 5_000
"""Links that are written together: rows of a hundred thousand pods are the peak of a first cycle's memory."""

_LINK = schema.owner_link


def read(connection: Connection, cluster_id: int) -> tuple[OwnerLink, ...]:
    """Every link that was ever remembered. What a hundred thousand pods say alike is one object."""
    query = select(_LINK).where(_LINK.c.cluster_id == cluster_id)
    texts, owners = dict[str, str](), dict[Owner, Owner]()
    found = []
    for (namespace, kind, name, uid), owner in map(_link, connection.execute(query)):
        child = Child(texts.setdefault(namespace, namespace), texts.setdefault(kind, kind), name, uid)
        found.append(OwnerLink(child, None if owner is None else owners.setdefault(owner, owner)))
    return tuple(found)


def write(connection: Connection, cluster_id: int, links: Iterable[OwnerLink], at: int) -> None:
    """Remember links. An owner that is known stays; "no owner" gives way to one."""
    left = iter(links)
    while some := dict(islice(left, AT_ONCE)):
        _write(connection, cluster_id, some, at)


def _write(connection: Connection, cluster_id: int, wanted: Mapping[Child, Owner | None], at: int) -> None:
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
