"""What operators do beside the writers: partitions, retention, rollups that come, go and change."""
from datetime import timedelta

from model import ADDED, SHAPES


class Upkeep:
    """Each method gives (name, SQL) for one session, or None where there is nothing to do it to."""

    def __init__(self, random, tables, catalog):
        # catalog() lists (rollup, table name, suspended, number of columns)
        self.random, self.tables, self.catalog = random, tables, catalog
        self.attached = 0

    def rollup(self, table=None, suspended=None):
        known = [r for r in self.catalog() if (table is None or r[1] == table.name) and (suspended is None or r[2] == suspended)]
        return self.random.choice(known)[0] if known else None

    def refresh(self, table):
        rollup = self.rollup(table)
        return rollup and ("refresh", f"SELECT strata.refresh_rollup($${rollup}$$)")

    def refresh_all(self, table):
        return "refresh", f"CALL strata.refresh_rollups($${table.name}$$)"

    def maintain(self, table):
        return "maintain", f"CALL strata.maintain_partitions($${table.name}$$)"

    def ensure(self, table):
        return "ensure", (f"SELECT strata.ensure_partitions($${table.name}$$, '{table.low:%F}', '{table.high - timedelta(seconds=1):%F %T}')")

    def grow(self, table):
        table.high += timedelta(days=max(1, table.days // 12))
        return self.ensure(table)

    def age(self, table):
        """Moves retention on by a week or a month, and the rows that come with it."""
        if not table.retention_step:
            return self.grow(table)
        table.low = table.next_low()
        while table.high < table.low + timedelta(days=table.days * 3 / 4):
            table.high += timedelta(days=1)
        past = f"now() - '{table.low:%F} 00:00:00 {table.timezone}'::timestamptz"
        return "age", (f"SELECT strata.alter_event_table($${table.name}$$, retention => {past}, accept_past => {past}); "
                       + self.ensure(table)[1])

    def attach(self, table):
        """A filled table, past what there are partitions for, becomes a partition."""
        self.attached += 1
        name = f"attached_{self.attached}"
        step = {"1 day": 1, "1 month": 31, "7 days": 7}[table.interval]
        day = table.high + timedelta(days=2 * step)
        table.high = day + timedelta(days=step)
        base = 10**9 + self.attached * 1000
        return "attach", (
            f"BEGIN; CREATE TABLE {name} (LIKE {table.name}); ALTER TABLE {name} DROP COLUMN batch_id; INSERT INTO {name} (id, ts, usr, kind, note, amount, score) "
            f"SELECT {base} + n, '{day:%F} 12:00'::{table.time_type}, n % 5, 'import', 'attached', n, n FROM generate_series(1, 30) n; "
            f"SELECT strata.attach_partition($${table.name}$$, $${name}$$); COMMIT")

    def manage(self):
        return self.random.choices(
            [self.create, self.drop, self.suspend, self.resume, self.rebuild, self.replace, self.add], [5, 3, 1, 3, 2, 2, 1.5])[0]()

    def create(self):
        there = {r[0] for r in self.catalog()}
        gone = [s for s in SHAPES if s.name not in there]
        if not gone:
            return None
        shape = self.random.choice(gone)
        return "create", "SET client_min_messages = error; " + shape.create(self.tables[shape.table], self.random.random() < .5)

    def drop(self):
        going = [s.name for s in SHAPES if not s.permanent and s.name in {r[0] for r in self.catalog()}]
        return ("drop", f"SELECT strata.drop_rollup($${self.random.choice(going)}$$)") if going else None

    def suspend(self):
        return "suspend", f"SELECT strata.suspend_rollup($${self.rollup()}$$)"

    def resume(self):
        rollup = self.rollup(suspended=True)
        return rollup and ("resume", f"SELECT strata.resume_rollup($${rollup}$$)")

    def rebuild(self):
        return "rebuild", f"SELECT strata.rebuild_rollup($${self.rollup()}$$)"

    def replace(self):
        shape = self.random.choice(SHAPES)
        if shape.name not in {r[0] for r in self.catalog()}:
            return None
        return "replace", ("SET client_min_messages = error; " + shape.create(self.tables[shape.table], name="swap")
                           + f"; SELECT strata.replace_rollup($${shape.name}$$, 'swap', discard_frozen => true); GRANT SELECT ON {shape.name} TO reader")

    def add(self):
        few = [r for r in self.catalog() if r[3] < 11 and not r[2]]
        if not few:
            return None
        aggregate = self.random.choice(ADDED) + str(self.random.randrange(1000))
        return "add", f"SET client_min_messages = error; SELECT strata.add_rollup_aggregate($${self.random.choice(few)[0]}$$, $${aggregate}$$)"
