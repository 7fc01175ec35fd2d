-- The statements of a rollup, made from its definition view at each use.

-- What storage keeps per output column, and how two states of one group become one.
CREATE FUNCTION strata._rollup_states(
    definition regclass,
    OUT ordinal int, OUT output text, OUT state text, OUT partial text, OUT merge text, OUT state_type text
) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.ordinal, d.column_name, s.state, s.partial, s.merge, s.state_type
    FROM strata._definition_columns(definition) d
    JOIN pg_proc f ON f.oid = d.aggregate
    CROSS JOIN LATERAL (
        SELECT d.column_name, d.expression,
               CASE f.proname WHEN 'count' THEN 'sum' ELSE f.proname::text END,
               format_type(d.type_oid, d.type_modifier)
        WHERE f.proname <> 'avg'
        UNION ALL
        SELECT format('_avg_%s_sum', d.ordinal), format('sum(%s)%s', d.arguments[1], c.clause), 'sum',
               CASE WHEN d.argument_types[1] IN ('int2'::regtype, 'int4'::regtype) THEN 'bigint'
                    WHEN d.argument_types[1] = 'interval'::regtype THEN 'interval' ELSE 'numeric' END
        FROM (SELECT CASE WHEN d.filter IS NULL THEN '' ELSE format(' FILTER (WHERE %s)', d.filter) END AS clause) c
        WHERE f.proname = 'avg'
        UNION ALL
        SELECT format('_avg_%s_count', d.ordinal), format('count(%s)%s', d.arguments[1], c.clause), 'sum', 'bigint'
        FROM (SELECT CASE WHEN d.filter IS NULL THEN '' ELSE format(' FILTER (WHERE %s)', d.filter) END AS clause) c
        WHERE f.proname = 'avg'
    ) s (state, partial, merge, state_type)
$$;
COMMENT ON FUNCTION strata._rollup_states(regclass) IS
'The state columns of a rollup: avg keeps a sum and a count, every other folding aggregate its own value.';

-- Keys are compared so that NULL equals NULL. A nullable key is compared twice over: as a one-element array, which
-- can be hashed, and by a condition that can use an index.
CREATE FUNCTION strata._key_match(definition regclass, source regclass, side text, other text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(
        CASE WHEN strata._is_not_null(source, d.expression) THEN format('%s = %s.%I', l.key, other, d.column_name)
             ELSE format('ARRAY[%1$s] = ARRAY[%2$s.%3$I] AND (%1$s = %2$s.%3$I OR (%1$s IS NULL AND %2$s.%3$I IS NULL))', l.key, other, d.column_name)
        END, ' AND ' ORDER BY d.ordinal), 'true')
    FROM strata._definition_columns(definition) d
    CROSS JOIN LATERAL (SELECT CASE side WHEN 'e' THEN format('(%s)', d.expression) ELSE format('%s.%I', side, d.column_name) END AS key) l
    WHERE d.aggregate IS NULL AND d.ordinal > 1
$$;
COMMENT ON FUNCTION strata._key_match(regclass, regclass, text, text) IS
'The condition that two rows have the same keys; side e stands for the source, whose keys are expressions.';

CREATE FUNCTION strata._is_not_null(source regclass, expression text) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attnum > 0 AND a.attnotnull
                   AND expression = 'e.' || quote_ident(a.attname))
$$;
COMMENT ON FUNCTION strata._is_not_null(regclass, text) IS 'Whether a deparsed key is a column that cannot be NULL.';

-- Equality of these types is equality of bytes, and they are as long as the user likes: a B-tree row is not.
CREATE FUNCTION strata._index_key(column_name text, type_oid oid, type_modifier int) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        -- 31 keys of 16 characters of 4 bytes fit into a B-tree row of 2,704 bytes
        WHEN type_oid = 'text'::regtype OR (type_oid IN ('varchar'::regtype, 'bpchar'::regtype) AND type_modifier NOT BETWEEN 5 AND 20)
            THEN format('strata._key_digest(%I::text)', column_name)
        WHEN type_oid = 'bytea'::regtype THEN format('sha256(%I)', column_name)
        ELSE quote_ident(column_name)
    END
