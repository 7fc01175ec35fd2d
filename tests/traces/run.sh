#!/usr/bin/env bash
# Traces of a sidecar built with the feature otel, taken in by a collector that decodes what OpenTelemetry's own protobuf says; and
# that the ordinary build neither sends any nor holds what sends them.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
traced=$TARGET/otel/strata
mkdir -p "$TARGET/otel"
# The two builds take turns at one place; what they do not share is compiled once for each.
build_programs --features strata/otel
cp "$BIN/strata" "$traced"
build_programs
! grep -q OTEL_EXPORTER_OTLP_ENDPOINT "$BIN/strata" || die "the ordinary build carries the exporter"

venv=$TARGET/venv-traces
if ! cmp -s tests/traces/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r tests/traces/requirements.txt
    cp tests/traces/requirements.txt "$venv/requirements.txt"
fi

work=$(mktemp -d)
dir=$(scripts/pg.sh create fsync=off timezone=UTC)
started=()
finish() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
    scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT
scripts/pg.sh psql "$dir" -qAt <<'SQL' >/dev/null
CREATE DATABASE traced;
\c traced
CREATE EXTENSION pg_strata;
CREATE TABLE clicks (event_id uuid, ts timestamptz NOT NULL, user_id bigint, kind text NOT NULL, amount numeric);
SELECT strata.create_event_table('clicks', 'ts');
SQL
"$BIN/kinesis-endpoint" --create-stream clicks:2 --port-file "$work/port" >/dev/null &
started+=($!)
"$venv/bin/python" tests/traces/receiver.py "$work/spans" >"$work/collector" &
started+=($!)
until [ -s "$work/port" ] && [ -s "$work/collector" ]; do sleep 0.05; done
eval "$(scripts/pg.sh env "$dir")"
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/traced STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port") AWS_REGION=us-east-1
export OTEL_SERVICE_NAME=tested OTEL_EXPORTER_OTLP_HEADERS=x-tenant=seven
collector=http://127.0.0.1:$(cat "$work/collector")
"$BIN/strata" produce --stream clicks --count 3000 --seed 7 >/dev/null 2>&1
ingest=(ingest --stream clicks --relation clicks --exit-when-caught-up --set batch.rows=1000)
OTEL_EXPORTER_OTLP_ENDPOINT=$collector "$traced" "${ingest[@]}" 2>"$work/log" || { cat "$work/log"; die "it failed"; }
"$venv/bin/python" tests/traces/compare.py "$work/spans" 3000

# Off without a collector, and in the ordinary build whatever the variables say.
for without in "env -u OTEL_EXPORTER_OTLP_ENDPOINT $traced" "env OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=$collector $traced" \
    "env OTEL_EXPORTER_OTLP_ENDPOINT=$collector $BIN/strata"; do
    : >"$work/spans"
    "$BIN/strata" produce --stream clicks --count 100 --seed 8 >/dev/null 2>&1
    $without "${ingest[@]}" 2>"$work/log" || { cat "$work/log"; die "it failed: $without"; }
    [ ! -s "$work/spans" ] || die "traces were sent: $without"
done
# A collector that is not there holds nothing up.
"$BIN/strata" produce --stream clicks --count 100 --seed 9 >/dev/null 2>&1
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 "$traced" "${ingest[@]}" 2>"$work/log" || { cat "$work/log"; die "it failed without its collector"; }
count=$(scripts/pg.sh psql "$dir" -qAt -d traced -c "SELECT count(*) FROM clicks")
[ "$count" = 3400 ] || die "$count rows of 3400"
say "traces are sent where a collector is named, and nowhere else"
