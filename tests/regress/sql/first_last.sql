-- first, last and histogram: their rules, the same result from every plan, and folded in rollups.
CREATE SCHEMA first_last;
SET search_path = first_last, public;
SET timezone = 'UTC';
-- keys of several types; a NULL key does not count, a NULL value does; ties by value, NULL last of all
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES (1, timestamptz '2026-01-02'), (2, '2026-01-01'), (3, '2026-01-03'), (4, NULL)) x (v, at);
SELECT strata.first(v, at) IS NULL AS first, strata.last(v, at) IS NULL AS last FROM (VALUES (NULL::text, 1), ('b', 2), (NULL, 3)) x (v, at);
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES ('b', 1), (NULL, 1), ('a', 1), ('c', 1), ('B', 0), ('z', NULL)) x (v, at) WHERE at > 0 OR at IS NULL;
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES (1, NULL::date)) x (v, at);
SELECT strata.first(v, at), strata.last(v, at), strata.first(v, at) FILTER (WHERE v > 9) FROM (SELECT 1 AS v, 2 AS at WHERE false) x;
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES (1.0, 'x'::text), (1.00, 'x'), (1.000, 'x')) x (v, at);
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES (ARRAY[1, 2], 1.5), (ARRAY[3], 1.25)) x (v, at);
-- a type without an order has bytes; one by which rows cannot be put in order is refused
SELECT strata.first(v, at), strata.last(v, at) FROM (VALUES ('{"b":1}'::json, 1), ('{"a":1}', 1), ('{"c":1}', 1)) x (v, at);
SELECT refused($$SELECT strata.first(1, '{}'::json)$$);

SELECT strata._first_of(1, 2, 3, 1), strata._last_of(1, 2, 3, 1), strata._first_of('a'::text, 1, NULL, 1), strata._last_of(NULL, 1, 'a'::text, 1), strata._first_of(NULL::text, NULL::int, 'b', 5), strata._last_of('a'::text, 5, 'b', NULL::int);
-- as a window function
SELECT v, strata.first(v, at) OVER w, strata.last(v, at) OVER w FROM (VALUES ('a', 3), ('b', 1), ('c', 2)) x (v, at) WINDOW w AS (ORDER BY v);

-- histogram counts where width_bucket says
SELECT strata.histogram(v, 0, 10, 5) FROM unnest(ARRAY[-1, 0, 1.9, 2, 9.99, 10, 'infinity', '-infinity', 'NaN', NULL]::float8[]) v;
SELECT strata.histogram(v, 0, 10, 5) IS NULL AS nothing, strata.histogram(NULL, NULL, NULL, NULL) IS NULL AS nothing_at_all FROM unnest(ARRAY[NULL]::float8[]) v;
SELECT strata.histogram(v, -1e308, 1.7e308, 3) FROM unnest(ARRAY[-1e308, 0, 1.69e308]::float8[]) v;
SELECT bool_and(c.count = h.counts[c.place + 1]) AS like_width_bucket, count(*)
FROM (SELECT strata.histogram(i * 0.0037, -0.7, 33.1, 97) AS counts FROM generate_series(-500, 9500) i) h,
    LATERAL (SELECT w AS place, count(*) FROM (SELECT width_bucket(i * 0.0037::float8, -0.7, 33.1, 97) AS w FROM generate_series(-500, 9500) i) b GROUP BY w) c;
