#!/usr/bin/env bash
# What passing repeated events over costs: the same lines from a file into tables without an index on the event's id, with
# one, with one that is asked (dedupe), and with one in which every tenth event is a repetition. CPU of the server's
# processes for a row, alternating rounds in one run, medians. BENCH_ROWS and BENCH_ROUNDS change its size.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
rows=${BENCH_ROWS:-200000}
rounds=${BENCH_ROUNDS:-3}
work=$(mktemp -d)
dir=$(bench_pg autovacuum=off)
trap '"$ROOT/scripts/pg.sh" destroy "$dir"; rm -rf "$work"' EXIT
eval "$(scripts/pg.sh env "$dir")"
scripts/pg.sh psql "$dir" -qc 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION pg_strata'
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/bench STRATA_WORKER=bench

title "making $rows lines"
"$BIN/strata" produce --dry-run --count $((rows * 2)) --late-share 0 --span-hours 48 --seed 1 2>/dev/null >"$work/all"
head -n "$rows" "$work/all" >"$work/before"
tail -n "$rows" "$work/all" >"$work/new"
# every tenth is one that is there already
awk 'NR == FNR { if (FNR % 10 == 0) old[FNR] = $0; next } FNR in old { print old[FNR]; next } 1' "$work/before" "$work/new" >"$work/repeated"

postmaster=$(head -n 1 "$dir/data/postmaster.pid")
reaped() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) / hz }' "/proc/$postmaster/stat"; }
carry() { # carry <file> <dedupe>
    cat >"$work/strata.toml" <<TOML
[refresh]
interval_ms = 0
[[feeds]]
stream = "file:$1"
relation = "clicks"
dedupe = "$2"
TOML
    "$BIN/strata" ingest --config "$work/strata.toml" >"$work/log" 2>&1 || { tail "$work/log" >&2; die "it failed"; }
}
round() { # round <results> <index> <dedupe> <file>
    sql -c "DROP TABLE IF EXISTS clicks CASCADE" 2>/dev/null
    sql -v table=clicks -f bench/schema.sql
    sql -c "SELECT strata.create_event_table('clicks', 'ts')" -c "SELECT strata.ensure_partitions('clicks', now() - interval '4 days', now())" >/dev/null
    [ -z "$2" ] || sql -c "CREATE INDEX ON clicks (event_id, ts)"
    carry "$work/before" ''
    sql -c 'VACUUM ANALYZE clicks' -c CHECKPOINT
    local cpu began ended
    cpu=$(reaped) began=$(now)
    carry "$4" "$3"
    ended=$(now)
    # A backend counts when it is gone.
    until [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'strata'")" = 0 ]; do sleep 0.05; done
    echo "$(calc "($(reaped) - $cpu) * 1e6 / $rows") $(calc "$rows / ($ended - $began)")" >>"$1"
}
for _ in $(seq "$rounds"); do
    round "$work/plain" '' '' "$work/new"
    round "$work/index" yes '' "$work/new"
    round "$work/dedupe" yes event_id "$work/new"
    round "$work/tenth" yes event_id "$work/repeated"
done
[ "$(sql -c 'SELECT count(*) - count(DISTINCT event_id) FROM clicks')" = 0 ] || die "a repetition came in"
title "server CPU in microseconds a row, rows a second"
for one in plain index dedupe tenth; do
    printf '%-8s %8.2f %10.0f\n' "$one" "$(cut -d' ' -f1 "$work/$one" | median)" "$(cut -d' ' -f2 "$work/$one" | median)"
done
ratio() { calc "$(cut -d' ' -f1 "$work/$1" | median) / $(cut -d' ' -f1 "$work/$2" | median)"; }
say "an index costs $(ratio index plain) of none, asking it $(ratio dedupe index) of having it"
