#!/usr/bin/env bash
# `strata run` seals: one of two processes, the other takes its place; what fails is counted; `strata check` says what is missing.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
cluster=$(scripts/pg.sh create fsync=off timezone=UTC)
work=$(mktemp -d)
started=()
trap '[ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true; wait; scripts/pg.sh destroy "$cluster"; rm -rf "$work"' EXIT
sql() { scripts/pg.sh psql "$cluster" -qAt "$@"; }
until_true() { # until_true <what> <command…>: bounded
    local what=$1
    shift
    for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    tail -n 5 "$work"/*.log >&2
    die "$what"
}
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE clicks (event_id uuid, ts timestamptz NOT NULL);
SELECT strata.create_event_table('clicks', 'ts');
CREATE TABLE accounts (id int PRIMARY KEY, name text);
SELECT strata.enable_audit('accounts');
CREATE ROLE carrier LOGIN PASSWORD 'carrier';
SELECT strata.grant_ingest('clicks', 'carrier');
SQL
"$BIN/kinesis-endpoint" --create-stream clicks:1 --port-file "$work/port" >/dev/null &
started+=($!)
until_true "the endpoint does not start" test -s "$work/port"
eval "$(scripts/pg.sh env "$cluster")"
export STRATA_POSTGRES_DSN=postgresql://carrier:carrier@127.0.0.1:$PGPORT/postgres
export STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port") AWS_REGION=us-east-1
"$BIN/strata" keygen witness.test "$work/key" >"$work/public"
printf '[audit]\nkey_file = "%s"\ndigests = ["%s"]\n' "$work/key" "$work/digests" >"$work/strata.toml"
options=(--config "$work/strata.toml" --stream clicks --relation clicks
    --set audit.interval_ms=100 --set audit.idle_interval_ms=1000 --set log.format=json --set http.listen=127.0.0.1:0)
"$BIN/strata" check "${options[@]}" >"$work/check" 2>&1 && die "check does not miss the right to seal"
grep -q 'run GRANT strata_auditor TO' "$work/check" || { cat "$work/check" >&2; die "check does not say how to mend it"; }
sql -c "GRANT strata_auditor TO carrier"
"$BIN/strata" check "${options[@]}" >"$work/check" 2>&1 || { cat "$work/check" >&2; die "check fails"; }
grep -q 'audit log: signed by witness.test' "$work/check" || die "check says nothing of the key"

metric() { # metric <log> <name>: its value
    local address
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$1" | head -n 1)
    python3 -c 'import sys, urllib.request; print(*[l.split()[-1] for l in urllib.request.urlopen("http://" + sys.argv[1] + "/metrics").read().decode().splitlines() if l.startswith(sys.argv[2])])' "$address" "$2"
}
size_is() { [ "$(sed -n 2p "$work/digests/latest")" = "$1" ]; }
"$BIN/strata" run --worker one "${options[@]}" 2>"$work/one.log" &
one=$!
started+=($one)
until_true "nothing is sealed" size_is 2
cp "$work/digests/latest" "$work/first"
renewed() { ! cmp -s "$work/first" "$work/digests/latest"; }
until_true "an idle log gets no later digest" renewed
size_is 2 || die "an idle log has grown"
"$BIN/strata" run --worker two "${options[@]}" 2>"$work/two.log" &
two=$!
started+=($two)
sql -c "INSERT INTO accounts VALUES (1, 'a')"
until_true "a change is not sealed" size_is 3
until_true "the digest is no metric" test "$(metric "$work/one.log" strata_audit_leaves)" = 3
[ -n "$(metric "$work/one.log" strata_audit_digest_timestamp_seconds)" ] || die "the time of the digest is no metric"
[ -z "$(metric "$work/two.log" strata_audit_leaves)" ] || die "two processes seal"
kill -9 "$one"
wait "$one" 2>/dev/null || true
sql -c "INSERT INTO accounts VALUES (2, 'b')"
until_true "nobody takes the place of the one who sealed" size_is 4
"$BIN/strata" verify --audit --key "$work/public" --digest "$work/digests" --log-only >/dev/null || die "the digest does not hold"

# what did not grow is not signed, and counted
mv "$work/digests" "$work/mine"
mkdir "$work/digests"
sed 's/^4$/9/' "$work/mine/latest" >"$work/digests/latest"
refused() { grep -q 'was not signed' "$work/two.log"; }
until_true "a digest that is wrong is not told of" refused
[ "$(metric "$work/two.log" 'strata_audit_seal_failures_total{reason="refused"}')" -gt 0 ] || die "a refusal is not counted"
say "strata run seals, alone of all, and says what it does not sign"
