"""The ledger's tables, as the scripts in `migrations/` make them one after the other.

Usage rows are integers only: a line (who, of what) and a rate are written out once and then stand as an
integer id, which keeps a slot of 10,000 lines near 300 kB. Keys hold no NULL, since a NULL defeats a unique
key: what is absent is ''. Times are Unix seconds. Nothing here is peculiar to SQLite.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from aibudget.metering.slots import Interval

UNMIGRATED: Final = 1
"""The version of ledgers from before there were migrations."""
MIGRATED: Final = 2
"""The version of all others, which shuts out programs from before; Alembic's own table tells the rest."""

metadata = MetaData()

# By this table a database is known to be a ledger.
schema_version = Table(
    "schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)

cluster = Table(
    "cluster",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(253), nullable=False, unique=True),
    # Counts the writers that took the ledger over: an earlier one is refused.
    Column("epoch", BigInteger, nullable=False),
    # Of its namespace kube-system: two clusters of one name would be charged for each other.
    Column("uid", String(64)),
    Index("cluster_uid", "uid", unique=True),
)

meter = Table(
    "meter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cluster_id", ForeignKey("cluster.id"), nullable=False),
    Column("name", String(253), nullable=False),
    Column("begins", BigInteger),
    Column("watermark", BigInteger),
    Column("revision", BigInteger, nullable=False),
    # The revision that its days in `usage_day` were kept up to: at any other they are not believed.
    Column("summed", BigInteger),
    UniqueConstraint("cluster_id", "name"),
)

# A namespace under one version of its labels: what is used is attributed by the labels of its time.
subject = Table(
    "subject",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("cluster_id", ForeignKey("cluster.id"), nullable=False),
    Column("namespace", String(253), nullable=False),
    Column("labels", Text, nullable=False),
    Column("known", BigInteger, nullable=False),
)

