-- Pending batches, dirty marks, ids ahead of the sequence, a streamed batch with checksums, holes of aborted
-- transactions; every type of time column, sub-partitions, retention half done, a suspended and a half filled rollup, a
-- pruned ledger: what a dump can meet in the middle of the work.
\set ON_ERROR_STOP 1
CREATE EXTENSION pg_strata;
-- pg_restore with several jobs fills the tables of an extension in any order
SELECT 1 / (count(*) = 0)::int AS no_foreign_keys FROM pg_constraint WHERE contype = 'f' AND connamespace = 'strata'::regnamespace;
CREATE SCHEMA work;
CREATE TABLE work.unused (a int);
CREATE TABLE work.events (gone int, ts timestamptz NOT NULL, k int, v numeric, note jsonb);
ALTER TABLE work.events DROP COLUMN gone;
SELECT strata.create_event_table('work.events', 'ts');
SELECT strata.ensure_partitions('work.events', now() - interval '3 days', now());
SELECT strata.create_rollup('work.by_k', 'work.events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v', 'avg(v) AS mean']);
SELECT strata.create_rollup('work.by_hour', 'work.events', '1 hour', '{}', ARRAY['count(*) AS n', 'max(v) AS v'], filter => 'k > 2');
INSERT INTO work.events (ts, k, v) SELECT now() - n * interval '1 hour', n % 7, n FROM generate_series(1, 60) n;
SELECT strata.refresh_rollup('work.by_k');
BEGIN; INSERT INTO work.events (ts, k, v) VALUES (now(), 1, 1); ROLLBACK;
BEGIN;
SELECT strata.current_batch('work.events') AS batch \gset
INSERT INTO work.events (ts, k, v, note, batch_id) VALUES (now(), 1, 5.50, '{"b": 1, "a": [1.50, null]}', :batch);
SELECT strata._row_expression(strata._event_table('work.events'), ARRAY(SELECT column_id FROM strata._ingest_columns('work.events'))) AS leaf \gset
SELECT strata._sorted_root(array_agg(:leaf)) AS root, min(tableoid) AS partition FROM work.events e WHERE batch_id = :batch \gset
SELECT strata._finish_batch('work.events', :batch, 1, now(), now(), ARRAY(SELECT column_id FROM strata._ingest_columns('work.events')), ARRAY[:partition::oid], '{1}', ARRAY[:'root'::bytea]);
COMMIT;
UPDATE work.events SET v = v + 1 WHERE k = 3;
DELETE FROM work.events WHERE k = 4;
INSERT INTO work.events (ts, k, v, batch_id) SELECT now(), 6, 100, last_value + 20 FROM work.events_batch_id_seq;
SELECT claimed FROM strata._claim_shard('work.events', 'arn:s', 'shard-0', 'one', 60000, 'TRIM_HORIZON');
SELECT strata.grant_ingest('work.events', 'work_sidecar');
-- a target of changes, and how far its source was read
CREATE TABLE work.profiles (region text, id int, name text, PRIMARY KEY (region, id));
SELECT strata.create_target_table('work.profiles');
SELECT strata.grant_ingest('work.profiles', 'work_sidecar');
SELECT claimed FROM strata._claim_shard('work.profiles', 'arn:s', 'shard-0', 'one', 60000, 'TRIM_HORIZON');
SELECT * FROM strata._advance_checkpoints('work.profiles', 0, '{arn:s}', '{shard-0}', '{1}', '{NULL}', '{5}', '{7}', '{now}', '{2}', '{false}');

