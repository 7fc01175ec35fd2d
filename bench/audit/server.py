"""What the benchmarks of the audit log ask of a server: SQL in a session whose CPU time is read, pgbench."""

import os
import subprocess
import time

HOST = os.environ["PGHOST"]
BIN = os.environ["BENCH_BINDIR"]
TICKS = os.sysconf("SC_CLK_TCK")


class Session:
    """psql, and the server process behind it."""

    def __init__(self) -> None:
        self.psql = subprocess.Popen([f"{BIN}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.run("SELECT pg_backend_pid();")[0]

    def run(self, sql: str) -> list[str]:
        self.psql.stdin.write(sql + "\n\\echo ==\n")
        self.psql.stdin.flush()
        lines = []
        while (line := self.psql.stdout.readline()) != "==\n":
            if not line:
                raise SystemExit(f"psql ended: {sql[:200]}")
            lines.append(line.rstrip("\n"))
        return lines

    def value(self, sql: str) -> float:
        return float(self.run(sql)[0])

    def cpu(self) -> float:
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as times:
            return int(times.read().split()[0]) / 1e9

    def close(self) -> None:
        self.psql.stdin.close()
        self.psql.wait()


def cpu_of(before: str, work: str) -> float:
    """CPU seconds of a backend for some work in a session of its own."""
    session = Session()
    session.run(before)
    start = session.cpu()
    session.run(work)
    used = session.cpu() - start
    session.close()
    return used


def children_cpu() -> float:
    """CPU seconds of the server's backends that have ended."""
    with open(f"{HOST}/data/postmaster.pid", encoding="ascii") as lines:
        pid = lines.readline().strip()
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def pgbench(script: str, clients: int, seconds: int) -> subprocess.Popen:
    return subprocess.Popen(
        [f"{BIN}/pgbench", "-n", "-f", script, "-c", str(clients), "-j", "2", "-T", str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def outcome(running: subprocess.Popen) -> tuple[float, int]:
    """Transactions a second, and how many there were."""
    lines = running.communicate()[0].splitlines()
    if running.returncode != 0:
        raise SystemExit("pgbench failed")
    tps = next(float(line.split()[2]) for line in lines if line.startswith("tps"))
    count = next(int(line.split(":")[1].split("/")[0]) for line in lines if line.startswith("number of transactions actually"))
    return tps, count


def rates(script: str, clients: int, seconds: int) -> tuple[float, float]:
    """Transactions a second, and CPU microseconds of the server for each."""
    before = children_cpu()
    tps, count = outcome(pgbench(script, clients, seconds))
    time.sleep(0.2)
    return tps, (children_cpu() - before) / count * 1e6