line = Table(
    "line",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("meter_id", ForeignKey("meter.id"), nullable=False),
    Column("subject_id", ForeignKey("subject.id"), nullable=False),
    Column("kind", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("dimensions", Text, nullable=False),
)

# The labels of a workload's pods, for lines that have some. In a table of its own, since most have none.
line_label = Table(
    "line_label",
    metadata,
    Column("line_id", ForeignKey("line.id"), primary_key=True),
    Column("labels", Text, nullable=False),
)

# Append-only: a statement of the past can be made again with the rates of its time.
rate = Table(
    "rate",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("content", Text, nullable=False),
    Column("known", BigInteger, nullable=False),
)

# Which rates a cluster has written down before any usage had them: its live prices.
kept_rate = Table(
    "kept_rate",
    metadata,
    Column("cluster_id", ForeignKey("cluster.id"), primary_key=True),
    Column("rate_id", ForeignKey("rate.id"), primary_key=True),
    sqlite_with_rowid=False,
)

# What the price lists last had: the integers of their rates, and their exchange rates, as JSON.
price_book = Table(
    "price_book",
    metadata,
    Column("cluster_id", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
    Column("known", BigInteger, nullable=False),
    # When posted usage last got another rate; 0 before the first time.
    Column("repriced", BigInteger, nullable=False),
    # By which book all that is posted since then is priced; NULL is not known.
    Column("rated", String(64)),
    Column("rated_since", BigInteger),
)

# Append-only: usage of a closed time that was billed at one rate is known since then to cost another.
# 0 is no rate. The quantities are those of the usage itself.
correction = Table(
    "correction",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("meter_id", ForeignKey("meter.id"), nullable=False),
    Column("dimensions", Text, nullable=False),
    Column("billed_id", Integer, nullable=False),
    Column("was_id", Integer, nullable=False),
    Column("rate_id", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("known", BigInteger, nullable=False),
    Index("correction_known", "meter_id", "known"),
)

usage_slot = Table(
    "usage_slot",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("line_id", Integer, primary_key=True),
    # NULL is usage without a price; it is no part of the key.
    Column("rate_id", Integer),
    Column("quantity", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("busy", BigInteger, nullable=False),
    # 0 observed means that nobody looked, so that busy says nothing.
    Column("observed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# A day of a line at a rate (0 is none) in one row, in place of its rows of `usage_slot`: see `quarters.py`
# for what the bytes are. `first` and `last` are slots with usage, `slots` is how many there are.
usage_packed = Table(
    "usage_packed",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("line_id", Integer, primary_key=True),
    Column("rate_id", Integer, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# What both add up to in each UTC day: changed in the transactions that change them. 0 is no rate.
usage_day = Table(
    "usage_day",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("line_id", Integer, primary_key=True),
    Column("rate_id", Integer, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("busy", BigInteger, nullable=False),
    Column("observed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

coverage = Table(
    "coverage",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("covered_seconds", Integer, nullable=False),
    Column("total_seconds", Integer, nullable=False),
    Column("known", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What each counter stood at when its meter was posted last.
level = Table(
    "level",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("family", String(253), nullable=False),
    Column("labels", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
)

# The end of what was posted with those levels: they are of use to a reading that begins there.
levels_end = Table(
    "levels_end",
    metadata,
    Column("meter_id", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
)

# Links of owner chains, kept when their objects are gone. Owner '' is an object that was seen to have none.
owner_link = Table(
    "owner_link",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("namespace", String(253), primary_key=True),
    Column("kind", String(253), primary_key=True),
    Column("name", String(253), primary_key=True),
    Column("uid", String(63), primary_key=True),
    Column("owner_kind", String(253), nullable=False),
    Column("owner_name", String(253), nullable=False),
    Column("known", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What receivers are told: the queue, and the memory of what was told. A delivered row keeps no message.
delivery = Table(
    "delivery",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("receiver", String(63), primary_key=True),
    Column("transition", String(64), primary_key=True),
    # What is told together: rows of one receiver and batch.
    Column("batch", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("state", String(9), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Index("delivery_due", "cluster_id", "state", "receiver", "due"),
    sqlite_with_rowid=False,
)

# Periods of budgets, by the budget's uid: what is closed never changes, and a correction stands beside it.
period = Table(
    "period",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("budget_uid", String(64), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("kind", String(63), nullable=False),
    Column("namespace", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("currency", String(3), nullable=False),
    # Decimals as text. NULL is unknown: a budget that could not be evaluated, or that was gone by then.
    Column("limit_amount", Text),
    Column("rolled_over", Text),
    Column("spent", Text),
    Column("coverage_percent", Integer),
    Column("opened", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("closed", BigInteger),
    # What a lost status is made from: the generation that was evaluated, and where thresholds stood.
    Column("generation", BigInteger, nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("told", Integer, nullable=False),
    Column("scope", String(64), nullable=False),
    Index("period_end", "cluster_id", "state", "end"),
)

# Append-only: what a closed period is known since then to have cost.
period_correction = Table(
    "period_correction",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("budget_uid", String(64), primary_key=True),
    Column("period_id", String(128), primary_key=True),
    Column("known", BigInteger, primary_key=True),
    Column("spent", Text, nullable=False),
)

# Append-only, and each row's hash covers the row before it: what was decided, with what was known of it.
decision = Table(
    "decision",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("subject", String(512), nullable=False),
    Column("event", String(63), nullable=False),
    Column("content", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("decision_subject", "cluster_id", "subject", "number"),
)

# How many there are and the last one's hash: rows that are cut off at the end are missed.
decision_head = Table(
    "decision_head",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

# When what is posted of an hour changed last, by a number that only grows: it is counted anew since.
hour = Table(
    "hour",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Index("hour_revision", "cluster_id", "revision"),
    sqlite_with_rowid=False,
)

# What a budget used in each hour of a UTC month, of money or of what a cap counts: see `hours.py` for what
# the bytes are, and what a series is called.
budget_hours = Table(
    "budget_hours",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("series", String(160), primary_key=True),
    Column("month", BigInteger, primary_key=True),
    Column("hours", LargeBinary, nullable=False),
)

# Up to which change, from which hour on, and for which scope a series is counted.
budget_counted = Table(
    "budget_counted",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("series", String(160), primary_key=True),
    Column("scope", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
)

# Hours in which something that a budget counts was held: what was spent in them is not what would have been.
budget_held = Table(
    "budget_held",
    metadata,
    Column("cluster_id", Integer, primary_key=True),
    Column("budget", String(63), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)


def within(table: Table, meter_id: int, interval: Interval) -> ColumnElement[bool]:
    """The condition that a slot's row of a meter lies in the interval."""
    return and_(table.c.meter_id == meter_id, table.c.slot >= interval.start, table.c.slot < interval.end)
