#!/usr/bin/env bash
# Alerts and dashboard of docs/examples against a real Prometheus that scrapes a real sidecar; and every alert provoked.
# Debian's package is unpacked under target/ where there is no prometheus on the PATH; nothing is installed.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    tools=$TARGET/prometheus
    if [ ! -x "$tools/root/usr/bin/prometheus" ]; then
        mkdir -p "$tools"
        (cd "$tools" && { apt-get download prometheus || { as_root apt-get -qq update && apt-get download prometheus; }; } >apt.log 2>&1) ||
            { warn "no Prometheus to be had: alerts and dashboard are not tested"; exit 0; }
        dpkg-deb -x "$tools"/prometheus_*.deb "$tools/root"
    fi
    PATH=$tools/root/usr/bin:$PATH
fi

promtool check rules docs/examples/prometheus-rules.yaml >/dev/null
promtool test rules tests/watching/alerts_test.yaml >/dev/null || { promtool test rules tests/watching/alerts_test.yaml; exit 1; }
say "every alert can be raised, and none is by a sidecar that does well"

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
CREATE DATABASE watched;
\c watched
CREATE EXTENSION pg_strata;
CREATE TABLE clicks (event_id uuid, ts timestamptz NOT NULL, user_id bigint, kind text NOT NULL, amount numeric);
SELECT strata.create_event_table('clicks', 'ts');
SELECT strata.create_rollup('clicks_by_day', source => 'clicks', bucket => '1 day', group_by => ARRAY['kind'], aggregates => ARRAY['count(*) AS n']);
SQL
"$BIN/kinesis-endpoint" --create-stream clicks:2 --port-file "$work/port" >/dev/null &
started+=($!)
until [ -s "$work/port" ]; do sleep 0.05; done
eval "$(scripts/pg.sh env "$dir")"
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/watched STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port") AWS_REGION=us-east-1
"$BIN/strata" ingest --stream clicks --relation clicks --set http.listen=127.0.0.1:0 --set log.format=json \
    --set refresh.interval_ms=200 2>"$work/log" &
started+=($!)
until address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$work/log") && [ -n "$address" ]; do sleep 0.05; done
sed -e "s/127.0.0.1:9464/$address/" -e 's/15s/1s/' docs/examples/prometheus.yml >"$work/prometheus.yml"
cp docs/examples/prometheus-rules.yaml "$work"
promtool check config "$work/prometheus.yml" >/dev/null
for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
done
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" \
    --log.level=error 2>"$work/prometheus.log" &
started+=($!)
"$BIN/strata" produce --stream clicks --count 4000 --rate 400 --malformed-share 0.05 --seed 7 >/dev/null 2>&1 &
started+=($!)
python3 tests/watching/queries.py "http://127.0.0.1:$port" || { cat "$work/prometheus.log"; tail -n 5 "$work/log"; exit 1; }
