"""What the test works on: three event tables of different time types, and rollups of every shape over them.

Constants and SQL text alone; nothing here is random and nothing talks to a server.
"""
from dataclasses import dataclass, field
from datetime import datetime, timedelta

COLUMNS = "id, ts, usr, kind, note, amount, score"


@dataclass
class Table:
    name: str
    time_type: str
    interval: str
    timezone: str
    # the rows lie in [low, high); low moves with retention, in steps that cut through no bucket; high moves as partitions come
    low: datetime
    days: int
    retention_step: str
    low_moves: int = 0
    extra: str = ""
    high: datetime = None
    # (id, time) of rows lately inserted, for ON CONFLICT and MERGE
    recent: list = field(default_factory=list)

    def next_low(self):
        if self.retention_step == "month":
            return (self.low.replace(day=1) + timedelta(days=32)).replace(day=1)
        return self.low + timedelta(days=7)


def tables():
    made = [
        # weeks begin on Mondays; Berlin's clocks change on 2022-10-30
        Table("clicks", "timestamptz", "1 day", "Europe/Berlin", datetime(2022, 10, 17), 16, "week"),
        Table('"Odd ""Täble"', "timestamp", "1 month", "UTC", datetime(2022, 1, 1), 100, "month",
              extra=", subpartition_by => 'usr', subpartitions => 2"),
        Table('"select"', "date", "7 days", "UTC", datetime(2023, 1, 2), 30, ""),
    ]
    for table in made:
        table.high = table.low + timedelta(days=table.days)
    return made


def create_table(table):
    return f"""
CREATE TABLE {table.name} (id bigint NOT NULL, ts {table.time_type} NOT NULL, usr int NOT NULL, kind text, note text NOT NULL,
    amount numeric, score float8, PRIMARY KEY (id, ts, usr));
CREATE INDEX ON {table.name} (kind);
SELECT strata.create_event_table('{table.name}', 'ts', '{table.interval}', premake => 1, accept_past => '30 years',
    timezone => '{table.timezone}'{table.extra});
"""


@dataclass
class Shape:
    """How a rollup is made. Those with permanent=False come and go."""
    name: str
    table: int
    bucket: str
    keys: list
    aggregates: list
    filter: str = None
    timezone: str = "UTC"
    permanent: bool = True
    # of another rollup rather than of the table
    source: str = None

    def create(self, table, with_data=True, name=None):
        def array(items):
            return "ARRAY[" + ", ".join(f"$${item}$$" for item in items) + "]::text[]"
        condition = f", filter => $${self.filter}$$" if self.filter else ""
        return (f"SELECT strata.create_rollup($${name or self.name}$$, source => $${self.source or table.name}$$, bucket => '{self.bucket}', "
                f"group_by => {array(self.keys)}, aggregates => {array(self.aggregates)}{condition}, "
                f"timezone => '{self.timezone}', with_data => {str(with_data).lower()})")


FOLDED = ["count(*) AS n", "sum(amount) AS total", "min(amount) AS least", "max(amount) AS most", "avg(usr) AS mean_usr", "stddev(usr) AS spread", "var_pop(amount) AS variance"]

