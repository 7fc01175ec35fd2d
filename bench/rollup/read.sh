#!/usr/bin/env bash
# Keyed reads of a rollup while its event table is written to and refreshed: pgbench with a log of every transaction gives
# p50, p95 and p99, a sampler of pg_stat_activity the share of readers waiting for the lock manager. Three ways to read, in turn:
# the view, strata.rollup_lookup, and, as the floor, a plain table with the same rows and the same index.
#
# The default is a subset of about ten minutes; FULL=1 takes all of 1, 90 and 365 daily leaves, 1 and 4 rollups, 1, 16 and 64
# clients, prepared and simple protocol, and 0, 30,000 and 3,000,000 pending rows. BENCH_LEAVES, BENCH_ROLLUPS, BENCH_CLIENTS,
# BENCH_PROTOCOLS, BENCH_PENDING, BENCH_WAYS, BENCH_SECONDS and BENCH_EVENTS (rows folded before) change one at a time.
# With pending rows a writer adds 200 rows ten times a second, none of them folded; BENCH_PENDING=busy reads beside that writer and
# a refresh every second. With 0 nothing is written, or something would be pending.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
if [ "${FULL:-}" = 1 ]; then
    : "${BENCH_LEAVES:=1 90 365}" "${BENCH_ROLLUPS:=1 4}" "${BENCH_CLIENTS:=1 16 64}" "${BENCH_PROTOCOLS:=prepared simple}" "${BENCH_PENDING:=0 30000 3000000 busy}"
else
    : "${BENCH_LEAVES:=1 365}" "${BENCH_ROLLUPS:=1}" "${BENCH_CLIENTS:=1 64}" "${BENCH_PROTOCOLS:=prepared simple}" "${BENCH_PENDING:=0 busy}"
fi
ways=${BENCH_WAYS:-floor lookup view}
seconds=${BENCH_SECONDS:-9}
events=${BENCH_EVENTS:-400000}
users=2000

