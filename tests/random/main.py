"""The test: draws an operation for a session that is free, again and again; compares at random moments and at the end."""
import argparse
import os
import signal
import sys
import time

from compare import SKIPPED, Differs
from driver import Driver, Failure
from model import a_key, difference, exact_from, lookup_difference
from rows import WRITES, insert_leaf, truncate
from session import BUSY, FAILED, IDLE, LOST

ISOLATIONS = ["READ COMMITTED"] * 4 + ["REPEATABLE READ"] * 2 + ["SERIALIZABLE"]


class Steps(Driver):
    def step(self):
        self.number += 1
        free = [w for w in self.workers if w.state != BUSY]
        if not free or self.random.random() < .1:
            self.interfere(free)
            return
        worker = self.random.choice(free)
        if worker.state == IDLE:
            self.begin_or_alone(worker)
        else:
            self.within(worker)

    def draw(self, choices):
        return self.random.choices([c for c, _ in choices], [w for _, w in choices])[0]

    # --- a session with no transaction open ----------------------------------------------------------------------------

    def begin_or_alone(self, worker):
        worker.isolation, worker.refreshes = "READ COMMITTED", None
        self.draw([(self.begin, 26), (self.write, 32), (self.refresh, 8), (self.refresh_all, 2), (self.look, 3), (self.arrange, 3.5),
                   (self.manage, 2.5), (self.maintain, 1.5)])(worker)

    def begin(self, worker):
        worker.isolation = self.random.choice(ISOLATIONS)
        # replica: what a replication or restore tool sets; the triggers of the rollups are ENABLE ALWAYS
        replica = "; SET LOCAL session_replication_role = replica" if self.random.random() < .15 and int(worker.name[1:]) % 2 == 0 else ""
        worker.savepoints = []
        worker.refreshes = None
        self.issue(worker, "begin", f"BEGIN ISOLATION LEVEL {worker.isolation}{replica}")

    def write(self, worker):
        table = self.random.choice(self.tables)
        make = self.draw(WRITES)
        # (the whole table is seldom emptied)
        leaf = self.leaf(table) if self.random.random() < {insert_leaf: 1, truncate: .9}.get(make, .2) else None
        sql, copy = make(self.rows, table, leaf)
        self.issue(worker, "write", sql, copy)

    def refresh(self, worker):
        self.run_upkeep(worker, self.upkeep.refresh(self.random.choice(self.tables)))

    def refresh_all(self, worker):
        self.run_upkeep(worker, self.upkeep.refresh_all(self.random.choice(self.tables)))

    def arrange(self, worker):
        kind = self.draw([(self.upkeep.ensure, 2), (self.upkeep.grow, 2), (self.upkeep.age, 2), (self.upkeep.attach, 1)])
        self.run_upkeep(worker, kind(self.random.choice(self.tables)))

    def manage(self, worker):
        self.run_upkeep(worker, self.upkeep.manage())

    def maintain(self, worker):
        """Alone with the frozen groups foretold, or among the others."""
        table = self.random.choice(self.tables)
        alone = self.random.random() < .7
        if alone:
            self.drain()
            if self.workers[0].state != IDLE:
                return
            worker, expected = self.workers[0], self.comparison.expect_frozen(table)
        self.run_upkeep(worker, self.upkeep.maintain(table))
        if alone and worker.state == IDLE:
            self.comparison.froze(expected)

    def run_upkeep(self, worker, operation):
        if operation:
            self.issue(worker, *operation)

    def look(self, worker):
        rollup = self.upkeep.rollup(suspended=False)
        if rollup:
            definition = self.admin.run(f"SELECT r.definition::regclass FROM strata._rollups r WHERE r.rollup = $${rollup}$$::regclass")[0][0]
            sql = difference(rollup, definition, exact_from(rollup))
            if self.random.random() < .5:
                key = self.a_key(rollup, self.random.randrange(1000))
                sql = lookup_difference(rollup, key) if key else sql
            self.issue(worker, "look", sql)

    def a_key(self, rollup, place):
        """Of some group, where nobody holds the table against readers."""
        try:
            rows = self.admin.run(f"BEGIN; SET LOCAL lock_timeout = '50ms'; {a_key(rollup, place)}; COMMIT")
        except RuntimeError as error:
            if not str(error).startswith(SKIPPED):
                raise
            self.admin.run("ROLLBACK")
            return None
        return rows[0][0] if rows else None

    # --- a session inside a transaction --------------------------------------------------------------------------------

    def within(self, worker):
        if worker.state == FAILED:
            if worker.savepoints and self.random.random() < .7:
                self.roll_back_to(worker)
            else:
                self.issue(worker, "rollback", "ROLLBACK")
        elif worker.statements > 12:
            self.issue(worker, "commit", "COMMIT")
        else:
            self.draw([(self.write, 55), (self.savepoint, 7), (self.roll_back_to, 5), (self.release, 2), (self.refresh_within, 8), (self.look, 6),
                       (self.commit, 14), (self.roll_back, 4), (self.prepare, 4), (self.commit_waiting, 3)])(worker)

    def savepoint(self, worker):
        worker.savepoints.append(f"p{self.number}")
        self.issue(worker, "savepoint", f"SAVEPOINT p{self.number}")

    def roll_back_to(self, worker):
        if worker.savepoints:
            del worker.savepoints[self.random.randrange(len(worker.savepoints)) + 1:]
            self.issue(worker, "savepoint", f"ROLLBACK TO {worker.savepoints[-1]}")

    def release(self, worker):
        if worker.savepoints:
            self.issue(worker, "savepoint", f"RELEASE {worker.savepoints.pop()}")

    def refresh_within(self, worker):
        # one rollup a transaction: two refreshed in opposite orders deadlock, as any two locks do
        worker.refreshes = worker.refreshes or self.upkeep.rollup(suspended=False)
        if worker.refreshes:
            self.issue(worker, "refresh", f"SELECT strata.refresh_rollup($${worker.refreshes}$$)")

    def commit(self, worker):
        self.issue(worker, "commit", "COMMIT")

    def roll_back(self, worker):
        self.issue(worker, "rollback", "ROLLBACK")

    def prepare(self, worker):
        if len(self.prepared) < 2:
            self.issue(worker, "prepare", f"PREPARE TRANSACTION 'g{self.number}'")

    def commit_waiting(self, worker):
        # for a standby that does not exist: committed, and not visible until somebody cancels the wait
        self.issue(worker, "commit", "SET LOCAL synchronous_commit = on; COMMIT")

    # --- what happens to sessions --------------------------------------------------------------------------------------

    def interfere(self, free):
        choices = [(self.check, 4)] if free else []
        if self.prepared:
            choices.append((self.finish_prepared, 4))
        if self.waiting():
            choices.append((self.release_commit, 4))
        choices += [(self.terminate, .4), (self.kill_refresh, .6), (self.crash, .12 if free else .01)]
        self.draw(choices)()

    def check(self):
        table = self.random.choice(self.tables)
        refresh = self.random.random() < .4
        # one rollup of it, or now and then all of them
        only = self.upkeep.rollup(table) if self.random.random() < .85 else None
        self.say(f"{self.number:6} check {only or table.name} refresh={refresh}")
        self.comparison.table(table, refresh, only)

    def waiting(self):
        busy = {w.pid: w for w in self.workers if w.state == BUSY}
        if not busy:
            return []
        pids = self.admin.run(f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid IN ({', '.join(map(str, busy))}) ORDER BY pid")
        return sorted((busy[int(pid)] for pid, in pids), key=lambda w: w.name)

    def finish_prepared(self):
        gid = self.prepared.pop(self.random.randrange(len(self.prepared)))
        verb = "COMMIT" if self.random.random() < .7 else "ROLLBACK"
        self.say(f"{self.number:6} admin {verb} PREPARED {gid}")
        # (it may hold a TRUNCATE)
        self.changes += 1
        self.admin.run(f"{verb} PREPARED '{gid}'")
        self.settle()

    def release_commit(self):
        worker = self.random.choice(self.waiting())
        self.say(f"{self.number:6} admin cancels the wait of {worker.name}")
        self.admin.run(f"SELECT pg_cancel_backend({worker.pid})")
        deadline = time.monotonic() + 10
        while worker.state == BUSY and time.monotonic() < deadline:
            self.settle()

    def terminate(self, worker=None):
        worker = worker or self.random.choice(self.workers)
        self.say(f"{self.number:6} admin terminates {worker.name}")
        worker.killed = True
        self.admin.run(f"SELECT pg_terminate_backend({worker.pid}, 10000)")
        worker.close()
        worker.operation = None
        worker.connect()
        worker.killed = False
        self.settle()

    def begin_to_refresh(self):
        idle = [w for w in self.workers if w.state == IDLE]
        operation = self.upkeep.refresh(self.random.choice(self.tables))
        if not idle or not operation:
            return None
        worker = self.random.choice(idle)
        self.say(f"{self.number:6} {worker.name} begins: {operation[1]}")
        worker.statements, worker.kind = 1, "refresh"
        worker.send(operation, operation[1])
        time.sleep(self.random.random() * .03)
        return worker

    def kill_refresh(self):
        worker = self.begin_to_refresh()
        if worker:
            self.terminate(worker)

    def crash(self):
        """kill -9 of a session, in the middle of a refresh: all sessions go, and the server recovers from its log."""
        worker = self.begin_to_refresh() or self.random.choice(self.workers)
        self.say(f"{self.number:6} kill -9 of {worker.name}")
        everybody = [*self.workers, self.admin, self.comparison.session]
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(.2)
        for session in everybody:
            session.close()
            session.operation = None
        self.outcomes["crash"] += 1
        for session in everybody:
            session.connect()
        self.prepared = [gid for gid, in self.admin.run("SELECT gid FROM pg_prepared_xacts ORDER BY gid")]
        self.comparison.crashed = True

    # --- the end -------------------------------------------------------------------------------------------------------

    def drain(self):
        """Everybody ends what they are at."""
        for _ in range(200):
            for gid in self.prepared:
                self.admin.run(f"COMMIT PREPARED '{gid}'")
            self.prepared = []
            for worker in self.waiting():
                self.admin.run(f"SELECT pg_cancel_backend({worker.pid})")
            self.settle()
            at_work = [w for w in self.workers if w.state not in (IDLE, BUSY)]
            for worker in at_work:
                self.issue(worker, "commit", "ROLLBACK" if worker.state == FAILED else "COMMIT")
            if all(w.state == IDLE for w in self.workers):
                return
            time.sleep(0 if at_work else .05)
        raise Failure(f"sessions do not end: {[(w.name, w.state, w.operation) for w in self.workers]}")

    def run(self, operations):
        try:
            while self.number < operations:
                self.step()
                if self.watch:
                    for table in self.tables:
                        self.comparison.table(table, False, self.watch)
            self.drain()
            for table in self.tables:
                self.comparison.table(table, True)
        finally:
            for worker in self.workers:
                worker.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dsn", required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--operations", type=int, default=2000)
    arguments.add_argument("--sessions", type=int, default=5)
    arguments.add_argument("--log", default=os.devnull, help="file for every operation")
    arguments.add_argument("--watch", help="compare this rollup after every operation, to find the one that did it")
    given = arguments.parse_args()
    print(f"seed {given.seed}, {given.operations} operations, {given.sessions} sessions", flush=True)
    began = time.monotonic()
    with open(given.log, "w", buffering=1) as log:
        steps = Steps(given.seed, given.dsn, given.sessions, log)
        steps.watch = given.watch
        try:
            steps.run(given.operations)
        except (Differs, Failure, RuntimeError) as failure:
            print("\n".join(line[:600] for line in steps.last))
            print(f"FAILED at operation {steps.number} of seed {given.seed}: {failure}")
            print(f"replay: tests/random/run.sh --seed {given.seed} --operations {steps.number}")
            sys.exit(1)
        finally:
            print(", ".join(f"{what}: {count}" for what, count in sorted(steps.outcomes.items())), file=log)
    comparison = steps.comparison
    print(f"{steps.number} operations in {time.monotonic() - began:.0f} s, {steps.outcomes['look ok'] + comparison.done} comparisons ({comparison.skipped} skipped), "
          f"{comparison.frozen_groups} looks at a frozen group, {steps.outcomes['crash']} crashes")


if __name__ == "__main__":
    main()
