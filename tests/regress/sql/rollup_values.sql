-- Values at the edges: NaN and infinities, empty groups, negative intervals, and aggregates a rollup cannot keep.
CREATE SCHEMA rollup_values;
SET search_path = rollup_values, public;
SET timezone = 'UTC';
CREATE TABLE edge (ts timestamptz NOT NULL, k int, f float8, r real, n numeric, i interval, t timestamptz, d date);
SELECT strata.create_event_table('edge', 'ts', premake => 1) \gset
CREATE FUNCTION wrong() RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    rollup text;
    n bigint;
    outcome bigint[] := '{}';
BEGIN
    FOR rollup IN SELECT u.rollup FROM strata.rollups u WHERE u.source = 'edge'::regclass ORDER BY 1 LOOP
        EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL %2$s) a) + (SELECT count(*) FROM (%2$s EXCEPT ALL SELECT * FROM %1$s) b)',
            rollup, rtrim(strata.rollup_query(rollup::regclass), '; ')) INTO n;
        outcome := outcome || n;
    END LOOP;
    RETURN outcome;
END
$$;
CREATE FUNCTION refresh() RETURNS bigint LANGUAGE sql AS $$ SELECT count(strata.refresh_rollup(rollup)) FROM strata.rollups WHERE source = 'edge'::regclass $$;
CREATE AGGREGATE longest(interval) (SFUNC = interval_larger, STYPE = interval);
SET client_min_messages = warning;
SELECT strata.create_rollup('folded', 'edge', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(n) AS s', 'avg(n) AS a', 'min(n) AS lo', 'max(n) AS hi', 'min(f) AS f_lo', 'max(f) AS f_hi', 'min(r) AS r_lo', 'max(r) AS r_hi',
    'sum(i) AS i_sum', 'avg(i) AS i_mean', 'min(i) AS i_lo', 'max(i) AS i_hi', 'min(t) AS t_lo', 'max(t) AS t_hi', 'max(d) AS d_hi', 'sum(n) FILTER (WHERE k < 0) AS never', 'count(n) FILTER (WHERE f > 0) AS positive', 'variance(n) AS v', 'var_pop(n) AS vp', 'stddev(n) AS sd', 'stddev_pop(n) FILTER (WHERE k < 3) AS sdp', 'stddev(k) AS sk', 'var_samp(k::int8 * 3000000000) AS vk', 'stddev_pop(k::int2) AS ks']);
SELECT strata.create_rollup('keyed', 'edge', '1 day', ARRAY['f', 'r', 'i'], ARRAY['count(*) AS n', 'sum(n) AS s']);
SELECT strata.create_rollup('recomputed', 'edge', '1 day', ARRAY['k'], ARRAY['variance(n) AS v', 'stddev(n) AS sd', 'var_pop(f) AS vp', 'sum(f) AS fs', 'avg(r) AS ra', 'longest(i) AS li', 'count(DISTINCT f) AS fd',
    'array_agg(n ORDER BY n, f) AS all_n', 'percentile_disc(0.5) WITHIN GROUP (ORDER BY f) AS median']);
SELECT strata.create_rollup('filtered', 'edge', '1 day', '{}', ARRAY['count(*) AS n', 'sum(n) AS s'], filter => $$f = 'NaN'$$);
INSERT INTO edge VALUES (now(), 1, 'NaN', 'NaN', 'NaN', '-1 month 40 days -25 hours', 'infinity', '-infinity'), (now(), 1, 'Infinity', '-Infinity', 'Infinity', '-3 days', '-infinity', 'infinity'),
    (now(), 1, '-Infinity', 'Infinity', 1, '0', now(), NULL), (now(), 2, 1, 1, '-Infinity', '1 month', NULL, NULL), (now(), 2, '-0', '-0', 0.00, '30 days', NULL, NULL), (now(), 2, 0, 0, 0, '720 hours', NULL, NULL),
    (now(), 3, NULL, NULL, NULL, NULL, NULL, NULL), (now(), NULL, 'NaN', NULL, 1.50, '-1 microsecond', NULL, NULL);
