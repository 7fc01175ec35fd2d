#!/usr/bin/env bash
# The witness: keys, digests, and what it refuses to sign.
. "$(dirname "$0")/lib.sh"
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE accounts (id int PRIMARY KEY, name text);
SELECT strata.enable_audit('accounts');
INSERT INTO accounts SELECT n, 'a' || n FROM generate_series(1, 10) n;
SQL

expect 0 'witness.test+' "$BIN/strata" keygen witness.test "$work/key"
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

# a verifier that knows nothing but docs/formats.md
venv=$TARGET/venv-audit
if [ ! -d "$venv" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check 'cryptography>=42'
fi
uuid=$(sql -c "SELECT table_uuid FROM strata.audited_tables WHERE relation = 'accounts'::regclass")
lines() {
    sql -c "SELECT json_build_object('chunk', json_build_object('log_index', log_index, 'chunk_id', chunk_id, 'table', table_uuid, 'operation', operation, 'schema', schema,
        'changed_at', (extract(epoch FROM changed_at) * 1000000)::bigint - 946684800000000, 'xid', xid::text, 'system_identifier', system_identifier, 'session_role', session_role, 'role', role,
        'application', application, 'client', client, 'context', context, 'detail', detail, 'added', encode(added, 'hex'), 'removed', encode(removed, 'hex'))) FROM strata.audit_chunks" \
        -c "SELECT json_build_object('row', to_json(a)) FROM accounts a"
}
third_party() { lines | eval "${2:-cat}" | "$venv/bin/python" tests/audit/third_party.py "$work/public" "$1" "$uuid"; }
expect 0 '5 leaves' third_party "$work/digests/latest"
expect 0 '3 leaves' third_party "$work/first"
expect 1 'the table is not what the log says' third_party "$work/first" "sed /^{.row/s/a7/a8/"
expect 1 'the log is not the one that was signed' third_party "$work/first" "sed s/postgres/somebody/"

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
# a backup is restored: refused until it is declared, and then both chains can be verified
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN
backup=$(scripts/pg.sh standby "$cluster")
clusters+=("$backup")
scripts/pg.sh promote "$backup"
cp "$work/digests/latest" "$work/before"
sql -c "INSERT INTO accounts VALUES (500, 'lost')"
expect 0 '6 leaves' "${seal[@]}"
cp "$work/digests/latest" "$work/lost"
eval "$(scripts/pg.sh env "$backup")"
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN
expect 3 'run strata seal --declare-restore' "${seal[@]}"
expect 3 'truncated' "${verify[@]}" "$work/lost"
expect 1 'a restore is declared with a reason' "${seal[@]}" --declare-restore ' '
expect 0 'leaves, restored' "${seal[@]}" --declare-restore 'disk lost, backup of Friday, decided by Ada'
expect 0 'disk lost, backup of Friday' "${verify[@]}" "$work/digests"
grep -q 'strata/restored-from pg_strata/.* 6 ' "$work/digests/latest" || die "the digest does not name the one before the restore"
cmp "$work/lost" "$work/digests/00000000000000000006"
scripts/pg.sh psql "$backup" -qc "UPDATE accounts SET name = 'after' WHERE id = 1"
expect 0 '7 leaves' "${seal[@]}"
expect 0 ': sound' "${verify[@]}" "$work/digests"
expect 0 ': sound' "${verify[@]}" "$work/before"
expect 3 'forked' "${verify[@]}" "$work/lost"
[ -z "$(scripts/pg.sh psql "$backup" -qAt -c "SELECT * FROM strata.verify_audit()" 2>/dev/null)" ] || die "after a restore the database finds faults"
eval "$(scripts/pg.sh env "$cluster")"
expect 3 'this is log' env STRATA_POSTGRES_DSN="$STRATA_TEST_DSN" "${seal[@]}"
cp -r "$work/digests" "$work/restored"
rm -r "$work/digests"
mkdir "$work/digests"
cp "$work/lost" "$work/digests/latest"

# a role that may do nothing but witness
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN
sql -c "CREATE ROLE witness LOGIN PASSWORD 'witness' IN ROLE strata_auditor"
export STRATA_POSTGRES_DSN="postgresql://witness:witness@127.0.0.1:$PGPORT/postgres"
expect 0 leaves "${seal[@]}"
expect 0 sound "${verify[@]}" "$work/digests/latest" --log-only
say "the witness signs what has grown, and nothing else"
