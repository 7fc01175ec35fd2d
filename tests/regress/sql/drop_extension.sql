-- Tables and their data do not belong to the extension.
\set VERBOSITY terse
CREATE TABLE survivors (ts timestamptz NOT NULL, k int);
SELECT strata.create_event_table('survivors', 'ts');
SELECT strata.create_rollup('survivors_by_k', 'survivors', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
INSERT INTO survivors VALUES (now(), 1), (now(), 2);
SELECT strata.refresh_rollup('survivors_by_k');
DROP EXTENSION pg_strata;
SET client_min_messages = warning;
DROP EXTENSION pg_strata CASCADE;
RESET client_min_messages;
SELECT count(*) FROM survivors;
SELECT k, n FROM survivors_by_k_storage ORDER BY k;
INSERT INTO survivors (ts, k) VALUES (now(), 3);
UPDATE survivors SET k = 4 WHERE k = 3;
DELETE FROM survivors WHERE k = 4;
TRUNCATE survivors;
CREATE EXTENSION pg_strata;
SELECT strata.create_event_table('survivors', 'ts');
INSERT INTO survivors VALUES (now(), 1);
SELECT k FROM survivors;
DROP TABLE survivors, survivors_by_k_storage, survivors_by_k_dirty;
