-- Pending batches, dirty marks, ids ahead of the sequence, a streamed batch with checksums, holes of aborted
-- transactions: what a dump can meet in the middle of the work.
\set ON_ERROR_STOP 1
CREATE EXTENSION pg_strata;
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
