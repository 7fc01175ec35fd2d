-- Log and history past their retention go, and what was proven stays proven: a state record accounts for every chunk that is gone.
\set VERBOSITY terse
CREATE SCHEMA pruning;
SET search_path = pruning, public;
SET datestyle = ISO;
SET client_min_messages = warning;
CREATE FUNCTION faults(digest text DEFAULT NULL) RETURNS TABLE (fault text, relation regclass, detail text) LANGUAGE sql AS $$
    SELECT DISTINCT v.fault, v.relation, regexp_replace(v.detail, ' \(.*|\d+', '…', 'g') FROM strata.verify_audit(digest) v ORDER BY 1, 2, 3 $$;
CREATE FUNCTION refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d\d\d\d-.*|\d+', '…', 'g');
END
$$;
CREATE FUNCTION plan(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || statement; END $$;
CREATE FUNCTION logged(relation regclass) RETURNS TABLE (operation text, chunks bigint, added bigint, removed bigint) LANGUAGE sql AS $$
    SELECT l.operation, count(*), sum(l.added), sum(l.removed) FROM strata.audit_log l WHERE l.relation = logged.relation GROUP BY 1 ORDER BY 1 $$;
CREATE FUNCTION id_of(relation regclass) RETURNS int LANGUAGE sql AS $$ SELECT audit_id FROM strata._audited_tables a WHERE a.relation = id_of.relation $$;
-- what is sealed passes the horizon with the next seal
CREATE PROCEDURE seal() LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..2 LOOP
        PERFORM strata.seal_audit();
        COMMIT;
    END LOOP;
END
$$;

CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE other (id int PRIMARY KEY, v text);
INSERT INTO t SELECT n, 'first' FROM generate_series(1, 20) n;
SELECT strata.enable_audit('t'), strata.enable_audit('other');
INSERT INTO other SELECT n, 'o' FROM generate_series(1, 5) n;
BEGIN;
UPDATE t SET v = 'second' WHERE id <= 10;
UPDATE other SET v = 'q' WHERE id = 3;
COMMIT;
SELECT xid AS early FROM strata.audit_log WHERE relation = 't'::regclass AND operation = 'update' \gset
UPDATE other SET v = 'p' WHERE id = 1;
DELETE FROM t WHERE id > 18;
CALL seal();
SELECT checkpoint AS digest FROM strata.audit_digest() \gset
SELECT chunk_id AS proven FROM strata.audit_log WHERE relation = 't'::regclass AND operation = 'update' \gset
SELECT now() AS early_at \gset
INSERT INTO t SELECT n, 'third' FROM generate_series(21, 25) n;
CALL seal();

-- nothing is set: everything stays
CALL strata.prune_audit('t');
SELECT * FROM logged('t');
SELECT refused($$SELECT strata.set_audit_retention('t', '-1 day')$$);
SELECT refused($$SELECT strata.set_audit_retention('faults'::regproc::oid::regclass, '1 day')$$);
SELECT refused($$SELECT strata.set_audit_retention('pg_class', '1 day')$$);
-- nor before a record has had its time
SELECT strata.set_audit_retention('t', '0');
CALL strata.prune_audit('t');
SELECT * FROM logged('t');
SELECT * FROM faults(:'digest');
SELECT retention, kept_from FROM strata.audited_tables WHERE relation = 't'::regclass;

SELECT strata.set_audit_retention('t', '0', verify_within => '0');
CALL strata.prune_audit('t');
SELECT * FROM logged('t');
SELECT * FROM logged('other');
SELECT count(*) FROM t_history;
SELECT retention, kept_from > :'early_at' AS kept_from FROM strata.audited_tables WHERE relation = 't'::regclass;
SELECT * FROM faults(:'digest');
-- what was proven is
SELECT p.leaf IS NOT NULL AS leaf, cardinality(p.proof) > 0 AS proof FROM strata.prove_inclusion(:proven) p;
SELECT p.root = sha256('') AS empty FROM strata.prove_inclusion(:proven) p;
-- what is gone is not made up
SELECT refused(format('SELECT * FROM t_as_of(%L)', :'early_at'));
SELECT refused(format('SELECT * FROM t_as_of(%L) WHERE id = 1', :'early_at'));
SELECT refused(format('SELECT * FROM strata.as_of(NULL::t, %L)', :'early_at'));
SELECT refused(format('SELECT strata.restore_as_of(''t'', %L)', :'early_at'));
SELECT refused(format('SELECT strata.restore_as_of(''t'', %L, ''1'')', :'early_at'));
SELECT refused(format('SELECT strata.undo_transaction(%L)', :'early'));
SELECT refused(format('SELECT strata.undo_transaction(%L, force => true)', :'early'));
SELECT count(*) FROM other_as_of(:'early_at');
-- in one query, asked once
SELECT count(*) FROM plan($$SELECT * FROM t_as_of('2026-01-01') WHERE id = 1$$) p WHERE p ~ 'One-Time Filter: .*_is_kept';

-- and it goes on
SELECT clock_timestamp() AS late_at \gset
UPDATE t SET v = 'fourth' WHERE id = 1;
UPDATE t SET v = 'fifth' WHERE id = 1;
SELECT version ->> 'v' AS v, operation FROM strata.row_history('t', '1');
SELECT v FROM t_as_of(:'late_at') WHERE id = 1;
SELECT count(*) FROM t_as_of(:'late_at');
SELECT strata.restore_as_of('t', :'late_at');
SELECT * FROM faults(:'digest');
CALL seal();
SELECT * FROM faults(:'digest');
CALL strata.prune_audit('t');
SELECT * FROM logged('t');
SELECT count(*) FROM t_history;
SELECT * FROM faults(:'digest');
CALL strata.prune_audit('t');
SELECT operation, chunks FROM logged('t');

-- a new baseline, and a fault of before that stays one
ALTER TABLE other DISABLE TRIGGER strata_audit;
UPDATE other SET v = 'forged' WHERE id = 2;
ALTER TABLE other ENABLE ALWAYS TRIGGER strata_audit;
SELECT strata.set_audit_retention('other', '0', verify_within => '0');
CALL strata.prune_audit('other');
SELECT * FROM logged('other');
SELECT * FROM faults(:'digest');
SELECT strata.enable_audit('other');
CALL strata.prune_audit('other');
SELECT * FROM logged('other');
SELECT * FROM faults(:'digest');

-- who tampers with what is left
DELETE FROM other WHERE id = 5;
INSERT INTO t SELECT n, 'sixth' FROM generate_series(31, 33) n;
UPDATE t SET v = 'seventh' WHERE id = 31;
CALL seal();
SELECT * FROM faults();
\set tampered 'BEGIN; SET LOCAL session_replication_role = replica;'
-- a chunk that no record covers
:tampered
DELETE FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'update';
SELECT * FROM faults();
ROLLBACK;
-- pruned too far: one behind the record
:tampered
DELETE FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'insert';
UPDATE strata._audit_horizons SET through = through + 1000, pruned_through = through + 1000;
SELECT * FROM faults();
ROLLBACK;
-- a chunk without rows, among those that are covered
:tampered
DELETE FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'enabled';
SELECT * FROM faults();
ROLLBACK;
-- a chunk of another table, said to be of this one
:tampered
UPDATE strata._audit_entries SET audit_id = id_of('t') WHERE chunk_id = (SELECT min(chunk_id) FROM strata._audit_chunks WHERE audit_id = id_of('other') AND operation = 'delete');
DELETE FROM strata._audit_chunks WHERE audit_id = id_of('other') AND operation = 'delete';
SELECT * FROM faults();
ROLLBACK;
-- a record edited, one taken away, its rows edited, its rows taken away
:tampered
UPDATE strata._audit_chunks SET detail = jsonb_set(detail::jsonb, '{through}', to_jsonb((detail::jsonb ->> 'through')::bigint + 100))::text
WHERE chunk_id = (SELECT max(chunk_id) FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'state');
SELECT * FROM faults();
ROLLBACK;
:tampered
DELETE FROM strata._audit_chunks WHERE chunk_id = (SELECT max(chunk_id) FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'state');
SELECT fault FROM faults();
ROLLBACK;
:tampered
UPDATE strata._audit_chunks SET added = substr(added, 1, 40), added_count = 1 WHERE audit_id = id_of('t') AND operation = 'state_rows';
SELECT fault FROM faults();
ROLLBACK;
:tampered
DELETE FROM strata._audit_chunks WHERE audit_id = id_of('t') AND operation = 'state_rows';
SELECT fault FROM faults();
ROLLBACK;
-- a record forged: that of a table without one row, whose chunks are still there; and with them gone
:tampered
DELETE FROM t WHERE id = 31;
INSERT INTO strata._audit_chunks (chunk_id, audit_id, table_uuid, operation, schema, changed_at, xid, system_identifier, detail, added_count, removed_count)
SELECT nextval('strata._audit_chunk_id_seq'), audit_id, table_uuid, 'state', 0, now(), xid, c.system_identifier,
       (detail::jsonb || jsonb_build_object('after', h.through, 'through', (SELECT max(log.chunk_id) FROM strata.audit_log log WHERE log.relation = 't'::regclass), 'rows_from', c.chunk_id + 1, 'rows', 0,
        'state', strata._state_checksum(strata._audit_follow(NULL, NULL))))::text, 0, 0
FROM strata._audit_chunks c JOIN strata._audit_horizons h USING (audit_id) WHERE c.chunk_id = h.record_id AND c.audit_id = id_of('t');
SELECT strata.seal_audit() > 0 AS sealed;
SELECT fault, detail FROM faults() WHERE fault = 'log_edited' OR fault = 'log_missing';
ROLLBACK;
SELECT * FROM faults();

-- what should have gone is told of
SELECT check_name, status FROM strata.health WHERE check_name IN ('audit_retention', 'audit_size') ORDER BY 1, object;
:tampered
UPDATE strata._audit_chunks SET changed_at = changed_at - interval '3 days' WHERE audit_id = id_of('t');
SELECT object, status, threshold, hint FROM strata.health WHERE check_name = 'audit_retention' AND status <> 'ok';
ROLLBACK;

-- by maintenance, whoever runs it; tables without a setting of their own by the setting for all
CREATE TABLE third (id int PRIMARY KEY);
SELECT strata.enable_audit('third');
INSERT INTO third VALUES (1), (2);
DELETE FROM third WHERE id = 1;
CALL seal();
SELECT strata.set_audit_retention(NULL, '0', verify_within => '0');
CREATE ROLE audit_nobody;
SET ROLE audit_nobody;
SELECT refused($$SELECT strata.set_audit_retention(NULL, '1 day')$$);
SELECT refused($$CALL strata.prune_audit()$$);
CALL strata.maintain_partitions();
RESET ROLE;
CALL seal();
CALL strata.maintain_partitions();
SELECT * FROM logged('third');
SELECT count(*) FROM third_history;
SELECT * FROM faults(:'digest');
SELECT strata.set_audit_retention(NULL, NULL), strata.set_audit_retention('t', NULL), strata.set_audit_retention('other', NULL);
SELECT count(*) FROM strata._audit_retention;

SET client_min_messages = error;
DROP ROLE audit_nobody;
DROP SCHEMA pruning CASCADE;
SELECT strata._heal_catalog();
