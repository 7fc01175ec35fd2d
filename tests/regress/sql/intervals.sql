-- Boundaries: intervals of minutes to years, calendars of time zones, gap filling, names, hash sub-partitions.
SET timezone = 'America/New_York';
CREATE SCHEMA intervals;
SET search_path = intervals, public;
-- Makes an event table, has partitions made for a range, and shows them in its own time zone.
CREATE FUNCTION made(partition_interval interval, lower timestamptz, upper timestamptz, timezone text DEFAULT 'UTC',
    OUT partition name, OUT lower_bound timestamp, OUT upper_bound timestamp, OUT hours numeric) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE IF EXISTS e;
    CREATE TABLE e (id bigint, ts timestamptz NOT NULL);
    PERFORM strata.create_event_table('e', 'ts', partition_interval, premake => 0, accept_past => '1000 years', timezone => timezone);
    PERFORM strata.ensure_partitions('e', lower, upper);
    RETURN QUERY SELECT c.relname, p.lower AT TIME ZONE made.timezone, p.upper AT TIME ZONE made.timezone, extract(epoch FROM p.upper - p.lower) / 3600
    FROM strata.partitions p JOIN pg_class c ON c.oid = p.partition
    WHERE p.relation = 'e'::regclass AND p.upper < '2026-02-01' ORDER BY p.lower;
END $$;
SELECT * FROM made('15 minutes', '2025-01-01 00:10+00', '2025-01-01 00:50+00');
SELECT * FROM made('1 hour', '2025-01-01 22:59+00', '2025-01-02 00:00+00');
-- hours of the day on which Berlin's clocks go back: two of them are called 02:00
SELECT * FROM made('1 hour', '2025-10-25 23:30+00', '2025-10-26 02:00+00', 'Europe/Berlin');
SELECT * FROM made('1 day', '2025-03-29 12:00+00', '2025-03-31 12:00+00', 'Europe/Berlin');
SELECT * FROM made('1 week', '2025-01-01 00:00+00', '2025-01-13 00:00+00');
SELECT * FROM made('1 month', '2025-01-31 23:30+00', '2025-04-01 00:00+00', 'Europe/Berlin');
SELECT * FROM made('3 months', '2024-12-31 23:59:59+00', '2025-04-01 00:00+00');
SELECT * FROM made('1 year', '2023-06-01 00:00+00', '2024-01-01 00:00+00');
SELECT * FROM made('10 days', '2025-01-01 00:00+00', '2025-01-12 00:00+00');
-- gaps are filled, also the one between existing partitions and a changed interval
SELECT strata.ensure_partitions('e', '2025-02-01 00:00+00', '2025-02-01 00:00+00'), strata.ensure_partitions('e', '2025-01-01 00:00+00', '2025-02-01 00:00+00');
SELECT count(*) AS gaps FROM (SELECT lower, lag(upper) OVER (ORDER BY lower) AS previous FROM strata.partitions WHERE relation = 'e'::regclass AND upper < '2026-01-01') p WHERE previous <> lower;
-- both ends are inclusive: a row at each finds its partition
INSERT INTO e VALUES (1, '2025-01-01 00:00+00'), (2, '2025-02-01 00:00+00');
DROP TABLE e;

