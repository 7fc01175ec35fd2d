-- Every kind of aggregate, folded or recomputed, and the backfill.
CREATE SCHEMA aggregates;
SET search_path = aggregates, public;
SET timezone = 'UTC';
CREATE TABLE e (ts timestamptz NOT NULL, k int, "100%" int, flag boolean, bits bit(8), small int2, big int8, f float8, n numeric, t text, took interval, day date, j jsonb);
CREATE FUNCTION differences(view_name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; query text := rtrim(strata.rollup_query(view_name::regclass), '; ');
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL %2$s) a) + (SELECT count(*) FROM (%2$s EXCEPT ALL SELECT * FROM %1$s) b)', view_name, query) INTO n;
    RETURN n;
END $$;
CREATE FUNCTION all_differences() RETURNS bigint[] LANGUAGE sql AS $$ SELECT array_agg(differences(r.rollup::text) ORDER BY r.rollup::text) FROM strata.rollups r WHERE r.source = 'e'::regclass $$;
CREATE FUNCTION all_differences_from(retained_from timestamptz) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE r record; n bigint; outcome bigint[] := '{}'; query text;
BEGIN
    FOR r IN SELECT rollup FROM strata.rollups WHERE source = 'e'::regclass ORDER BY rollup::text LOOP
        query := rtrim(strata.rollup_query(r.rollup), '; ');
        EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s WHERE bucket >= %3$L EXCEPT ALL SELECT * FROM (%2$s) q WHERE bucket >= %3$L) a)
            + (SELECT count(*) FROM (SELECT * FROM (%2$s) q WHERE bucket >= %3$L EXCEPT ALL SELECT * FROM %1$s WHERE bucket >= %3$L) b)', r.rollup, query, retained_from) INTO n;
        outcome := outcome || n;
    END LOOP;
    RETURN outcome;
END $$;
CREATE FUNCTION refresh_all() RETURNS bigint LANGUAGE sql AS $$ SELECT count(strata.refresh_rollup(r.rollup)) FROM strata.rollups r WHERE r.source = 'e'::regclass $$;
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
SELECT strata.create_event_table('e', 'ts', accept_past => '100 days', premake => 1);
SELECT strata.ensure_partitions('e', now() - interval '10 days', now());
INSERT INTO e SELECT date_trunc('day', now()) - i % 10 * interval '1 day' + i * interval '1 second', i % 5, i % 4, CASE WHEN i % 3 = 0 THEN NULL ELSE i % 7 > 0 END, i::bit(8), i, i * 1000000000000, i / 7.0, i / 8.0,
    'text ' || i % 13, i * interval '1 hour', '2026-01-01'::date + i, jsonb_build_object('i', i) FROM generate_series(1, 500) i;
SELECT * FROM strata.explain_rollup('e', '1 day', ARRAY['k', '"100%" % 2 AS parity'], ARRAY['count(*) AS n', 'sum(f) AS f', 'count(DISTINCT t) AS texts', 'avg(n) FILTER (WHERE flag) AS mean',
    'percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS median', 'product(1 + n / 100) AS product', 'bool_and(flag) AS every_flag', 'stddev_samp(n) AS spread', 'string_agg(t, '','' ORDER BY ts) AS texts_in_order']);
SELECT refused($$SELECT * FROM strata.explain_rollup('e', '1 day', ARRAY['k'], ARRAY['1 + count(*) AS n'])$$);
SELECT to_regclass('strata_explained');
SELECT strata.create_rollup('folded', 'e', '1 day', ARRAY['k', '"100%"'], ARRAY['bool_and(flag) AS a', 'bool_or(flag) AS o', 'every(flag) AS e', 'bit_and(small) AS ba', 'bit_or(big) AS bo', 'bit_xor(k) AS bx', 'bit_or(bits) AS bits',
    'sum(small) AS s2', 'sum(big) AS s8', 'avg(small) AS a2', 'avg(big) FILTER (WHERE "100%" > 1) AS a8', 'min(f) AS low', 'max(day) AS last', 'avg(took) AS took', 'count(flag) AS flags']);
SELECT strata.create_rollup('recomputed', 'e', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'count(DISTINCT t) AS texts', 'percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS median', 'mode() WITHIN GROUP (ORDER BY t) AS most',
    'array_agg(t ORDER BY ts, t) AS ts_in_order', 'product(1 + n / 100) AS product', 'avg(n) AS mean', 'variance(n) AS spread', 'array_agg(j ORDER BY ts, t) FILTER (WHERE flag) AS js', 'avg(took) AS took'], filter => 'k <> 3');
