#!/usr/bin/env bash
# The whole on a throw-away PostgreSQL and a Kinesis-compatible endpoint on loopback: a clickstream is produced,
# ingested, rolled up, and verified. Cleans up after itself; DEMO_KEEP=1 leaves everything running.
# DEMO_RECORDS and DEMO_RATE (records a second) change its size.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
records=${DEMO_RECORDS:-200000}
rate=${DEMO_RATE:-25000}
began=$SECONDS

title "building (minutes the first time, then a second)"
scripts/install.sh
build_programs

work=$(mktemp -d "${TMPDIR:-/tmp}/pg_strata-demo.XXXXXX")
dir='' pids=()
finish() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    [ -z "$dir" ] || scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

title "a PostgreSQL of its own, and an endpoint that speaks Kinesis"
dir=$(scripts/pg.sh create timezone=UTC)
eval "$(scripts/pg.sh env "$dir")"
psql() { "$(pg_bindir)/psql" -X -v ON_ERROR_STOP=1 -d demo "$@"; }
setsid "$BIN/kinesis-endpoint" --create-stream clicks:4 --port-file "$work/port" >"$work/endpoint.log" 2>&1 </dev/null &
pids+=($!)
for _ in $(seq 200); do if [ -s "$work/port" ]; then break; else sleep 0.05; fi; done
[ -s "$work/port" ] || { cat "$work/endpoint.log" >&2; die "the endpoint did not start"; }
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/demo
export STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port")
export STRATA_WORKER=demo STRATA_LOG_PROGRESS_INTERVAL_MS=1000 STRATA_REFRESH_INTERVAL_MS=1000
export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
feed=(--stream clicks --relation clicks)
say "PostgreSQL  127.0.0.1:$PGPORT    Kinesis  $STRATA_KINESIS_ENDPOINT_URL, stream clicks, 4 shards"

title "an event table and a rollup"
psql -d postgres -qc 'CREATE DATABASE demo'
psql -qa <scripts/demo/tables.sql
"$BIN/strata" check "${feed[@]}"

title "$records records of a clickstream, produced and ingested at the same time"
"$BIN/strata" produce --stream clicks --count "$records" --rate "$rate" --late-share 0.03 --malformed-share 0.0005 >"$work/produce.log" 2>&1 &
producer=$!
pids+=("$producer")
STRATA_LOG_FORMAT=${STRATA_LOG_FORMAT:-human} "$BIN/strata" ingest "${feed[@]}" &
sidecar=$!
pids+=("$sidecar")
wait "$producer" || { cat "$work/produce.log" >&2; die "producing failed"; }
arrived() { psql -Atqc "SELECT (SELECT count(*) FROM clicks) + (SELECT count(*) FROM strata.dead_letters)"; }
until [ "$(arrived)" -ge "$records" ]; do
    kill -0 "$sidecar" 2>/dev/null || die "the sidecar ended early"
    sleep 0.2
done
kill -TERM "$sidecar"
wait "$sidecar" || die "the sidecar ended with code $?"
tail -n 1 "$work/produce.log"

title "what PostgreSQL holds now"
psql -q -P footer=off -P null=- <scripts/demo/show.sql 2>&1
unsound="SELECT (SELECT count(*) FROM strata.verify_rollup('clicks_by_user_day')) + (SELECT count(*) FROM strata.verify_batches('clicks'))"
[ "$(PGOPTIONS='-c client_min_messages=warning' psql -Atqc "$unsound")" = 0 ] || die "the verifiers found faults"

pids=("${pids[0]}")
say ""
say "done in $((SECONDS - began)) s"
if [ -n "${DEMO_KEEP:-}" ]; then
    setsid "$BIN/strata" run "${feed[@]}" >"$work/strata.log" 2>&1 </dev/null &
    pids+=($!)
    trap - EXIT
    cat <<END

Everything keeps running, the sidecar too (log: $work/strata.log).
  look around   psql '$STRATA_POSTGRES_DSN'
  more events   AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo $BIN/strata produce \\
                    --set kinesis.endpoint_url=$STRATA_KINESIS_ENDPOINT_URL --stream clicks --count 100000
  stop          kill ${pids[*]}; $ROOT/scripts/pg.sh destroy $dir; rm -r $work
END
fi