-- every type of time column
CREATE TABLE by_instant (id bigint, at timestamptz NOT NULL, kind text);
CREATE TABLE by_wall_clock (id bigint, at timestamp NOT NULL, kind text);
CREATE TABLE by_day (id bigint, at date NOT NULL, kind text);
CREATE TABLE by_uuid (id bigint, at uuid NOT NULL, kind text);
SELECT strata.create_event_table(t, 'at', '1 month', premake => 1, accept_past => '100 years', timezone => 'Europe/Berlin')
FROM unnest('{by_instant,by_wall_clock,by_day,by_uuid}'::regclass[]) t;
-- an instant in Berlin's February and in everybody else's January
SELECT strata.ensure_partitions(t, '2025-01-31 23:30+00', '2025-03-01 00:00+00') FROM unnest('{by_instant,by_wall_clock,by_day,by_uuid}'::regclass[]) t;
SELECT c.oid::regclass, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent IN ('by_wall_clock'::regclass, 'by_day'::regclass, 'by_uuid'::regclass) AND c.relname ~ '2025' ORDER BY c.relname;
SELECT relation, partition, lower, upper FROM strata.partitions WHERE partition::text ~ 'by_.*2025_02' ORDER BY 1;
SELECT relation, time_column, strata.ensure_partitions(relation, now(), now()) FROM strata.event_tables WHERE relation::text ~ 'by_' ORDER BY 1;
INSERT INTO by_instant VALUES (1, '2025-02-15', 'a'), (2, now(), 'b');
INSERT INTO by_wall_clock VALUES (1, '2025-02-28 23:59:59.999999', 'a'), (2, now() AT TIME ZONE 'Europe/Berlin', 'b');
INSERT INTO by_day VALUES (1, '2025-02-28', 'a'), (2, (now() AT TIME ZONE 'Europe/Berlin')::date, 'b');
INSERT INTO by_uuid VALUES (1, strata.uuid_at('2025-02-15 12:00+00'), 'a'), (2, strata.uuid_at(now()), 'b');
SELECT refused($refused$INSERT INTO by_uuid VALUES (3, 'ffffffff-ffff-4fff-bfff-ffffffffffff', 'random')$refused$);
CREATE TABLE by_hour_of_day (day date NOT NULL);
SELECT refused($refused$SELECT strata.create_event_table('by_hour_of_day', 'day', '1 hour')$refused$);

-- rollups over each, with buckets of the type of the column
SELECT strata.create_rollup(relation::text || '_daily', relation, '1 day', ARRAY['kind'], ARRAY['count(*) AS events', 'max(id) AS latest'])
FROM strata.event_tables WHERE relation::text ~ 'by_' ORDER BY 1;
SELECT a.attrelid::regclass, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attname = 'bucket' AND a.attrelid::regclass::text ~ '_daily$' ORDER BY 1;
SELECT relation, strata.refresh_rollup((relation::text || '_daily')::regclass) FROM strata.event_tables WHERE relation::text ~ 'by_' ORDER BY 1;
INSERT INTO by_instant VALUES (3, '2025-02-16', 'a'); INSERT INTO by_wall_clock VALUES (3, '2025-02-28', 'a');
INSERT INTO by_day VALUES (3, '2025-02-28', 'a'); INSERT INTO by_uuid VALUES (3, strata.uuid_at('2025-02-15 12:00+00'), 'a');
UPDATE by_instant SET kind = 'c' WHERE id = 1; UPDATE by_wall_clock SET kind = 'c' WHERE id = 1;
UPDATE by_day SET kind = 'c' WHERE id = 1; UPDATE by_uuid SET kind = 'c' WHERE id = 1;
DELETE FROM by_instant WHERE id = 2; DELETE FROM by_wall_clock WHERE id = 2; DELETE FROM by_day WHERE id = 2; DELETE FROM by_uuid WHERE id = 2;
SELECT kind, events FROM by_instant_daily ORDER BY 1;
SELECT * FROM by_wall_clock_daily ORDER BY 1, 2;
SELECT * FROM by_day_daily ORDER BY 1, 2;
SELECT bucket, kind, events FROM by_uuid_daily ORDER BY 1, 2;
SELECT count(*) AS differences FROM strata.event_tables t, strata.verify_rollup((t.relation::text || '_daily')::regclass) WHERE t.relation::text ~ 'by_';
SELECT count(strata.refresh_rollup((relation::text || '_daily')::regclass)) FROM strata.event_tables WHERE relation::text ~ 'by_';
SELECT count(*) AS differences FROM strata.event_tables t, strata.verify_rollup((t.relation::text || '_daily')::regclass, '2025-02-01', '2025-04-01') WHERE t.relation::text ~ 'by_';
SELECT refused($refused$SELECT strata.create_rollup('zoned', 'by_wall_clock', '1 day', '{}', ARRAY['count(*) AS n'], timezone => 'Europe/Berlin')$refused$);
SELECT refused($refused$SELECT strata.create_rollup('hourly', 'by_day', '1 hour', '{}', ARRAY['count(*) AS n'])$refused$);
-- a keyed read of one day reads one partition, whatever the type
EXPLAIN (COSTS OFF) SELECT id FROM by_uuid WHERE at >= strata.uuid_at('2025-02-10') AND at < strata.uuid_at('2025-02-11');

