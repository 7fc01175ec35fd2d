"""Several sessions driven by one, and the judgement of what they answer.

Everything is drawn from one seed. One driver sends each statement and waits until the session has an answer or is known to
be blocked; then it goes on with another: the interleaving is the seed's, as far as no timeout decides it (maintenance with
others at work gives up after a while, and a killed refresh dies where it happens to be).
"""
import collections
import random
import re
import time

import compare
import model
from rows import Rows
from session import FAILED, IDLE, IN_TRANSACTION, LOST, Session
from upkeep import Upkeep

# What may happen to anybody: serialization, lock timeouts; and what may happen to each kind of statement.
ANYBODY = {"40001", "55P03"}
EXPECTED = {
    # 25001: TRUNCATE outside READ COMMITTED
    "write": {"23514", "23505", "42P01", "ST006", "25001"},
    "refresh": {"ST004", "42P01"},
    "maintain": set(), "ensure": {"ST003"}, "age": {"ST003", "22023"}, "attach": {"ST011"},
    "create": {"42P07", "42P01", "ST004"}, "drop": {"ST004", "42P01"}, "suspend": {"ST004", "42P01"}, "resume": {"ST004", "42P01"}, "rebuild": {"ST004", "42P01"},
    "replace": {"ST004", "42P01", "42P07", "55000"}, "add": {"ST004", "42P01", "55000"}, "look": {"ST010", "42P01"},
    # a transaction that has sent a NOTIFY cannot be prepared
    "prepare": {"0A000"},
}
MANAGING = {"create", "drop", "suspend", "resume", "rebuild", "replace", "add"}
DDL = MANAGING | {"maintain", "attach", "age"}


class Failure(Exception):
    pass