SELECT refused(format('SELECT strata.histogram(v, %s) FROM (VALUES (1, 2), (2, 3)) x (v, w)', b)) FROM unnest(ARRAY['1, 1, 1', '2, 1, 1', '0, ''NaN'', 1', '''-infinity'', 0, 1', '0, 1, 0', '0, 1, 10001', '0, NULL, 1', '0, w, 1']) b;

-- the same from workers, by hash, by sort, and from one process; values out of line too
CREATE TABLE many AS SELECT i % 100 AS k, CASE WHEN i % 5 = 0 THEN NULL ELSE timestamptz '2026-01-01' + i * 7919 % 1000 * interval '1 minute' END AS ts, i * 31 % 997 AS v,
    CASE WHEN i % 3 > 0 THEN repeat(md5(i::text), 1 + i % 90) END AS t, (i % 11)::numeric(8, 2) AS n, (i % 1009) / 10.0 AS f FROM generate_series(1, 8000) i;
INSERT INTO many SELECT 100, '2026-01-01', i, string_agg(md5((i * j)::text), ''), 1, 1 FROM generate_series(1, 5) i, generate_series(1, 2000) j GROUP BY i;
ANALYZE many;
CREATE VIEW by_key AS SELECT k, strata.first(v, ts) AS f1, strata.last(v, ts) AS l1, strata.first(t, ts) AS f2, strata.last(t, ts) AS l2, strata.last(n, ts::date) AS l3,
    strata.first(ARRAY[t, k::text], t) FILTER (WHERE v > 500) AS f3, strata.last(ts, v) AS l4, strata.histogram(f, 10, 90, 16) AS h FROM many GROUP BY k;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS SELECT * FROM by_key;
SET max_parallel_workers_per_gather = 3;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS off) SELECT strata.first(v, ts), strata.histogram(f, 10, 90, 16) FROM many;
CREATE TABLE parallel AS SELECT * FROM by_key;
SET enable_hashagg = off;
CREATE TABLE sorted AS SELECT * FROM by_key;
RESET ALL;
SET search_path = first_last, public;
SET timezone = 'UTC';
SELECT (SELECT count(*) FROM (TABLE serial EXCEPT ALL TABLE parallel) d) AS parallel, (SELECT count(*) FROM (TABLE serial EXCEPT ALL TABLE sorted) d) AS sorted, count(*) FROM serial;
-- what it should be, by sorting
SELECT count(*) FROM serial s WHERE (f1, l1, f2, l2) IS DISTINCT FROM (
    (SELECT v FROM many m WHERE m.k = s.k AND ts IS NOT NULL ORDER BY ts, v LIMIT 1), (SELECT v FROM many m WHERE m.k = s.k AND ts IS NOT NULL ORDER BY ts DESC, v DESC LIMIT 1),
    (SELECT t FROM many m WHERE m.k = s.k AND ts IS NOT NULL ORDER BY ts, t LIMIT 1), (SELECT t FROM many m WHERE m.k = s.k AND ts IS NOT NULL ORDER BY ts DESC, t DESC NULLS LAST LIMIT 1));

-- in rollups
CREATE TABLE e (ts timestamptz NOT NULL, k int, seen timestamptz, v int, t text, n numeric, f float8, low float8 NOT NULL DEFAULT 0);
CREATE FUNCTION differences(view_name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; query text := rtrim(strata.rollup_query(view_name::regclass), '; ');
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL %2$s) a) + (SELECT count(*) FROM (%2$s EXCEPT ALL SELECT * FROM %1$s) b)', view_name, query) INTO n;
    RETURN n;
END $$;
CREATE FUNCTION all_differences() RETURNS bigint[] LANGUAGE sql AS $$ SELECT array_agg(differences(r.rollup::text) ORDER BY r.rollup::text) FROM strata.rollups r WHERE r.source = 'e'::regclass $$;
CREATE FUNCTION refresh_all() RETURNS bigint LANGUAGE sql AS $$ SELECT count(strata.refresh_rollup(r.rollup)) FROM strata.rollups r WHERE r.source = 'e'::regclass $$;
SELECT strata.create_event_table('e', 'ts', accept_past => '100 days', premake => 1);
SELECT strata.ensure_partitions('e', now() - interval '10 days', now());
CREATE FUNCTION add_rows(seed int, count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO e SELECT date_trunc('day', now()) - i % 4 * interval '1 day' + i * 7919 % 40 * interval '1 minute', i % 7, CASE WHEN i % 6 > 0 THEN timestamptz '2026-01-01' + i * 7919 % 30 * interval '1 minute' END,
        nullif(i % 13, 5), CASE WHEN i % 3 > 0 THEN repeat(md5((i % 50)::text), i % 50) END, (i % 3)::text::numeric + CASE WHEN i % 2 = 0 THEN 0.00 ELSE 0.000 END, (i % 77) - 5, 0
    FROM generate_series(seed, seed + count) i $$;
SELECT add_rows(1, 600);
SELECT column_name, type, maintenance, note FROM strata.explain_rollup('e', '1 day', ARRAY['k'], ARRAY['strata.first(v, ts) AS a', 'strata.last(t, seen) FILTER (WHERE v > 3) AS b', 'strata.last(v, ts ORDER BY t) AS c',
    'strata.histogram(f, 0, 60, 6) AS h', 'strata.histogram(f, low, 60, 6) AS hl']);
SELECT strata.create_rollup('folded', 'e', '1 day', ARRAY['k'], ARRAY['strata.first(v, ts) AS a', 'strata.last(v, ts) AS "B"', 'strata.first(t, seen) AS c', 'strata.last(t, seen) FILTER (WHERE v > 3) AS d', 'strata.last(n, (seen AT TIME ZONE ''UTC'')::date) AS e',
    'strata.first(seen, v) AS f', 'strata.histogram(f, 0, 60, 6) AS h', 'strata.histogram(f, 0, 60, 6) FILTER (WHERE v > 11) AS hf', 'avg(v) AS mean', 'count(*) AS n'], filter => 'v IS DISTINCT FROM 1');
SELECT strata.create_rollup('keyless', 'e', '7 days', '{}', ARRAY['strata.last(t, ts) AS t', 'strata.histogram(n, 0, 3, 3) AS h']);
SELECT strata.create_rollup('recomputed', 'e', '1 day', ARRAY['k'], ARRAY['strata.last(t, ts) AS t', 'strata.histogram(f, low, 60, 3) AS h', 'strata.first(v, ts ORDER BY v) AS o']);
SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'keyless_storage'::regclass AND attnum > 0;
SELECT all_differences();
SELECT add_rows(300, 500);
SELECT add_rows(11, 30);
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
SELECT add_rows(5, 300);
SELECT refresh_all();
SELECT add_rows(777, 20);
UPDATE e SET v = 100, seen = seen - interval '3 days' WHERE k = 1 AND v < 4;
DELETE FROM e WHERE k = 2 AND ts::time < '00:20';
INSERT INTO e (ts, k) VALUES (now(), 99), (now(), NULL);
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
INSERT INTO e (ts, k, v, f) VALUES (now(), 99, 1, 1), (now(), NULL, 12, 12);
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences(), (SELECT hf FROM folded WHERE k IS NULL);
DELETE FROM e WHERE k IS NULL OR k > 5;
SELECT all_differences();
SELECT refresh_all();
SELECT all_differences();
SET client_min_messages = warning;
DROP SCHEMA first_last CASCADE;