-- UUID bounds: exact to the millisecond, whole range
SELECT strata.uuid_time('018cc251-f400-7000-8000-000000000000') AT TIME ZONE 'UTC' AS new_year, strata.uuid_at('2024-01-01 00:00+00'), strata.uuid_at('2024-01-01 00:00:00.0001+00') AS next_millisecond,
    strata.uuid_at('1969-12-31'), strata.uuid_at('infinity'), strata.uuid_at('-infinity');
SELECT count(*) AS wrong FROM generate_series(0, 5000, 7) n, LATERAL (SELECT timestamptz '2025-06-01 00:00+00' + n * interval '1 millisecond' AS ts) t
WHERE strata.uuid_time(strata.uuid_at(ts)) <> ts OR strata._uuid_bound(ts, true) >= strata.uuid_at(ts + interval '1 microsecond') OR strata._uuid_bound(ts, true) < strata.uuid_at(ts);

-- hash sub-partitions
CREATE TABLE segmented ("User" bigint NOT NULL, ts timestamptz NOT NULL, amount numeric, PRIMARY KEY ("User", ts));
SELECT strata.create_event_table('segmented', 'ts', '1 day', premake => 1, subpartition_by => 'User', subpartitions => 3);
SELECT level, count(*), count(*) FILTER (WHERE isleaf) AS leaves FROM pg_partition_tree('segmented') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS without_triggers FROM strata._without_mark_triggers('segmented');
SELECT count(*) FROM strata.partitions WHERE relation = 'segmented'::regclass;
SELECT strata.create_rollup('segmented_daily', 'segmented', '1 day', ARRAY['"User"'], ARRAY['sum(amount) AS spend']);
INSERT INTO segmented SELECT n, now(), n FROM generate_series(1, 100) n;
SELECT count(DISTINCT tableoid) FROM segmented;
UPDATE segmented SET amount = amount + 1 WHERE "User" < 10;
SELECT strata.refresh_rollup('segmented_daily');
DO $$ BEGIN EXECUTE format('DELETE FROM %s', (SELECT relid FROM pg_partition_tree('segmented') WHERE isleaf AND relid IN (SELECT tableoid FROM segmented) ORDER BY relid LIMIT 1)); END $$;
UPDATE segmented SET "User" = "User" + 1000;
SELECT count(*) AS differences FROM strata.verify_rollup('segmented_daily');
SELECT strata.refresh_rollup('segmented_daily');
SELECT count(*) AS differences FROM strata.verify_rollup('segmented_daily');
DO $$ BEGIN EXECUTE format('TRUNCATE %s', (SELECT relid FROM pg_partition_tree('segmented') WHERE isleaf AND relid IN (SELECT tableoid FROM segmented) ORDER BY relid LIMIT 1)); END $$;
SELECT count(*) AS differences FROM strata.verify_rollup('segmented_daily');
SELECT strata.drop_rollup('segmented_daily'), strata.release_event_table('segmented');
SELECT count(*) FROM pg_trigger WHERE tgname ~ 'strata' AND tgrelid IN (SELECT relid FROM pg_partition_tree('segmented'));
SET client_min_messages = warning;
DROP SCHEMA intervals CASCADE;
