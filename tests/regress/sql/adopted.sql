-- A table already partitioned by its time column, with rows.
CREATE TABLE adopted (ts timestamptz NOT NULL, k int) PARTITION BY RANGE (ts);
CREATE TABLE adopted_old PARTITION OF adopted FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE adopted_2026 PARTITION OF adopted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO adopted VALUES ('2025-05-05', 1), ('2026-01-05', 1), ('2026-01-06', 2);
SELECT strata.create_event_table('adopted', 'ts', '1 month', accept_past => '3650 days');
SELECT lower, upper FROM strata.partitions WHERE relation = 'adopted'::regclass AND upper <= '2026-02-01' ORDER BY lower;
SELECT DISTINCT batch_id FROM adopted;
SELECT strata.create_rollup('adopted_by_k', 'adopted', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
SELECT * FROM differences('adopted_by_k');
INSERT INTO adopted VALUES ('2026-01-05', 1), ('2025-05-05', 9);
INSERT INTO adopted_old VALUES ('2024-05-05', 9);
SELECT * FROM differences('adopted_by_k');
SELECT strata.refresh_rollup('adopted_by_k');
SELECT * FROM differences('adopted_by_k');
UPDATE adopted_old SET k = 3;
DELETE FROM adopted_2026 WHERE k = 2;
SELECT * FROM differences('adopted_by_k');
SELECT strata.refresh_rollup('adopted_by_k');
SELECT * FROM differences('adopted_by_k');
-- partitions that exist cover part of a month: the rest is made
SELECT strata.ensure_partitions('adopted', '2025-12-30', '2026-02-10');
SELECT lower, upper FROM strata.partitions WHERE relation = 'adopted'::regclass AND upper <= '2026-03-01' ORDER BY lower;
DROP TABLE adopted CASCADE;
DROP TABLE adopted_by_k_storage, adopted_by_k_dirty;