$$;
COMMENT ON FUNCTION strata._index_key(text, oid, int) IS
'How a key column enters a rollup''s unique index: itself, or its SHA-256 where nothing bounds its length.';

-- Longest span of event times one bucket can hold, as an interval whose addition does not depend on the session.
CREATE FUNCTION strata._bucket_span(bucket interval, timezone text) RETURNS interval
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN extract(month FROM bucket) + extract(year FROM bucket) <> 0
            THEN make_interval(hours => 24 * (31 * (extract(month FROM bucket) + 12 * extract(year FROM bucket))::int + 2))
        WHEN extract(day FROM bucket) = 0 OR timezone = 'UTC' THEN make_interval(secs => extract(epoch FROM bucket)::double precision)
        ELSE make_interval(secs => extract(epoch FROM bucket)::double precision) + interval '48 hours'
    END
$$;
COMMENT ON FUNCTION strata._bucket_span(interval, text) IS
'Upper bound on the length of a bucket, clock changes included.';

CREATE FUNCTION strata._rollup_sql(rollup strata._rollups, kind text, horizon bigint DEFAULT 0, many boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition regclass := rollup.definition;
    source regclass := strata._relation(rollup.table_id);
    time_column text := 'e.' || quote_ident(strata._time_column(source));
    condition text := coalesce(' AND (' || strata._definition_filter(definition) || ')', '');
    span text := quote_literal(strata._bucket_span(rollup.bucket, rollup.timezone)) || '::interval';
    state_row text := format('(SELECT %%s FROM strata._rollup_state WHERE rollup_id = %s)', rollup.rollup_id);
    time_type regtype := (SELECT t.time_type FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    retained text := format('%s >= %s', time_column, strata._time_at(time_type, format(state_row, 'retained_from'), false));
    -- groups below are frozen, whatever marks of late changes say
    live text := 'd.bucket >= ' || strata._time_at(strata._bucket_type(time_type), format(state_row, 'retained_from'), false);
    pending text := format('strata._pending_batches WHERE rollup_id = %s', rollup.rollup_id);
    pending_range text := format('(SELECT %%s FROM strata._pending_range WHERE rollup_id = %s)', rollup.rollup_id);
    dirty text := rollup.dirty::text;
    bucket_expression text;
    group_columns text;     -- bucket, k1, k2
    group_expressions text; -- time_bucket(…), e.k1, lower(e.k2)
    aliased_expressions text;
    group_ordinals text;
    states text;
    partials text;
    storage_match text := 's.bucket = d.bucket AND ' || strata._key_match(definition, source, 's', 'd');
    delta_match text := 'p.bucket = d.bucket AND ' || strata._key_match(definition, source, 'p', 'd');
    source_match text := strata._key_match(definition, source, 'e', 'd');
    outputs text;
    new_rows text;
    recomputed text;
BEGIN
    SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal),
           string_agg(d.expression, ', ' ORDER BY d.ordinal),
           string_agg(format('%s AS %I', d.expression, d.column_name), ', ' ORDER BY d.ordinal),
           string_agg(d.ordinal::text, ', ' ORDER BY d.ordinal),
           min(d.expression) FILTER (WHERE d.ordinal = 1)
    INTO group_columns, group_expressions, aliased_expressions, group_ordinals, bucket_expression
    FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL;
    SELECT string_agg(quote_ident(s.state), ', ' ORDER BY s.ordinal, s.state),
           string_agg(format('%s AS %I', s.partial, s.state), ', ' ORDER BY s.ordinal, s.state)
    INTO states, partials
    FROM strata._rollup_states(definition) s;

    new_rows := format('SELECT %s, %s FROM %s e WHERE %s%s', aliased_expressions, partials, source, retained, condition);
    recomputed := format(
        'SELECT %1$s, %2$s FROM (SELECT DISTINCT %3$s FROM %4$s d WHERE %12$s) d '
        'JOIN %5$s e ON %6$s = d.bucket AND %7$s AND %8$s >= %13$s AND %8$s <= %14$s '
        'WHERE %10$s AND %8$s >= %15$s AND %8$s <= %16$s%11$s '
        'GROUP BY %1$s',
        (SELECT string_agg('d.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal)
         FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL),
        partials, group_columns, dirty, source, bucket_expression, source_match, time_column, span, retained, condition, live,
        strata._time_at_bucket(time_type, 'd.bucket', false),
        strata._time_at_bucket(time_type, 'd.bucket + ' || span, true),
        strata._time_at_bucket(time_type, format('(SELECT min(bucket) FROM %s d WHERE %s)', dirty, live), false),
        strata._time_at_bucket(time_type, format('(SELECT max(bucket) + %s FROM %s d WHERE %s)', span, dirty, live), true));

    IF kind = 'view' THEN
        -- storage, what pending batches add, and groups that must be computed anew: each group from one or two of them
        SELECT string_agg(format('%s AS %I', o.final, o.output), ', ' ORDER BY o.ordinal) INTO outputs
        FROM (
            SELECT s.ordinal, s.output,
                   CASE count(*)
                       WHEN 1 THEN min(format('%s(u.%I)%s', s.merge, s.state, CASE s.merge WHEN 'sum' THEN '::' || s.state_type ELSE '' END))
                       ELSE CASE WHEN bool_or(s.state_type = 'interval')
                           THEN format('sum(u.%I) / nullif(sum(u.%I), 0)::double precision', format('_avg_%s_sum', s.ordinal), format('_avg_%s_count', s.ordinal))
                           ELSE format('sum(u.%I)::numeric / nullif(sum(u.%I), 0)', format('_avg_%s_sum', s.ordinal), format('_avg_%s_count', s.ordinal)) END
                   END AS final
            FROM strata._rollup_states(definition) s GROUP BY s.ordinal, s.output
        ) o;
        RETURN format(
            'SELECT %1$s, %2$s FROM ('
            'SELECT %3$s, %4$s FROM %5$s s WHERE NOT EXISTS (SELECT FROM %6$s d WHERE %17$s AND %7$s) '
            'UNION ALL SELECT %3$s, %4$s FROM (%8$s AND e.batch_id >= %9$s AND e.batch_id = ANY (ARRAY(SELECT batch_id FROM %10$s)) '
            'AND %11$s >= %12$s AND %11$s <= %13$s GROUP BY %14$s) p WHERE NOT EXISTS (SELECT FROM %6$s d WHERE %17$s AND %15$s) '
            'UNION ALL SELECT %3$s, %4$s FROM (%16$s) r'
            ') u GROUP BY %1$s',
            (SELECT string_agg('u.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal)
             FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL),
            outputs, group_columns, states, rollup.storage, dirty, storage_match, new_rows,
            format(pending_range, 'lower_batch'), pending, time_column,
            strata._time_at(time_type, format(pending_range, 'lower_time'), false),
            strata._time_at(time_type, format(pending_range, 'upper_time'), true), group_ordinals, delta_match, recomputed, live);
    END IF;

    IF kind = 'unaccounted' THEN
        RETURN format('INSERT INTO %s SELECT DISTINCT %s, coalesce(e.batch_id, 0) FROM %s e WHERE %s%s AND NOT EXISTS (SELECT FROM %s AND batch_id = e.batch_id)',
            dirty, group_expressions, source, retained, condition, pending);
    END IF;

    pending := format('pending AS MATERIALIZED (SELECT batch_id, lower_time, upper_time FROM %s)', pending);
    outputs := 'SELECT jsonb_build_object(''batches'', (SELECT count(*) FROM pending), '
        '''ids'', coalesce((SELECT range_agg(int8range(batch_id, batch_id, ''[]''))::text FROM pending), ''{}''))';

    IF kind = 'fill' THEN
        RETURN format(
            'WITH %1$s, filled AS (INSERT INTO %2$s (%3$s, %4$s) %5$s GROUP BY %6$s), '
            'drained AS (DELETE FROM %7$s d WHERE d.batch_id <= %8$s OR d.batch_id IN (SELECT batch_id FROM pending)) %9$s',
            pending, rollup.storage, group_columns, states, new_rows, group_ordinals, dirty, horizon, outputs);
    END IF;

    -- One statement, one snapshot: batches, marks and rows must be seen at the same instant. A mark whose batch id is not
    -- decided yet is not drained: when that batch comes, the group must not be folded.
    RETURN format(
        'WITH %1$s, '
        'drained AS (DELETE FROM %2$s d WHERE d.batch_id <= %3$s OR d.batch_id <@ %4$s OR d.batch_id IN (SELECT batch_id FROM pending)), '
        'dirty AS MATERIALIZED (SELECT DISTINCT %5$s FROM %2$s d WHERE %19$s), '
        'recomputed AS MATERIALIZED (%6$s), '
        'emptied AS (DELETE FROM %7$s s USING dirty d WHERE %8$s AND NOT EXISTS (SELECT FROM recomputed p WHERE %9$s)), '
        'replaced AS (INSERT INTO %7$s AS s (%5$s, %10$s) SELECT %5$s, %10$s FROM recomputed ORDER BY %11$s ON CONFLICT (%12$s) DO UPDATE SET %13$s), '
        'delta AS (SELECT * FROM (%14$s AND e.batch_id >= (SELECT min(batch_id) FROM pending) AND %15$s '
        'AND %16$s >= %20$s AND %16$s <= %21$s GROUP BY %17$s) p '
        'WHERE NOT EXISTS (SELECT FROM dirty d WHERE %9$s)), '
        'folded AS (INSERT INTO %7$s AS s (%5$s, %10$s) SELECT %5$s, %10$s FROM delta ORDER BY %11$s ON CONFLICT (%12$s) DO UPDATE SET %18$s) '
        '%22$s',
        pending, dirty, horizon, format(state_row, 'folded'), group_columns, recomputed,
        rollup.storage, storage_match, delta_match, states, strata._storage_order(definition), strata._conflict_target(definition),
        (SELECT string_agg(format('%1$I = EXCLUDED.%1$I', s.state), ', ') FROM strata._rollup_states(definition) s),
        new_rows,
        CASE WHEN many THEN 'e.batch_id IN (SELECT batch_id FROM pending)' ELSE 'e.batch_id = ANY (ARRAY(SELECT batch_id FROM pending))' END,
        time_column, group_ordinals,
        (SELECT string_agg(CASE s.merge
                    WHEN 'sum' THEN format('%1$I = coalesce(s.%1$I + EXCLUDED.%1$I, s.%1$I, EXCLUDED.%1$I)', s.state)
                    WHEN 'min' THEN format('%1$I = least(s.%1$I, EXCLUDED.%1$I)', s.state)
                    ELSE format('%1$I = greatest(s.%1$I, EXCLUDED.%1$I)', s.state) END, ', ')
         FROM strata._rollup_states(definition) s),
        live,
        strata._time_at(time_type, '(SELECT CASE WHEN bool_or(lower_time IS NULL) THEN ''-infinity'' ELSE min(lower_time) END FROM pending)', false),
        strata._time_at(time_type, '(SELECT CASE WHEN bool_or(upper_time IS NULL) THEN ''infinity'' ELSE max(upper_time) END FROM pending)', true),
        outputs);
END
$$;
REVOKE ALL ON FUNCTION strata._rollup_sql(strata._rollups, text, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._rollup_sql(strata._rollups, text, bigint, boolean) IS
'One statement of a rollup: view (the exact view), fold (pending batches and dirty groups into storage), fill (storage from nothing), unaccounted (marks dirty what no pending batch brought). Fold and fill return, as jsonb, the batches they saw. horizon: ids at or below are decided; many: so many batches are pending that a join beats an array.';

CREATE FUNCTION strata._storage_order(definition regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal = 1, d.ordinal)
    FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL
$$;
COMMENT ON FUNCTION strata._storage_order(regclass) IS 'Key columns of a rollup''s storage, the bucket last.';

CREATE FUNCTION strata._conflict_target(definition regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(strata._index_key(d.column_name, d.type_oid, d.type_modifier), ', ' ORDER BY d.ordinal = 1, d.ordinal)
    FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL
$$;
COMMENT ON FUNCTION strata._conflict_target(regclass) IS 'What the unique index of a rollup''s storage is over, keys first for point reads.';
