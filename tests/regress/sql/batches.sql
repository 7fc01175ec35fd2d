-- The batch ledger: one row per transaction and table, foreign ids harmless.
\set SHOW_CONTEXT never
CREATE TABLE events (ts timestamptz NOT NULL, k int, v bigint);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.ensure_partitions('events', now() - interval '2 hours', now()) IS NOT NULL AS made;
SELECT strata.create_rollup('events_by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);
CREATE VIEW ledger AS SELECT batch_id, rows, lower_time, upper_time FROM strata.batches WHERE relation = 'events'::regclass ORDER BY batch_id;

-- one id a transaction, whatever the statements
BEGIN;
INSERT INTO events VALUES (now(), 1, 1), (now(), 1, 2);
INSERT INTO events VALUES (now(), 2, 3);
SELECT strata.current_batch('events');
SELECT DISTINCT batch_id FROM events;
COMMIT;
INSERT INTO events VALUES (now(), 1, 4);
SELECT l.batch_id, l.rows, l.lower_time = min(e.ts) AS lower, l.upper_time = max(e.ts) AS upper
FROM ledger l JOIN events e USING (batch_id) GROUP BY l.batch_id, l.rows, l.lower_time, l.upper_time ORDER BY 1;

-- a savepoint that opened the batch takes it with it
BEGIN;
SAVEPOINT a;
INSERT INTO events VALUES (now(), 3, 1);
ROLLBACK TO a;
INSERT INTO events VALUES (now(), 3, 2);
SAVEPOINT b;
INSERT INTO events VALUES (now(), 3, 3);
RELEASE b;
SAVEPOINT c;
INSERT INTO events VALUES (now(), 3, 4);
ROLLBACK TO c;
INSERT INTO events VALUES (now(), 3, 5);
COMMIT;
SELECT batch_id, array_agg(v ORDER BY v) FROM events WHERE k = 3 GROUP BY 1;
SELECT count(*) FROM ledger WHERE batch_id NOT IN (SELECT batch_id FROM events);
SELECT * FROM differences('events_by_k');

-- the id is drawn by the default however rows come in
SELECT refused($$INSERT INTO events VALUES ('2001-01-01', 9, 1)$$) LIKE '23514%' AS no_partition;
SELECT count(*) AS still FROM ledger;
SELECT partition AS leaf FROM strata.partitions WHERE relation = 'events'::regclass AND now() >= lower AND now() < upper \gset
INSERT INTO :leaf VALUES (now(), 4, 1);
SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.batch_id = e.batch_id);

-- refresh between two inserts of one transaction
BEGIN;
INSERT INTO events VALUES (now(), 5, 1);
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');
INSERT INTO events VALUES (now(), 5, 2);
SELECT * FROM differences('events_by_k');
SAVEPOINT s;
INSERT INTO events VALUES (now(), 5, 3);
SELECT strata.refresh_rollup('events_by_k');
ROLLBACK TO s;
SELECT * FROM differences('events_by_k');
INSERT INTO events VALUES (now(), 5, 4);
COMMIT;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k') > 0 AS folded;
SELECT * FROM differences('events_by_k');
SELECT k, n, v FROM events_by_k ORDER BY k;

-- foreign ids: of folded batches, of pending ones, of ids not drawn yet, of this transaction before its refresh
INSERT INTO events SELECT * FROM events WHERE k = 1;
SELECT * FROM differences('events_by_k');
INSERT INTO events (ts, k, v, batch_id) SELECT now(), 6, 1, max(batch_id) + 5 FROM events;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k') > 0 AS folded;
INSERT INTO events VALUES (now(), 6, 2);
INSERT INTO events VALUES (now(), 6, 3);
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');
SELECT count(DISTINCT batch_id) AS ids, count(*) AS rows FROM events WHERE k = 6;
BEGIN;
SELECT strata.current_batch('events') AS mine \gset
INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 7, 1, :mine);
SELECT strata.refresh_rollup('events_by_k');
INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 7, 2, :mine);
COMMIT;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');
SELECT k, n, v FROM events_by_k WHERE k = 7;
UPDATE events SET batch_id = batch_id + 100 WHERE k = 7;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k');
INSERT INTO events SELECT now(), 7, 100 FROM generate_series(1, 3);
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');
SELECT refused($refused$INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 7, 2, 9223372036854775807)$refused$);
SELECT refused($refused$INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 7, 2, -1)$refused$);
SELECT refused($refused$SELECT strata.current_batch('pg_class')$refused$);

