#!/usr/bin/env bash
# The verifier that believes neither the database's library nor its catalog: every type over the wire, and servers that lie.
. "$(dirname "$0")/lib.sh" timezone=Asia/Kathmandu max_prepared_transactions=5
"$BIN/strata" keygen witness.test "$work/key" >"$work/public"
seal=("$BIN/strata" seal --key "$work/key" --digests "$work/digests")
verify=("$BIN/strata" verify --audit --key "$work/public" --digest "$work/digests/latest")

# every type, by hand and by chance
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
SELECT setseed(0.4);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN point_of_time AS timestamptz;
CREATE TYPE place AS (name varchar(20), at point_of_time, moods mood[]);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN places AS place[];
CREATE TABLE every_type (
    id bigint PRIMARY KEY, b boolean, i2 smallint, i4 int, f4 real, f8 double precision, n numeric, n2 numeric(12, 3), t text, v varchar(9), c char(9), y bytea,
    u uuid, d date, tm time, ts timestamp, tz timestamptz, tt timetz, iv interval, ip inet, net cidr, j json, jb jsonb, e mood, dom positive,
    a int[], a2 text[][], am mood[], r int4range, rt tstzrange, rn numrange, m int4multirange, p place, pa place[], dr point_of_time[], dp places);
SELECT strata.enable_audit('every_type');
INSERT INTO every_type VALUES (
    -1, true, -2, 3, 1.5, '-0', 1.50, 7, 'été', 'abc ', 'abc', '\x00ff', '00112233-4455-6677-8899-aabbccddeeff', '1999-12-31', '23:59:59.999999', '2024-02-29 12:00', '2024-02-29 12:00+00',
    '12:00+05:45', '1 month 2 days 03:04:05.5', '10.0.0.1/8', 'fe80::/10', '{"k": 1 }', '{"k": 1.0}', 'happy', 7,
    '[2:4]={1,NULL,3}', '{{a,b},{"c d",NULL}}', '{sad,NULL,happy}', '[1,4]', '[2024-01-01 00:00+00,)', 'empty', '{[1,3),[5,9]}', ROW('here', '2024-01-01 00:00+00', '{ok}'),
    ARRAY[ROW('a', NULL, NULL), NULL]::place[], '{2024-01-01 00:00+00}', ARRAY[ROW(NULL, 'infinity', '{}')]::place[]);
