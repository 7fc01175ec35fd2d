#!/usr/bin/env bash
# The SQL of README and of the pages with examples runs and prints what they say; README's configuration passes
# `strata check`. --accept writes into them what their SQL printed.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
work=$(mktemp -d)
dir=$(scripts/pg.sh create fsync=off timezone=UTC)
endpoint=
finish() {
    [ -z "$endpoint" ] || kill "$endpoint"
    scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT

for page in README.md docs/event-tables.md docs/rollups.md docs/audit.md; do
    name=$(basename "$page" .md)
    scripts/pg.sh psql "$dir" -qc "CREATE DATABASE \"$name\"" -c "\\c \"$name\"" -c "CREATE EXTENSION pg_strata"
    python3 tests/readme/blocks.py sql "$page" >"$work/page.sql"
    scripts/pg.sh psql "$dir" -d "$name" <"$work/page.sql" >"$work/out" 2>&1 || true
    [ "${1:-}" != --accept ] || python3 tests/readme/blocks.py accept "$page" "$work/out"
    python3 tests/readme/blocks.py compare "$page" "$work/out"
done

"$BIN/kinesis-endpoint" --create-stream clicks:2 --port-file "$work/port" >/dev/null &
endpoint=$!
for _ in $(seq 200); do [ -s "$work/port" ] && break || sleep 0.05; done
python3 tests/readme/blocks.py toml README.md >"$work/strata.toml"
eval "$(scripts/pg.sh env "$dir")"
STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/README STRATA_KINESIS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port") AWS_REGION=us-east-1 \
    "$BIN/strata" check --config "$work/strata.toml" >"$work/check" 2>&1 || { cat "$work/check"; exit 1; }
say "README: its configuration passes strata check"
