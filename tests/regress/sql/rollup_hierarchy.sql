-- Rollups of rollups: their definition is over the rows, and what the query over the other rollup gives.
CREATE SCHEMA rollup_hierarchy;
SET search_path = rollup_hierarchy, public;
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE e (ts timestamptz NOT NULL, k int, "Key e.x" text, n int, f float8, b bool);
SELECT strata.create_event_table('e', 'ts', premake => 0, accept_past => '100 years');
SELECT strata.ensure_partitions('e', '2026-01-20', '2026-03-05');
INSERT INTO e SELECT '2026-03-05'::timestamptz - i * interval '19 minutes', i % 5, nullif('x' || i % 3, 'x2'), nullif(i % 17, 3), i * 0.5, i % 7 > 1 FROM generate_series(1, 3000) i;
SELECT strata.create_rollup('hourly', 'e', '1 hour', ARRAY['k', '"Key e.x" AS "e.y"', 'k + 1 AS "k one"'],
    ARRAY['count(*) AS n', 'sum(n) AS total', 'min(n) AS lo', 'max(n) AS hi', 'avg(n) AS mean', 'bool_or(b) AS any_b', 'every(b) AS all_b', 'bit_xor(n) AS bits',
          'strata.first(n, ts) AS open', 'strata.last(n, ts) AS close', 'max(ts) AS last_at', 'count(*) FILTER (WHERE n > 5) AS "many of"',
          'sum(n) FILTER (WHERE n > 15) AS large', 'strata.histogram(n, 0, 20, 4) AS h', 'count(DISTINCT n) AS different', 'sum(f) AS floats'],
    filter => 'n IS NULL OR n <> 7');
SELECT strata.create_rollup('daily', 'hourly', '1 day', ARRAY['k', '"e.y"', $$"e.y" || ' e.n "e.n" ''e.k' AS y2$$],
    ARRAY['sum(n) AS n', 'sum(total) AS total', 'min(lo) AS lo', 'max(hi) AS hi', 'mean', 'bool_or(any_b) AS any_b', 'bool_and(all_b) AS all_b', 'bit_xor(bits) AS bits',
          'strata.first(open, bucket) AS open', 'strata.last(close, last_at) AS close', 'sum("many of") AS "many of"', 'sum(large) FILTER (WHERE k <> 2) AS large', 'H AS h',
          '  "many of"  AS "Many" ', 'different', 'count(DISTINCT "k one") AS ks', 'max(bucket) AS last_hour', 'sum(floats) AS floats'],
    filter => '"k one" > 1 AND bucket < ''2026-03-04''');
\set VERBOSITY terse
SELECT strata.rollup_query('daily');
SELECT strata.create_rollup('monthly', $$SELECT strata.time_bucket('1 month', bucket) AS bucket, k, sum(n) AS n, sum(total) AS total, strata.first(open, bucket) AS open FROM hourly WHERE k < 4 GROUP BY 1, 2$$);
SELECT strata.create_rollup('quarterly', 'monthly', '3 months', '{}', ARRAY['n', 'sum(total) AS total']);
SELECT rollup, parent, bucket FROM strata.rollups WHERE source = 'e'::regclass ORDER BY created_at, rollup;
-- the same as the query over the other rollup
SELECT count(*) FROM (SELECT strata.time_bucket('1 day', bucket), k, "e.y", sum(n), sum(total), min(lo), max(hi), bool_or(any_b), bool_and(all_b), bit_xor(bits), sum(large) FILTER (WHERE k <> 2), max(bucket), count(DISTINCT "k one")
    FROM hourly WHERE "k one" > 1 AND bucket < '2026-03-04' GROUP BY 1, 2, 3 EXCEPT ALL SELECT bucket, k, "e.y", n, total, lo, hi, any_b, all_b, bits, large, last_hour, ks FROM daily) d;
SELECT count(*) > 100 AS some FROM daily;
-- and exact through changes, in storage too
CREATE FUNCTION all_differences() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT r.rollup::text || ' ' || d.line FROM strata.rollups r, LATERAL differences(r.rollup) d WHERE r.source = 'e'::regclass $$;
SELECT * FROM all_differences();
INSERT INTO e SELECT '2026-03-04 12:00'::timestamptz - i * interval '3 minutes', i % 5, 'x' || i % 2, i % 17, 1, true FROM generate_series(1, 400) i;
UPDATE e SET n = n + 1, k = 4 - k WHERE n = 11;
DELETE FROM e WHERE k = 3 AND ts < '2026-02-01';
SELECT * FROM all_differences();
CALL strata.refresh_rollups('e');
SELECT * FROM all_differences();
-- what they cost, without making one
SELECT column_name, expression, maintenance FROM strata.explain_rollup('hourly', '1 day', ARRAY['k'], ARRAY['sum(n) AS n', 'different', 'mean AS average']);
-- what is not said of the rows
CREATE FUNCTION tried(bucket interval, aggregate text, key text DEFAULT 'k', filter text DEFAULT NULL, zone text DEFAULT 'UTC') RETURNS text LANGUAGE sql AS $$
    SELECT refused(format('SELECT strata.create_rollup(''bad'', ''hourly'', %L, ARRAY[%L], ARRAY[%L], filter => %L, timezone => %L)', bucket, key, aggregate, filter, zone)) $$;