SELECT wrong();
SELECT refresh();
SELECT wrong();
SELECT k, s, a, lo, hi, f_lo, f_hi, i_sum, i_lo, i_hi, never FROM folded ORDER BY k;
-- what was the only NaN, or the extreme, goes: groups are recomputed, some down to nothing but their rows
UPDATE edge SET n = 2 WHERE n = 'NaN';
DELETE FROM edge WHERE f = 'Infinity' OR i = '1 month';
SELECT wrong();
SELECT refresh();
SELECT wrong();
INSERT INTO edge (ts, k, f, n, i) VALUES (now(), 2, 'NaN', 'NaN', '-178000000 years'), (now(), 4, '1e-320', 1e-100, '178000000 years');
SELECT wrong();
DELETE FROM edge WHERE k = 3;
SELECT wrong(), (SELECT count(*) FROM folded WHERE k = 3) AS empty_groups;
SELECT refresh();
SELECT wrong(), (SELECT count(*) FROM folded_storage WHERE k = 3) AS empty_groups;
DELETE FROM edge;
SELECT wrong();
SELECT refresh();
SELECT wrong(), (SELECT count(*) FROM folded_storage) + (SELECT count(*) FROM recomputed_storage) AS stored;

-- what no rollup can keep, and what to write instead
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['k'], ARRAY['jsonb_agg(t) AS j'])$$);
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['k'], ARRAY['json_object_agg(k, d) AS j'])$$);
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['k'], ARRAY['sum(n * random()::numeric) AS s'])$$);
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['k'], ARRAY['max(t::text) AS s'])$$);
CREATE FUNCTION about(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT round($1)';
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['about(n) AS k'], ARRAY['count(*) AS n'])$$);
SELECT refused($$SELECT strata.create_rollup('r', 'edge', '1 day', ARRAY['k'], ARRAY['sum(missing) AS s'])$$);
SELECT count(*) FROM strata.rollups WHERE rollup::text = 'r';
-- values are kept, and rendered by whoever reads them
SELECT strata.create_rollup('kept', 'edge', '1 day', ARRAY['k'], ARRAY['array_agg(t ORDER BY t) AS ts']) IS NOT NULL AS made;
INSERT INTO edge (ts, k, t) VALUES (now(), 1, '2026-01-01 00:00+00'), (now(), 1, '2026-01-02 00:00+00');
SELECT k, to_jsonb(ts) AS j FROM kept;
SELECT wrong();
DROP SCHEMA rollup_values CASCADE;
CALL strata.maintain_partitions();

-- variances and deviations from sums: digit for digit PostgreSQL's, over numbers of every size and scale
SELECT setseed(0.42) IS NOT NULL AS seeded;
CREATE TABLE numbers AS
SELECT g, CASE g % 5 WHEN 0 THEN (random() * 10)::int::numeric WHEN 1 THEN round((random() * 1e6)::numeric, (random() * 8)::int) WHEN 2 THEN round((random() * 1e-6)::numeric, 12)
                     WHEN 3 THEN ((random() - 0.5) * 1e15)::bigint ELSE round((random() * 1e20)::numeric, 3) END AS n,
       ((random() - 0.5) * 1.8e19)::numeric::bigint AS b, ((random() - 0.5) * 4e9)::int AS i
FROM generate_series(1, 3000) g, LATERAL generate_series(1, 1 + g % 4);
SELECT count(*) AS groups, count(*) FILTER (WHERE taken IS DISTINCT FROM computed) AS different
FROM (SELECT ARRAY[var_samp(n), var_pop(n), stddev_samp(n), stddev_pop(n), variance(b), stddev_pop(b), var_pop(i), stddev(i)]::text AS taken,
             ARRAY[strata._variance(count(n), sum(n), sum(n * n), 1), strata._variance(count(n), sum(n), sum(n * n), 0),
                   strata._deviation(strata._variance(count(n), sum(n), sum(n * n), 1)), strata._deviation(strata._variance(count(n), sum(n), sum(n * n), 0)),
                   strata._variance(count(b), sum(b), sum(b::numeric * b), 1), strata._deviation(strata._variance(count(b), sum(b), sum(b::numeric * b), 0)),
                   strata._variance(count(i), sum(i), sum(i::bigint * i), 0), strata._deviation(strata._variance(count(i), sum(i), sum(i::bigint * i), 1))]::text AS computed
      FROM numbers GROUP BY g) d;
DROP TABLE numbers;