class Driver:
    def __init__(self, seed, dsn, workers, log):
        self.seed, self.log, self.number = seed, log, 0
        self.random = random.Random(seed)
        self.tables = model.tables()
        self.rows = Rows(self.random)
        self.last = collections.deque(maxlen=40)
        self.outcomes = collections.Counter()
        settings = "SET timezone = 'UTC'; SET client_min_messages = warning"
        self.admin = Session("admin", dsn, settings + "; SET lock_timeout = '5s'")
        self.prepare_database()
        # half of the writers own the tables and are nobody else
        self.workers = [Session(f"s{n}", dsn, settings + ("; SET SESSION AUTHORIZATION owner" if n % 2 else "")) for n in range(workers)]
        self.comparison = compare.Comparison(Session("check", dsn, settings + "; SET lock_timeout = '100ms'; SET statement_timeout = '60s'"), self.catalog,
                                              lambda: any(w.changes for w in self.workers))
        self.upkeep = Upkeep(self.random, self.tables, self.catalog)
        self.prepared, self.changes = [], 0
        for worker in self.workers:
            worker.killed, worker.refreshes, worker.changes = False, None, False

    def prepare_database(self):
        run = self.admin.run
        run("CREATE EXTENSION pg_strata; CREATE ROLE owner; CREATE ROLE reader; GRANT ALL ON SCHEMA public TO owner; SET ROLE owner")
        for table in self.tables:
            run(model.create_table(table))
            run(f"SELECT strata.ensure_partitions($${table.name}$$, '{table.low:%F}', '{table.high:%F}')")
        run("SET client_min_messages = error; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader")
        for shape in model.SHAPES:
            if shape.permanent:
                run(shape.create(self.tables[shape.table]))
        run("RESET ROLE")
        # (what the reader is granted through defaults are the views; the rest is taken away again)
        for relation, in run("SELECT c.oid::regclass FROM pg_class c WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"):
            run(f"REVOKE ALL ON {relation} FROM reader")

    def catalog(self):
        return [(rollup, table, suspended == "t", int(columns)) for rollup, table, suspended, columns in self.admin.run(
            "SELECT r.rollup::regclass, t.relation::regclass, r.suspended_at IS NOT NULL, c.relnatts FROM strata._rollups r "
            "JOIN strata._event_tables t USING (table_id) JOIN pg_class c ON c.oid = r.rollup WHERE r.rollup::text <> 'swap' ORDER BY r.rollup::text")]

    def leaf(self, table):
        """A partition of any level, and the lower bound of its range."""
        # (neither pg_partition_tree nor pg_get_expr with a relation: they wait for locks)
        leaves = self.admin.run(f"""
            WITH RECURSIVE tree AS (
                SELECT c.oid, substring(pg_get_expr(c.relpartbound, 0) FROM $$FROM \\('([^']+)'$$) AS lower
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $${table.name}$$::regclass AND NOT i.inhdetachpending
                UNION ALL SELECT i.inhrelid, t.lower FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid)
            SELECT oid::regclass, lower FROM tree ORDER BY oid::regclass::text""")
        return self.random.choice(leaves) if leaves else None

    # --- sending and waiting -------------------------------------------------------------------------------------------

    def say(self, line):
        self.last.append(line)
        print(line, file=self.log)

    def issue(self, worker, kind, sql, copy=None):
        self.say(f"{self.number:6} {worker.name} {kind}: {sql if len(sql) < 700 else sql[:700] + ' …'}")
        if worker.state == IDLE:
            worker.statements = 0
            worker.began = self.changes
            worker.changes = False
        worker.statements += 1
        if kind in DDL or "TRUNCATE" in sql:
            self.changes += 1
            worker.changes = True
        worker.kind = kind
        worker.send((kind, sql), sql, copy)
        self.settle()

    def settle(self):
        """Until every session has its answer or waits for another."""
        began, looked = time.monotonic(), time.monotonic()
        while True:
            busy = [w for w in self.workers if w.operation is not None]
            for worker in busy:
                if worker.poll():
                    self.finish(worker)
                    looked = time.monotonic()
            busy = [w for w in busy if w.operation is not None]
            if not busy:
                return
            now = time.monotonic()
            if now - looked > 0.004:
                if self.all_blocked(busy):
                    return
                looked = time.monotonic()
            if now - began > 120:
                raise Failure(f"no answer for two minutes: {[w.operation for w in busy]}")
            time.sleep(0.0005)

    def all_blocked(self, busy):
        waits = {int(pid): (by, event) for pid, by, event in self.admin.run(
            "SELECT pid, array_to_string(pg_blocking_pids(pid), ' '), wait_event FROM pg_stat_activity "
            f"WHERE pid IN ({', '.join(str(w.pid) for w in busy)})")}
        if any(w.pid not in waits or not (waits[w.pid][0] or waits[w.pid][1] in ("SyncRep", "PgSleep")) for w in busy):
            return False
        # a circle is for the deadlock detector to break
        edges = {pid: [int(p) for p in by.split()] for pid, (by, _) in waits.items()}
        return not any(self.reaches(edges, pid, pid, set()) for pid in edges)

    def reaches(self, edges, pid, target, seen):
        for after in edges.get(pid, []):
            if after == target:
                return True
            if after not in seen:
                seen.add(after)
                if self.reaches(edges, after, target, seen):
                    return True
        return False

    def finish(self, worker):
        (kind, sql), outcome = worker.operation, worker.outcome
        worker.operation = None
        self.say(f"{self.number:6} {worker.name} -> {outcome}")
        self.outcomes[f"{kind} {outcome.sqlstate or 'ok'}"] += 1
        if worker.changes and worker.state != IN_TRANSACTION:
            # from here on others may see it
            self.changes += 1
            worker.changes = False
        if worker.state == LOST or outcome.sqlstate in ("LOST", "57P01", "57P02"):
            if not worker.killed:
                raise Failure(f"{worker.name} lost its connection: {outcome}")
            return
        if outcome.sqlstate == "40P01":
            self.judge_deadlock(worker, sql, outcome)
        elif outcome.sqlstate == "ST004" and kind == "look" and worker.isolation != "READ COMMITTED" and worker.began != self.changes:
            # a rollup that is newer than the snapshot
            pass
        elif outcome.sqlstate and outcome.sqlstate not in ANYBODY | EXPECTED.get(kind, set()):
            raise Failure(f"unexpected {outcome}\n{outcome.detail}\n{outcome.context}\n{sql[:2000]}")
        elif not outcome.sqlstate:
            if kind == "prepare":
                gid = sql.split("'")[1]
                # PREPARE in a failed transaction rolls back
                if self.admin.run(f"SELECT FROM pg_prepared_xacts WHERE gid = '{gid}'"):
                    self.prepared.append(gid)
            elif kind == "look" and outcome.rows != [("0",)]:
                self.judge_look(worker, sql)
        # a multi-statement string that failed inside its own BEGIN
        if worker.state == FAILED and kind in ("attach",):
            worker.run("ROLLBACK")

    def judge_look(self, worker, sql):
        # an old snapshot sees the rows that TRUNCATE or DDL left, not those it saw: PostgreSQL's own rule; and who looked may
        # have waited for whoever did so, whose answer has not been read yet
        at_work = any(w.changes for w in self.workers if w is not worker)
        if worker.isolation != "READ COMMITTED" and (worker.began != self.changes or at_work):
            return
        rows = worker.run(sql.replace("count(*)", "side, row", 1) + " ORDER BY row, side LIMIT 20")
        raise compare.Differs(f"{worker.name}, {worker.isolation}, sees a rollup differ from its query:\n" + "\n".join(f"  {side:5} {row[:300]}" for side, row in rows))

    def judge_deadlock(self, worker, sql, outcome):
        """Writers that lock rows in their own orders deadlock by themselves, and so may whoever holds locks from an earlier
        statement of its transaction; a single statement of upkeep may not, but for one case."""
        pids = {int(pid) for pid in re.findall(r"Process (\d+) waits", outcome.detail)}
        parties = [w for w in self.workers if w.pid in pids]
        self.say(f"       deadlock of {[(w.name, w.kind, w.statements) for w in parties]}: {outcome.detail}")
        upkeep = [w for w in parties if w.kind not in ("write", "look") and w.statements <= 1]
        # docs/rollups.md: whoever refreshes and then writes, in one transaction, is in the way of these; and whoever waits for
        # them, with locks of earlier statements, may look for a circle in just the moment in which they try for one of those
        documented = all(w.kind in MANAGING for w in upkeep) and (any(w.refreshes for w in parties if w not in upkeep) or worker not in upkeep)
        if upkeep and not documented:
            raise Failure(f"deadlock that is not documented: {outcome.detail}\n{sql[:500]}\n{outcome.context}")
