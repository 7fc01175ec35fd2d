-- Erasure: values gone from row, history and dead letters; what was proven stays proven.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA erasure;
SET search_path = erasure, public;
CREATE TABLE people (id int PRIMARY KEY, name text, email text UNIQUE, joined date, secret text);
INSERT INTO people VALUES (1, 'Ada', 'ada@example.com', '2020-01-01', 'x'), (2, 'Bob', 'bob@example.com', '2020-01-02', 'y');

-- what can be erasable
SELECT refused($$SELECT strata.enable_audit('people', erasable => '{id}')$$);
SELECT refused($$SELECT strata.enable_audit('people', exclude => '{secret}', erasable => '{secret}')$$);
SELECT refused($$SELECT strata.enable_audit('people', erasable => '{nothing}')$$);
ALTER TABLE people ALTER email SET NOT NULL;
\set VERBOSITY verbose
SELECT strata.enable_audit('people', erasable => '{email}');
ALTER TABLE erasure.people ALTER COLUMN email DROP NOT NULL;
ALTER TABLE people ADD COLUMN domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED;
SELECT strata.enable_audit('people', erasable => '{email}');
ALTER TABLE people DROP COLUMN domain;
\set VERBOSITY default

-- the values of before, and those of after
SELECT strata.enable_audit('people', exclude => '{secret}');
UPDATE people SET name = 'Ada King' WHERE id = 1;
SELECT strata.enable_audit('people', exclude => '{secret}', erasable => '{name,email}');
SELECT excluded, erasable FROM strata.audited_tables WHERE relation = 'people'::regclass;
UPDATE people SET name = 'Ada Lovelace' WHERE id = 1;
UPDATE people SET email = 'ada@example.org' WHERE id = 1;
INSERT INTO people VALUES (3, 'Cy', NULL, '2020-01-03'), (4, NULL, NULL, '2020-01-04');
-- one salt for every key that has had something to hide
SELECT get_byte(key, 7) AS id, length(key) AS key, length(salt) AS salt FROM strata.audit_salts('people') ORDER BY 1;
SELECT strata.seal_audit() > 0 AS sealed;
SELECT checkpoint AS digest FROM strata.audit_digest() \gset
SELECT chunk_id FROM strata.audit_log WHERE relation = 'people'::regclass AND operation = 'update' ORDER BY chunk_id DESC LIMIT 1 \gset
CREATE TABLE proof AS SELECT p.* FROM strata.prove_inclusion(:chunk_id) p;
CREATE TABLE salt_of_one AS SELECT salt FROM strata.audit_salts('people') WHERE key = int8send(1);
SELECT clock_timestamp() AS before \gset
SELECT * FROM strata.verify_audit(:'digest');