SELECT tried('90 minutes', 'sum(n) AS n');
SELECT tried('30 minutes', 'sum(n) AS n');
SELECT tried('1 day', 'sum(n) AS n', zone => 'Europe/Berlin');
SELECT tried('1 day', 'count(*) AS n');
SELECT tried('1 day', 'count(k) AS n');
SELECT tried('1 day', 'sum(k) AS n');
SELECT tried('1 day', 'avg(total) AS n');
SELECT tried('1 day', 'sum(mean) AS n');
SELECT tried('1 day', 'sum(lo) AS n');
SELECT tried('1 day', 'sum(n + 1) AS n');
SELECT tried('1 day', 'sum(DISTINCT n) AS n');
SELECT tried('1 day', 'sum(different) AS n');
SELECT tried('1 day', 'max(hourly) AS n');
SELECT tried('1 day', 'strata.first(open, last_at) AS n');
SELECT tried('1 day', 'strata.last(close, k) AS n');
SELECT tried('1 day', 'sum(n) FILTER (WHERE total > 1) AS n');
SELECT tried('1 day', 'sum(n) AS n', 'total');
SELECT tried('1 day', 'sum(n) AS n', filter => 'hi > 1');
SELECT tried('1 day', 'sum(n) / 2 AS n');
SELECT tried('1 day', 'n, total');
SELECT refused($$SELECT strata.create_rollup('bad', 'SELECT strata.time_bucket(''1 day'', last_at) AS bucket, sum(n) AS n FROM hourly GROUP BY 1')$$);
SELECT refused($$SELECT strata.create_rollup('bad', 'SELECT strata.time_bucket(''1 day'', bucket, ''UTC'', ''2020-01-01'') AS bucket, sum(n) AS n FROM hourly GROUP BY 1')$$);
SELECT refused($$SELECT strata.create_rollup('bad', 'SELECT strata.time_bucket(''1 day'', bucket) AS bucket, sum(n) AS n FROM hourly GROUP BY 1 ORDER BY 1')$$);
SELECT count(*) FROM pg_class WHERE relname ~ '^bad';
-- each stands by itself: what the others were made from may change and go
SELECT strata.create_rollup('hourly2', 'e', '1 hour', ARRAY['k', '"Key e.x" AS "e.y"'], ARRAY['count(*) AS n']);
SELECT strata.replace_rollup('hourly', 'hourly2');
SELECT rollup, parent FROM strata.rollups WHERE source = 'e'::regclass ORDER BY 1;
SELECT strata.drop_rollup('hourly');
SELECT rollup, parent FROM strata.rollups WHERE source = 'e'::regclass ORDER BY 1;
SELECT * FROM all_differences();
-- an origin is handed down
SELECT strata.create_rollup('shifted', $$SELECT strata.time_bucket('6 hours', ts, 'Europe/Berlin', '2026-01-01 02:00+01') AS bucket, count(*) AS n FROM e GROUP BY 1$$);
SELECT strata.create_rollup('shifted_days', 'shifted', '1 day', '{}', ARRAY['sum(n) AS n'], timezone => 'Europe/Berlin');
SELECT refused($$SELECT strata.create_rollup('shifted_months', 'shifted', '1 month', '{}', ARRAY['n'], timezone => 'Europe/Berlin')$$);
SELECT (SELECT min(bucket) FROM shifted_days) = (SELECT min(strata.time_bucket('1 day', bucket, 'Europe/Berlin', '2026-01-01 02:00+01')) FROM shifted) AS same;
SELECT * FROM all_differences();
-- whatever is let through is made up of whole buckets, clocks changing as they may
SELECT count(*) AS compared, count(*) FILTER (WHERE strata.time_bucket(w.whole, strata.time_bucket(p.part, t, z), z) <> strata.time_bucket(w.whole, t, z)) AS wrong
FROM unnest(ARRAY['5 minutes', '1 hour', '6 hours', '1 day', '2 days', '7 days', '1 month', '3 months', '90 minutes']::interval[]) p (part),
     unnest(ARRAY['1 hour', '6 hours', '7 hours', '1 day', '2 days', '14 days', '1 month', '6 months', '1 year']::interval[]) w (whole),
     unnest(ARRAY['UTC', 'Europe/Berlin', 'America/Havana', 'America/St_Johns', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Africa/Cairo']) z,
     generate_series('2010-01-01'::timestamptz, '2011-01-01', '4 hours 37 minutes') t
WHERE strata._nests(p.part, w.whole, false);
-- wall clocks
CREATE TABLE wall (ts timestamp NOT NULL, n int);
SELECT strata.create_event_table('wall', 'ts');
SELECT strata.create_rollup('wall_hours', 'wall', '1 hour', '{}', ARRAY['sum(n) AS n']);
SELECT strata.create_rollup('wall_weeks', 'wall_hours', '7 days', '{}', ARRAY['sum(n) AS n']);
SELECT strata.ensure_partitions('wall', now() - interval '1 hour', now()) >= 0 AS partitions;
INSERT INTO wall SELECT (now() AT TIME ZONE 'UTC') - i * interval '1 minute', i FROM generate_series(1, 20) i;
SELECT * FROM differences('wall_weeks');
-- a new one is filled from the groups of the other, with what is pending and marked there; seen by groups that lie
CREATE TABLE g (ts timestamptz NOT NULL, "K" int, s text, n int);
SELECT strata.create_event_table('g', 'ts', premake => 0, accept_past => '100 years');
SELECT strata.ensure_partitions('g', '2026-01-01', '2026-01-04');
SELECT strata.create_rollup('g_hours', 'g', '1 hour', ARRAY['"K"', 'upper(s) AS up'], ARRAY['count(*) AS n', 'sum(n) AS total', 'avg(n) AS mean', 'max(n) AS hi', 'bool_or(n > 3) AS many',
    'strata.first(n, ts) AS open', 'strata.last(n, ts) AS close', 'strata.histogram(n, 0, 10, 3) AS h', 'sum(n) FILTER (WHERE n > 5) AS large'], timezone => 'Europe/Berlin');
INSERT INTO g SELECT '2026-01-01'::timestamptz + i * interval '10 seconds', i % 4, 'x' || i % 2, nullif(i % 11, 3) FROM generate_series(1, 30000) i;
SELECT strata.refresh_rollup('g_hours');
INSERT INTO g SELECT '2026-01-02 12:00'::timestamptz + i * interval '1 minute', nullif(i % 5, 4), NULL, i FROM generate_series(1, 100) i;
UPDATE g SET n = n + 1 WHERE ts >= '2026-01-03 05:00' AND ts < '2026-01-03 06:00' AND "K" = 1;
DELETE FROM g WHERE ts < '2026-01-01 03:00';
CREATE PROCEDURE g_make(days text, shown text, with_data boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM strata.create_rollup(days, 'g_hours', '1 day', ARRAY['"K"'], ARRAY['n', 'total', 'mean', 'hi', 'many', 'open', 'close', 'h', 'large'], timezone => 'Europe/Berlin', with_data => with_data);
    PERFORM strata.create_rollup(shown, 'g_hours', '1 month', ARRAY['up', '"K" + 1 AS k1'], ARRAY['sum(n) AS n'], filter => '"K" > 0', timezone => 'Europe/Berlin', with_data => with_data);
END
$$;
CREATE FUNCTION g_differences(VARIADIC rollups text[]) RETURNS TABLE (rollup text, lines bigint) LANGUAGE sql AS $$
    SELECT r, count(*) FROM unnest(rollups) r, LATERAL differences(r::regclass) d GROUP BY 1 ORDER BY 1 $$;
CALL g_make('g_days', 'g_months', true);
CALL g_make('g_days_later', 'g_months_later', false);
CALL strata.refresh_rollups('g');
SELECT * FROM g_differences('g_days', 'g_months', 'g_days_later', 'g_months_later');
SELECT count(*), sum(n) FROM g_days_storage;
SELECT strata.create_rollup('g_users', 'g_hours', '1 day', '{}', ARRAY['count(DISTINCT "K") AS ks', 'n'], timezone => 'Europe/Berlin');
UPDATE g_hours_storage SET n = n + 1000;
CALL g_make('g_lied', 'g_lied_months', true);
CALL g_make('g_lied_later', 'g_lied_months_later', false);
CALL strata.refresh_rollups('g');
SELECT strata.create_rollup('g_honest', 'g_hours', '1 day', '{}', ARRAY['count(DISTINCT "K") AS ks', 'n'], timezone => 'Europe/Berlin');
SELECT rollup, lines > 0 AS read_groups FROM g_differences('g_lied', 'g_lied_months', 'g_lied_later', 'g_lied_months_later', 'g_honest', 'g_users');
-- what is rebuilt, or resumed, or made when the other is out of use, is made from the rows
SELECT count(strata.rebuild_rollup(r::regclass)) FROM unnest('{g_lied,g_lied_later,g_lied_months}'::text[]) r;
SELECT strata.suspend_rollup('g_lied_months_later');
SELECT strata.resume_rollup('g_lied_months_later') >= 0;
SELECT strata.suspend_rollup('g_hours');
SELECT strata.create_rollup('g_made_beside', 'g_hours', '1 day', ARRAY['"K"'], ARRAY['n', 'total'], timezone => 'Europe/Berlin');
SELECT * FROM g_differences('g_lied', 'g_lied_months', 'g_lied_later', 'g_lied_months_later', 'g_made_beside');
SELECT count(*) FROM strata._rollup_progress WHERE fills_from IS NOT NULL;
DROP SCHEMA rollup_hierarchy CASCADE;