SHAPES = [
    Shape("by_hour", 0, "1 hour", ["usr", "kind"], FOLDED),
    Shape("by_day", 0, "1 day", [], ["count(*) AS n", "count(amount) AS amounts", "strata.first(id, id) AS first_id",
                                     "strata.last(note, id) AS last_note", "strata.histogram(usr::float8, 0, 10, 4) AS spread"],
          timezone="Europe/Berlin"),
    Shape("by_week", 0, "1 week", ["kind"], ["count(DISTINCT usr) AS users", "array_agg(id ORDER BY id) AS ids", "sum(score) AS scores"],
          timezone="Europe/Berlin"),
    Shape("by_note", 0, "1 day", ["note", "usr % 2 AS side"], ["count(*) AS n", "bool_or(kind = 'buy') AS bought"],
          filter="amount > 0", timezone="Europe/Berlin"),
    Shape("by_month", 1, "1 month", ["usr"], FOLDED),
    Shape('"By ""Day"', 1, "1 day", ["kind"], ["count(*) FILTER (WHERE amount > 2) AS n", "max(ts) AS last_seen", "bit_or(usr) AS bits"]),
    Shape("by_date", 2, "1 week", ["kind", "usr"], FOLDED),
    Shape("by_median", 2, "1 day", ["usr % 3 AS third"], ["count(*) AS n", "percentile_cont(0.5) WITHIN GROUP (ORDER BY id) AS median"]),
    Shape("come", 0, "6 hours", ["kind"], FOLDED, timezone="Europe/Berlin", permanent=False),
    Shape("go", 1, "1 day", ["usr", "note"], ["count(*) AS n", "array_agg(id ORDER BY id) AS ids"], permanent=False),
    Shape("of_hours", 0, "1 day", ["usr"], ["sum(n) AS n", "sum(total) AS total", "min(least) AS least", "max(most) AS most"], permanent=False, source="by_hour"),
    Shape("of_days", 1, "1 month", [], ["sum(n) AS n", "max(last_seen) AS last_seen", "bit_or(bits) AS bits"], permanent=False, source='"By ""Day"'),
    Shape("stay", 2, "1 week", [], FOLDED, filter="kind IS NOT NULL", permanent=False),
]

ADDED = ["count(*) AS added_count", "max(id) AS added_most", "count(DISTINCT kind) AS added_kinds", "sum(amount) FILTER (WHERE usr < 4) AS added_sum"]

KINDS = ["'buy'", "'click'", "'view'", "NULL"]


def difference(rollup, definition, bound, rows=False):
    """One statement, so one snapshot: how many rows differ between the view and its query from a bound on, or which."""
    view = f"SELECT * FROM {rollup} WHERE bucket >= {bound}"
    query = f"SELECT * FROM {definition} WHERE bucket >= {bound}"
    what = "side, row" if rows else "count(*)"
    order = "ORDER BY row, side LIMIT 20" if rows else ""
    return (f"SELECT {what} FROM (SELECT 'view', a::text FROM ({view} EXCEPT ALL {query}) a "
            f"UNION ALL SELECT 'query', b::text FROM ({query} EXCEPT ALL {view}) b) d (side, row) {order}")


def key_names(rollup):
    shape = next(s for s in SHAPES if s.name == rollup)
    return [key.split(" AS ")[-1] for key in shape.keys]


def a_key(rollup, place):
    """The key of some group, as jsonb."""
    key = "jsonb_build_object(" + ", ".join(f"'{name}', {name}" for name in key_names(rollup)) + ")"
    return f"SELECT key FROM (SELECT DISTINCT {key} AS key FROM {rollup}) k ORDER BY key OFFSET {place} % greatest(1, (SELECT count(DISTINCT {key}) FROM {rollup})) LIMIT 1"


def lookup_difference(rollup, key, rows=False):
    """The same between a lookup and the view."""
    key = "$key$" + key + "$key$::jsonb"
    built = "jsonb_build_object(" + ", ".join(f"'{name}', v.{name}" for name in key_names(rollup)) + ")"
    view = f"SELECT * FROM {rollup} v WHERE {built} = {key}"
    lookup = f"SELECT * FROM strata.rollup_lookup(NULL::{rollup}, {key})"
    what = "side, row" if rows else "count(*)"
    order = "ORDER BY row, side LIMIT 20" if rows else ""
    return (f"SELECT {what} FROM (SELECT 'view', a::text FROM ({view} EXCEPT ALL {lookup}) a "
            f"UNION ALL SELECT 'lookup', b::text FROM ({lookup} EXCEPT ALL {view}) b) d (side, row) {order}")


def exact_from(rollup):
    """From where on a rollup equals its query."""
    return (f"(SELECT greatest(t.retained_from, r.exact_from) FROM strata.rollups r JOIN strata.event_tables t ON t.relation = r.source "
            f"WHERE r.rollup = $${rollup}$$::regclass)")
