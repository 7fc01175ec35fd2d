-- Storage of rollups: partitions by bucket, made with the partitions of the event table.
CREATE SCHEMA rollup_storage;
SET search_path = rollup_storage, public;
SET timezone = 'America/New_York';
SET client_min_messages = warning;
CREATE TABLE e (ts timestamptz NOT NULL, k int, s text, n int);
SELECT strata.create_event_table('e', 'ts', premake => 0, accept_past => '100 years');
-- months, years and tens of years, on the calendar of UTC
CREATE FUNCTION stored(rollup text) RETURNS TABLE (part text, bound text) LANGUAGE sql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = (rollup || '_storage')::regclass AND pg_get_expr(c.relpartbound, c.oid) ~ '''(19|200|201)|MINVALUE|MAXVALUE' ORDER BY 1 $$;
SELECT strata.ensure_partitions('e', '2019-01-30', '2019-02-02');
SELECT strata.create_rollup('hourly', 'e', '1 hour', ARRAY['k'], ARRAY['count(*) AS n', 'max(s) AS s']);
SELECT strata.create_rollup('weekly', 'e', '7 days', ARRAY['k'], ARRAY['count(*) AS n'], timezone => 'America/New_York');
SELECT strata.create_rollup('monthly', 'e', '1 month', ARRAY['k', 's'], ARRAY['count(*) AS n', 'count(DISTINCT n) AS d'], timezone => 'Asia/Tokyo');
SELECT strata.create_rollup('yearly', 'e', '1 year', '{}', ARRAY['count(*) AS n']);
SELECT * FROM stored('hourly');
SELECT * FROM stored('weekly');
SELECT * FROM stored('monthly');
SELECT * FROM stored('yearly');
-- a new partition is covered in the transaction that makes it, and what is covered is not made again: in Tokyo January
-- begins before January of UTC does, and a week of 2017 begins in 2016
SELECT strata.ensure_partitions('e', '2017-01-01', '2017-01-01');
SELECT * FROM stored('hourly');
SELECT * FROM stored('weekly');
SELECT * FROM stored('monthly');
SELECT strata.ensure_partitions('e', '2019-02-03', '2019-02-05');
SELECT count(*) FROM stored('hourly');
INSERT INTO e SELECT t, extract(hour FROM t)::int % 3, 'x' || extract(day FROM t), extract(minute FROM t)::int
    FROM generate_series('2019-01-30 UTC'::timestamptz, '2019-02-05 UTC', '17 minutes') t
    UNION ALL SELECT '2017-01-01 00:00 UTC', NULL, NULL, NULL UNION ALL SELECT '2017-01-01 23:59 UTC', 1, 'y', 1;
CREATE FUNCTION all_differences() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT r.rollup::text || ' ' || d.line FROM strata.rollups r, LATERAL differences(r.rollup) d WHERE r.source = 'e'::regclass $$;
SELECT * FROM all_differences();
CALL strata.refresh_rollups('e');
SELECT * FROM all_differences();
SELECT tableoid::regclass AS part, count(*) FROM weekly_storage GROUP BY 1 ORDER BY min(bucket);
-- groups move between partitions of storage
UPDATE e SET ts = ts + interval '1 day' WHERE ts >= '2019-01-31 12:00 UTC' AND ts < '2019-02-01 UTC';
DELETE FROM e WHERE ts < '2019-01-01';
SELECT * FROM all_differences();
CALL strata.refresh_rollups('e');
SELECT * FROM all_differences();
SELECT tableoid::regclass AS part, count(*) FROM hourly_storage GROUP BY 1 ORDER BY min(bucket);
-- a refresh locks the partitions it is about and no others, of rows and of storage, whether rows are new or groups marked
CREATE VIEW locked AS SELECT c.relname, max(l.mode) AS mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relname ~ '^(e|hourly_storage)_p' GROUP BY 1 ORDER BY 1;
INSERT INTO e VALUES ('2019-02-04 10:00 UTC', 1, 'l', 1);
BEGIN; SELECT strata.refresh_rollup('hourly'); SELECT * FROM locked; COMMIT;
DELETE FROM e WHERE ts >= '2019-01-31 10:00 UTC' AND ts < '2019-01-31 11:00 UTC';
BEGIN; SELECT strata.refresh_rollup('hourly'); SELECT * FROM locked; COMMIT;
SELECT * FROM all_differences();
-- indexes, fill and replica identity of each
SELECT count(*) FILTER (WHERE c.reloptions::text ~ 'fillfactor' AND c.relreplident = 'f') = count(*) AS dressed, count(DISTINCT (SELECT count(*) FROM pg_index x WHERE x.indrelid = i.inhrelid)) AS alike
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent IN ('hourly_storage'::regclass, 'monthly_storage'::regclass);
-- a table attached with its rows, and one attached by hand: reading is exact, health tells, a refresh makes up for it
CREATE TABLE ready (LIKE e INCLUDING DEFAULTS);
ALTER TABLE ready ALTER batch_id DROP DEFAULT, ALTER batch_id DROP NOT NULL;
INSERT INTO ready VALUES ('2018-05-05 05:05 UTC', 1, 'r', 1);
SELECT strata.attach_partition('e', 'ready');
SELECT part FROM stored('hourly');
CREATE TABLE hand (LIKE e INCLUDING ALL);
ALTER TABLE e ATTACH PARTITION hand FOR VALUES FROM ('2016-03-05 UTC') TO ('2016-05-03 UTC');
SET timezone = 'UTC';
SELECT object, status, value, hint FROM strata.health WHERE check_name = 'rollup_storage' AND object ~ 'hourly|weekly' ORDER BY 1;
INSERT INTO e (ts, k) VALUES ('2016-03-06', 1), ('2016-04-06', 1);
SELECT * FROM all_differences();
SELECT strata.refresh_rollup('hourly');
SELECT * FROM all_differences();
SELECT object, status, value FROM strata.health WHERE check_name = 'rollup_storage' AND object ~ 'hourly|weekly' ORDER BY 1;
CALL strata.maintain_partitions('e');
SELECT object, status, value FROM strata.health WHERE check_name = 'rollup_storage' AND status <> 'ok';
CALL strata.refresh_rollups('e');
SELECT * FROM all_differences();
-- what goes and what is made anew takes its partitions along
CREATE SCHEMA beside;
SELECT strata.create_rollup('beside.hourly2', 'e', '1 hour', ARRAY['k'], ARRAY['count(*) AS m']);
SELECT strata.replace_rollup('hourly', 'beside.hourly2');
SELECT part FROM stored('hourly');
SELECT relnamespace::regnamespace, relkind FROM pg_class WHERE relname ~ '^hourly' AND relkind IN ('p', 'r', 'v') AND relname !~ '_p20[2-9]' ORDER BY relname;
SELECT strata.add_rollup_aggregate('hourly', 'min(s) AS s');
CALL strata.refresh_rollups('e');
SELECT strata.rebuild_rollup('yearly') > 0 AS rebuilt;
SELECT * FROM all_differences();
SELECT strata.drop_rollup('hourly');
SELECT count(*) FROM pg_class WHERE relname ~ '^hourly';
DROP VIEW weekly;
SELECT strata._heal_catalog();
SELECT count(*) FROM pg_class WHERE relname ~ '^weekly';
-- partitions without end, and centuries: one piece each
CREATE TABLE old (d date NOT NULL, k int) PARTITION BY RANGE (d);
CREATE TABLE old_first PARTITION OF old FOR VALUES FROM (MINVALUE) TO ('1700-01-01');
CREATE TABLE old_centuries PARTITION OF old FOR VALUES FROM ('1700-01-01') TO ('1990-01-15');
CREATE TABLE old_rest PARTITION OF old FOR VALUES FROM ('1990-01-15') TO ('1990-03-02');
SELECT strata.create_event_table('old', 'd', premake => 0, accept_future => '0', accept_past => '0');
SELECT strata.create_rollup('by_day', 'old', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
SELECT * FROM stored('by_day');
INSERT INTO old (d, k) VALUES ('-infinity', 1), ('1000-01-01', 1), ('1800-01-01', 1), ('1990-02-02', 1);
SELECT strata.refresh_rollup('by_day');
SELECT * FROM differences('by_day');
SELECT tableoid::regclass AS part, bucket FROM by_day_storage ORDER BY bucket;
-- 31 keys beside the bucket make 32 columns, as many as an index has
SELECT format('CREATE TABLE wide (ts timestamptz NOT NULL, %s)', string_agg(format('c%s text', n), ', ')) FROM generate_series(1, 31) n \gexec
SELECT strata.create_event_table('wide', 'ts');
SELECT strata.create_rollup('wide_r', 'wide', '1 day', ARRAY(SELECT 'c' || n FROM generate_series(1, 31) n), ARRAY['count(*) AS n']);
INSERT INTO wide (ts, c1, c31) VALUES (now(), 'a', repeat('b', 9000)), (now(), 'a', repeat('b', 9000));
SELECT strata.refresh_rollup('wide_r');
INSERT INTO wide (ts, c1, c31) VALUES (now(), 'a', repeat('b', 9000)), (now(), 'a', 'c');
SELECT n, length(c31), c2 FROM wide_r ORDER BY 1;
SELECT strata.refresh_rollup('wide_r');
SELECT n, length(c31), c2 FROM wide_r ORDER BY 1;
SELECT refused($$SELECT strata.create_rollup('wider', 'wide', '1 day', ARRAY(SELECT 'c' || n FROM generate_series(1, 31) n) || 'c1 AS d'::text, ARRAY['count(*) AS n'])$$);
DROP SCHEMA rollup_storage CASCADE;
DROP SCHEMA beside CASCADE;
