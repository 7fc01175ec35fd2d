#!/usr/bin/env bash
# A conversion that is broken off hard, twice, beside writers: the next call goes on, and no row is lost, doubled or stale.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
dir=$(scripts/pg.sh create fsync=off)
writers=()
finish() {
    for pid in "${writers[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    scripts/pg.sh destroy "$dir"
}
trap finish EXIT
sql() { scripts/pg.sh psql "$dir" -qAt "$@"; }
ask() { sql -c "$1" 2>/dev/null || true; }

until_true() { # until_true <query>: asks until it says t, through restarts of the server
    for _ in $(seq 1200); do
        [ "$(ask "$1")" != t ] || return 0
        sleep 0.05
    done
    die "never came true: $1"
}
write() { # a session that works until the server or this script ends it; deadlocks are tried again
    yes 'SELECT work();' | scripts/pg.sh psql "$dir" -qAt -v ON_ERROR_STOP=0 >/dev/null 2>&1
}
start_writers() {
    for _ in 1 2; do
        write &
        writers+=($!)
    done
}
convert() { sql -c "CALL strata.convert_to_event_table('items'$1, chunk_rows => 300)" >/dev/null 2>&1; }
moved_more_than() { echo "SELECT coalesce(max(rows_moved), 0) > $1 FROM strata.conversions WHERE relation = 'items'::regclass AND state = 'copying'"; }

sql -f tests/convert/setup.sql >/dev/null
start_writers

convert ", 'ts'" &
converting=$!
until_true "$(moved_more_than 3000)"
backend=$(sql -c "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL strata.convert%'")
kill -9 "$backend"
! wait "$converting" || die "the conversion outlived its backend"
until_true "SELECT true"
before=$(sql -c "SELECT rows_moved FROM strata.conversions")
[ "$before" -gt 3000 ] || die "the progress of a killed conversion was lost: $before"
start_writers

convert "" &
converting=$!
until_true "$(moved_more_than $((before + 3000)))"
scripts/pg.sh restart "$dir" immediate
! wait "$converting" || die "the conversion outlived its server"
until_true "SELECT true"
start_writers

convert "" || die "the third call did not end"
[ "$(sql -c "SELECT relkind FROM pg_class WHERE oid = 'items'::regclass")" = p ] || die "no event table"
[ "$(sql -c "SELECT count(*) FROM strata.conversions")" = 0 ] || die "the conversion is still shown"
finish() { scripts/pg.sh destroy "$dir"; }
sql -c "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'SELECT work()%'" >/dev/null
for pid in "${writers[@]}"; do kill "$pid" 2>/dev/null || true; done
wait 2>/dev/null || true

differences=$(sql -c "SELECT count(*) FROM (
    (SELECT id, ts, v, filler FROM items EXCEPT ALL SELECT * FROM mirror) UNION ALL
    (SELECT * FROM mirror EXCEPT ALL SELECT id, ts, v, filler FROM items)) d")
[ "$differences" = 0 ] || die "$differences rows differ"
changed=$(sql -c "SELECT count(*) FROM items WHERE v > 0")
gone=$(sql -c "SELECT 60000 - count(*) FROM items WHERE id <= 60000")
[ "$changed" -gt 100 ] && [ "$gone" -gt 10 ] || die "the writers did not write: $changed changed, $gone gone"
say "conversion: killed, crashed, ended; $(sql -c 'SELECT count(*) FROM items') rows equal, $changed of them changed meanwhile, $gone deleted"
