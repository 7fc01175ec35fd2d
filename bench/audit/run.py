"""CPU seconds of the backend for the same work on tables that are not audited, audited, and audited by a plpgsql row trigger that
writes jsonb, the best of some runs each. Usage: run.py <directory of the socket> <port> <psql> <directory with the rows>"""

import subprocess
import sys

HOST, PORT, PSQL = sys.argv[1:4]
TABLES = ("plain", "audited", "jsonb_trigger")


def cpu_of(before: str, work: str) -> float:
    psql = subprocess.Popen([PSQL, "-XqAt", "-h", HOST, "-p", PORT, "-U", "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(sql: str) -> list[str]:
        psql.stdin.write(sql + "\n\\echo ==\n")
        psql.stdin.flush()
        return list(iter(lambda: psql.stdout.readline().strip(), "=="))

    pid = run("SELECT pg_backend_pid();")[0]
    run(before)

    def nanoseconds() -> int:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as times:
            return int(times.read().split()[0])

    start = nanoseconds()
    run(work)
    used = nanoseconds() - start
    psql.stdin.close()
    psql.wait()
    return used / 1e9


def compare(name: str, before: str, work: str, runs: int) -> None:
    best = {table: float("inf") for table in TABLES}
    for _ in range(runs):
        for table in TABLES:
            best[table] = min(best[table], cpu_of(before.replace("TABLE", table), work.replace("TABLE", table)))
    ratios = "  ".join(f"{table} {best[table] / best['plain']:.2f}" for table in TABLES[1:])
    print(f"{name:48} plain {best['plain']:.3f} s CPU = 1   {ratios}", flush=True)


INSERT = "".join(f"INSERT INTO TABLE SELECT * FROM source WHERE id > {n * 10000} AND id <= {(n + 1) * 10000};\n" for n in range(10))
EMPTY = "SET client_min_messages = warning; DELETE FROM TABLE; VACUUM TABLE; INSERT INTO TABLE SELECT * FROM source WHERE id <= 10; DELETE FROM TABLE;"
compare("100,000 rows by \\copy, 10,000 a statement", EMPTY, "".join(f"\\copy TABLE FROM '{sys.argv[4]}/rows.{n}'\n" for n in range(10)), 4)
compare("100,000 rows by INSERT … SELECT", EMPTY, INSERT, 3)
compare("UPDATE of 50,000 rows", EMPTY + INSERT + "VACUUM TABLE; UPDATE TABLE SET n = n + 1 WHERE id = 1;", "UPDATE TABLE SET n = n + 1 WHERE id <= 50000;", 3)