SELECT strata.create_rollup('keyless', 'e', '7 days', '{}', ARRAY['count(DISTINCT k) AS ks', 'max(t) AS last']);
SELECT all_differences();
INSERT INTO e (ts, k, t, n, flag, small, took) SELECT ts, k, 'new ' || k, 1, NOT flag, 3, '1 day' FROM e WHERE k < 3 AND ts > now() - interval '3 days';
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
UPDATE e SET t = 'changed', ts = ts - interval '1 hour' WHERE k = 1;
DELETE FROM e WHERE k = 2 AND ts > now() - interval '2 days';
INSERT INTO e (ts, k) VALUES (now(), NULL), (now(), 99);
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
DELETE FROM e WHERE k = 99;
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
SELECT count(*) FROM recomputed_storage WHERE k = 99;
SELECT strata.drop_rollup(rollup) FROM strata.rollups WHERE source = 'e'::regclass;

-- written as a query
SELECT strata.create_rollup('written', $$SELECT strata.time_bucket('12 hours', ts, 'Europe/Berlin', '2026-01-01 06:00+00') AS bucket, k AS kind, "100%" % 2 AS parity, count(*) AS n, max(t) FILTER (WHERE flag) AS last
FROM e WHERE k <> 3 GROUP BY 1, k, parity;$$);
SELECT bucket, timezone, group_by, aggregates FROM strata.rollups WHERE rollup = 'written'::regclass;
SELECT differences('written'), strata.refresh_rollup('written') >= 0, differences('written');
UPDATE e SET k = 4 WHERE k = 0;
SELECT differences('written'), strata.refresh_rollup('written') >= 0, differences('written');
SELECT count(*) AS elsewhere FROM written WHERE extract(hour FROM bucket AT TIME ZONE 'Europe/Berlin') NOT IN (7, 19);
SELECT strata.drop_rollup('written');
SELECT refused(format('SELECT strata.create_rollup(%L, %L)', 'wrong', q)) FROM unnest(ARRAY[
    'SELECT k, count(*) FROM e GROUP BY 1',
    'SELECT strata.time_bucket(''1 day'', ts), count(*) FROM e GROUP BY 1',
    'SELECT strata.time_bucket(''1 day'', now()) AS bucket, count(*) FROM e GROUP BY 1',
    'SELECT strata.time_bucket(took, ts) AS bucket, count(*) FROM e GROUP BY 1',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*), k FROM e GROUP BY 1, 3',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e GROUP BY 1, k',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e GROUP BY 1 HAVING count(*) > 1',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e GROUP BY 1 ORDER BY 1',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e GROUP BY ROLLUP (1)',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e JOIN pg_class ON true GROUP BY 1',
    'SELECT strata.time_bucket(''1 day'', ts) AS bucket, count(*) FROM e WHERE ts < now() GROUP BY 1',
    'SELECT strata.time_bucket(''1 day'', stats_reset) AS bucket, count(*) FROM pg_stat_archiver GROUP BY 1',
    'DELETE FROM e']) q;