work=$(mktemp -d)
chmod 755 "$work"
dir=$(bench_pg fsync=off max_connections=100 max_locks_per_transaction=1024)
writer=''
quiet() { # stops what this script has started beside the readers
    if [ -n "$writer" ]; then
        kill "$writer" 2>/dev/null || true
        wait "$writer" 2>/dev/null || true
        writer=''
    fi
}
finish() {
    quiet
    scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT
eval "$(scripts/pg.sh env "$dir")"
export PGDATABASE=bench PGOPTIONS='-c client_min_messages=error'
pgbench=$(pg_bindir)/pgbench

fill() { # fill <leaves> <rollups>: a fresh database
    PGDATABASE=postgres "$ROOT/scripts/pg.sh" psql "$dir" -qc 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION pg_strata'
    sql -v table=clicks -f bench/schema.sql
    sql -v leaves="$1" -v events="$events" -v users="$users" -v rollups="$2" >/dev/null <<'END'
SELECT strata.create_event_table('clicks', 'ts', accept_past => '400 days', premake => 0);
SELECT strata.ensure_partitions('clicks', date_trunc('day', now()) - :leaves * interval '1 day' + interval '1 day', now());
INSERT INTO clicks (event_id, ts, user_id, kind, amount)
SELECT gen_random_uuid(), date_trunc('day', now()) - (n % :leaves) * interval '1 day', (n / :leaves) % :users, 'click', n FROM generate_series(1, :events) n;
SELECT strata.create_rollup('by_user_' || n, 'clicks', '1 day', ARRAY['user_id'], ARRAY['count(*) AS events', 'sum(amount) AS spend', 'avg(amount) AS mean', 'max(ts) AS last_seen']) FROM generate_series(1, :rollups) n;
CALL strata.refresh_rollups('clicks');
CREATE TABLE plain AS SELECT * FROM by_user_1;
CREATE UNIQUE INDEX ON plain (user_id, bucket);
VACUUM ANALYZE;
END
}
add() { # add <rows>: today's, as batches that say when their rows are, as streamed ones do
    sql -v rows="$1" -v users="$users" <<'END'
INSERT INTO clicks (event_id, ts, user_id, kind, amount) SELECT gen_random_uuid(), now(), n % :users, 'click', n FROM generate_series(1, :rows) n;
UPDATE strata._batches SET lower_time = created_at, upper_time = created_at WHERE lower_time IS NULL AND batch_id = (SELECT max(batch_id) FROM strata._batches);
END
}
load() { # load <pending>: writes, and where asked refreshes, until killed
    local round=0
    while :; do
        add 200 >/dev/null 2>&1
        round=$((round + 1))
        if [ "$1" = busy ] && [ $((round % 10)) = 0 ]; then sql -c "CALL strata.refresh_rollups('clicks')" >/dev/null 2>&1; fi
        sleep 0.1
    done
}
statement() { # statement <way>: with n rollups, of one of them at random
    case $1 in
        floor) echo 'SELECT * FROM plain WHERE user_id = :user;' ;;
        view) echo 'SELECT * FROM by_user_:rollup WHERE user_id = :user;' ;;
        lookup) echo "SELECT * FROM strata.rollup_lookup(NULL::by_user_:rollup, jsonb_build_object('user_id', :user::bigint));" ;;
    esac
}
script() { # script <way> <rollups>: one file a rollup, since names cannot be parameters of prepared statements
    local n
    for n in $(seq "$2"); do
        { printf '\\set user random(0, %s)\n' $((users - 1)); statement "$1" | sed "s/:rollup/$n/"; } >"$work/$1.$n.sql"
        printf -- '-f %s ' "$work/$1.$n.sql"
    done
}
sample() { # of the readers at work, how many wait for the lock manager; not while they plan what they keep
    sleep "$((seconds * 2 / 3))"
    timeout "$((seconds / 3))" "$(pg_bindir)/psql" -qAtX bench <<'END'
SET application_name = 'sampler';
SELECT count(*) FILTER (WHERE wait_event = 'LockManager'), count(*) FROM pg_stat_activity WHERE application_name = 'pgbench' AND state = 'active';
\watch 0.1
END
}
measure() { # measure <way> <rollups> <clients> <protocol>: p50 p95 p99 in ms, and lock waits per thousand
    local sampler
    rm -f "$work"/log.*
    sample >"$work/samples" 2>/dev/null &
    sampler=$!
    # shellcheck disable=SC2046
    "$pgbench" -n -M "$4" -T "$seconds" -c "$3" -j 2 -l --log-prefix="$work/log" $(script "$1" "$2") bench >"$work/pgbench" 2>&1 || { cat "$work/pgbench" >&2; exit 1; }
    wait "$sampler" 2>/dev/null || true
    # the first fifth warms up; plans are made then
    cat "$work"/log.* | sort -k5,5g -k6,6g | awk 'NR > 0 { t[NR] = $3 } END { for (i = int(NR / 5) + 1; i <= NR; i++) print t[i] }' | sort -g |
        awk '{ v[NR] = $1 / 1000 } END { printf "%.3f %.3f %.3f ", v[int((NR - 1) * 0.5) + 1], v[int((NR - 1) * 0.95) + 1], v[int((NR - 1) * 0.99) + 1] }'
    awk -F'|' 'NF == 2 { w += $1; n += $2 } END { printf "%.1f\n", n ? 1000 * w / n : 0 }' "$work/samples"
}

title "keyed reads of a rollup of $events events, $seconds s each"
printf '%6s %8s %8s %9s %8s %8s %9s %9s %9s %8s %8s\n' leaves rollups pending protocol clients way 'p50 ms' 'p95 ms' 'p99 ms' 'ratio' 'waits ‰'
for leaves in $BENCH_LEAVES; do
    for rollups in $BENCH_ROLLUPS; do
        for pending in $BENCH_PENDING; do
            fill "$leaves" "$rollups"
            case $pending in
                0) ;;
                busy) load busy & writer=$! ;;
                *)
                    for _ in 1 2 3; do add $((pending / 3)); done
                    sql -c 'ANALYZE clicks'
                    load "$pending" & writer=$!
                    ;;
            esac
            for protocol in $BENCH_PROTOCOLS; do
                for clients in $BENCH_CLIENTS; do
                    floor=''
                    for way in $ways; do
                        read -r p50 p95 p99 waits <<<"$(measure "$way" "$rollups" "$clients" "$protocol")"
                        [ -n "$floor" ] || floor=$p50
                        printf '%6s %8s %8s %9s %8s %8s %9s %9s %9s %8.1f %8s\n' "$leaves" "$rollups" "$pending" "$protocol" "$clients" "$way" "$p50" "$p95" "$p99" \
                            "$(calc "$p50 / $floor")" "$waits"
                    done
                done
            done
            quiet
        done
    done
done
echo 'ratio: of p50 to that of the first way. Goal: p99 of one client, prepared, with 365 leaves and nothing pending under 1 ms; no waits at 64 clients.'
