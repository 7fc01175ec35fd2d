-- Promise: one row per bucket of the range and key, whether the rollup has a group there or not; what it has is what the
-- view shows. Runs with the caller's rights, who reads the view.
CREATE FUNCTION strata.rollup_series(
    rollup regclass, lower timestamptz, upper timestamptz, OUT bucket timestamptz, INOUT key jsonb DEFAULT NULL, carry boolean DEFAULT false, OUT measures jsonb
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grid timestamptz[] := ARRAY(SELECT g FROM strata._rollup_grid(rollup, lower, upper) g);
    shape strata._rollup_shape := strata._rollup_shape(rollup);
    -- a key that is given whole has its empty buckets even where it has no other
    given jsonb := CASE WHEN cardinality((shape).keys) = 0 THEN '{}' WHEN strata._key_columns(shape, key) = (shape).keys THEN key END;
BEGIN
    IF cardinality(grid) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'WITH found AS MATERIALIZED (%s), '
        'groups AS (SELECT DISTINCT f.key FROM found f%s), '
        'series AS (SELECT g.place, k.key, f.measures, count(f.measures) OVER (PARTITION BY k.key ORDER BY g.place) AS filled '
        'FROM groups k CROSS JOIN unnest($1) AS g (place) LEFT JOIN found f ON f.place = g.place AND f.key = k.key) '
        'SELECT strata._from_axis(%L, %L, s.place), s.key, %s FROM series s ORDER BY s.key, s.place',
        strata._rollup_reading(shape, key, '$2', '$3'),
        CASE WHEN given IS NOT NULL THEN ' WHERE false UNION SELECT coalesce((SELECT f.key FROM found f LIMIT 1), $4)' ELSE '' END,
        (shape).time_type, (shape).timezone,
        CASE WHEN carry THEN 'first_value(s.measures) OVER (PARTITION BY s.key, s.filled ORDER BY s.place)' ELSE 's.measures' END)
    USING grid, grid[1], grid[cardinality(grid)], given;
END
$$;
COMMENT ON FUNCTION strata.rollup_series(regclass, timestamptz, timestamptz, jsonb, boolean) IS
'A rollup for charts: one row for each bucket from the one that lower lies in to before upper, empty ones too, for each key that has a group in this range, ordered by key and time. Buckets are the rollup''s own (width, time zone, origin; changes of clocks included). key: the keys to be read, as an object such as {"user_id": 42}, all of them or some; NULL reads all. A key given whole has its rows even where the rollup has none of it. measures: the aggregates as an object; NULL where there is no group, or with carry what the latest group before it in this range had. Takes SELECT on the rollup. Errors: 22023 for a bound that is NULL or infinite, for upper before lower, for more than 100,000 buckets, and for a key that is no object of the rollup''s keys; ST004 not a rollup.';

CREATE TYPE strata._rollup_shape AS (rollup regclass, keys text[], key_types text[], time_type regtype, timezone text);

CREATE FUNCTION strata._rollup_shape(rollup regclass) RETURNS strata._rollup_shape
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shape strata._rollup_shape;
BEGIN
    PERFORM strata._source(rollup);
    SELECT r.rollup, coalesce(d.keys, '{}'), coalesce(d.types, '{}'), t.time_type, t.timezone INTO shape
    FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id
    CROSS JOIN LATERAL (
        SELECT array_agg(c.column_name ORDER BY c.ordinal) AS keys, array_agg(format_type(c.type_oid, -1) ORDER BY c.ordinal) AS types
        FROM strata._definition_columns(r.definition) c WHERE c.aggregate IS NULL AND c.ordinal > 1
    ) d
    WHERE r.rollup = _rollup_shape.rollup;
    RETURN shape;
END
$$;
COMMENT ON FUNCTION strata._rollup_shape(regclass) IS 'What a reader of a rollup has to know of it; ST004 if it is not one.';