-- the leaf of an old version, made again by hand from the commitments (docs/formats.md)
CREATE FUNCTION column_bytes(id int, tag int, value bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT coalesce(int4send(id) || set_byte('\x00', 0, tag) || int4send(length(value)) || value, '') $$;
CREATE FUNCTION commitment(salt bytea, id int, tag int, value bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256('\x0201' || salt || int4send(id) || set_byte('\x00', 0, tag) || value) $$;
CREATE FUNCTION removed_leaf(chunk bigint) RETURNS bytea LANGUAGE sql AS $$ SELECT substr(removed, 1, 32) FROM strata._audit_chunks WHERE chunk_id = chunk $$;
SELECT removed_leaf(h.strata_chunk) = sha256('\x0001' || uuid_send(t.table_uuid) || column_bytes(1, 3, int4send(h.id))
           || column_bytes(2, 28, commitment(s.salt, 2, 8, convert_to(h.name, 'UTF8'))) || column_bytes(3, 28, commitment(s.salt, 3, 8, convert_to(h.email, 'UTF8')))
           || column_bytes(4, 13, date_send(h.joined))) AS same_leaf
FROM people_history h, strata.audited_tables t, strata.audit_salts('people') s
WHERE t.relation = 'people'::regclass AND s.key = int8send(h.id) AND h.strata_chunk = :chunk_id;

-- erased
SET client_min_messages = notice;
SELECT * FROM strata.erase('people', '1');
SET client_min_messages = warning;
SELECT * FROM people ORDER BY id;
SELECT count(*), count(name), count(email), count(strata_erased) FROM people_history WHERE id = 1;
SELECT count(*) FROM strata.audit_salts('people') WHERE key = int8send(1);
SELECT version, operation, changed, erased, context FROM strata.row_history('people', '1');
SELECT count(*) FROM people_history h WHERE h::text ~ 'Ada|ada@';
SELECT count(*) FROM strata._audit_chunks c WHERE c::text ~ 'Ada|ada@';
SELECT session_role, detail::jsonb - 'relation' AS detail FROM strata.audit_log WHERE relation = 'people'::regclass AND operation = 'erased';
-- everything that held holds
SELECT * FROM strata.verify_audit(:'digest');
SELECT strata.seal_audit() > 0 AS sealed;
SELECT * FROM strata.verify_audit(:'digest');
SELECT removed_leaf(h.strata_chunk) = sha256('\x0001' || uuid_send(t.table_uuid) || column_bytes(1, 3, int4send(h.id))
           || column_bytes(2, 28, substr(h.strata_erased, 5, 32)) || column_bytes(3, 28, substr(h.strata_erased, 41, 32)) || column_bytes(4, 13, date_send(h.joined))) AS same_leaf
FROM people_history h, strata.audited_tables t WHERE t.relation = 'people'::regclass AND h.strata_chunk = :chunk_id;
SELECT n.leaf = p.leaf AS same_leaf_of_the_log FROM proof p, strata.prove_inclusion(:chunk_id) n;
-- what was logged before the columns were erasable is gone without a commitment
SELECT right(encode(strata_erased, 'hex'), 64) = repeat('0', 64) AS unknown FROM people_history WHERE id = 1 ORDER BY strata_chunk LIMIT 1;

-- twice; never; another
SET client_min_messages = notice;
SELECT * FROM strata.erase('people', '1');
SET client_min_messages = warning;
SELECT refused($$SELECT strata.erase('people', '99')$$);
SELECT refused($$SELECT strata.erase('people', '{"name": "Bob"}')$$);
SELECT * FROM strata.erase('people', '4');
-- taken back
BEGIN;
SELECT rows, versions FROM strata.erase('people', '2');
ROLLBACK;
SELECT name, email FROM people WHERE id = 2;
SELECT count(*) FROM strata.audit_salts('people') WHERE key = int8send(2);
BEGIN;
SAVEPOINT s;
SELECT rows, versions FROM strata.erase('people', '2');
ROLLBACK TO s;
UPDATE people SET name = 'Robert' WHERE id = 2;
COMMIT;
-- prepared
BEGIN;
SELECT rows, versions FROM strata.erase('people', '2');
PREPARE TRANSACTION 'erase';
COMMIT PREPARED 'erase';
SELECT * FROM people WHERE id = 2;
SELECT * FROM strata.verify_audit(:'digest');
-- a key that is used again has another salt, and is erased again
UPDATE people SET name = 'Ada again' WHERE id = 1;
DELETE FROM people WHERE id = 1;
INSERT INTO people VALUES (1, 'another one', 'one@example.com');
SELECT count(*), bool_and(s.salt <> o.salt) AS another FROM strata.audit_salts('people') s, salt_of_one o WHERE key = int8send(1);
DELETE FROM people WHERE id = 1;
SELECT rows, versions FROM strata.erase('people', '1');
SELECT version, operation, erased FROM strata.row_history('people', '1');
SELECT * FROM strata.verify_audit(:'digest');

-- what was: NULL where it was erased, and no way back
INSERT INTO people VALUES (1, 'new', NULL, '2021-01-01');
SELECT id, name, email, joined FROM people_as_of(:'before') ORDER BY id;
SET client_min_messages = notice;
SELECT strata.restore_as_of('people', :'before', '1');
SELECT strata.restore_as_of('people', :'before');
SET client_min_messages = warning;
SELECT id, name, email, joined FROM people ORDER BY id;
SELECT xid AS last_xid FROM strata.audit_log WHERE relation = 'people'::regclass AND operation = 'erased' ORDER BY chunk_id DESC LIMIT 1 \gset
UPDATE people SET name = 'Cyrus' WHERE id = 3;
SELECT xid AS cy_xid FROM strata.audit_log WHERE relation = 'people'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT rows, versions FROM strata.erase('people', '3');
SELECT regexp_replace(refused(format('SELECT strata.undo_transaction(%L)', :'cy_xid')), '(?<!ST)\d{3,}', 'n', 'g');
SET client_min_messages = notice;
SELECT strata.undo_transaction(:'cy_xid', force => true);
SET client_min_messages = warning;
SELECT name FROM people WHERE id = 3;
SELECT * FROM strata.verify_audit(:'digest');

-- columns that came to be called otherwise, of another type, or were dropped
UPDATE people SET name = 'n' || id, email = id || '@example.com';
ALTER TABLE people RENAME COLUMN name TO full_name;
UPDATE people SET full_name = upper(full_name);
ALTER TABLE people ALTER COLUMN full_name TYPE varchar(20);
SELECT strata.enable_audit('people', exclude => '{secret}');
UPDATE people SET full_name = full_name || '!';
ALTER TABLE people DROP COLUMN email;
SELECT strata.enable_audit('people', exclude => '{secret}');
SELECT count(*) > 0 AS there FROM people_history h WHERE h::text ~ 'n2|N2|2@example';
SELECT rows, versions > 2 AS versions FROM strata.erase('people', '2');
SELECT count(*) FROM people_history h WHERE h::text ~ 'n2|N2|2@example';
SELECT full_name FROM people WHERE id = 2;
SELECT * FROM strata.verify_audit(:'digest');

-- a trigger that knows better, a policy that hides the row
CREATE FUNCTION keep_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.full_name := coalesce(NEW.full_name, OLD.full_name); RETURN NEW; END $$;
CREATE TRIGGER keep_name BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION keep_name();
SELECT refused($$SELECT strata.erase('people', '3')$$);
DROP TRIGGER keep_name ON people;
CREATE ROLE erasure_owner;
CREATE ROLE erasure_other;
GRANT USAGE, CREATE ON SCHEMA erasure TO erasure_owner;
GRANT USAGE ON SCHEMA erasure TO erasure_other;
ALTER TABLE people OWNER TO erasure_owner;
GRANT ALL ON people TO erasure_other;
ALTER TABLE people ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE erasure_owner;
SELECT refused($$SELECT strata.erase('people', '3')$$);
ALTER TABLE people NO FORCE ROW LEVEL SECURITY;
SELECT rows FROM strata.erase('people', '3');
SET ROLE erasure_other;
SELECT refused($$SELECT strata.erase('people', '4')$$);
SELECT refused($$SELECT strata._erase('people', '4')$$);
SELECT refused($$SELECT * FROM strata.audit_salts('people')$$);
SELECT refused($$SELECT * FROM strata._audit_salts$$);
RESET ROLE;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused($$SELECT strata.erase('people', '4')$$);
COMMIT;
-- salts that somebody took away or changed are missed
INSERT INTO people VALUES (50, 'fifty'), (51, 'fifty-one');
UPDATE strata._audit_salts SET salt = sha256('') WHERE key = int8send(50);
DELETE FROM strata._audit_salts WHERE key = int8send(51);
SELECT fault, place -> 'key' AS key FROM strata.verify_audit(:'digest') ORDER BY place ->> 'key';
DELETE FROM people WHERE id IN (50, 51);
SELECT strata.enable_audit('people', exclude => '{secret}');
SELECT * FROM strata.verify_audit(:'digest');
CREATE TABLE plain_table (id int PRIMARY KEY);
SELECT strata.enable_audit('plain_table');
SELECT refused($$SELECT strata.erase('plain_table', '1')$$);
SELECT count(*) FROM pg_attribute WHERE attrelid = 'plain_table_history'::regclass AND attname = 'strata_erased';

-- an event table, a key of several columns, dead letters, and checksums of batches
CREATE TABLE visits (ts timestamptz NOT NULL, visitor text, mail text, page text, PRIMARY KEY (visitor, ts));
SELECT strata.create_event_table('visits', 'ts', '1 day');
SELECT refused($$SELECT strata.enable_audit('visits', erasable => '{ts}')$$);
SELECT strata.enable_audit('visits', erasable => '{mail}');
INSERT INTO visits VALUES (date_trunc('hour', now()), 'v-1', 'one@example.com', '/'), (date_trunc('hour', now()), 'v-2', 'two@example.com', '/');
INSERT INTO strata._batch_checksums SELECT t.table_id, v.batch_id, v.tableoid, 2, sha256('') FROM visits v, strata._event_tables t WHERE t.relation = 'visits'::regclass AND visitor = 'v-1';
CREATE FUNCTION letter(number text, record bytea, first boolean DEFAULT true) RETURNS void LANGUAGE sql AS $$
    -- an LZ4 block of literals alone
    INSERT INTO strata._dead_letters (table_id, batch_id, stream, shard, sequence_number, sub_sequence, reason, payload, payload_bytes)
    SELECT t.table_id, 1, 's', 'shard', number, CASE WHEN first THEN 0 ELSE 1 END, 'reason', CASE WHEN first THEN
        set_byte('\x00', 0, least(length(record), 15) << 4) || CASE WHEN length(record) >= 15 THEN set_byte('\x00', 0, length(record) - 15) ELSE '' END || record ELSE '' END,
        CASE WHEN first THEN length(record) ELSE 0 END
    FROM strata._event_tables t WHERE t.relation = 'erasure.visits'::regclass $$;
SELECT letter('1', '{"Visitor": "v-1", "mail": "one@example.com", "ts": "never"}'), letter('1', '', false);
SELECT letter('2', '{"visitor": "v-2", "page": "v-1"}');
SELECT letter('3', '{"who": {"id": "v-1"}}');
SELECT letter('4', E'{"visitor": "v-9"}\n{"visitor": "v-1"}\n');
SELECT letter('5', '\x0a030bff' || convert_to('who: v-1.', 'UTF8')), letter('6', 'who: v-11, x_v-1'), letter('7', '\x1f8b0800'), letter('8', '[{"visitor": "v-3"}, {"visitor": "v-1", "n": 1}]'), letter('9', '{"visitor": null, "v": "v-1"}');
SELECT sequence_number, strata._names_key(strata._unpacked(payload, payload_bytes), '{visitor}', '{v-1}') AS names_it FROM strata._dead_letters WHERE stream = 's' AND payload_bytes > 0 ORDER BY 1;
SELECT to_char(date_trunc('hour', now()), 'YYYY-MM-DD HH24:MI:SSOF') AS hour \gset
SELECT * FROM strata.erase('visits', format('{"visitor": "v-1", "ts": %s}', to_jsonb(:'hour'::text)));
SELECT visitor, mail, page FROM visits ORDER BY 1;
SELECT sequence_number FROM strata._dead_letters WHERE stream = 's' ORDER BY 1;
SELECT length(key) FROM strata.audit_salts('visits');
SELECT * FROM strata.verify_batches('visits', amended => true);
SELECT * FROM strata.verify_audit(:'digest');

SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
DROP SCHEMA erasure CASCADE;
DROP ROLE erasure_owner;
DROP ROLE erasure_other;
SELECT strata._heal_catalog();
