"""One connection that never makes the driver wait: statements are sent, and looked after later.

Knows nothing of event tables. libpq through psycopg.pq, because a statement blocked by another session of the same
driver must not block the driver.
"""
import time

from psycopg import pq

BUSY, IDLE, IN_TRANSACTION, FAILED, LOST = "busy", "idle", "in transaction", "failed", "lost"

class Outcome:
    """What came of a statement: the last error, if any, and the rows of the last result."""

    def __init__(self):
        self.sqlstate = self.message = self.detail = self.context = None
        self.rows = []

    def __str__(self):
        if self.sqlstate:
            return f"{self.sqlstate} {self.message}"
        return "ok" if len(self.rows) != 1 else f"ok {'|'.join(str(v) for v in self.rows[0])[:60]}"

class Session:
    def __init__(self, name, dsn, setup=""):
        self.name, self.dsn, self.setup = name, dsn, setup
        self.operation = None
        self.connect()

    def connect(self):
        deadline = time.monotonic() + 60
        while True:
            self.conn = pq.PGconn.connect(self.dsn.encode())
            if self.conn.status == pq.ConnStatus.OK:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(self.conn.error_message.decode())
            time.sleep(0.02)
        self.pid = self.conn.backend_pid
        self.operation = None
        self.outcome = None
        if self.setup:
            self.run(self.setup)

    @property
    def state(self):
        if self.operation is not None:
            return BUSY
        status = self.conn.transaction_status
        return {pq.TransactionStatus.IDLE: IDLE, pq.TransactionStatus.INTRANS: IN_TRANSACTION,
                pq.TransactionStatus.INERROR: FAILED}.get(status, LOST)

    def send(self, operation, sql, copy=None):
        self.operation, self.copy, self.outcome = operation, copy, Outcome()
        try:
            self.conn.send_query(sql.encode())
        except Exception:
            # the server was gone already: poll says so
            pass

    def poll(self):
        """True once the statement has ended; its outcome is in self.outcome then."""
        try:
            self.conn.consume_input()
        except Exception:
            self.outcome.sqlstate, self.outcome.message = "LOST", "connection lost"
            return True
        while not self.conn.is_busy():
            result = self.conn.get_result()
            if result is None:
                return True
            self.take(result)
            if self.conn.status != pq.ConnStatus.OK:
                self.outcome.sqlstate, self.outcome.message = self.outcome.sqlstate or "LOST", "connection lost"
                return True
        return False

    def take(self, result):
        if result.status == pq.ExecStatus.COPY_IN:
            self.conn.put_copy_data(self.copy.encode())
            self.conn.put_copy_end()
        elif result.status == pq.ExecStatus.FATAL_ERROR:
            def field(which):
                return (result.error_field(which) or b"").decode()
            D = pq.DiagnosticField
            self.outcome.sqlstate = field(D.SQLSTATE) or "LOST"
            self.outcome.message, self.outcome.detail, self.outcome.context = (
                field(D.MESSAGE_PRIMARY), field(D.MESSAGE_DETAIL), field(D.CONTEXT))
        elif result.status == pq.ExecStatus.TUPLES_OK:
            self.outcome.rows = [
                tuple(None if (v := result.get_value(r, c)) is None else v.decode() for c in range(result.nfields))
                for r in range(result.ntuples)]

    def run(self, sql):
        """Waits for a statement that nobody can block, and gives its rows."""
        self.send("run", sql)
        while not self.poll():
            time.sleep(0.0005)
        outcome, self.operation = self.outcome, None
        if outcome.sqlstate:
            raise RuntimeError(f"{outcome} {outcome.detail or ''}\n{sql}")
        return outcome.rows

    def close(self):
        self.conn.finish()