CREATE FUNCTION strata._rollup_grid(rollup regclass, lower timestamptz, upper timestamptz) RETURNS SETOF timestamptz
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    buckets_max CONSTANT int := 100000;
    source regclass := strata._source(rollup);
    entry strata._rollups := (SELECT r FROM strata._rollups r WHERE r.rollup = _rollup_grid.rollup);
    event_table strata._event_tables := strata._event_table(source);
    place timestamptz;
    stop timestamptz := strata._to_axis(event_table, upper);
    complaint text := CASE
        WHEN lower IS NULL OR upper IS NULL OR NOT isfinite(lower) OR NOT isfinite(upper) THEN 'a series needs finite bounds'
        WHEN upper < lower THEN 'the bounds of a series are in the wrong order'
        WHEN extract(epoch FROM upper - lower) / extract(epoch FROM entry.bucket) > buckets_max THEN format('a series has at most %s buckets', buckets_max)
    END;
BEGIN
    IF complaint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = complaint,
            DETAIL = format('The bounds are %s and %s, the buckets are of %s.', coalesce(lower::text, 'NULL'), coalesce(upper::text, 'NULL'), entry.bucket),
            HINT = format('For example: strata.rollup_series(%L, now() - interval ''30 days'', now())', rollup::text);
    END IF;
    place := strata._bucket_lower(entry, strata._to_axis(event_table, lower));
    WHILE place < stop LOOP
        RETURN NEXT place;
        place := strata._bucket_upper(entry, place);
    END LOOP;
END
$$;
COMMENT ON FUNCTION strata._rollup_grid(regclass, timestamptz, timestamptz) IS
'The starts of the buckets of a rollup from the one that lower lies in to before upper, on the axis; 22023 for bounds that make no series.';

CREATE FUNCTION strata._key_columns(shape strata._rollup_shape, key jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_object CONSTANT boolean := key IS NULL OR jsonb_typeof(key) = 'object';
    named text[] := ARRAY(SELECT jsonb_object_keys(CASE WHEN is_object THEN key END));
BEGIN
    IF NOT is_object OR NOT named <@ (shape).keys OR EXISTS (SELECT FROM jsonb_each(key) v WHERE jsonb_typeof(v.value) IN ('object', 'array')) THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('%s is not a key of rollup %s', key, (shape).rollup),
            DETAIL = format('Its keys are: %s.', coalesce(nullif(array_to_string((shape).keys, ', '), ''), 'none')),
            HINT = 'Write an object of keys and values, such as {"user_id": 42}.';
    END IF;
    RETURN ARRAY(SELECT k FROM unnest((shape).keys) WITH ORDINALITY AS k (k, place) WHERE k = ANY (named) ORDER BY place);
END
$$;
COMMENT ON FUNCTION strata._key_columns(strata._rollup_shape, jsonb) IS 'Which keys of a rollup an object names, in their order; 22023 if it names anything else.';

-- Conditions are written so that they reach the indexes beneath the view.
CREATE FUNCTION strata._rollup_reading(shape strata._rollup_shape, key jsonb, lower text, upper text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bucket_type regtype := strata._bucket_type((shape).time_type);
    conditions text := '';
BEGIN
    IF cardinality(strata._key_columns(shape, key)) > 0 THEN
        SELECT coalesce(string_agg(format(CASE WHEN key -> k.name = 'null' THEN ' AND q.%1$I IS NULL' ELSE ' AND q.%1$I = %2$L::%3$s' END,
            k.name, key ->> k.name, k.type), ''), '')
        INTO conditions
        FROM unnest((shape).keys, (shape).key_types) AS k (name, type) WHERE key ? k.name;
    END IF;
    RETURN format('SELECT %s AS place, jsonb_build_object(%s) AS key, to_jsonb(q) - %L::text[] AS measures FROM %s WHERE q.bucket >= %s AND q.bucket <= %s%s',
        strata._time_value(bucket_type, 'q.bucket'),
        (SELECT string_agg(format('%L, q.%I', k.name, k.name), ', ') FROM unnest((shape).keys) AS k (name)),
        'bucket'::text || (shape).keys, strata._named_as_defined((shape).rollup),
        strata._time_at(bucket_type, lower, false), strata._time_at(bucket_type, upper, true), conditions);
END
$$;
COMMENT ON FUNCTION strata._rollup_reading(strata._rollup_shape, jsonb, text, text) IS
'The query of the groups of a rollup between two places on the axis, both inclusive, of the keys given; 22023 for a key it does not have.';
