# What the benchmarks of ingestion share: server and endpoint, one table filled by the sidecar and by psql. Sourced, never run.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$ROOT"
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

# by_sidecar <table> <results> [section.key=value]: a line of rows/s, CPU s per million rows (own, backends), peak MB
by_sidecar() {
    local began ended sidecar backends=0 own peak
    began=$(now)
    "$BIN/strata" ingest --stream "${stream:-bench}" --relation "$1" ${3:+--set "$3"} >"$work/strata.log" 2>&1 &
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

# by_psql <table> <results>: a line of rows/s, CPU s per million rows of its backend; over TCP, as the sidecar
by_psql() {
    local began ended backend
    began=$(now)
    backend=$("$(pg_bindir)/psql" -X -v ON_ERROR_STOP=1 -qAt "$STRATA_POSTGRES_DSN" <<SQL
SELECT pg_backend_pid() AS pid \\gset
\\setenv BACKEND :pid
\\copy $1 ($columns) FROM '$work/rows' WITH (FORMAT binary)
\\! bash -c '. bench/lib.sh; cpu_seconds \$BACKEND'
SQL
)
    ended=$(now)
    echo "$(calc "$rows / ($ended - $began)") $(calc "$backend * 1e6 / $rows")" >>"$2"
}

# export_rows <table>: the rows, in the order they were produced, for psql
export_rows() { sql -c "\\copy (SELECT $columns FROM $1 ORDER BY ts) TO '$work/rows' WITH (FORMAT binary)" >/dev/null; }
column() { awk -v n="$2" 'NF { print $n }' "$work/$1" | median; }
# aws_call <operation> <JSON>: one call of the endpoint
aws_call() {
    curl -sSf -o "$work/answer" -H "x-amz-target: Kinesis_20131202.$1" -H 'content-type: application/x-amz-json-1.1' \
        -d "$2" "$STRATA_KINESIS_ENDPOINT_URL/"
}