-- every type of time column, sub-partitions, strange names
CREATE FUNCTION work.id_at(ts timestamptz, n int) RETURNS uuid LANGUAGE sql
    AS $$ SELECT overlay(strata.uuid_at(ts)::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid $$;
CREATE TABLE work.wall (ts timestamp NOT NULL, k int, v numeric);
CREATE TABLE work."Days ""of"" Wörk" ("day" date NOT NULL, k int, v numeric, PRIMARY KEY (day, k));
CREATE TABLE work.ids (id uuid PRIMARY KEY, k int, v numeric);
SELECT strata.create_event_table('work.wall', 'ts', '6 hours', timezone => 'America/New_York');
SELECT strata.create_event_table('work."Days ""of"" Wörk"', 'day', '1 month', accept_past => '100 days');
SELECT strata.create_event_table('work.ids', 'id', '1 day', subpartition_by => 'id', subpartitions => 3);
SELECT strata.ensure_partitions('work.wall', now() - interval '2 days', now());
SELECT strata.ensure_partitions('work."Days ""of"" Wörk"', now() - interval '2 days', now());
SELECT strata.ensure_partitions('work.ids', now() - interval '2 days', now());
SELECT strata.create_rollup('work.wall_hours', 'work.wall', '1 hour', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);
SELECT strata.create_rollup('work."Röll ""up"""', 'work."Days ""of"" Wörk"', '1 day', '{}', ARRAY['count(*) AS n', 'count(DISTINCT k) AS keys']);
SELECT strata.create_rollup('work.id_days', 'work.ids', '1 day', ARRAY['k % 3 AS k'], ARRAY['count(*) AS n', 'min(v) AS v']);
INSERT INTO work.wall SELECT (now() AT TIME ZONE 'America/New_York') - n * interval '20 minutes', n % 5, n FROM generate_series(0, 100) n;
INSERT INTO work."Days ""of"" Wörk" SELECT (now() AT TIME ZONE 'UTC')::date - n % 2, n, n FROM generate_series(1, 50) n;
INSERT INTO work.ids SELECT work.id_at(now() - n % 40 * interval '1 hour', n), n, n FROM generate_series(1, 200) n;
SELECT strata.refresh_rollup('work.wall_hours'), strata.refresh_rollup('work."Röll ""up"""'), strata.refresh_rollup('work.id_days');
INSERT INTO work.wall VALUES (now() AT TIME ZONE 'America/New_York', 1, 1000);
UPDATE work."Days ""of"" Wörk" SET k = k + 1000 WHERE k % 10 = 3;
DELETE FROM work.ids WHERE k % 7 = 1;

-- a rollup that is suspended, and ones whose backfill has not begun and has not ended
SELECT strata.create_rollup('work.asleep', 'work.events', '1 day', '{}', ARRAY['count(*) AS n']);
SELECT strata.suspend_rollup('work.asleep');
SELECT strata.create_rollup('work.empty', 'work.events', '1 day', ARRAY['k'], ARRAY['count(*) AS n'], with_data => false);
SELECT strata.create_rollup('work.half', 'work.events', '1 day', ARRAY['k'], ARRAY['count(*) AS n'], with_data => false);
SELECT strata._refresh_rollup(strata._authorize('work.events', 'INGEST'), 'work.half', false);
SELECT 1 / (isfinite(filled_from))::int AS half_filled FROM strata._rollup_progress JOIN strata._rollups USING (rollup_id) WHERE rollup = 'work.half'::regclass;

-- a pruned ledger: the horizon follows in two steps
CREATE TABLE work.pruned (ts timestamptz NOT NULL, k int);
SELECT strata.create_event_table('work.pruned', 'ts');
SELECT strata.create_rollup('work.pruned_by_k', 'work.pruned', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
INSERT INTO work.pruned VALUES (now(), 1);
INSERT INTO work.pruned VALUES (now(), 2);
INSERT INTO work.pruned VALUES (now(), 3);
SELECT strata.refresh_rollup('work.pruned_by_k'), strata._prune_ledger('work.pruned');
SELECT strata.refresh_rollup('work.pruned_by_k'), strata._prune_ledger('work.pruned');
SELECT strata.refresh_rollup('work.pruned_by_k'), strata._prune_ledger('work.pruned');
SELECT 1 / (sum(batches) = 3)::int AS pruned FROM strata.merged_batches WHERE relation = 'work.pruned'::regclass;
INSERT INTO work.pruned VALUES (now(), 1);

-- retention in the middle of its steps: one partition detached and not dropped, one announced and not detached, one sealed
-- and not frozen, which holds a batch that is pending
CREATE TABLE work.going (ts timestamptz NOT NULL, k int);
SELECT strata.create_event_table('work.going', 'ts', '1 day', premake => 1);
SELECT strata.ensure_partitions('work.going', now() - interval '9 days', now());
INSERT INTO work.going SELECT now() - n % 10 * interval '1 day', n % 3 FROM generate_series(0, 99) n;
SELECT strata.create_rollup('work.going_by_k', 'work.going', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
SELECT strata.alter_event_table('work.going', retention => '7 days', accept_past => '2 days');
SELECT strata._seal_expired('work.going'), strata._seal_expired('work.going'), strata._seal_expired('work.going');
SELECT strata.refresh_rollup('work.going_by_k');
SELECT strata._freeze_expired('work.going');
SELECT min(partition) AS first FROM strata._detachable('work.going') \gset
SELECT strata._detach_partition('work.going', :'first');
INSERT INTO work.going VALUES (now() - interval '7 days', 0);
SELECT strata.alter_event_table('work.going', retention => '6 days');
SELECT strata._seal_expired('work.going');
SELECT strata._detachable('work.going');
CREATE TABLE work.frozen AS SELECT * FROM work.going_by_k WHERE bucket < now() - interval '8 days';
SELECT 1 / (count(*) = 2 AND bool_or(pending_batches > 0))::int AS sealed FROM strata.partitions WHERE relation = 'work.going'::regclass AND state = 'sealed';
SELECT 1 / (count(*) = 2)::int AS announced FROM strata._detached_partitions;

-- sealed, frozen and waiting for their archive; an override that has not been acted on
CREATE TABLE work.archived (ts timestamptz NOT NULL, k int);
SELECT strata.create_event_table('work.archived', 'ts', '1 day', premake => 1);
SELECT strata.ensure_partitions('work.archived', now() - interval '6 days', now());
INSERT INTO work.archived SELECT now() - n % 7 * interval '1 day', n FROM generate_series(0, 69) n;
SELECT strata.alter_event_table('work.archived', retention => '2 days', accept_past => '1 day', archive_required => true);
SELECT sum(strata._seal_expired('work.archived')) AS sealed FROM generate_series(1, 5);
SELECT strata._freeze_expired('work.archived');
SELECT strata.override_retention('work.archived', (SELECT min(partition::text) FROM strata.expired_partitions('work.archived'))::regclass, 'the bucket is full');

-- a table that was dropped after retention had detached a partition of it, and nothing has cleared up yet
CREATE TABLE work.dropped (ts timestamptz NOT NULL);
SELECT strata.create_event_table('work.dropped', 'ts', '1 day');
SELECT strata.ensure_partitions('work.dropped', now() - interval '3 days', now());
SELECT strata.alter_event_table('work.dropped', retention => '2 days', accept_past => '1 day');
SELECT strata._seal_expired('work.dropped');
SELECT strata._freeze_expired('work.dropped');
SELECT min(partition) AS first FROM strata._detachable('work.dropped') \gset
SELECT strata._detach_partition('work.dropped', :'first');
-- (the detached partition still takes its batch default from it)
DROP TABLE work.dropped CASCADE;

-- the audit log: pruned, sealed and unsealed chunks, dropped, added and excluded columns, enum labels, a table that is audited no more
CREATE TABLE work.kept (id int PRIMARY KEY, v int);
INSERT INTO work.kept SELECT n, 0 FROM generate_series(1, 50) n;
SELECT strata.enable_audit('work.kept');
UPDATE work.kept SET v = 1;
SELECT strata.set_audit_retention('work.kept', '0', verify_within => '0');
CALL strata.prune_audit('work.kept');
SELECT 1 / (kept_from IS NOT NULL)::int AS pruned FROM strata.audited_tables WHERE relation = 'work.kept'::regclass;
UPDATE work.kept SET v = 2 WHERE id = 1;
CREATE TYPE work.level AS ENUM ('low', 'high');
CREATE TABLE work.accounts (id int PRIMARY KEY, gone int, name text, level work.level, secret text);
ALTER TABLE work.accounts DROP COLUMN gone;
INSERT INTO work.accounts SELECT n, 'account ' || n, 'low', 'x' FROM generate_series(1, 100) n;
SELECT strata.enable_audit('work.accounts', exclude => '{secret}');
UPDATE work.accounts SET level = 'high' WHERE id % 10 = 0;
ALTER TABLE work.accounts ADD COLUMN credit int DEFAULT 5, ADD COLUMN note text;
ALTER TYPE work.level RENAME VALUE 'low' TO 'lowest';
ALTER TYPE work.level ADD VALUE 'medium' BEFORE 'high';
UPDATE work.accounts SET credit = NULL WHERE id = 7;
SELECT strata.enable_audit('work."Days ""of"" Wörk"');
CREATE TABLE work.people (id text PRIMARY KEY, name text, mail text);
INSERT INTO work.people VALUES ('a', 'Ada', 'a@example.com'), ('b', 'Bob', 'b@example.com');
SELECT strata.enable_audit('work.people', erasable => '{name,mail}');
UPDATE work.people SET name = upper(name);
SELECT 1 / (rows = 1 AND versions = 2)::int AS erased FROM strata.erase('work.people', 'a');
DELETE FROM work.accounts WHERE id = 3;
CREATE TABLE work.unaudited (id int PRIMARY KEY);
SELECT strata.enable_audit('work.unaudited');
INSERT INTO work.unaudited VALUES (1);
SELECT strata.disable_audit('work.unaudited');
SELECT 1 / (strata.seal_audit() > 5)::int AS sealed;
CREATE TABLE work.digest AS SELECT checkpoint FROM strata.audit_digest();
INSERT INTO work.accounts (id, name, level) VALUES (101, 'unsealed', 'medium');
