"""What writers do to rows: each function gives one statement (and what COPY sends), drawn from a seeded generator."""
from datetime import timedelta

from model import COLUMNS, KINDS


class Rows:
    """Draws rows and conditions; counts the ids it has given out."""

    def __init__(self, random):
        self.random, self.next_id = random, 1

    def literal(self, table, time):
        return f"'{time:%Y-%m-%d %H:%M:%S}{'+00' if table.time_type == 'timestamptz' else ''}'"

    def time(self, table):
        span = int((table.high - table.low).total_seconds())
        # few instants, half of them late: groups of many rows, and many batches in the same groups
        second = self.random.randrange(0, span, 1800) if self.random.random() < .5 else max(0, span - 1800 * self.random.randrange(1, 200))
        # (the table's days begin up to two hours before UTC's: keep clear of the first)
        time = table.low + timedelta(seconds=second)
        return time.replace(hour=0, minute=0) if table.time_type == "date" else time

    def values(self, table):
        r = self.random
        amount = r.choice(["NULL", "'NaN'", "'Infinity'"]) if r.random() < .04 else str(r.choice([-3, 0, 1, 2.50, 5, 10**6]))
        note = f"note{r.randrange(4)}" * (900 if r.random() < .1 else 1)
        id, self.next_id = self.next_id, self.next_id + 1
        time = self.literal(table, self.time(table))
        usr = r.randrange(7)
        table.recent = (table.recent + [(id, time, usr)])[-60:]
        return [str(id), time, str(usr), r.choice(KINDS), f"'{note}'", amount, str(r.randrange(9))]

    def some(self, table, most=12):
        return [self.values(table) for _ in range(self.random.randint(1, most))]

    def again(self, table):
        """Rows some of which collide with rows inserted lately."""
        known = list(table.recent)
        rows = self.some(table, 6)
        for row in rows:
            if known and self.random.random() < .6:
                id, time, usr = self.random.choice(known)
                row[0], row[1], row[2] = str(id), time, str(usr)
        # one statement must not name a row twice
        return list({(row[0], row[1], row[2]): row for row in rows}.values())

    def where(self, table):
        """A condition that hits a few rows."""
        r = self.random
        begin = self.time(table)
        end = begin + timedelta(hours=r.choice([1, 6, 30, 200]) * (6 if table.days > 20 else 1))
        condition = f"ts >= {self.literal(table, begin)} AND ts < {self.literal(table, end)}"
        return condition + r.choice([f" AND id % 5 = {r.randrange(5)}", f" AND usr = {r.randrange(7)}", " AND kind IS NULL", " AND kind = 'buy'"])


def tuples(rows):
    return ", ".join("(" + ", ".join(row) + ")" for row in rows)


def insert(rows, table, leaf):
    return f"INSERT INTO {table.name} ({COLUMNS}) VALUES {tuples(rows.some(table))}", None


def insert_leaf(rows, table, leaf):
    # (where the row does not belong into a hash partition the statement fails, which is a case too)
    leaf, bound = leaf or (table.name, None)
    value = rows.values(table)
    if bound and rows.random.random() < .9:
        value[1] = f"'{bound}'"
    return f"INSERT INTO {leaf} ({COLUMNS}) VALUES {tuples([value])}", None


def copy(rows, table, leaf):
    lines = []
    for row in rows.some(table, 40):
        lines.append("\t".join("\\N" if v == "NULL" else v.strip("'") for v in row))
    return f"COPY {table.name} ({COLUMNS}) FROM STDIN", "\n".join(lines) + "\n"


def on_conflict(rows, table, leaf):
    action = rows.random.choice(["NOTHING", "UPDATE SET amount = EXCLUDED.amount, kind = EXCLUDED.kind"])
    target = "(id, ts, usr) " if action != "NOTHING" else ""
    return f"INSERT INTO {table.name} ({COLUMNS}) VALUES {tuples(rows.again(table))} ON CONFLICT {target}DO {action}", None


def merge(rows, table, leaf):
    source = ", ".join(
        f"({row[0]}::bigint, {row[1]}::{table.time_type}, {row[2]}, {row[3]}::text, {row[4]}, {row[5]}::numeric, {row[6]}::float8)" for row in rows.again(table))
    return (f"MERGE INTO {table.name} t USING (VALUES {source}) s ({COLUMNS}) ON t.id = s.id AND t.ts = s.ts AND t.usr = s.usr "
            f"WHEN MATCHED AND s.amount > 2 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = s.amount, kind = s.kind "
            f"WHEN NOT MATCHED THEN INSERT ({COLUMNS}) VALUES (s.id, s.ts, s.usr, s.kind, s.note, s.amount, s.score)"), None


def update(rows, table, leaf):
    r = rows.random
    change = r.choice(["amount = coalesce(amount, 0) + 1", "kind = 'view'", "kind = NULL", "usr = (usr + 1) % 7",
                       f"ts = {rows.literal(table, rows.time(table))}", "note = note || '+'", "score = score + 1"])
    return f"UPDATE {leaf[0] if leaf else table.name} SET {change} WHERE {rows.where(table)}", None


def delete(rows, table, leaf):
    return f"DELETE FROM {leaf[0] if leaf else table.name} WHERE {rows.where(table)}", None


def trim(rows, table, leaf):
    return f"DELETE FROM {table.name} WHERE id < {rows.next_id - 2500}", None


def empty_group(rows, table, leaf):
    day = rows.time(table).replace(hour=0, minute=0)
    return (f"DELETE FROM {table.name} WHERE ts >= {rows.literal(table, day)} AND ts < {rows.literal(table, day + timedelta(days=1))}"
            f" AND usr = {rows.random.randrange(7)}"), None


def truncate(rows, table, leaf):
    return f"TRUNCATE {leaf[0] if leaf else table.name}", None


def foreign_batch(rows, table, leaf):
    """Rows that bring batch ids of others: copied with them, or ahead of the sequence."""
    base, rows.next_id = rows.next_id, rows.next_id + 10000
    batch = rows.random.choice(["batch_id", "batch_id", f"batch_id + {rows.random.randrange(1, 4)}", f"(SELECT max(batch_id) + {rows.random.randrange(1, 9)} FROM {table.name})"])
    return (f"INSERT INTO {table.name} ({COLUMNS}, batch_id) SELECT {base} + row_number() OVER (ORDER BY id, ts, usr), "
            f"{COLUMNS[4:]}, {batch} FROM {table.name} WHERE {rows.where(table)} LIMIT 20"), None


def restore(rows, table, leaf):
    """What a restore of a part does: the same rows with their old ids, out and in again."""
    return (f"WITH gone AS (DELETE FROM {table.name} WHERE {rows.where(table)} RETURNING *) "
            f"INSERT INTO {table.name} ({COLUMNS}, batch_id) SELECT {COLUMNS}, batch_id FROM gone"), None


WRITES = [(insert, 30), (insert_leaf, 6), (copy, 8), (on_conflict, 8), (merge, 7), (update, 14), (delete, 7), (empty_group, 4),
          (trim, 1), (truncate, 1.5), (foreign_batch, 3), (restore, 3)]