-- the backfill: exact before, during and after; newest first; writers are not held back
SELECT strata.create_rollup('later', 'e', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(n) AS s'], with_data => false);
SELECT strata.create_rollup('later_still', 'e', '1 day', ARRAY['k'], ARRAY['count(DISTINCT t) AS texts'], with_data => false);
SELECT rollup, filled_from FROM strata.rollups WHERE source = 'e'::regclass ORDER BY 1::text;
SELECT count(*) FROM later_storage;
SELECT all_differences();
-- in the transaction of its creation nothing can be filled
BEGIN;
SELECT strata.create_rollup('same', 'e', '1 day', ARRAY['k'], ARRAY['count(*) AS n'], with_data => false);
SELECT strata.refresh_rollup('same') > 0 AS refreshed, (SELECT filled_from FROM strata.rollups WHERE rollup = 'same'::regclass);
ROLLBACK;
-- step by step
SET client_min_messages = warning;
SELECT strata._refresh_part('later', false), strata._refresh_part('later_still', false);
SELECT all_differences();
SELECT rollup, extract(day FROM now() - filled_from) BETWEEN -2 AND 1 AS newest FROM strata.rollups WHERE source = 'e'::regclass ORDER BY 1::text;
INSERT INTO e (ts, k, n, t) SELECT date_trunc('day', now()) - i % 10 * interval '1 day', 2, i, 'between' FROM generate_series(1, 20) i;
UPDATE e SET n = n + 1 WHERE k = 4;
SELECT all_differences();
SELECT strata._refresh_part('later', false), strata._refresh_part('later_still', false);
SELECT all_differences();
DELETE FROM e WHERE k = 4 AND ts < now() - interval '5 days';
SELECT all_differences();
CALL strata.refresh_rollups('e');
RESET client_min_messages;
SELECT rollup, filled_from FROM strata.rollups WHERE source = 'e'::regclass ORDER BY 1::text;
SELECT all_differences();
SELECT bool_or(pg_get_viewdef(rollup) ~ '\) < .*filled_from|< \( SELECT') AS still_fills FROM strata.rollups WHERE source = 'e'::regclass;
CALL strata.refresh_rollups('e');
INSERT INTO e (ts, k, n, t) SELECT ts, k, n, t FROM e;
SELECT all_differences();
CALL strata.refresh_rollups();
SELECT all_differences();
SELECT refused($$CALL strata.refresh_rollups('pg_class')$$);
-- one column more: exact at once, filled again by refreshes; frozen buckets have none of it
SELECT strata.drop_rollup('later_still');
SELECT strata.alter_event_table('e', retention => '8 days', accept_past => '8 days');
CALL strata.maintain_partitions('e');
CALL strata.refresh_rollups('e');
SELECT strata.add_rollup_aggregate('later', 'avg(n) FILTER (WHERE k > 2) AS mean');
SELECT all_differences_from((SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass));
SELECT count(*) > 0 AS frozen, count(mean) AS with_mean FROM later WHERE bucket < (SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass);
INSERT INTO e (ts, k, n, t) SELECT ts, k, n, t FROM e WHERE ts > now() - interval '7 days' LIMIT 20;
SELECT all_differences_from((SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass));
SELECT strata.add_rollup_aggregate('later', 'min(t COLLATE "C") AS lowest');
SET client_min_messages = warning;
CALL strata.refresh_rollups('e');
CALL strata.refresh_rollups('e');
RESET client_min_messages;
SELECT all_differences_from((SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass));
UPDATE e SET n = n + 1 WHERE k = 3;
SELECT all_differences_from((SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass));
SELECT split_part(refused($$SELECT strata.add_rollup_aggregate('later', '1 + count(*) AS more')$$), E'\n', 1);
SELECT split_part(refused($$SELECT strata.add_rollup_aggregate('later', 'count(*) AS n')$$), E'\n', 1);
SELECT split_part(refused($$SELECT strata.add_rollup_aggregate('later', 'count(*) AS a, count(*) AS b')$$), E'\n', 1);
SET client_min_messages = warning;  -- (how many groups there are goes with the time of day)
SELECT count(*) AS differences FROM strata.verify_rollup('later');
RESET client_min_messages;
-- replaced by another in its place, with its privileges
CREATE ROLE regress_rollup_reader;
GRANT SELECT ON later TO regress_rollup_reader WITH GRANT OPTION;
CREATE SCHEMA elsewhere;
SELECT strata.create_rollup('elsewhere.better', 'e', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'max(n) AS most'], with_data => false);
SELECT refused($$SELECT strata.replace_rollup('later', 'elsewhere.better')$$);
SET client_min_messages = warning;
CALL strata.refresh_rollups('e');
SELECT split_part(refused($$SELECT strata.replace_rollup('later', 'elsewhere.better')$$), E'\n', 1);
SELECT strata.replace_rollup('later', 'elsewhere.better', discard_frozen => true);
RESET client_min_messages;
SELECT rollup, aggregates FROM strata.rollups WHERE source = 'e'::regclass;
SELECT has_table_privilege('regress_rollup_reader', 'later', 'SELECT WITH GRANT OPTION') AS granted;
SELECT refused($$SELECT strata.replace_rollup('later', 'later')$$);
SELECT relname, relkind FROM pg_class WHERE relname ~ '^later|better' AND relkind NOT IN ('i', 'I') AND NOT relispartition AND relnamespace IN ('aggregates'::regnamespace, 'elsewhere'::regnamespace) ORDER BY 1;
UPDATE e SET n = n + 1 WHERE k = 3;
SELECT all_differences_from((SELECT retained_from FROM strata.event_tables WHERE relation = 'e'::regclass));
DROP SCHEMA elsewhere CASCADE;
SELECT strata.drop_rollup('later');
DROP ROLE regress_rollup_reader;
-- retention waits for it
SELECT strata.create_rollup('unfilled', 'e', '1 day', '{}', ARRAY['count(*) AS n'], with_data => false);
SELECT strata.alter_event_table('e', retention => '6 days', accept_past => '6 days');
SELECT DISTINCT blocked_by FROM strata.expired_partitions('e');
SET client_min_messages = warning;
DROP SCHEMA aggregates CASCADE;