INSERT INTO every_type (id, f4, f8, n, a, r, m, iv, ts, d, p) VALUES (-2, 'NaN', 'NaN', 'NaN', '{}', '(,)', '{}', '0', 'infinity', '-infinity', ROW(NULL, NULL, NULL)),
    (-3, '-Infinity', '0', 'Infinity', '[-3:-3][5:6]={{1,2}}', '(,5)', '{(,5),[9,)}', '24 hours', '-infinity', 'infinity', ROW('', NULL, '{NULL}')),
    (-4, '-0', 'Infinity', '-Infinity', NULL, '[5,)', '{(,)}', '-1 day 1 us', '4713-01-01 BC', '5874897-12-31', NULL), (-5, 1e-40, 5e-324, 1e130, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (-6, NULL, NULL, 1e-300, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (-7, NULL, NULL, '-0.000', NULL, NULL, NULL, NULL, NULL, NULL, NULL), (-8, NULL, NULL, 10000.0000, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO every_type
SELECT n, random() < 0.5, (random() * 65535 - 32768)::int, (random() * 4e9 - 2e9)::int, random() * 10 ^ (random() * 60 - 30), (random() - 0.5) * 10 ^ (random() * 600 - 300),
    round((random() * 10 ^ (random() * 40))::numeric, (random() * 20)::int) * sign(random() - 0.5), (random() - 0.5) * 1e6, md5(random()::text), left(md5(random()::text), n % 10), left(md5(random()::text), n % 9),
    decode(md5(random()::text), 'hex'), gen_random_uuid(), '2000-01-01'::date + (random() * 1e6 - 5e5)::int, '00:00'::time + random() * interval '1 day', '2000-01-01'::timestamp + random() * interval '9999 years',
    now() - random() * interval '99 years', (('00:00'::time + random() * interval '1 day')::text || to_char((random() * 30 - 15)::int, 'SG00'))::timetz, (random() - 0.5) * interval '99 years 7 days 3 hours',
    ((random() * 255)::int || '.1.2.' || (random() * 255)::int || '/' || (random() * 32)::int)::inet, network(('fd00::' || to_hex((random() * 65535)::int) || '/' || (random() * 128)::int)::inet),
    json_build_object('n', random(), 't', md5(random()::text)), jsonb_build_object('n', round((random() * 1e9)::numeric, n % 12), 'é"\', ARRAY[NULL, random()::text], 'aa', random() < 0.5), (enum_range(NULL::mood))[1 + n % 3], 1 + n,
    ARRAY(SELECT CASE WHEN random() < 0.8 THEN (random() * 1e9)::int END FROM generate_series(1, n % 7)), ARRAY[[random()::text, NULL], ['', 'x' || n]], (enum_range(NULL::mood))[n % 3:],
    int4range(n, n + (random() * 99)::int, (ARRAY['[]', '()', '[)', '(]'])[1 + n % 4]), tstzrange(now() - random() * interval '9 years', NULL), numrange(-n, random()::numeric * n, '(]'),
    range_agg(int4range(n, n + 1)) OVER (ORDER BY n ROWS BETWEEN 3 PRECEDING AND CURRENT ROW EXCLUDE GROUP), ROW(left(md5(n::text), n % 20), now(), '{happy,sad}')::place, ARRAY[ROW('x', NULL, '{}'), NULL, ROW(NULL, now(), NULL)]::place[],
    ARRAY[now(), '-infinity', NULL], ARRAY[ROW('y', now(), '{ok}')]::place[]
FROM generate_series(1, 3000) n;
UPDATE every_type SET t = repeat('0123456789', id::int % 3000), jb = jb || '{"z": []}' WHERE id % 3 = 0;
DELETE FROM every_type WHERE id % 10 = 1;

-- columns that came with a default, were renamed; labels and attributes that came and were renamed; more than one column of a key
CREATE TABLE pairs (region text, n int, note text, PRIMARY KEY (region, n)) PARTITION BY LIST (region);
CREATE TABLE pairs_eu PARTITION OF pairs FOR VALUES IN ('eu');
CREATE TABLE pairs_rest (note text, gone int, n int NOT NULL, region text NOT NULL);
ALTER TABLE pairs_rest DROP COLUMN gone;
ALTER TABLE pairs ATTACH PARTITION pairs_rest DEFAULT;
SELECT strata.enable_audit('pairs', exclude => '{note}');
INSERT INTO pairs SELECT CASE WHEN n % 2 = 0 THEN 'eu' ELSE 'us' END, n, 'secret' FROM generate_series(1, 100) n;
ALTER TABLE pairs ADD COLUMN feeling mood DEFAULT 'ok', ADD COLUMN spot place;
UPDATE pairs SET feeling = NULL WHERE n < 5;
UPDATE pairs SET feeling = 'happy' WHERE n BETWEEN 10 AND 15;
DELETE FROM pairs WHERE n > 90;
ALTER TYPE mood RENAME VALUE 'happy' TO 'glad';
ALTER TYPE mood ADD VALUE 'cross' BEFORE 'sad';
ALTER TYPE place ADD ATTRIBUTE floor smallint;
ALTER TYPE place RENAME ATTRIBUTE at TO since;
ALTER TABLE pairs RENAME n TO "the ""n""";
UPDATE pairs SET feeling = 'cross', spot = ROW('here', now(), '{glad}', 3) WHERE region = 'us';
UPDATE every_type SET p = ROW('up', NULL, '{cross}', -1) WHERE id % 50 = 0;
BEGIN; INSERT INTO pairs VALUES ('eu', 500); PREPARE TRANSACTION 'later';

-- values that may be erased, and some that were
CREATE TABLE people (id text, born date, name text DEFAULT 'nobody', feeling mood, PRIMARY KEY (id));
INSERT INTO people SELECT 'p' || n, '2000-01-01', 'name ' || n, 'ok' FROM generate_series(1, 50) n;
SELECT strata.enable_audit('people', erasable => '{name,feeling}');
UPDATE people SET name = name || ' the second', feeling = NULL WHERE id < 'p3';
DELETE FROM people WHERE id = 'p30';
SELECT strata.erase('people', 'p1');
SELECT strata.erase('people', 'p2');
SELECT strata.erase('people', 'p30');
INSERT INTO people VALUES ('p30', '2001-01-01', 'another', 'sad');
UPDATE people SET name = 'new' WHERE id = 'p1';
-- partitions past retention
CREATE TABLE events (id bigint, at timestamptz NOT NULL, kind mood, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT strata.create_event_table('events', 'at', retention => '30 days');
SELECT strata.ensure_partitions('events', now() - interval '20 days', now());
SELECT strata.enable_audit('events');
INSERT INTO events SELECT n, now() - n * interval '1 day', 'ok' FROM generate_series(0, 9) n;
SQL
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}"
expect 0 '"history_rows":1' "${verify[@]}" --json
sql -c "COMMIT PREPARED 'later'" -c "UPDATE every_type SET i4 = 0 WHERE id = 5"
expect 0 'chunks since the digest are not signed yet' "${verify[@]}"
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}" --server-check

# partitions that went with their rows
sql -c "SELECT strata.alter_event_table('events', retention => '4 days', accept_past => '4 days')" >/dev/null
"$BIN/strata" maintain --table events >"$work/out" 2>&1 || { cat "$work/out" >&2; die "events cannot be maintained"; }
[ "$(sql -c "SELECT count(*) > 0 FROM strata.audit_log WHERE operation = 'expired'")" = t ] || die "no partition has expired"
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}"

# what is renamed is said until the log has it
sql -c "ALTER TABLE pairs RENAME feeling TO temper" -c "ALTER TYPE mood RENAME VALUE 'ok' TO 'well'"
expect 0 'column feeling of public.pairs is called temper now, which the log does not say' "${verify[@]}"
expect 0 'label ok of public.pairs.temper is called well now' "${verify[@]}"
expect 3 'schema_changed: public.pairs' "${verify[@]}" --strict
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}" --strict
! grep -q note: "$work/out" || die "a rename that is in the log is told of"

# rights: reading tables takes more than being an auditor
sql -c "CREATE ROLE witness LOGIN PASSWORD 'witness' IN ROLE strata_auditor"
as_witness() { STRATA_POSTGRES_DSN="postgresql://witness:witness@127.0.0.1:$PGPORT/postgres" "$@"; }
expect 1 'run GRANT pg_read_all_data TO "witness"' as_witness "${verify[@]}"
expect 0 ': sound' as_witness "${verify[@]}" --log-only
sql -c "GRANT pg_read_all_data TO witness" -c "ALTER TABLE pairs ENABLE ROW LEVEL SECURITY"
expect 1 'BYPASSRLS' as_witness "${verify[@]}"
sql -c "ALTER ROLE witness BYPASSRLS"
expect 0 ': sound' as_witness "${verify[@]}"
sql -c "ALTER TABLE pairs DISABLE ROW LEVEL SECURITY"

# a superuser edits; each with what is found, in a database of its own
forge() { # forge <name> <exit code> <words> <statement>
    local code=0
    sql -c "CREATE DATABASE $1 TEMPLATE postgres" >/dev/null
    sql -d "$1" >/dev/null <<<"SET client_min_messages = warning; SET session_replication_role = replica; $4"
    STRATA_POSTGRES_DSN=${STRATA_TEST_DSN%/*}/$1 "${verify[@]}" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$2" ] && grep -qF -- "$3" "$work/out" || { cat "$work/out" >&2; die "$1: exit code $code, expected $2 and $3"; }
    sql -c "DROP DATABASE $1"
}
quietly() { # a statement that no trigger sees
    printf 'ALTER TABLE %s DISABLE TRIGGER ALL; %s; ALTER TABLE %s ENABLE TRIGGER ALL;' "$1" "$2" "$1"
    printf "DO \$\$ DECLARE t record; BEGIN FOR t IN SELECT tgrelid::regclass AS r, tgname FROM pg_trigger WHERE tgname LIKE 'strata_audit%%' AND tgparentid = 0 LOOP EXECUTE format('ALTER TABLE %%s ENABLE ALWAYS TRIGGER %%I', t.r, t.tgname); END LOOP; END \$\$;"
}
lie="CREATE OR REPLACE FUNCTION strata._verify_audit(digest text, OUT fault text, OUT relation regclass, OUT place jsonb, OUT detail text) RETURNS SETOF record LANGUAGE sql AS 'SELECT NULL::text, NULL::regclass, NULL::jsonb, NULL::text WHERE false';
     CREATE OR REPLACE FUNCTION strata.verify_audit(digest text DEFAULT NULL, OUT fault text, OUT relation regclass, OUT place jsonb, OUT detail text) RETURNS SETOF record LANGUAGE sql AS 'SELECT NULL::text, NULL::regclass, NULL::jsonb, NULL::text WHERE false';
     CREATE OR REPLACE FUNCTION strata._audit_equal(one bytea, other bytea) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
edit=$(quietly every_type "UPDATE every_type SET i4 = 42 WHERE id = 7")
forge edited 3 'edited: public.every_type {"chunk_id":' "$edit"
forge lying 3 'edited: public.every_type' "$edit $lie"
sql -c "CREATE DATABASE checked TEMPLATE postgres"
sql -d checked <<<"SET client_min_messages = warning; $edit $lie" >/dev/null
[ -z "$(sql -d checked -c 'SELECT * FROM strata.verify_audit()' 2>/dev/null)" ] || die "the lying server does not lie"
forge missing 3 'missing: public.every_type' "$(quietly every_type "DELETE FROM every_type WHERE id = 7")"
forge extra 3 'extra: public.pairs {"key":{"region":"eu","the \"n\"":999},"partition":"public.pairs_eu"}' "$(quietly pairs_eu "INSERT INTO pairs_eu VALUES ('eu', 999)")"
forge unsalted 3 'edited: public.people' "UPDATE strata._audit_salts SET salt = sha256('other') WHERE ctid = (SELECT min(ctid) FROM strata._audit_salts)"
forge erased 3 'edited: public.people_history' "UPDATE people_history SET strata_erased = set_byte(strata_erased, 9, 1) WHERE id = 'p30'"
forge history 3 'edited: public.every_type_history' "UPDATE every_type_history SET t = 'never' WHERE id = 9"
forge history_gone 3 'missing: public.every_type_history' "DELETE FROM every_type_history WHERE id = 9"
forge history_made 3 'extra: public.every_type_history' "INSERT INTO every_type_history SELECT h.* FROM every_type_history h LIMIT 1"
forge trigger 3 'trigger_disabled: public.pairs' "ALTER TABLE pairs DISABLE TRIGGER strata_audit"
forge forgotten 3 'trigger_disabled: public.pairs' "DELETE FROM strata._audited_tables WHERE relation = 'pairs'::regclass"
forge chunk 3 'log_edited:' "UPDATE strata._audit_chunks SET role = 'nobody' WHERE chunk_id = 5"
forge entries 3 'the row leaves of the chunk are not those of its root' "UPDATE strata._audit_chunks SET added = set_byte(added, 3, 7) WHERE chunk_id = (SELECT min(chunk_id) FROM strata._audit_chunks WHERE added_count > 5)"
forge chunk_gone 3 'log_missing:' "DELETE FROM strata._audit_chunks WHERE chunk_id = 5"
forge swapped 3 'reordered:' "UPDATE strata._audit_entries SET chunk_id = -chunk_id WHERE log_index IN (4, 5); UPDATE strata._audit_entries e SET chunk_id = (SELECT -o.chunk_id FROM strata._audit_entries o WHERE o.log_index = 9 - e.log_index) WHERE log_index IN (4, 5)"
forge tile 3 'the tile has another leaf' "UPDATE strata._audit_tiles SET hashes = set_byte(hashes, 40, 1) WHERE level = 0"
again="DELETE FROM strata._audit_tiles; DELETE FROM strata._audit_entries; DELETE FROM strata._audit_states; UPDATE strata._audit_log SET size = 0, root = NULL, horizon = 0; SELECT strata.seal_audit();"
forge forked 3 'forked:' "UPDATE strata._audit_chunks SET session_role = 'somebody'; $again"
forge truncated 3 'truncated:' "DELETE FROM strata._audit_chunks WHERE chunk_id > 5; $again"
# the catalog lies: labels swapped, an absent value invented, a column left out, another table shown
forge labels 3 'label glad of public.every_type.e is called sad now' "UPDATE strata._label_ids l SET label = CASE l.label WHEN 'sad' THEN 'glad' ELSE 'sad' END, label_oid = (SELECT o.label_oid FROM strata._label_ids o WHERE o.enum_type = l.enum_type AND o.label = CASE l.label WHEN 'sad' THEN 'glad' ELSE 'sad' END) WHERE l.label IN ('sad', 'glad')"
forge absent 3 'schema_changed: public.pairs' "UPDATE strata._attribute_ids SET absent = '\x00' WHERE relation = 'pairs'::regclass AND attribute_name = 'spot'"
forge excluded 3 'was logged and is excluded now' "UPDATE strata._audited_tables SET excluded = array_append(excluded, (SELECT attribute_id FROM strata._attribute_ids WHERE relation = 'every_type'::regclass AND attribute_name = 'i4')) WHERE relation = 'every_type'::regclass"
forge shadow 0 'table public.every_type is called public.honest now' "CREATE TABLE honest AS TABLE every_type; ALTER TABLE honest ADD PRIMARY KEY (id); CREATE TRIGGER strata_audit AFTER INSERT OR UPDATE OR DELETE ON honest FOR EACH ROW EXECUTE FUNCTION strata._audit_row(); ALTER TABLE honest ENABLE ALWAYS TRIGGER strata_audit; CREATE TRIGGER strata_audit_truncate BEFORE TRUNCATE ON honest FOR EACH STATEMENT EXECUTE FUNCTION strata._audit_truncate(); ALTER TABLE honest ENABLE ALWAYS TRIGGER strata_audit_truncate;
    UPDATE strata._attribute_ids SET relation = 'honest'::regclass, relation_oid = 'honest'::regclass WHERE relation = 'every_type'::regclass; UPDATE strata._audited_tables SET relation = 'honest'::regclass WHERE relation = 'every_type'::regclass; ALTER TABLE every_type DISABLE TRIGGER strata_audit; UPDATE every_type SET i4 = 42 WHERE id = 7"
# a baseline that is hidden, or invented
forge hidden 3 'log_edited:' "ALTER TABLE strata._audit_chunks DISABLE TRIGGER ALL; CREATE OR REPLACE VIEW strata.audit_chunks AS SELECT e.log_index, c.chunk_id, c.table_uuid, CASE WHEN c.operation = 'baseline' THEN 'insert' ELSE c.operation END AS operation, c.schema, c.changed_at, c.xid, c.system_identifier, c.session_role, c.role, c.application, c.client, c.context, c.detail, c.added_count, c.added_root, c.added_keys, c.removed_count, c.removed_root, c.removed_keys, c.added, c.removed FROM strata._audit_chunks c LEFT JOIN strata._audit_entries e ON e.chunk_id = c.chunk_id"
forge rebaselined 0 'rebaselined (chunk' "$(quietly every_type "UPDATE every_type SET i4 = 42 WHERE id = 7") SET session_replication_role = origin; SELECT strata.enable_audit('every_type')"

# a log that is pruned: digests of before hold, and every chunk that is gone is accounted for
prune() { sql -c "SET client_min_messages = warning" -c "SELECT strata.set_audit_retention('$1', '0', verify_within => '$2')" -c "CALL strata.prune_audit('$1')" >/dev/null; }
sql -c "DELETE FROM every_type WHERE id = 11" -c "UPDATE every_type SET i4 = 1 WHERE id = 12"
expect 0 leaves "${seal[@]}"
cp "$work/digests/latest" "$work/before"
prune every_type 0
[ "$(sql -c "SELECT count(*) > 0 FROM strata.audit_pruned")" = t ] || die "nothing was pruned"
expect 0 'younger than the digest' "$BIN/strata" verify --audit --key "$work/public" --digest "$work/before"
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}"
! grep -q note: "$work/out" || die "a digest that has the state record is not enough"
sql -c "UPDATE every_type SET i4 = 2 WHERE id = 12" -c "DELETE FROM every_type WHERE id = 13" -c "INSERT INTO every_type (id) VALUES (11)"
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}"
prune every_type 0
sql -c "UPDATE every_type SET i4 = 3 WHERE id = 12"
prune pairs '1 day'
prune people 0
expect 0 leaves "${seal[@]}"
expect 0 ': sound' "${verify[@]}" --server-check
id="(SELECT audit_id FROM strata._audited_tables WHERE relation = 'every_type'::regclass)"
record="(SELECT max(chunk_id) FROM strata._audit_chunks WHERE operation = 'state' AND audit_id = $id)"
forge pruned_edited 3 'edited: public.every_type' "$edit"
forge pruned_history 3 'edited: public.every_type_history' "UPDATE every_type_history SET t = 'never' WHERE id = 12"
forge uncovered 3 'log_missing:' "DELETE FROM strata._audit_chunks WHERE chunk_id = (SELECT max(chunk_id) FROM strata._audit_chunks WHERE audit_id = $id AND operation = 'update')"
stray="(SELECT min(c.chunk_id) FROM strata._audit_chunks c JOIN strata._audited_tables a USING (audit_id) WHERE a.relation = 'pairs'::regclass AND c.added_count > 0)"
forge attributed 3 'gone chunks are not accounted for' "UPDATE strata._audit_entries SET audit_id = $id WHERE chunk_id = $stray; DELETE FROM strata._audit_chunks WHERE chunk_id = $stray"
forge rows_gone 3 'log_missing:' "DELETE FROM strata._audit_chunks WHERE audit_id = $id AND operation = 'state_rows'"
forge record_gone 3 'log_missing:' "DELETE FROM strata._audit_chunks WHERE chunk_id = $record"
forge record_edited 3 'log_edited:' "UPDATE strata._audit_chunks SET detail = jsonb_set(detail::jsonb, '{rows}', '5')::text WHERE chunk_id = $record"
forge record_forged 3 'is not what the chunks it covers make' "INSERT INTO strata._audit_chunks (chunk_id, audit_id, table_uuid, operation, schema, changed_at, xid, system_identifier, detail, added_count, removed_count)
    SELECT nextval('strata._audit_chunk_id_seq'), c.audit_id, c.table_uuid, 'state', 0, now(), c.xid, c.system_identifier, (c.detail::jsonb || jsonb_build_object('after', h.through, 'through', l.horizon, 'rows_from', c.chunk_id + 1, 'rows', 0,
        'chunks', k.chunks, 'root', encode(k.root, 'hex'), 'state', strata._state_checksum(strata._audit_follow(NULL, NULL))))::text, 0, 0
    FROM strata._audit_chunks c JOIN strata._audit_horizons h ON h.audit_id = c.audit_id, strata._audit_log l, LATERAL strata._audit_covered(c.audit_id, h.through, l.horizon) k WHERE c.chunk_id = $record; SELECT strata.seal_audit()"
expect 0 ': sound' "${verify[@]}"
say "the verifier believes what is signed, and nothing else"
