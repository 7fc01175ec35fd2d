-- Four roles at work: each can do its own, none can forge or delete what the ledger and the checkpoints say.
\set SHOW_CONTEXT never
CREATE FUNCTION refused(statement text, OUT error text) LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
BEGIN
    EXECUTE statement;
    error := 'nothing was refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    error := code || ': ' || message;
END
$$;
CREATE ROLE rights_owner;
CREATE ROLE rights_application;
CREATE ROLE rights_sidecar;
CREATE ROLE rights_reader;
CREATE ROLE rights_stranger;
CREATE SCHEMA work AUTHORIZATION rights_owner;
GRANT USAGE ON SCHEMA work TO PUBLIC;
SET search_path = work, public;

-- the owner creates, grants, drops; nobody else has to be a superuser
SET ROLE rights_owner;
CREATE TABLE events (ts timestamptz NOT NULL, k int NOT NULL, v int);
SELECT strata.create_event_table('events', 'ts', premake => 1);
SELECT strata.create_rollup('events_by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);
SELECT strata.grant_ingest('events', 'rights_sidecar');
GRANT INSERT, UPDATE, DELETE, SELECT ON events TO rights_application;
CREATE TABLE plain (ts timestamptz NOT NULL, k int, PRIMARY KEY (k, ts));
INSERT INTO plain SELECT now(), n FROM generate_series(1, 10) n;
GRANT INSERT, UPDATE, SELECT ON plain TO rights_application;
GRANT SELECT ON events_by_k TO rights_reader;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'work'::regnamespace AND relkind IN ('r', 'p', 'v', 'S') AND relowner <> 'rights_owner'::regrole;

-- a lookup takes SELECT on the rollup and no more, with rows pending, marked and folded
INSERT INTO events VALUES (now(), 7, 7);
SET ROLE rights_reader;
SELECT k, n, v FROM strata.rollup_lookup(NULL::events_by_k, '{"k": 7}');
SELECT refused($$SELECT * FROM events_by_k_reader('-infinity')$$);
SELECT refused($$SELECT strata._lookup('events_by_k', '{}', NULL, NULL)$$);
SELECT refused($$SELECT strata._read_as('rights_owner', 'SELECT 1')$$);
SET ROLE rights_stranger;
SELECT refused($$SELECT * FROM strata.rollup_lookup(NULL::events_by_k, '{"k": 7}')$$);
SET ROLE rights_owner;
DELETE FROM events WHERE k = 7;
SET ROLE rights_reader;
SELECT k, n, v FROM strata.rollup_lookup(NULL::events_by_k, '{"k": 7}');
SET ROLE rights_owner;
SELECT strata.refresh_rollup('events_by_k');
SET ROLE rights_reader;
SELECT count(*) FROM strata.rollup_lookup(NULL::events_by_k, '{}');

-- the application inserts and changes, and can make partitions inside the window
SET ROLE rights_application;
INSERT INTO events VALUES (now(), 1, 1), (now(), 2, 2);
SELECT strata.ensure_partitions('events', now() - interval '2 days', now());
UPDATE events SET v = 5 WHERE k = 1;
DELETE FROM events WHERE k = 2;
SELECT refused($$SELECT strata.refresh_rollup('events_by_k')$$);
SELECT refused($$SELECT strata.drop_rollup('events_by_k')$$);
SELECT refused($$SELECT strata.rebuild_rollup('events_by_k')$$);
SELECT refused($$SELECT strata.release_event_table('events')$$);
SELECT refused($$SELECT strata.grant_ingest('events', 'rights_application')$$);
SELECT refused($$SELECT strata.revoke_ingest('events', 'rights_sidecar')$$);
SELECT refused($$SELECT strata.create_rollup('mine', 'events', '1 day', '{}', ARRAY['count(*) AS n'])$$);
SELECT refused($$SELECT strata._claim_shard('events', 's', '0', 'w', 1000, 'TRIM_HORIZON')$$);
SELECT refused($$SELECT strata.verify_batches('events')$$);
SELECT refused($$CALL strata.maintain_partitions('events')$$);
SELECT refused($$SELECT strata.create_event_table('plain', 'ts')$$);
SELECT refused($$CALL strata.convert_to_event_table('plain', 'ts')$$);
SELECT refused($$SELECT strata.cancel_conversion('plain')$$);
SELECT refused($$SELECT strata._begin_conversion('plain', '{}', 1)$$);
SELECT refused($$SELECT strata._continue_conversion('plain', 1)$$);
SELECT refused($$SELECT strata._cancel_conversion('plain')$$);
SELECT refused($$TRUNCATE events$$);

-- the reader sees the exact result, before any refresh, and nothing else
SET ROLE rights_reader;
SELECT k, n, v FROM events_by_k ORDER BY k;
SELECT rollup, pending_batches FROM strata.rollups;
SELECT refused($$SELECT * FROM events$$);
SELECT refused($$SELECT * FROM events_by_k_storage$$);
SELECT refused($$INSERT INTO events VALUES (now(), 1, 1)$$);
SELECT refused($$SELECT strata.current_batch('events')$$);
SELECT refused($$SELECT strata.refresh_rollup('events_by_k')$$);
SELECT refused($$SELECT strata.ensure_partitions('events', now(), now())$$);
SELECT count(*) FROM strata.batches;

-- the sidecar streams in, refreshes, maintains; it can neither read, change, drop nor alter
SET ROLE rights_sidecar;
SELECT claimed, epoch FROM strata._claim_shard('events', 's', '0', 'w', 10000, 'TRIM_HORIZON');
SELECT count(*) FROM strata._prepare_batch('events', now(), now());
BEGIN;
SELECT strata.current_batch('events') AS batch \gset
INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 3, 3, :batch);
SELECT strata._finish_batch('events', :batch, 1, now(), now(), '{1,2,3}', '{}', '{}', '{}');
SELECT * FROM strata._advance_checkpoints('events', :batch, '{s}', '{0}', '{1}', '{NULL}', '{1}', '{9}', ARRAY[now()], '{1}', '{false}');
COMMIT;
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM strata.verify_rollup('events_by_k');
CALL strata.maintain_partitions('events');
SELECT shard, sequence_number, rows FROM strata.shards;
SELECT refused($$SELECT * FROM events$$);
SELECT refused($$UPDATE events SET v = 0$$);
SELECT refused($$DELETE FROM events$$);
SELECT refused($$TRUNCATE events$$);
SELECT refused($$DROP TABLE events$$);
SELECT refused($$ALTER TABLE events ADD COLUMN x int$$);
SELECT refused($$SELECT strata.drop_rollup('events_by_k')$$);
SELECT refused($$SELECT strata.release_event_table('events')$$);
SELECT refused($$SELECT strata.ensure_partitions('events', '1990-01-01', now())$$) LIKE 'ST003%' AS inside_the_window_only;

