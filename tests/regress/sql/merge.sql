-- MERGE that inserts and updates at once: PostgreSQL 15 hands triggers the inserted row in place of one updated after it.
SET client_min_messages = warning;
CREATE TABLE merged (ts timestamptz NOT NULL, k text NOT NULL, v int NOT NULL, id int NOT NULL);
SELECT strata.create_event_table('merged', 'ts');
SELECT strata.create_rollup('merged_by_k', 'merged', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);
INSERT INTO merged SELECT now(), 'old', id, id FROM generate_series(1, 3) id;
SELECT strata.refresh_rollup('merged_by_k');
-- (rows in the order of VALUES)
SET enable_hashjoin = off;
SET enable_mergejoin = off;
MERGE INTO merged m USING (VALUES (1, 'first'), (9, 'inserted'), (2, 'second'), (3, 'gone')) s (id, k) ON m.id = s.id
    WHEN MATCHED AND s.k = 'gone' THEN DELETE
    WHEN MATCHED THEN UPDATE SET k = s.k
    WHEN NOT MATCHED THEN INSERT (ts, k, v, id) VALUES (now(), s.k, s.id, s.id);
SELECT k, n, v FROM merged_by_k ORDER BY k;
SELECT key, expected, found FROM strata.verify_rollup('merged_by_k');
SELECT strata.refresh_rollup('merged_by_k');
SELECT key, expected, found FROM strata.verify_rollup('merged_by_k');
SELECT strata.drop_rollup('merged_by_k');
SELECT strata.release_event_table('merged');
DROP TABLE merged;