-- a rollup made between two inserts of one transaction
BEGIN;
INSERT INTO events VALUES (now(), 20, 1);
SELECT strata.create_rollup('in_between', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
INSERT INTO events VALUES (now(), 20, 1);
COMMIT;
SELECT * FROM differences('in_between');
SELECT strata.refresh_rollup('in_between') > 0 AS folded;
SELECT * FROM differences('in_between');
SELECT strata.drop_rollup('in_between');
-- rows no batch of the ledger accounts for, and a rollup that starts without data
INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 21, 1, 5000);
SELECT strata.create_rollup('empty_at_first', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n'], with_data => false);
SELECT * FROM differences('empty_at_first');
SELECT strata.refresh_rollup('empty_at_first') > 0 AS folded;
SELECT * FROM differences('empty_at_first');
SELECT strata.drop_rollup('empty_at_first');
-- event times that a trigger changes: the ledger keeps what was stored, not what the loader believes
CREATE FUNCTION clamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.ts := date_trunc('hour', NEW.ts); RETURN NEW; END $$;
CREATE TRIGGER clamp BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION clamp();
BEGIN;
SELECT strata.current_batch('events') AS mine, date_trunc('hour', now()) + interval '29 minutes' AS half_past \gset
INSERT INTO events (ts, k, v, batch_id) VALUES (:'half_past', 22, 1, :mine);
INSERT INTO events (ts, k, v) VALUES (:'half_past'::timestamptz - interval '1 hour', 22, 1);
SELECT strata._finish_batch('events', :mine, 1, :'half_past', :'half_past', NULL, '{}', '{}', '{}');
COMMIT;
SELECT lower_time = date_trunc('hour', :'half_past'::timestamptz) - interval '1 hour' AS lower, upper_time = date_trunc('hour', :'half_past'::timestamptz) AS upper FROM ledger WHERE batch_id = :mine;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k') > 0 AS folded;
SELECT * FROM differences('events_by_k');
DROP TRIGGER clamp ON events;

-- rows without an id, and a sequence that TRUNCATE … RESTART IDENTITY must not find
SELECT refused($$INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 23, 1, NULL)$$);
SELECT refused($$UPDATE events SET batch_id = NULL WHERE k = 22$$);
BEGIN; INSERT INTO events VALUES (now(), 23, 1); ROLLBACK;
INSERT INTO events VALUES (now(), 23, 1);
SELECT strata.refresh_rollup('events_by_k') > 0 AS folded;
SELECT strata.refresh_rollup('events_by_k');
TRUNCATE events RESTART IDENTITY;
INSERT INTO events VALUES (now(), 24, 1);
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');
-- keys of more bytes than an index entry holds
CREATE TABLE wide (ts timestamptz NOT NULL, a varchar(500), b varchar(500), c char(400), d bytea, e text);
SELECT strata.create_event_table('wide', 'ts');
SELECT strata.create_rollup('by_all', 'wide', '1 day', ARRAY['a', 'b', 'c', 'd', 'e'], ARRAY['count(*) AS n']);
INSERT INTO wide SELECT now(), long, long, left(long, 400), convert_to(long, 'UTF8'), long FROM (SELECT string_agg(chr(65536 + (n * 7919) % 50000), '') AS long FROM generate_series(1, 500) n) l, generate_series(1, 2);
SELECT strata.refresh_rollup('by_all');
INSERT INTO wide SELECT * FROM wide;
UPDATE wide SET c = 'x';
SELECT strata.refresh_rollup('by_all') >= 0 AS refreshed;
SELECT * FROM differences('by_all');
SELECT count(*) FROM by_all;
DROP TABLE wide CASCADE;

-- holes of aborted transactions melt away
BEGIN; INSERT INTO events VALUES (now(), 8, 1); ROLLBACK;
BEGIN; INSERT INTO events VALUES (now(), 8, 1); ROLLBACK;
INSERT INTO events VALUES (now(), 8, 1);
SELECT strata.refresh_rollup('events_by_k');
SELECT strata.refresh_rollup('events_by_k');
SELECT p.folded, p.horizon = pg_sequence_last_value('events_batch_id_seq') AS at_the_end FROM strata._rollup_progress p JOIN strata._rollups r USING (rollup_id) WHERE r.rollup = 'events_by_k'::regclass;

-- writers in replica mode
SET session_replication_role = replica;
INSERT INTO events VALUES (now(), 10, 1);
INSERT INTO events (ts, k, v, batch_id) VALUES (now(), 10, 1, 1);
UPDATE events SET v = 2 WHERE k = 8;
SET session_replication_role = origin;
SELECT * FROM differences('events_by_k');
SELECT strata.refresh_rollup('events_by_k');
SELECT * FROM differences('events_by_k');

-- a sequence set back is refused: its ids would be taken for folded
SELECT setval('events_batch_id_seq', 3);
SELECT refused($refused$SELECT strata.refresh_rollup('events_by_k')$refused$);
SELECT setval('events_batch_id_seq', 10000);
SELECT strata.refresh_rollup('events_by_k') >= 0 AS refreshes_again;
DROP TABLE events CASCADE;
