"""CPU seconds of the backend for the same statements on a table that is not audited, on one that is, and on such with the usual
plpgsql triggers: the best of some runs each. Usage: statements.py <directory with the rows to copy> [statements, by their first word]"""

import sys

from server import cpu_of

ROWS = sys.argv[1]
ONLY = sys.argv[2:]
SHAPES = ("plain", "audited", "jsonb_trigger", "hstore_trigger")
EMPTY = "SET client_min_messages = warning; DELETE FROM TABLE; VACUUM TABLE; INSERT INTO TABLE SELECT * FROM source WHERE id <= 10; DELETE FROM TABLE;\n"
INSERT = "".join(f"INSERT INTO TABLE SELECT * FROM source WHERE id > {n * 10000} AND id <= {(n + 1) * 10000};\n" for n in range(10))


def copy(relation: str, columns: str = "") -> str:
    return "".join(f"\\copy {relation} {columns} FROM '{ROWS}/rows.{n}'\n" for n in range(10))


def compare(name: str, before: str, work: str, runs: int) -> None:
    if ONLY and name.split()[0] not in ONLY:
        return
    best = dict.fromkeys(SHAPES, float("inf"))
    for _ in range(runs):
        for shape in SHAPES:
            best[shape] = min(best[shape], cpu_of(before.replace("TABLE", shape), work.replace("TABLE", shape)))
    plain = best["plain"]
    print(f"{name:46} {plain * 1000:6.0f} ms" + "".join(f"{best[shape] / plain:16.2f}" for shape in SHAPES[1:]), flush=True)


print(f"{'CPU of the backend, plain = 1':46} {'plain':>9}" + "".join(f"{shape:>16}" for shape in SHAPES[1:]))
FULL = EMPTY + INSERT + "VACUUM TABLE; UPDATE TABLE SET n = n + 1 WHERE id = 1;"
EVENTS = EMPTY.replace("TABLE SELECT *", "TABLE (id, name, amount, at, ok, n) SELECT *").replace("TABLE", "TABLE_events")
compare("COPY 100,000 rows, 10,000 a statement", EMPTY, copy("TABLE"), 4)
compare("COPY of the same into an event table's leaf", EVENTS, copy("TABLE_events_p2024_01_01", "(id, name, amount, at, ok, n)"), 4)
compare("INSERT … SELECT of the same", EMPTY, INSERT, 3)
compare("UPDATE of 50,000 rows", FULL, "UPDATE TABLE SET n = n + 1 WHERE id <= 50000;", 4)
compare("DELETE of 50,000 rows", FULL, "DELETE FROM TABLE WHERE id <= 50000;", 3)