-- nobody writes the catalog by hand, nor calls the privileged halves
SELECT refused(format('%s strata.%I%s', verb, c.relname, rest)) LIKE '42501%' AS denied, count(*) > 0 AS some
FROM pg_class c,
    (VALUES ('DELETE FROM', ''), ('SELECT * FROM', ''), ('TRUNCATE', ''), ('LOCK TABLE', ''), ('DROP TABLE', '')) AS v (verb, rest)
WHERE c.relnamespace = 'strata'::regnamespace AND c.relkind = 'r'
GROUP BY 1;
SELECT refused(format('DELETE FROM strata.%I', c.relname)) LIKE ANY ('{42501%,55000%}') AS denied, count(*) > 0 AS some
FROM pg_class c WHERE c.relnamespace = 'strata'::regnamespace AND c.relkind = 'v' GROUP BY 1;
SELECT refused($$SELECT strata._write_batch('events', 1, 1, now(), now(), '{}', '{}', '{}', '{}')$$);
SELECT refused($$SELECT * FROM strata._write_checkpoints('events', 1, '{s}', '{0}', '{1}', '{9}', '{1}', '{99}', ARRAY[now()], '{1}', '{false}')$$);
SELECT refused($$SELECT strata._execute_as('postgres', 'SELECT 1')$$);
SELECT refused($$SELECT strata._raise_sequence('events_batch_id_seq', 100)$$);
-- every privileged function that everybody may call takes a permit, or changes nothing
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'strata'::regnamespace AND p.prosecdef AND p.prosrc NOT LIKE '%strata.\_authorized(%' AND p.provolatile = 'v'
    AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;
SET ROLE rights_stranger;
SELECT (SELECT count(*) FROM strata.event_tables) + (SELECT count(*) FROM strata.batches) + (SELECT count(*) FROM strata.rollups)
    + (SELECT count(*) FROM strata.shards) + (SELECT count(*) FROM strata.dead_letters) + (SELECT count(*) FROM strata.partitions) AS seen;

RESET ROLE;
-- every public view can be read by everybody, each seeing what is his
CREATE FUNCTION unreadable() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT c.relname || ': ' || r FROM pg_class c, LATERAL refused(format('SELECT * FROM strata.%I', c.relname)) r
    WHERE c.relnamespace = 'strata'::regnamespace AND c.relkind = 'v' AND c.relname !~ '^_' AND r <> 'nothing was refused' ORDER BY 1
$$;
SELECT unreadable();
SET ROLE rights_reader;
SELECT unreadable();
SET ROLE rights_application;
SELECT unreadable();
SET ROLE rights_sidecar;
SELECT unreadable();
SELECT count(*) > 0 AS health FROM strata.health;
SET ROLE rights_stranger;
SELECT unreadable();
RESET ROLE;
DROP FUNCTION unreadable();
SET ROLE rights_stranger;

-- the owner converts a table beside the application, which need not know
SET ROLE rights_owner;
SELECT strata._begin_conversion(strata._authorize('plain', 'OWNER'), '{"time_column": "ts"}', 1000);
SELECT strata._continue_conversion(strata._authorize('plain', 'OWNER'), 1000);
SELECT strata._continue_conversion(strata._authorize('plain', 'OWNER'), 1000);
SET ROLE rights_application;
INSERT INTO plain VALUES (now(), 11);
UPDATE plain SET k = 12 WHERE k = 1;
SELECT refused('SELECT * FROM plain_strata_new');
SELECT relation, state, rows_moved FROM strata.conversions;
SELECT refused('SELECT plain_strata_carry()');
SET ROLE rights_stranger;
SELECT count(*) FROM strata.conversions;
SET ROLE rights_owner;
CALL strata.convert_to_event_table('plain');
SET ROLE rights_application;
INSERT INTO plain VALUES (now(), 13);
SELECT array_agg(k ORDER BY k) FROM plain;
SELECT refused('DELETE FROM plain');

-- what was given is taken back
SET ROLE rights_owner;
SELECT strata.revoke_ingest('events', 'rights_sidecar');
SET ROLE rights_sidecar;
SELECT refused($$SELECT strata._claim_shard('events', 's', '0', 'w', 1000, 'TRIM_HORIZON')$$);
SELECT refused($$INSERT INTO events VALUES (now(), 1, 1)$$);
RESET ROLE;
DROP SCHEMA work CASCADE;
DROP ROLE rights_owner, rights_application, rights_sidecar, rights_reader, rights_stranger;
