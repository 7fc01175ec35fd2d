#!/usr/bin/env bash
# The sidecar against psql's \copy of the same rows, binary, into an identical event table; then with a rollup.
# Alternating rounds in one run, medians. BENCH_ROWS and BENCH_ROUNDS change its size.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
rows=${BENCH_ROWS:-1000000}
rounds=${BENCH_ROUNDS:-3}
columns='event_id, ts, user_id, session_id, item_id, kind, device, amount, properties'

work=$(mktemp -d)
dir='' pids=()
finish() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    [ -z "$dir" ] || scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT

dir=$(bench_pg)
eval "$(scripts/pg.sh env "$dir")"
scripts/pg.sh psql "$dir" -qc 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION pg_strata'
"$BIN/kinesis-endpoint" --create-stream bench:8 --port-file "$work/port" >"$work/endpoint.log" 2>&1 &
pids+=($!)
for _ in $(seq 200); do if [ -s "$work/port" ]; then break; else sleep 0.05; fi; done
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/bench
export STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port")
export STRATA_WORKER=bench STRATA_KINESIS_POLL_INTERVAL_MS=0 STRATA_KINESIS_SHARD_BYTES_PER_SECOND=0
export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench

title "producing $rows records into 8 shards"
"$BIN/strata" produce --stream bench --count "$rows" --late-share 0 --span-hours 48 --seed 1 2>&1 | tail -n 1

fresh() { # fresh <table> [rollup]: an empty event table with its partitions made
    sql -c "DROP TABLE IF EXISTS $1 CASCADE" 2>/dev/null
    sql -v table="$1" -f bench/schema.sql
    sql -c "SELECT strata.create_event_table('$1', 'ts')" >/dev/null
    sql -c "SELECT strata.ensure_partitions('$1', now() - interval '4 days', now())" >/dev/null
    if [ -n "${2:-}" ]; then
        sql -c "SELECT strata.create_rollup('$2', source => '$1', bucket => '1 day', group_by => ARRAY['user_id'],
            aggregates => ARRAY['count(*) AS events', 'sum(amount) AS spend', 'max(ts) AS last_seen'])" >/dev/null
    fi
    sql -c CHECKPOINT
}

# by_sidecar <table> <results>: a line of rows/s, CPU s per million rows (own, backends), peak MB
by_sidecar() {
    local began ended sidecar backends=0 own peak
    began=$(now)
    "$BIN/strata" ingest --stream bench --relation "$1" >"$work/strata.log" 2>&1 &
    sidecar=$!
    pids[1]=$sidecar
    sql >/dev/null <<SQL || { tail "$work/strata.log" >&2; die "the rows did not arrive"; }
SET statement_timeout = '20min';
DO \$\$
DECLARE
    arrived bigint := 0;
BEGIN
    WHILE arrived < $rows LOOP
        PERFORM pg_sleep(0.02);
        SELECT coalesce(sum(s.rows), 0) INTO arrived FROM strata.shards AS s WHERE s.relation = '$1'::regclass;
    END LOOP;
END
\$\$;
SQL
    ended=$(now)
    own=$(cpu_seconds "$sidecar")
    peak=$(peak_mb "$sidecar")
    for pid in $(sql -c "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^strata'"); do
        backends="$backends + $(cpu_seconds "$pid")"
    done
    kill -TERM "$sidecar"
    wait "$sidecar" || { tail "$work/strata.log" >&2; die "the sidecar ended with code $?"; }
    pids=("${pids[0]}")
    echo "$(calc "$rows / ($ended - $began)") $(calc "$own * 1e6 / $rows") $(calc "($backends) * 1e6 / $rows") $peak" >>"$2"
}

# by_psql <table> <results>: a line of rows/s, CPU s per million rows of its backend
by_psql() {
    local began ended backend
    began=$(now)
    backend=$(sql <<SQL
SELECT pg_backend_pid() AS pid \\gset
\\setenv BACKEND :pid
\\copy $1 ($columns) FROM '$work/rows' WITH (FORMAT binary)
\\! bash -c '. bench/lib.sh; cpu_seconds \$BACKEND'
SQL
)
    ended=$(now)
    echo "$(calc "$rows / ($ended - $began)") $(calc "$backend * 1e6 / $rows")" >>"$2"
}

# The rows themselves, in the order they were produced, for psql. This first pass also warms everything up.
fresh clicks
by_sidecar clicks "$work/warm"
[ "$(sql -c 'SELECT count(*) FROM clicks')" = "$rows" ] || die "not every record became a row"
sql -c "\\copy (SELECT $columns FROM clicks ORDER BY ts) TO '$work/rows' WITH (FORMAT binary)" >/dev/null

title "$rounds rounds"
for round in $(seq "$rounds"); do
    fresh clicks && by_psql clicks "$work/psql"
    fresh clicks && by_sidecar clicks "$work/alone"
    fresh clicks clicks_by_user_day && by_sidecar clicks "$work/rollup"
    [ -z "$(sql -c "SELECT * FROM strata.verify_rollup('clicks_by_user_day')" 2>/dev/null)" ] || die "the rollup is wrong"
    say "round $round: psql $(tail -n 1 "$work/psql" | cut -d' ' -f1), sidecar $(tail -n 1 "$work/alone" | cut -d' ' -f1), with rollup $(tail -n 1 "$work/rollup" | cut -d' ' -f1) rows/s"
done

column() { awk -v n="$2" 'NF { print $n }' "$work/$1" | median; }
title "medians of $rounds rounds, $rows rows each"
psql_rate=$(column psql 1)
printf '%-28s %12s %8s %18s %22s %10s\n' '' 'rows/s' 'ratio' 'own CPU s/M rows' 'backends CPU s/M rows' 'peak MB'
printf '%-28s %12.0f %8s %18s %22.2f\n' 'psql \copy binary' "$psql_rate" 1 '' "$(column psql 2)"
for run in alone rollup; do
    name='strata ingest'
    [ $run = alone ] || name='strata ingest, one rollup'
    printf '%-28s %12.0f %8.2f %18.2f %22.2f %10.0f\n' "$name" "$(column $run 1)" "$(calc "$(column $run 1) / $psql_rate")" \
        "$(column $run 2)" "$(column $run 3)" "$(column $run 4)"
done
say "own CPU / backends' CPU: $(calc "$(column alone 2) / $(column alone 3)")   (goal: below 0.3)"
say "sidecar / psql:          $(calc "$(column alone 1) / $psql_rate")   (goal: 0.9 or more)"
say "with / without a rollup: $(calc "$(column rollup 1) / $(column alone 1)")   (goal: above 0.97)"
say "peak memory:             $(column alone 4) MB   (goal: under 100)"
