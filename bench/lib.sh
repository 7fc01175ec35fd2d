# What the benchmarks share: a server, reading what a process used, medians. Sourced, never run.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

bench_pg() { # a server set up so that checkpoints do not fall into one side's time only
    "$ROOT/scripts/pg.sh" create shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=1h timezone=UTC "$@"
}
sql() { "$ROOT/scripts/pg.sh" psql "$dir" -d bench -qAt "$@"; }

now() { date +%s.%N; }
calc() { awk "BEGIN { printf \"%.3f\", $1 }"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

cpu_seconds() { # of one process so far, user and system
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat" 2>/dev/null || echo 0
}
peak_mb() { awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }
