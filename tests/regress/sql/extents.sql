-- Event times of batches that come through the column default: in the ledger from the commit on, and never too narrow.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
CREATE TABLE spans (ts timestamptz NOT NULL, n int);
SELECT strata.create_event_table('spans', 'ts', partition_interval => '1 day', accept_past => '20000 days');
SELECT strata.ensure_partitions('spans', '2026-01-01', '2026-01-05') AS made;
SELECT strata.create_rollup('spans_by_day', 'spans', '1 day', '{}', ARRAY['count(*) AS n']);
CREATE VIEW ledger AS
SELECT batch_id, lower_time::timestamp AS lower, upper_time::timestamp AS upper FROM strata.batches WHERE relation = 'spans'::regclass ORDER BY batch_id;

-- unknown until the commit, also to the transaction itself
BEGIN;
INSERT INTO spans VALUES ('2026-01-02 10:00', 1);
INSERT INTO spans VALUES ('2026-01-04 10:00', 1), ('2026-01-01 10:00', 1);
SELECT * FROM ledger;
SELECT bucket::date, n FROM spans_by_day ORDER BY 1;
COMMIT;
SELECT * FROM ledger;
SELECT bucket::date, n FROM spans_by_day ORDER BY 1;

-- what is rolled back to a savepoint may make it wider, never narrower
BEGIN;
INSERT INTO spans VALUES ('2026-01-02 11:00', 2);
SAVEPOINT a;
INSERT INTO spans VALUES ('2026-01-03 11:00', 2);
ROLLBACK TO a;
INSERT INTO spans VALUES ('2026-01-02 12:00', 2);
COMMIT;
-- a batch whose savepoint goes has no row
BEGIN;
SAVEPOINT a;
INSERT INTO spans VALUES ('2026-01-03 11:00', 3);
ROLLBACK TO a;
COMMIT;
-- a refresh in the transaction completes it, one rolled back too
BEGIN;
INSERT INTO spans VALUES ('2026-01-02 13:00', 4);
SAVEPOINT a;
SELECT strata.refresh_rollup('spans_by_day') > 0 AS folded;
ROLLBACK TO a;
INSERT INTO spans VALUES ('2026-01-03 13:00', 4);
COMMIT;
SELECT * FROM ledger;
SELECT * FROM differences('spans_by_day');

-- prepared
BEGIN;
INSERT INTO spans VALUES ('2026-01-05 14:00', 5);
PREPARE TRANSACTION 'spans';
SELECT strata.refresh_rollup('spans_by_day') > 0 AS folded;
COMMIT PREPARED 'spans';
SELECT * FROM ledger OFFSET 4;
SELECT * FROM differences('spans_by_day');

-- changed by a trigger on the way, moved by an update in the same transaction, copied
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.ts := NEW.ts + interval '1 hour'; RETURN NEW; END $$;
CREATE TRIGGER later BEFORE INSERT ON spans FOR EACH ROW WHEN (NEW.n = 6) EXECUTE FUNCTION later();
INSERT INTO spans VALUES ('2026-01-01 15:00', 6);
BEGIN;
INSERT INTO spans VALUES ('2026-01-01 16:00', 7);
UPDATE spans SET ts = '2026-01-04 16:00' WHERE n = 7;
COMMIT;
COPY spans (ts, n) FROM STDIN;
2026-01-03 17:00	8
2026-01-02 17:00	8
\.
SELECT * FROM ledger OFFSET 5;
SELECT * FROM differences('spans_by_day');
SELECT strata.refresh_rollup('spans_by_day') > 0 AS folded;
SELECT * FROM differences('spans_by_day');

-- nothing seen, nothing known: rows that the guard was not asked about count all the same
SELECT strata.current_batch('spans') > 0 AS opened;
ALTER TABLE spans DISABLE TRIGGER strata_guard;
INSERT INTO spans VALUES ('2026-01-03 18:00', 9);
ALTER TABLE spans ENABLE ALWAYS TRIGGER strata_guard;
SELECT * FROM ledger OFFSET 8;
SELECT * FROM differences('spans_by_day');
SELECT strata.refresh_rollup('spans_by_day') > 0 AS folded;
SELECT * FROM differences('spans_by_day');
SELECT status FROM strata.health WHERE check_name = 'rows_near_window' AND object LIKE '%spans';

-- the index of batch ids knows of all full ranges of pages after a refresh, whoever vacuums
SELECT partition AS leaf FROM strata.partitions WHERE relation = 'spans'::regclass AND '2026-01-02' >= lower AND '2026-01-02' < upper \gset
SELECT indexrelid::regclass AS index FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am m ON m.oid = c.relam WHERE indrelid = :'leaf'::regclass AND amname = 'brin' \gset
INSERT INTO spans SELECT '2026-01-02 19:00', 10 FROM generate_series(1, 16000);
SELECT strata.refresh_rollup('spans_by_day') > 0 AS folded;
SELECT pg_relation_size(:'leaf') / 8192 / 16 > 3 AS ranges, brin_summarize_new_values(:'index') <= 1 AS but_the_last;
DROP TABLE spans CASCADE;
