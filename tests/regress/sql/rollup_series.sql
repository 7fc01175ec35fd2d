-- Series for charts: every bucket, empty ones too, and reads by key.
CREATE SCHEMA rollup_series;
SET search_path = rollup_series, public;
SET timezone = 'UTC';
CREATE TABLE e (ts timestamptz NOT NULL, "user" int, "sort of" varchar(4), amount numeric);
SELECT strata.create_event_table('e', 'ts', accept_past => '10 years', premake => 0);
SELECT count(strata.ensure_partitions('e', d::date, d::date + 1)) FROM unnest(ARRAY['2026-03-28', '2026-03-29', '2026-03-30', '2026-10-25', '2026-10-26', '2026-11-01']) d;
INSERT INTO e VALUES ('2026-03-28 12:00', 1, 'a', 1), ('2026-03-30 12:00', 1, 'a', 2), ('2026-03-30 13:00', 1, 'a', NULL), ('2026-03-29 12:00', 2, 'a', 7), ('2026-03-29 13:00', 2, NULL, NULL), ('2026-10-25 00:30', 1, 'a', 4), ('2026-10-25 01:30', 1, 'a', 5);
SELECT strata.create_rollup('daily', 'e', '1 day', ARRAY['"user"', '"sort of"'], ARRAY['count(*) AS n', 'sum(amount) AS "Sum"'], timezone => 'Europe/Berlin');
SELECT strata.create_rollup('hourly', 'e', '4 hours', '{}', ARRAY['count(*) AS n'], timezone => 'Europe/Berlin');
SELECT strata.create_rollup('monthly', 'e', '1 month', ARRAY['"user"'], ARRAY['count(*) AS n'], timezone => 'America/New_York');

SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-31');
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-31', '{"user": 1}');
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-04-01', '{"user": 1, "sort of": "a"}', carry => true);
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-30', '{"user": 2, "sort of": null}');
-- nothing there: the rows of a key given whole come, of others not
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-30', '{"user": 3, "sort of": "a"}', true);
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-30', '{"user": 3}');
-- a value too long for the key's type is no key of it
SELECT count(measures) FROM strata.rollup_series('daily', '2026-03-28', '2026-03-31', '{"user": 1, "sort of": "aaaaa"}');
-- what is not refreshed yet is there
INSERT INTO e VALUES ('2026-03-29 12:00', 1, 'a', 5);
SELECT * FROM strata.rollup_series('daily', '2026-03-28', '2026-03-31', '{"user": 1, "sort of": "a"}');
-- no keys; changes of clocks in spring and autumn; months
SELECT * FROM strata.rollup_series('hourly', '2026-03-28 23:00', '2026-03-29 10:00');
SELECT * FROM strata.rollup_series('hourly', '2026-10-24 20:00', '2026-10-25 10:00');
SELECT * FROM strata.rollup_series('monthly', '2026-02-15', '2026-05-02', '{"user": 1}');
SELECT count(*) FROM strata.rollup_series('daily', '2026-03-28', '2026-03-28');
-- each bucket of the grid, and no other, whatever the width and the zone
SELECT w, z, (SELECT array_agg(g) FROM strata._rollup_grid('hourly', '2026-03-01', '2026-11-30') g) = (SELECT array_agg(DISTINCT strata.time_bucket(w::interval, t, z)) FROM generate_series(timestamptz '2026-03-01', '2026-11-29 23:59', '15 minutes') t) AS same
FROM (VALUES ('4 hours', 'Europe/Berlin')) x (w, z);
SELECT bool_and(strata._bucket_upper(r, b) = next), count(*) > 5000 AS many FROM strata._rollups o, unnest(ARRAY['1 hour', '3 hours', '4 hours', '5 hours', '1 day', '7 days', '1 month']) w, unnest(ARRAY['Europe/Berlin', 'Australia/Lord_Howe', 'America/Havana', 'UTC']) z,
    LATERAL (SELECT (jsonb_populate_record(o, jsonb_build_object('bucket', w, 'timezone', z))).*) r,
    LATERAL (SELECT b, lead(b) OVER (ORDER BY b) AS next FROM (SELECT DISTINCT strata.time_bucket(w::interval, t, z) AS b FROM generate_series(timestamptz '2026-03-01', '2026-05-01', '30 minutes') t) d) g
WHERE o.rollup = 'hourly'::regclass AND next IS NOT NULL;

-- errors
SELECT refused(format('SELECT * FROM strata.rollup_series(%s)', a)) FROM unnest(ARRAY['''e'', ''2026-01-01'', ''2026-02-01''', '''daily'', NULL, ''2026-02-01''', '''daily'', ''2026-01-01'', ''infinity''', '''daily'', ''2026-01-02'', ''2026-01-01''',
    '''hourly'', ''1926-01-01'', ''2026-01-01''', '''daily'', ''2026-01-01'', ''2026-02-01'', ''{"usr": 1}''', '''daily'', ''2026-01-01'', ''2026-02-01'', ''[1]''', '''hourly'', ''2026-01-01'', ''2026-02-01'', ''{"user": 1}''', '''daily'', ''2026-01-01'', ''2026-02-01'', ''{"user": "x"}''']) a;

-- other time columns
CREATE TABLE w (day date NOT NULL, k int);
SELECT strata.create_event_table('w', 'day', '1 month', timezone => 'Europe/Berlin', accept_past => '10 years', premake => 0);
SELECT strata.ensure_partitions('w', '2026-03-27', '2026-04-02');
INSERT INTO w VALUES ('2026-03-28', 1), ('2026-03-30', 1);
SELECT strata.create_rollup('by_day', 'w', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
SELECT bucket AT TIME ZONE 'Europe/Berlin' AS day, key, measures FROM strata.rollup_series('by_day', '2026-03-28 12:00+01', '2026-03-31 00:00+02', '{"k": 1}', true);

-- whoever may read the rollup may read its series; a view is all it takes
CREATE ROLE regress_series;
GRANT USAGE ON SCHEMA rollup_series TO regress_series;
GRANT SELECT ON daily TO regress_series;
SET ROLE regress_series;
SELECT count(*) FROM strata.rollup_series('daily', '2026-03-28', '2026-03-31');
SELECT refused($$SELECT * FROM strata.rollup_series('hourly', '2026-03-28', '2026-03-31')$$);
RESET ROLE;

-- a key reaches the index, whatever the statistics say
INSERT INTO e SELECT '2026-11-01 00:00'::timestamptz + i * interval '1 second', i, 'b' FROM generate_series(1, 20000) i;
SELECT strata.refresh_rollup('daily') > 0 AS refreshed;
CREATE FUNCTION plan_of(key jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || strata._rollup_reading(strata._rollup_shape('daily'), key, quote_literal('2026-10-31') || '::timestamptz', quote_literal('2026-11-02') || '::timestamptz') LOOP
        IF line ~ 'daily_storage|Index Cond.*user' THEN RETURN NEXT regexp_replace(btrim(line), 'timestamp with time zone', 'timestamptz', 'g'); END IF;
    END LOOP;
END $$;
SELECT plan_of('{"user": 42, "sort of": "b"}');
SELECT plan_of('{"user": 42}');
SET client_min_messages = warning;
DROP SCHEMA rollup_series CASCADE;
DROP ROLE regress_series;
