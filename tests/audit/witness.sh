#!/usr/bin/env bash
# The witness: keys, digests, and what it refuses to sign.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
cluster=$(scripts/pg.sh create fsync=off timezone=UTC)
work=$(mktemp -d)
trap 'scripts/pg.sh destroy "$cluster"; rm -rf "$work"' EXIT
sql() { scripts/pg.sh psql "$cluster" -qAt "$@"; }
eval "$(scripts/pg.sh env "$cluster")"
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN
expect() { # expect <exit code> <word> <command…>
    local code=0 wanted=$1 word=$2
    shift 2
    "$@" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] && grep -q -- "$word" "$work/out" || { cat "$work/out" >&2; die "$*: exit code $code, expected $wanted and $word"; }
}
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE accounts (id int PRIMARY KEY, name text);
SELECT strata.enable_audit('accounts');
INSERT INTO accounts SELECT n, 'a' || n FROM generate_series(1, 10) n;
SQL

expect 0 '^witness.test+' "$BIN/strata" keygen witness.test "$work/key"
cp "$work/out" "$work/public"
[ "$(stat -c %a "$work/key")" = 600 ] || die "others can read the key"
expect 2 'cannot make the key file' "$BIN/strata" keygen witness.test "$work/key"
expect 2 'plus sign' "$BIN/strata" keygen 'a name' "$work/key2"

seal=("$BIN/strata" seal --key "$work/key" --digests "$work/digests")
verify=("$BIN/strata" verify --audit --key "$work/public" --digest)
expect 0 '3 leaves' "${seal[@]}"
cp "$work/digests/latest" "$work/first"
cmp "$work/first" "$work/digests/00000000000000000003"
sql -c "INSERT INTO accounts SELECT 100 + n, 'b' FROM generate_series(1, 5) n" -c "UPDATE accounts SET name = 'c' WHERE id = 1"
expect 0 sound "${verify[@]}" "$work/first"
expect 0 '5 leaves' "${seal[@]}"
expect 0 '5 leaves' "${seal[@]}"
expect 0 sound "${verify[@]}" "$work/first"
expect 0 sound "${verify[@]}" "$work/digests/latest"

# digests and keys of others
sed 's/^3$/4/' "$work/first" >"$work/changed"
expect 3 'signature of witness.test is wrong' "${verify[@]}" "$work/changed"
expect 0 witness.test "$BIN/strata" keygen witness.test "$work/other"
cp "$work/out" "$work/other.public"
expect 3 'not signed by' "$BIN/strata" verify --audit --key "$work/other.public" --digest "$work/first"
expect 3 'not signed by' "$BIN/strata" seal --key "$work/other" --digests "$work/digests"
expect 2 'key' "$BIN/strata" verify --audit

# a forged row, a forged log, a log that is shorter: found, and the last two not signed
sql -c "ALTER TABLE accounts DISABLE TRIGGER strata_audit" -c "UPDATE accounts SET name = 'forged' WHERE id = 2" -c "ALTER TABLE accounts ENABLE ALWAYS TRIGGER strata_audit"
expect 3 'edited: public.accounts' "${verify[@]}" "$work/digests/latest"
sql -c "ALTER TABLE accounts DISABLE TRIGGER strata_audit" -c "UPDATE accounts SET name = 'a2' WHERE id = 2" -c "ALTER TABLE accounts ENABLE ALWAYS TRIGGER strata_audit"
expect 0 sound "${verify[@]}" "$work/digests/latest"
scripts/pg.sh psql "$cluster" -qc "CREATE DATABASE spare TEMPLATE postgres"
rewrite="DELETE FROM strata._audit_tiles; DELETE FROM strata._audit_entries; DELETE FROM strata._audit_states; UPDATE strata._audit_log SET size = 0, root = NULL, horizon = 0; SELECT strata.seal_audit();"
sql -d spare -c "UPDATE strata._audit_chunks SET session_role = 'somebody'" -c "$rewrite" >/dev/null
export STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/spare
expect 3 'forked: the first 5' "${seal[@]}"
expect 3 'the first 3 leaves' "${verify[@]}" "$work/first"
sql -d spare -c "DELETE FROM strata._audit_chunks WHERE chunk_id > 3" -c "$rewrite" >/dev/null
expect 3 'truncated' "${seal[@]}"
expect 3 'truncated' "${verify[@]}" "$work/digests/latest"
sql -d spare -c "UPDATE strata._audit_log SET origin = 'pg_strata/another'" >/dev/null
expect 3 'another directory' "${seal[@]}"
# a role that may do nothing but witness
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN
sql -c "CREATE ROLE witness LOGIN PASSWORD 'witness' IN ROLE strata_auditor"
export STRATA_POSTGRES_DSN="postgresql://witness:witness@127.0.0.1:$PGPORT/postgres"
expect 0 leaves "${seal[@]}"
expect 0 sound "${verify[@]}" "$work/digests/latest" --log-only
say "the witness signs what has grown, and nothing else"
